// Every op: its refusals, its forward against an independent computation, its gradient against central differences in
// double precision, and that fusing changes nothing.
import { native } from '../../dist/native/load.js';
import { OPS } from '../../dist/graph/op-names.js';
import * as ops from '../../dist/graph/ops.js';
import { compile } from '../../dist/engine/program.js';
import { checkGradient, close, count, doubles, evaluate, list, numbers } from '../support/numeric.ts';
import { constant, input, tensorData, withPath, type Tensor } from '../../dist/graph/tensor.js';

test('the engine has the ops TypeScript describes, and no others', () => {
  expect([...native().opNames()].sort()).toEqual([...OPS].sort());
});

/** The definition, six loops deep. pads: [top, bottom, left, right]. */
function directConv(
  x: number[],
  [n, c, h, w]: number[],
  k: number[],
  [o, per, kh, kw]: number[],
  stride: number,
  pads: number[],
  dilation: number,
  groups: number,
  bias?: number[],
): { values: number[]; shape: number[] } {
  const oh = Math.floor((h! + pads[0]! + pads[1]! - dilation * (kh! - 1) - 1) / stride) + 1;
  const ow = Math.floor((w! + pads[2]! + pads[3]! - dilation * (kw! - 1) - 1) / stride) + 1;
  const values: number[] = [];
  for (let b = 0; b < n!; b++) {
    for (let oc = 0; oc < o!; oc++) {
      const first = Math.floor(oc / (o! / groups)) * per!;
      for (let i = 0; i < oh; i++) {
        for (let j = 0; j < ow; j++) {
          let sum = bias?.[oc] ?? 0;
          for (let ic = 0; ic < per!; ic++) {
            for (let a = 0; a < kh!; a++) {
              for (let d = 0; d < kw!; d++) {
                const [y, z] = [i * stride - pads[0]! + a * dilation, j * stride - pads[2]! + d * dilation];
                if (y < 0 || y >= h! || z < 0 || z >= w!) continue;
                sum += x[((b * c! + first + ic) * h! + y) * w! + z]! * k[((oc * per! + ic) * kh! + a) * kw! + d]!;
              }
            }
          }
          values.push(sum);
        }
      }
    }
  }
  return { values, shape: [n!, o!, oh, ow] };
}

