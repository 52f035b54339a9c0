// Losses against their definitions, with every reduction; gradients; refusals. Labels as targets: ops.test.ts.
import * as ops from '../../dist/graph/ops.js';
import { compile } from '../../dist/engine/program.js';
import { constant, input, tensorData, type Tensor } from '../../dist/graph/tensor.js';
import { checkGradient, close, doubles, evaluate, list, numbers } from '../support/numeric.ts';

const c = (values: readonly number[], shape?: number[]): Tensor => constant(doubles(values), shape);
const total = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const REDUCTIONS = ['mean', 'sum', 'none'] as const;
const reduced = (values: readonly number[], reduction: ops.Reduction): number[] =>
  reduction === 'none' ? [...values] : [total(values) / (reduction === 'mean' ? values.length : 1)];
const [rows, k] = [3, 4];
const logits = numbers(rows * k);

describe('crossEntropy with probabilities', () => {
  const targets = [0.1, 0.2, 0.3, 0.4, 0, 1, 0, 0, 0.25, 0.25, 0.25, 0.25];
  const weight = [1, 2, 3, 4];
  /** -sum over k of weight_k * target_k * log softmax(logits)_k, a number a row */
  const losses = (smoothing: number, weights: readonly number[]): number[] =>
    Array.from({ length: rows }, (_, i) => {
      const row = logits.slice(i * k, i * k + k);
      const normaliser = Math.log(total(row.map(Math.exp)));
      return -total(
        row.map((v, j) => {
          const target = (1 - smoothing) * targets[i * k + j]! + smoothing / k;
          return weights[j]! * target * (v - normaliser);
        }),
      );
    });
  test.each(REDUCTIONS)('by definition, reduction %s', async (reduction) => {
    const loss = (options: Parameters<typeof ops.crossEntropy>[2]): Promise<number[]> =>
      evaluate(ops.crossEntropy(c(logits, [rows, k]), c(targets, [rows, k]), { reduction, ...options }));
    close(await loss({}), reduced(losses(0, [1, 1, 1, 1]), reduction), 1e-12);
    close(await loss({ labelSmoothing: 0.2 }), reduced(losses(0.2, [1, 1, 1, 1]), reduction), 1e-12);
    // Unlike with labels, the mean over probabilities is one by N, weighted or not.
    close(await loss({ labelSmoothing: 0.1, weight: c(weight) }), reduced(losses(0.1, weight), reduction), 1e-12);
  });
  test('one-hot probabilities are labels, smoothing included', async () => {
    const hot = [0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1];
    const labels = constant(BigInt64Array.of(2n, 0n, 3n));
    for (const labelSmoothing of [0, 0.3]) {
      const soft = ops.crossEntropy(c(logits, [rows, k]), c(hot, [rows, k]), { labelSmoothing });
      close(await evaluate(soft), await evaluate(ops.crossEntropy(c(logits, [rows, k]), labels, { labelSmoothing })));
    }
  });
  test('gradients, of the targets too', async () => {
    await checkGradient(
      [
        [rows, k],
        [rows, k],
      ],
      (a, b) => ops.crossEntropy(a!, ops.softmax(b!), { labelSmoothing: 0.1, weight: c(weight) }),
    );
  });
  test('refusals', () => {
    const a = input('a', [2, 3]);
    expect(() => ops.crossEntropy(a, input('t', [2, 4]))).toThrow(/targets with dimension 1 of 3, got 4/);
    expect(() => ops.crossEntropy(a, input('t', [2]))).toThrow(/targets of 2 dimensions/);
    expect(() => ops.crossEntropy(a, input('t', [2, 3], 'float64'))).toThrow(/one dtype/);
    expect(() => ops.crossEntropy(a, input('t', [2, 3]), { reduction: 'avg' as never })).toThrow(
      /a reduction out of mean, sum, none, got 'avg'/,
    );
  });
});

