// Sigmoids, exp and log, matmul, layerNorm: forward against the definition, gradients, bfloat16, refusals.
import * as ops from '../../dist/graph/ops.js';
import { compile } from '../../dist/engine/program.js';
import { constant, input, tensorData, type Tensor } from '../../dist/graph/tensor.js';
import { checkGradient, close, count, doubles, evaluate, list, numbers } from '../support/numeric.ts';

const clamp = (v: number, low: number, high: number): number => Math.min(Math.max(v, low), high);
const FUNCTIONS: [string, (x: Tensor) => Tensor, (v: number) => number][] = [
  ['sigmoid', ops.sigmoid, (v) => 1 / (1 + Math.exp(-v))],
  ['hardsigmoid', ops.hardsigmoid, (v) => clamp(v + 3, 0, 6) / 6],
  ['hardswish', ops.hardswish, (v) => (v * clamp(v + 3, 0, 6)) / 6],
  ['silu', ops.silu, (v) => v / (1 + Math.exp(-v))],
  ['exp', ops.exp, Math.exp],
  ['log', (x) => ops.log(ops.mul(x, x)), (v) => Math.log(v * v)],
];

describe.each(FUNCTIONS)('%s', (_name, f, definition) => {
  // Either side of the bounds at -3 and 3, and far out.
  const x = [-30, -4, -3.5, -2.5, -1, -0.1, 0.2, 1, 2.5, 3.5, 5, 20];
  test('by definition, in double and float', async () => {
    close(await evaluate(f(constant(doubles(x)))), x.map(definition), 1e-13);
    close(await evaluate(f(constant(x))), x.map(definition), 2e-6);
  });
  test('gradient', async () => {
    await checkGradient([[11]], (a) => f(ops.mul(a!, constant(doubles([2.3])))));
  });
  test('in bfloat16: the value and the slope of single precision, rounded', async () => {
    const run = async (bf16: boolean): Promise<number[][]> => {
      const given = constant(x.slice(1));
      const y = f(bf16 ? ops.cast(given, 'bfloat16') : given);
      const slope = ops.gradients(ops.sum(ops.cast(y, 'float32')), [given])[0]!;
      expect(y.dtype).toBe(bf16 ? 'bfloat16' : 'float32');
      return [await evaluate(ops.cast(y, 'float32')), await evaluate(slope)];
    };
    const [single, rounded] = [await run(false), await run(true)];
    single.forEach((values, i) => close(rounded[i]!, values, 0.03));
  });
  test('integers are refused', () => {
    expect(() => f(input('x', [2], 'int64'))).toThrow(/floating-point inputs, got int64/);
  });
});

describe('matmul', () => {
  /** By definition, for operands of at least two dimensions, batch by batch. */
  function direct(a: number[], as: number[], b: number[], bs: number[]): number[] {
    const [n, k, m] = [as.at(-2)!, as.at(-1)!, bs.at(-1)!];
    const rank = Math.max(as.length, bs.length) - 2;
    const batch = Array.from({ length: rank }, (_, i) =>
      Math.max(as[i - rank + as.length - 2] ?? 1, bs[i - rank + bs.length - 2] ?? 1),
    );
    const offset = (shape: number[], index: number[]): number => {
      let at = 0;
      for (let i = 0; i < shape.length - 2; i++) {
        const position = index[i + rank - (shape.length - 2)]!;
        at = at * shape[i]! + (shape[i] === 1 ? 0 : position);
      }
      return at * shape.at(-2)! * shape.at(-1)!;
    };
    return Array.from({ length: count(batch) }, (_, flat) => {
      const index = batch.map((d, i) => Math.floor(flat / count(batch.slice(i + 1))) % d);
      const [p, q] = [offset(as, index), offset(bs, index)];
      return Array.from({ length: n * m }, (_unused, out) => {
        let sum = 0;
        for (let i = 0; i < k; i++) sum += a[p + Math.floor(out / m) * k + i]! * b[q + i * m + (out % m)]!;
        return sum;
      });
    }).flat();
  }
  const cases: [number[], number[], number[]][] = [
    [
      [2, 3],
      [3, 4],
      [2, 4],
    ],
    [
      [5, 2, 3],
      [5, 3, 4],
      [5, 2, 4],
    ],
    [
      [2, 3],
      [4, 3, 2],
      [4, 2, 2],
    ],
    [
      [3, 1, 2, 4],
      [1, 5, 4, 2],
      [3, 5, 2, 2],
    ],
  ];
  test.each(cases)('%j x %j', async (as, bs, shape) => {
    const [a, b] = [numbers(count(as)), numbers(count(bs), 3)];
    const y = ops.matmul(constant(doubles(a), as), constant(doubles(b), bs));
    expect(y.shape).toEqual(shape);
    close(await evaluate(y), direct(a, as, b, bs), 1e-12);
    await checkGradient([as, bs], (p, q) => ops.matmul(p!, q!));
  });
  test('vectors: a row at the left, a column at the right, a dot product', async () => {
    const m = constant(doubles([1, 2, 3, 4, 5, 6]), [2, 3]);
    const row = await ops.matmul(constant(doubles([1, 10])), m).data();
    expect([row.shape, list(row.data)]).toEqual([[3], [41, 52, 63]]);
    const column = await ops.matmul(m, constant(doubles([1, 0, -1]))).data();
    expect([column.shape, list(column.data)]).toEqual([[2], [-2, -2]]);
    const dot = await ops.matmul(constant(doubles([1, 2])), constant(doubles([3, 4]))).data();
    expect([dot.shape, list(dot.data)]).toEqual([[], [11]]);
    await checkGradient([[3], [2, 3, 2]], (a, b) => ops.matmul(a!, b!));
  });
  test('an unknown batch stays unknown; what does not fit is refused', () => {
    expect(ops.matmul(input('a', [-1, 2, 3]), input('b', [3, 4])).shape).toEqual([-1, 2, 4]);
    expect(() => ops.matmul(input('a', [2, 3]), input('b', [2, 3]))).toThrow(/inner dimension is 3, got 2/);
    expect(() => ops.matmul(input('a', [2, 1, 3]), input('b', [3, 3, 1]))).toThrow(/shapes that broadcast/);
    expect(() => ops.matmul(input('a', []), input('b', [1]))).toThrow(/vectors or matrices/);
    expect(() => ops.matmul(input('a', [2, 3], 'float64'), input('b', [3, 2]))).toThrow(/one dtype/);
  });
  test('a factor from a convolution in a bf16 program', async () => {
    const x = ops.reshape(ops.conv2d(input('x', [1, 2, 1, 2]), constant([1, 2, 3, 4], [2, 2, 1, 1])), [2, 2]);
    using program = compile({ y: ops.matmul(x, constant([1, 2, 3, 4], [2, 2])) }, { precision: 'bf16' });
    const { y } = await program.run({ x: tensorData([1, 2, 3, 4], [1, 2, 1, 2]) });
    close(list(y!.data), [37, 54, 81, 118], 0.01); // x is [[7, 10], [15, 22]]
  });
});