describe('convolution', () => {
  const cases: {
    name: string;
    x: number[];
    w: number[];
    stride?: number;
    padding?: ops.Padding;
    pads: number[];
    dilation?: number;
    groups?: number;
    bias?: boolean;
    depthwise?: boolean;
  }[] = [
    { name: '1x1', x: [2, 3, 4, 5], w: [4, 3, 1, 1], pads: [0, 0, 0, 0] },
    {
      name: '3x3, one pixel around, bias',
      x: [1, 2, 5, 6],
      w: [3, 2, 3, 3],
      padding: 1,
      pads: [1, 1, 1, 1],
      bias: true,
    },
    {
      name: 'stride 2, unequal explicit pads',
      x: [2, 2, 7, 6],
      w: [3, 2, 3, 3],
      stride: 2,
      padding: [0, 1, 2, 1],
      pads: [0, 1, 2, 1],
    },
    {
      name: 'stride 2, TF SAME, even size: right and bottom only',
      x: [1, 3, 8, 8],
      w: [4, 3, 3, 3],
      stride: 2,
      padding: 'tf-same',
      pads: [0, 1, 0, 1],
    },
    {
      name: 'stride 2, TF SAME, odd size: both sides',
      x: [1, 3, 7, 9],
      w: [4, 3, 3, 3],
      stride: 2,
      padding: 'tf-same',
      pads: [1, 1, 1, 1],
    },
    { name: 'dilation 2', x: [1, 2, 8, 7], w: [2, 2, 3, 3], padding: 2, pads: [2, 2, 2, 2], dilation: 2 },
    { name: 'two groups', x: [2, 4, 5, 5], w: [6, 2, 3, 3], padding: 1, pads: [1, 1, 1, 1], groups: 2 },
    { name: 'depthwise', x: [2, 5, 6, 7], w: [5, 1, 3, 3], padding: 1, pads: [1, 1, 1, 1], depthwise: true },
    {
      name: 'depthwise, stride 2, TF SAME',
      x: [2, 17, 8, 6],
      w: [17, 1, 3, 3],
      stride: 2,
      padding: 'tf-same',
      pads: [0, 1, 0, 1],
      depthwise: true,
    },
    {
      name: 'depthwise, multiplier 2, bias',
      x: [1, 3, 5, 5],
      w: [6, 1, 3, 3],
      padding: 1,
      pads: [1, 1, 1, 1],
      depthwise: true,
      bias: true,
    },
    { name: 'depthwise 5x5', x: [1, 3, 7, 7], w: [3, 1, 5, 5], padding: 2, pads: [2, 2, 2, 2], depthwise: true },
  ];
  const record = (c: (typeof cases)[number], x: Tensor, w: Tensor, bias?: Tensor): Tensor => {
    const options = {
      stride: c.stride ?? 1,
      padding: c.padding ?? 0,
      dilation: c.dilation ?? 1,
      ...(bias && { bias }),
    };
    return c.depthwise ? ops.depthwiseConv2d(x, w, options) : ops.conv2d(x, w, { ...options, groups: c.groups ?? 1 });
  };
  test.each(cases)('$name equals the direct sum, in double and float', async (c) => {
    const [x, w, b] = [numbers(count(c.x)), numbers(count(c.w), 3), numbers(c.w[0]!, 4)];
    const expected = directConv(
      x,
      c.x,
      w,
      c.w,
      c.stride ?? 1,
      c.pads,
      c.dilation ?? 1,
      c.depthwise ? c.x[1]! : (c.groups ?? 1),
      c.bias ? b : undefined,
    );
    const y = record(
      c,
      constant(doubles(x), c.x),
      constant(doubles(w), c.w),
      c.bias ? constant(doubles(b)) : undefined,
    );
    expect(y.shape).toEqual(expected.shape);
    close(await evaluate(y), expected.values, 1e-12);
    close(
      await evaluate(record(c, constant(x, c.x), constant(w, c.w), c.bias ? constant(b) : undefined)),
      expected.values,
      1e-5,
    );
  });
  test.each(cases)('$name: gradients of input, weight and bias', async (c) => {
    await checkGradient(c.bias ? [c.x, c.w, [c.w[0]!]] : [c.x, c.w], (x, w, b) => record(c, x!, w!, b));
  });
  test('depthwise float32 kernels have the gradients of double precision', async () => {
    const [shape, filter] = [
      [2, 33, 9, 8],
      [33, 1, 3, 3],
    ];
    for (const stride of [1, 2]) {
      const gradients = async (as: (v: number[]) => Float32Array | Float64Array): Promise<number[]> => {
        const [x, w] = [constant(as(numbers(count(shape))), shape), constant(as(numbers(count(filter), 3)), filter)];
        const y = ops.depthwiseConv2d(x, w, { stride, padding: 'tf-same' });
        const loss = ops.sum(ops.mul(y, constant(as(numbers(count(y.shape), 5)), y.shape)));
        return (await Promise.all(ops.gradients(loss, [x, w]).map(evaluate))).flat();
      };
      close(await gradients((v) => Float32Array.from(v)), await gradients(doubles), 1e-4);
    }
  });
  test('refusals say what was expected and what came', () => {
    const x = input('x', [-1, 4, 8, 8]);
    expect(() => ops.conv2d(x, constant(numbers(27), [1, 3, 3, 3]))).toThrow(/expected 3 input channels .*got 4/);
    expect(() => ops.conv2d(x, constant(numbers(36), [1, 4, 3, 3]), { stride: 0 })).toThrow(
      /stride to be whole numbers of at least 1/,
    );
    expect(() => ops.conv2d(x, constant(numbers(400), [1, 4, 10, 10]))).toThrow(/at least the window's 10, got 8/);
    expect(() => ops.depthwiseConv2d(x, constant(numbers(45), [5, 1, 3, 3]))).toThrow(/\[4 \* multiplier, 1, kH, kW\]/);
    expect(() =>
      ops.conv2d(input('x', [-1, 4, -1, 8]), constant(numbers(36), [1, 4, 3, 3]), { padding: 'tf-same' }),
    ).toThrow(/known height and width/);
    expect(() => withPath('features.3', () => ops.conv2d(x, constant(doubles(numbers(36)), [1, 4, 3, 3])))).toThrow(
      /one dtype.*in module 'features.3'/,
    );
  });
});

describe('batchNorm2d', () => {
  const shape = [3, 4, 2, 5];
  const [n, c, area] = [3, 4, 10];
  const x = numbers(count(shape)).map((v, i) => v * 3 + (((i / area) | 0) % 4) * 100);
  const state = { weight: [1, 2, -1, 0.5], bias: [0, 1, 2, 3], runningMean: [1, 2, 3, 4], runningVar: [1, 4, 9, 16] };
  const eps = 1e-3;
  const channel = (k: number): number[] =>
    Array.from({ length: n * area }, (_, i) => x[(((i / area) | 0) * c + k) * area + (i % area)]!);
  const normalise = (statistics: (k: number) => [number, number]): number[] =>
    x.map((v, i) => {
      const k = ((i / area) | 0) % c;
      const [m, s] = statistics(k);
      return ((v - m) / Math.sqrt(s + eps)) * state.weight[k]! + state.bias[k]!;
    });
  const batch = (k: number): [number, number] => {
    const v = channel(k);
    const m = v.reduce((a, b) => a + b) / v.length;
    return [m, v.reduce((a, b) => a + (b - m) ** 2, 0) / v.length];
  };
  const tensors = (as: (v: number[]) => Float32Array | Float64Array) => ({
    weight: constant(as(state.weight)),
    bias: constant(as(state.bias)),
    runningMean: constant(as(state.runningMean)),
    runningVar: constant(as(state.runningVar)),
  });
  test.each([
    ['double', doubles, 1e-10],
    ['float', (v: number[]) => Float32Array.from(v), 2e-5],
  ] as const)('evaluates and trains by definition in %s', async (_name, as, tolerance) => {
    const evaluated = ops.batchNorm2d(constant(as(x), shape), tensors(as), { training: false, eps });
    close(
      await evaluate(evaluated),
      normalise((k) => [state.runningMean[k]!, state.runningVar[k]!]),
      tolerance,
    );
    const trained = ops.batchNorm2d(constant(as(x), shape), tensors(as), { training: true, eps });
    close(await evaluate(trained), normalise(batch), tolerance);
  });
  test.each([
    ['double', doubles],
    ['float', (v: number[]) => Float32Array.from(v)],
  ] as const)('moves running statistics by PyTorch’s rule in %s', async (_name, as) => {
    const t = tensors(as);
    const momentum = 0.25;
    const y = ops.batchNorm2d(constant(as(x), shape), t, { training: true, eps, momentum });
    using program = compile({ y, mean: t.runningMean, variance: t.runningVar });
    await program.run();
    const after = await program.run({}, { fetch: ['mean', 'variance'] });
    const rows = n * area;
    close(
      list(after['mean']!.data),
      state.runningMean.map((v, k) => v * 0.75 + 0.25 * batch(k)[0]),
      1e-5,
    );
    close(
      list(after['variance']!.data),
      state.runningVar.map((v, k) => v * 0.75 + (0.25 * batch(k)[1] * rows) / (rows - 1)),
      1e-5,
    );
  });
  test.each([true, false])('gradients with training %s', async (training) => {
    const fixed = { runningMean: constant(doubles(numbers(4, 5))), runningVar: constant(doubles([1, 2, 3, 4])) };
    await checkGradient([[3, 4, 2, 3], [4], [4]], (v, weight, bias) =>
      ops.batchNorm2d(v!, { weight: weight!, bias: bias!, ...fixed }, { training, eps }),
    );
  });
  test.each([true, false])(
    'fused with relu6 and a residual: forward and gradients as op by op, training %s',
    async (training) => {
      const values = {
        x: numbers(count(shape)).map((v) => v * 4),
        w: [2, 3, -2, 1],
        b: [1, 2, 3, 0.5],
        r: numbers(count(shape), 7),
      };
      const record = (): Record<string, Tensor> => {
        const [a, w, b, r] = [input('x', shape), input('w', [4]), input('b', [4]), input('r', shape)];
        const y = ops.add(
          r,
          ops.relu6(
            ops.batchNorm2d(
              a,
              { weight: w, bias: b, runningMean: constant([0, 1, 0, 1]), runningVar: constant([1, 1, 2, 2]) },
              { training, eps },
            ),
          ),
        );
        const loss = ops.sum(ops.mul(y, constant(numbers(count(shape), 11), shape)));
        const [dx, dw, db, dr] = ops.gradients(loss, [a, w, b, r]) as [Tensor, Tensor, Tensor, Tensor];
        return { y, dx, dw, db, dr };
      };
      const feeds = {
        x: tensorData(values.x, shape),
        w: tensorData(values.w),
        b: tensorData(values.b),
        r: tensorData(values.r, shape),
      };
      using fused = compile(record());
      using plain = compile(record(), { fuse: false });
      expect(fused.plan().filter((l) => l.startsWith('batchNorm2d+relu6+add'))).toHaveLength(1);
      expect(plain.plan().some((l) => l.includes('+'))).toBe(false);
      const [a, b] = [await fused.run(feeds), await plain.run(feeds)];
      for (const name of Object.keys(b)) close(list(a[name]!.data), list(b[name]!.data), 2e-5);
    },
  );
  test('one value per channel cannot be trained on', async () => {
    const t = tensors((v) => Float32Array.from(v));
    await expect(ops.batchNorm2d(constant(numbers(4), [1, 4, 1, 1]), t, { training: true }).data()).rejects.toThrow(
      /more than one value per channel/,
    );
  });
});

describe('elementwise, reductions, shapes', () => {
  const x = [-7, -1, -0.5, 0.25, 3, 5.5, 6.5, 9];
  const c = (values = x, shape?: number[]): Tensor => constant(doubles(values), shape);
  const direct: [string, Tensor, number[]][] = [
    ['relu', ops.relu(c()), x.map((v) => Math.max(v, 0))],
    ['relu6', ops.relu6(c()), x.map((v) => Math.min(Math.max(v, 0), 6))],
    ['hardtanh', ops.hardtanh(c(), { min: -2, max: 4 }), x.map((v) => Math.min(Math.max(v, -2), 4))],
    ['add with broadcasting', ops.add(c(x, [2, 4]), c([1, 2, 3, 4])), x.map((v, i) => v + (i % 4) + 1)],
    ['sub', ops.sub(c(), c([2])), x.map((v) => v - 2)],
    ['mul', ops.mul(c(x, [4, 2]), c([2, 3], [1, 2])), x.map((v, i) => v * (i % 2 ? 3 : 2))],
    ['div', ops.div(c(), c([4])), x.map((v) => v / 4)],
    ['equal', ops.equal(c(), c([3])), x.map((v) => (v === 3 ? 1 : 0))],
    ['sum over some dimensions', ops.sum(c(x, [2, 2, 2]), { dims: [0, 2] }), [-7 - 1 + 3 + 5.5, -0.5 + 0.25 + 6.5 + 9]],
    ['sum over none', ops.sum(c(), { dims: [] }), x],
    ['mean', ops.mean(c()), [x.reduce((a, b) => a + b) / 8]],
    ['max', ops.max(c(x, [2, 4]), { dims: [-1], keepDims: true }), [0.25, 9]],
    ['min', ops.min(c(x, [2, 4]), { dims: [0] }), [-7, -1, -0.5, 0.25]],
    ['argmax', ops.argmax(c([1, 9, 2, 8, 3, 4], [2, 3])), [1, 0]],
    ['softmax', ops.softmax(c([0, Math.log(3)])), [0.25, 0.75]],
    ['logSoftmax, large numbers', ops.logSoftmax(c([1000, 1000])), [-Math.LN2, -Math.LN2]],
    ['reshape', ops.reshape(c(), [-1, 2]), x],
    ['permute', ops.permute(c(x, [2, 2, 2]), [2, 0, 1]), [0, 2, 4, 6, 1, 3, 5, 7].map((i) => x[i]!)],
    ['slice with a step', ops.slice(c(), { dim: 0, start: 1, end: -1, step: 2 }), [x[1]!, x[3]!, x[5]!]],
    ['concat', ops.concat([c([1, 2], [2, 1]), c([3, 4], [2, 1])], 1), [1, 3, 2, 4]],
    ['pad2d', ops.pad2d(c([1, 2], [1, 1, 1, 2]), [1, 0, 0, 1], 7), [7, 7, 7, 1, 2, 7]],
    ['cast', ops.cast(c([1.9, -1.9]), 'int64'), [1, -1]],
    ['globalAveragePool', ops.globalAveragePool(c(x, [1, 2, 2, 2])), [-8.25 / 4, 6]],
    [
      'avgPool2d counts its padding',
      ops.avgPool2d(c([1, 2, 3, 4], [1, 1, 2, 2]), { kernel: 2, stride: 2, padding: 1 }),
      [0.25, 0.5, 0.75, 1],
    ],
    ['maxPool2d', ops.maxPool2d(c(x, [1, 1, 2, 4]), { kernel: [2, 2] }), [5.5, 9]],
    [
      'linear',
      ops.linear(c([1, 2, 3, 4], [2, 2]), c([1, 0, 0, 1, 1, 1], [3, 2]), c([0, 10, 20])),
      [1, 12, 23, 3, 14, 27],
    ],
  ];
  test.each(direct)('%s', async (_name, t, expected) => {
    const { data, shape } = await t.data();
    expect(shape).toEqual([...t.shape]);
    close(list(data), expected, 1e-12);
  });

  const differentiable: [string, number[][], (...x: Tensor[]) => Tensor][] = [
    ['relu', [[9]], (a) => ops.relu(a!)],
    ['relu6', [[9]], (a) => ops.relu6(ops.mul(a!, constant(doubles([5]))))],
    ['hardtanh', [[9]], (a) => ops.hardtanh(a!)],
    ['add', [[2, 3], [3]], (a, b) => ops.add(a!, b!)],
    [
      'sub',
      [
        [2, 3],
        [2, 1],
      ],
      (a, b) => ops.sub(a!, b!),
    ],
    ['mul', [[2, 3], [3]], (a, b) => ops.mul(a!, b!)],
    ['div', [[2, 3]], (a) => ops.div(constant(doubles([1])), ops.add(a!, constant(doubles([5]))))],
    ['sum', [[2, 3]], (a) => ops.sum(a!, { dims: [1] })],
    ['mean', [[2, 3]], (a) => ops.mean(a!, { dims: [0] })],
    ['max', [[2, 5]], (a) => ops.max(a!, { dims: [1] })],
    ['min', [[2, 5]], (a) => ops.min(a!, { dims: [1] })],
    ['softmax', [[2, 4]], (a) => ops.softmax(a!)],
    ['logSoftmax', [[2, 4]], (a) => ops.logSoftmax(a!)],
    ['reshape and permute', [[2, 3]], (a) => ops.permute(ops.reshape(a!, [3, 2]), [1, 0])],
    ['slice', [[6]], (a) => ops.slice(a!, { dim: 0, start: 1, step: 2 })],
    ['concat', [[2], [3]], (a, b) => ops.concat([a!, b!])],
    ['pad2d', [[1, 2, 2, 2]], (a) => ops.pad2d(a!, [1, 0, 2, 1])],
    ['cast', [[4]], (a) => ops.cast(ops.mul(a!, a!), 'float64')],
    ['globalAveragePool', [[2, 3, 2, 2]], (a) => ops.globalAveragePool(a!)],
    ['avgPool2d', [[1, 2, 5, 5]], (a) => ops.avgPool2d(a!, { kernel: 3, stride: 2, padding: 1 })],
    ['maxPool2d', [[1, 2, 4, 4]], (a) => ops.maxPool2d(a!, { kernel: 2 })],
    ['linear', [[2, 3], [4, 3], [4]], (a, w, b) => ops.linear(a!, w!, b!)],
    [
      'crossEntropy',
      [[3, 4]],
      (a) => ops.crossEntropy(a!, constant(BigInt64Array.of(0n, 3n, 1n)), { labelSmoothing: 0.1 }),
    ],
  ];
  test.each(differentiable)('gradient of %s', async (_name, shapes, f) => {
    await checkGradient(shapes, f);
  });

  test('crossEntropy by definition, with smoothing, class weights and each reduction', async () => {
    const [rows, k] = [3, 4];
    const logits = numbers(rows * k);
    const labels = [2, 0, 3];
    const weight = [1, 2, 3, 4];
    const log = (i: number): number[] => {
      const row = logits.slice(i * k, i * k + k);
      const total = Math.log(row.reduce((a, v) => a + Math.exp(v), 0));
      return row.map((v) => v - total);
    };
    const t = (reduction: 'mean' | 'sum' | 'none', labelSmoothing: number, weighted: boolean): Promise<number[]> =>
      evaluate(
        ops.crossEntropy(c(logits, [rows, k]), constant(BigInt64Array.from(labels, BigInt)), {
          reduction,
          labelSmoothing,
          ...(weighted && { weight: c(weight) }),
        }),
      );
    const plain = labels.map((l, i) => -log(i)[l]!);
    close(await t('none', 0, false), plain);
    close(await t('sum', 0, false), [plain.reduce((a, b) => a + b)]);
    const scaled = plain.map((v, i) => v * weight[labels[i]!]!);
    close(await t('mean', 0, true), [scaled.reduce((a, b) => a + b) / labels.reduce((a, l) => a + weight[l]!, 0)]);
    const smooth = labels.map((l, i) => 0.8 * -log(i)[l]! + (0.2 * -log(i).reduce((a, b) => a + b)) / k);
    close(await t('mean', 0.2, false), [smooth.reduce((a, b) => a + b) / rows]);
  });

  test('refusals', () => {
    const a = input('a', [2, 3]);
    expect(() => ops.add(a, input('b', [2, 4]))).toThrow('add: expected shapes that broadcast, got [2, 3] and [2, 4]');
    expect(() => ops.add(a, input('b', [2, 3], 'int64'))).toThrow(/inputs of one dtype, got float32 and int64/);
    expect(() => ops.relu(input('b', [1], 'int64'))).toThrow(/floating-point/);
    expect(() => ops.reshape(a, [4, -1])).toThrow(/6 elements/);
    expect(() => ops.reshape(a, [-1, -1])).toThrow(/at most one -1/);
    expect(() => ops.softmax(a, 2)).toThrow(/dimension in \[-2, 1\], got 2/);
    expect(() => ops.permute(a, [0, 0])).toThrow(/all 2 dimensions once/);
    expect(() => ops.linear(a, input('w', [5, 4]))).toThrow(/last input dimension of 4, got 3/);
    expect(() => ops.dropout(a, 1)).toThrow(/probability in \[0, 1\)/);
    expect(() => ops.crossEntropy(a, input('l', [3], 'int64'))).toThrow(/as many labels as rows of logits: 2, got 3/);
    expect(() => ops.crossEntropy(a, input('l', [2], 'int32'))).toThrow(/int64 labels/);
    expect(() => ops.gradients(a, [a])).toThrow(/scalar loss/);
    expect(() => ops.avgPool2d(input('x', [1, 1, 4, 4]), { kernel: 2, padding: 2 })).toThrow(/half the kernel/);
    expect(() => ops.concat([])).toThrow(/at least one tensor/);
    expect(() => ops.hardtanh(a, { min: 1, max: 1 })).toThrow(/min < max/);
    expect(() => ops.slice(a, { dim: 0, step: 0 })).toThrow(/step of at least 1/);
  });
});

test('a dimension not known yet is checked when it runs', async () => {
  using program = compile({ y: ops.add(input('a', [-1]), input('b', [3])) });
  expect(list((await program.run({ a: tensorData([1, 2, 3]), b: tensorData([1, 1, 1]) }))['y']!.data)).toEqual([
    2, 3, 4,
  ]);
  await expect(program.run({ a: tensorData([1, 2]), b: tensorData([1, 1, 1]) })).rejects.toMatchObject({
    code: 'TORCH',
  });
});