describe('binaryCrossEntropyWithLogits', () => {
  const targets = [0, 1, 0.3, 1, 0, 0, 1, 0.9, 1, 1, 0, 0.5];
  const weight = [0.5, 1, 2, 3];
  const posWeight = [1, 2, 0.5, 4];
  const sigmoid = (v: number): number => 1 / (1 + Math.exp(-v));
  const losses = (w: readonly number[], p: readonly number[]): number[] =>
    logits.map((v, i) => {
      const t = targets[i]!;
      return -w[i % k]! * (p[i % k]! * t * Math.log(sigmoid(v)) + (1 - t) * Math.log(1 - sigmoid(v)));
    });
  const ones = [1, 1, 1, 1];
  test.each(REDUCTIONS)('by definition, reduction %s', async (reduction) => {
    const loss = (options: Parameters<typeof ops.binaryCrossEntropyWithLogits>[2]): Promise<number[]> =>
      evaluate(
        ops.binaryCrossEntropyWithLogits(c(logits, [rows, k]), c(targets, [rows, k]), { reduction, ...options }),
      );
    close(await loss({}), reduced(losses(ones, ones), reduction), 1e-12);
    close(await loss({ weight: c(weight) }), reduced(losses(weight, ones), reduction), 1e-12);
    close(await loss({ posWeight: c(posWeight) }), reduced(losses(ones, posWeight), reduction), 1e-12);
    const both = await loss({ weight: c(weight, [1, k]), posWeight: c(posWeight) });
    close(both, reduced(losses(weight, posWeight), reduction), 1e-12);
  });
  test('large logits neither overflow nor vanish', async () => {
    const y = ops.binaryCrossEntropyWithLogits(constant([1000, -1000]), constant([0, 1]), { reduction: 'none' });
    expect(await evaluate(y)).toEqual([1000, 1000]);
  });
  test('gradients', async () => {
    await checkGradient(
      [
        [rows, k],
        [rows, k],
      ],
      (a, b) => ops.binaryCrossEntropyWithLogits(a!, ops.sigmoid(b!), { weight: c(weight), posWeight: c(posWeight) }),
    );
  });
  test('refusals', () => {
    const a = input('a', [-1, 3]);
    expect(ops.binaryCrossEntropyWithLogits(a, input('t', [-1, 3]), { reduction: 'none' }).shape).toEqual([-1, 3]);
    expect(() => ops.binaryCrossEntropyWithLogits(a, input('t', [-1, 1]))).toThrow(/dimension 1 of 3, got 1/);
    expect(() => ops.binaryCrossEntropyWithLogits(a, input('t', [-1, 3], 'int64'))).toThrow(/floating-point/);
    expect(() => ops.binaryCrossEntropyWithLogits(a, a, { posWeight: input('w', [2, 1, 3]) })).toThrow(
      /weights that broadcast to \[None, 3\], got \[2, 1, 3\]/,
    );
  });
});

describe('meanSquaredError', () => {
  const targets = numbers(12, 5);
  test.each(REDUCTIONS)('by definition, reduction %s', async (reduction) => {
    const loss = ops.meanSquaredError(c(logits, [rows, k]), c(targets, [rows, k]), { reduction });
    close(
      await evaluate(loss),
      reduced(
        logits.map((v, i) => (v - targets[i]!) ** 2),
        reduction,
      ),
      1e-12,
    );
  });
  test('gradients', async () => {
    await checkGradient(
      [
        [rows, k],
        [rows, k],
      ],
      (a, b) => ops.meanSquaredError(a!, b!),
    );
  });
  test('broadcasting is refused', () => {
    expect(() => ops.meanSquaredError(input('a', [4, 1]), input('b', [4]))).toThrow(/targets of 2 dimensions/);
  });
});

test('in a bf16 program losses are taken in single precision', async () => {
  const given = input('x', [3, 2, 1, 2]);
  const scores = ops.reshape(ops.conv2d(given, constant([1, -2, 3, 4], [2, 2, 1, 1])), [3, 4]);
  const targets = constant([0.25, 0.25, 0.25, 0.25, 0, 1, 0, 0, 0.5, 0, 0.5, 0], [3, 4]);
  const outputs = {
    soft: ops.crossEntropy(scores, targets),
    binary: ops.binaryCrossEntropyWithLogits(scores, targets),
    squared: ops.meanSquaredError(scores, targets),
  };
  const run = async (precision: 'fp32' | 'bf16'): Promise<number[]> => {
    using program = compile(outputs, { precision });
    const values = await program.run({ x: tensorData(numbers(12), [3, 2, 1, 2]) });
    return Object.values(values).flatMap((v) => list(v.data));
  };
  close(await run('bf16'), await run('fp32'), 0.02);
});
