// Every op that can be exported, alone: ONNX Runtime's numbers beside ours.
import {
  add,
  argmax,
  avgPool2d,
  batchNorm2d,
  cast,
  concat,
  constant,
  conv2d,
  crossEntropy,
  depthwiseConv2d,
  dequantize,
  div,
  dropout,
  equal,
  exp,
  fakeQuantize,
  globalAveragePool,
  hardsigmoid,
  hardswish,
  hardtanh,
  input,
  layerNorm,
  linear,
  log,
  logSoftmax,
  matmul,
  max,
  maxPool2d,
  mean,
  min,
  Module,
  mul,
  pad2d,
  permute,
  relu,
  relu6,
  reshape,
  sigmoid,
  silu,
  slice,
  softmax,
  sub,
  sum,
  tensorData,
  type CompleteCheckpoint,
  type OpName,
  type Tensor,
} from 'mnv2-torch';
import { toOnnx } from '../../dist/export/onnx.js';
import { loadOnnxRuntime } from '../../dist/export/onnx-runtime.js';
import { wave } from '../support/networks.ts';

type Loss = 'crossEntropy' | 'binaryCrossEntropyWithLogits' | 'meanSquaredError';
const values = (shape: number[], seed = 2): Tensor =>
  constant(
    wave(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ),
    shape,
  );
const positive = (x: Tensor): Tensor => add(mul(x, x), constant(0.1));
const rows = (x: Tensor): Tensor => reshape(x, [-1, 48]); // [N, 48] of [N, 3, 4, 4]
const state = {
  weight: values([3], 5),
  bias: values([3], 6),
  runningMean: values([3], 7),
  runningVar: positive(values([3], 8)),
};

/** Of x, [N, 3, 4, 4]. The result's first dimension is N. */
const GRAPHS: Record<Exclude<OpName, Loss>, (x: Tensor) => Tensor> = {
  add: (x) => add(x, values([4])),
  argmax: (x) => argmax(x, 2),
  avgPool2d: (x) => avgPool2d(x, { kernel: [3, 2], stride: [2, 1], padding: [1, 0] }),
  batchNorm2d: (x) => batchNorm2d(x, state, { training: false, eps: 0.02 }),
  cast: (x) => cast(cast(x, 'int64'), 'float32'),
  concat: (x) => concat([x, values([2, 3, 4, 2])], 3),
  conv2d: (x) =>
    conv2d(x, values([6, 1, 3, 2]), {
      groups: 3,
      stride: [2, 1],
      padding: [0, 1, 2, 0],
      dilation: [1, 2],
      bias: values([6]),
    }),
  depthwiseConv2d: (x) => depthwiseConv2d(x, values([6, 1, 3, 3]), { stride: 2, padding: 'tf-same' }),
  dequantize: (x) =>
    add(
      mul(x, dequantize(constant(Int8Array.of(-127, 3, 90, 7)), values([4]), { axis: 0 })),
      dequantize(constant(Int8Array.of(-128, 127, 1, 0)), values([1])),
    ),
  div: (x) => div(x, positive(x)),
  dropout: (x) => x, // random in ours; see below
  equal: (x) => equal(relu(x), constant(0)),
  exp: (x) => exp(x),
  fakeQuantize: (x) => {
    const eight = fakeQuantize(x, constant([0.003]), constant([117]), { qmin: 0, qmax: 255 });
    const [scale, zero] = [constant([0.01, 0.02, 0.004]), constant([0, -3, 9])];
    const perChannel = fakeQuantize(eight, scale, zero, { qmin: -128, qmax: 127, axis: 1 });
    const symmetric = fakeQuantize(perChannel, scale, mul(zero, constant([0])), { qmin: -127, qmax: 127, axis: 1 });
    return fakeQuantize(
      symmetric,
      mul(constant([0.5]), constant([0.01])),
      cast(cast(constant([3]), 'int64'), 'float32'),
      {
        qmin: 0,
        qmax: 255,
      },
    );
  },
  globalAveragePool: (x) => globalAveragePool(x),
  hardsigmoid: (x) => hardsigmoid(mul(x, constant(4))),
  hardswish: (x) => hardswish(mul(x, constant(4))),
  hardtanh: (x) => hardtanh(x, { min: -0.3, max: 0.6 }),
  layerNorm: (x) =>
    add(layerNorm(x, [4, 4]), layerNorm(x, [4], { weight: values([4]), bias: values([4], 9), eps: 0.1 })),
  linear: (x) => add(linear(rows(x), values([4, 48]), values([4])), mean(linear(x, values([5, 4]), values([5])))),
  log: (x) => log(positive(x)),
  logSoftmax: (x) => logSoftmax(x, 1),
  matmul: (x) => matmul(x, values([4, 2])),
  max: (x) => max(x, { dims: [1, 3] }),
  maxPool2d: (x) => maxPool2d(x, { kernel: 3, stride: 2, padding: 1 }),
  mean: (x) => mean(x, { dims: [2, 3], keepDims: true }),
  min: (x) => min(x, { dims: [1] }),
  mul: (x) => mul(x, values([3, 1, 1])),
  pad2d: (x) => pad2d(x, [1, 0, 2, 3], 0.5),
  permute: (x) => permute(x, [0, 3, 1, 2]),
  relu: (x) => relu(x),
  relu6: (x) => relu6(mul(x, constant(9))),
  reshape: (x) => reshape(x, [-1, 6, 8]),
  sigmoid: (x) => sigmoid(x),
  silu: (x) => silu(x),
  slice: (x) => slice(x, { dim: 3, start: 1, end: -1, step: 2 }),
  softmax: (x) => softmax(x, 2),
  sub: (x) => sub(values([4, 4]), x),
  sum: (x) => add(sum(x, { dims: [1] }), cast(sum(cast(x, 'int32')), 'float32')),
};