describe('layerNorm', () => {
  const [shape, over] = [
    [3, 2, 4],
    [2, 4],
  ];
  const [x, weight, bias] = [numbers(24), numbers(8, 5), numbers(8, 6)];
  const eps = 1e-3;
  const expected = x.map((v, i) => {
    const row = x.slice(i - (i % 8), i - (i % 8) + 8);
    const mean = row.reduce((a, b) => a + b) / 8;
    const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / 8;
    return ((v - mean) / Math.sqrt(variance + eps)) * weight[i % 8]! + bias[i % 8]!;
  });
  const record = (as: (v: number[]) => Float32Array | Float64Array): Tensor =>
    ops.layerNorm(constant(as(x), shape), over, {
      weight: constant(as(weight), over),
      bias: constant(as(bias), over),
      eps,
    });
  test('by definition, in double and float', async () => {
    close(await evaluate(record(doubles)), expected, 1e-12);
    close(await evaluate(record((v) => Float32Array.from(v))), expected, 1e-5);
  });
  test('gradients, with and without weight and bias', async () => {
    await checkGradient([shape, over, over], (a, w, b) => ops.layerNorm(a!, over, { weight: w!, bias: b!, eps }));
    await checkGradient([shape, [4]], (a, w) => ops.layerNorm(a!, [4], { weight: w! }));
    await checkGradient([shape], (a) => ops.layerNorm(a!, [4]));
  });
  test('of a convolution’s output in a bf16 program, and its gradients', async () => {
    const results = async (precision: 'fp32' | 'bf16'): Promise<number[][]> => {
      const given = input('x', [2, 3, 4, 4]);
      const filters = constant(numbers(9, 4), [3, 3, 1, 1]);
      const scale = constant(numbers(4, 5));
      const y = ops.layerNorm(ops.conv2d(given, filters), [4], { weight: scale });
      const [dx, dw] = ops.gradients(ops.sum(ops.mul(y, constant(numbers(96, 8), [2, 3, 4, 4]))), [given, scale]);
      using program = compile({ y, dx: dx!, dw: dw! }, { precision });
      return Object.values(await program.run({ x: tensorData(numbers(96), [2, 3, 4, 4]) })).map((v) => list(v.data));
    };
    const [single, rounded] = [await results('fp32'), await results('bf16')];
    const norm = (v: number[]): number => Math.hypot(...v);
    single.forEach((values, i) => {
      expect(norm(values.map((v, k) => v - rounded[i]![k]!)) / norm(values)).toBeLessThan(0.05);
    });
  });
  test('refusals', () => {
    const a = input('a', [-1, 4]);
    expect(ops.layerNorm(a, [4]).shape).toEqual([-1, 4]);
    expect(() => ops.layerNorm(a, [3])).toThrow(/input that ends with \[3\], got \[None, 4\]/);
    expect(() => ops.layerNorm(a, [])).toThrow(/sizes of the last dimensions/);
    expect(() => ops.layerNorm(a, [4], { weight: input('w', [3]) })).toThrow(/weight and bias of \[4\], got \[3\]/);
    expect(() => ops.layerNorm(a, [4], { bias: input('b', [4]) })).toThrow(/a weight with the bias/);
    expect(() => ops.layerNorm(a, [4], { eps: -1 })).toThrow(/eps >= 0/);
  });
});