class Recorded extends Module {
  constructor(private readonly record: (x: Tensor) => Tensor) {
    super();
  }
  forward(x: Tensor): Tensor {
    return this.record(x);
  }
}
/** [N, values of a picture]: what a file promises of its output. */
const flat = (y: Tensor): Tensor => reshape(y, [-1, y.shape.slice(1).reduce((a, b) => a * b, 1)]);
/** As much of a checkpoint as the graph needs. */
const checkpointOf = (record: (x: Tensor) => Tensor): CompleteCheckpoint => ({
  file: 'none.safetensors',
  model: new Recorded(record),
  tensors: new Map(),
  metadata: {},
  task: { kind: 'multiclass' },
  arch: 'Recorded',
  options: {},
  classes: Array.from({ length: record(input('x', [-1, 3, 4, 4])).shape[1] ?? 1 }, (_, i) => `class ${i}`),
  preprocess: { size: 4, scale: 'x/127.5-1' },
});
const image = wave(2 * 48, 1);

/** [N, values], by both. */
async function answers(record: (x: Tensor) => Tensor): Promise<{ ours: number[]; theirs: number[] }> {
  const float = (x: Tensor): Tensor => flat(cast(record(x), 'float32'));
  const { data } = await float(input('x', [-1, 3, 4, 4])).data({ x: tensorData(image, [2, 3, 4, 4]) });
  const { ort } = await loadOnnxRuntime();
  const session = await ort.InferenceSession.create(toOnnx(checkpointOf(float), { raw: true }), {
    logSeverityLevel: 3,
  });
  const { logits } = await session.run({ input: new ort.Tensor('float32', image, [2, 3, 4, 4]) });
  await session.release();
  return { ours: [...(data as Float32Array)], theirs: [...(logits!.data as Float32Array)] };
}

test.each(Object.entries(GRAPHS))('%s', async (_op, record) => {
  const { ours, theirs } = await answers(record);
  expect(theirs).toHaveLength(ours.length);
  const apart = theirs.map((v, i) => Math.abs(v - ours[i]!));
  expect(Math.max(...apart)).toBeLessThan(2e-6 * Math.max(1, ...ours.map(Math.abs)));
});
test('dropout passes on what it gets', async () => {
  expect((await answers((x) => dropout(x, 0.5))).theirs).toEqual([...image]);
});
test('a loss, and BatchNorm by the batch, are refused by name', () => {
  const labels = constant(BigInt64Array.of(0n));
  const loss = checkpointOf((x) => crossEntropy(rows(x), labels));
  expect(() => toOnnx(loss, { raw: true })).toThrow(/'crossEntropy' cannot be exported/);
  const training = checkpointOf((x) => batchNorm2d(x, state, { training: true }));
  expect(() => toOnnx(training, { raw: true })).toThrow(/normalises by the batch/);
});
test('a value that something else looks at is not folded away', async () => {
  const twice = (x: Tensor): Tensor => {
    const y = conv2d(x, values([3, 3, 1, 1]));
    return add(y, batchNorm2d(y, state, { training: false }));
  };
  const { ours, theirs } = await answers(twice);
  theirs.forEach((v, i) => expect(v).toBeCloseTo(ours[i]!, 5));
});
