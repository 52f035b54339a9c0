// How each of our ops is written in ONNX (operator set 18): a table over all of them.
import { UsageError } from '../errors.js';
import type { OpName } from '../graph/op-names.js';
import type { DType, Tensor } from '../graph/tensor.js';
import { ONNX_TYPE } from '../weights/formats/onnx-proto.js';
import type { Attribute, GraphBuilder } from './onnx-graph.js';

/** Adds what computes `t` from `inputs`, names of values, to the graph, and names its value. */
type Lowering = (t: Tensor, inputs: readonly string[], graph: GraphBuilder) => string;

const same =
  (opType: string): Lowering =>
  (_t, inputs, graph) =>
    graph.node(opType, inputs);

const numbers = (t: Tensor, name: string): number[] => [...(t.attrs[name] as readonly number[])];
const number = (t: Tensor, name: string): number => t.attrs[name] as number;

/** [top, bottom, left, right] as [top, left, bottom, right]. */
const pads = ([top, bottom, left, right]: number[]): number[] => [top!, left!, bottom!, right!];

const convolution =
  (groups: (t: Tensor) => number): Lowering =>
  (t, inputs, graph) =>
    graph.node('Conv', inputs, {
      kernel_shape: t.inputs[1]!.shape.slice(2),
      strides: numbers(t, 'stride'),
      pads: pads(numbers(t, 'padding')),
      dilations: numbers(t, 'dilation'),
      group: groups(t),
    });

const pooling =
  (opType: string, more: Record<string, Attribute> = {}): Lowering =>
  (t, inputs, graph) => {
    const [vertical, horizontal] = numbers(t, 'padding') as [number, number];
    return graph.node(opType, inputs, {
      kernel_shape: numbers(t, 'kernel'),
      strides: numbers(t, 'stride'),
      pads: [vertical, horizontal, vertical, horizontal],
      ...more,
    });
  };

const clip = (least: number, most: number): Lowering => {
  return (_t, inputs, graph) => graph.node('Clip', [inputs[0]!, graph.floats([least], []), graph.floats([most], [])]);
};

const reduction =
  (opType: string): Lowering =>
  (t, inputs, graph) =>
    graph.node(opType, [inputs[0]!, graph.ints(numbers(t, 'dims'))], { keepdims: t.attrs['keepDims'] ? 1 : 0 });

/** Integers and bools sum to int64. */
const sum: Lowering = (t, inputs, graph) => {
  const of = t.inputs[0]!.dtype === t.dtype ? inputs[0]! : graph.node('Cast', inputs, { to: ONNX_TYPE.int64 });
  return reduction('ReduceSum')(t, [of], graph);
};

const along =
  (opType: string): Lowering =>
  (t, inputs, graph) =>
    graph.node(opType, inputs, { axis: number(t, 'dim') });

const linear: Lowering = (t, inputs, graph) => {
  const [x, weight, bias] = inputs as [string, string, string?];
  if (t.inputs[0]!.shape.length === 2) return graph.node('Gemm', inputs, { transB: 1 });
  const product = graph.node('MatMul', [x, graph.node('Transpose', [weight], { perm: [1, 0] })]);
  return bias === undefined ? product : graph.node('Add', [product, bias]);
};

const layerNorm: Lowering = (t, inputs, graph) => {
  const shape = numbers(t, 'shape');
  const ones = (): string => graph.floats(new Array<number>(shape.reduce((a, b) => a * b, 1)).fill(1), shape);
  return graph.node('LayerNormalization', [inputs[0]!, inputs[1] ?? ones(), ...inputs.slice(2)], {
    axis: -shape.length,
    epsilon: { float: number(t, 'eps') },
  });
};

const batchNorm: Lowering = (t, inputs, graph) => {
  if (t.attrs['training'] === true)
    throw new UsageError(`'${t.path}' normalises by the batch: record the network in evaluation mode to export it`);
  return graph.node('BatchNormalization', inputs, { epsilon: { float: number(t, 'eps') } });
};

/** The type a tensor has in the file. */
export function onnxType(dtype: DType, graph: GraphBuilder): number {
  const types: Record<DType, number> = {
    float32: graph.floatType,
    float64: ONNX_TYPE.double,
    bfloat16: ONNX_TYPE.bfloat16,
    int64: ONNX_TYPE.int64,
    int32: ONNX_TYPE.int32,
    int8: ONNX_TYPE.int8,
    uint8: ONNX_TYPE.uint8,
    bool: ONNX_TYPE.bool,
  };
  return types[dtype];
}

/** Scales as they broadcast over what they scale. */
const acrossDim = (t: Tensor, scale: string, graph: GraphBuilder): string => {
  const axis = t.attrs['axis'] as number | undefined;
  if (axis === undefined) return scale;
  const shape = t.shape.map((_, i) => (i === axis ? -1 : 1));
  return graph.node('Reshape', [scale, graph.ints(shape)]);
};

/** Scale and zero point as QuantizeLinear and DequantizeLinear take them: one of each is no list. */
function linearly(
  t: Tensor,
  scale: string,
  zeroPoint: string,
  graph: GraphBuilder,
): { axis: Readonly<Record<string, number>>; about: string[] } {
  if (t.attrs['axis'] !== undefined) return { axis: { axis: number(t, 'axis') }, about: [scale, zeroPoint] };
  return { axis: {}, about: [graph.scalar(scale), graph.scalar(zeroPoint)] };
}

const dequantize: Lowering = (t, [q, scale], graph) => {
  if (graph.float === 'fp32' && t.dtype === 'float32') {
    const count = t.inputs[1]!.shape[0]!;
    const zeros = graph.initializer('zeros', { data: new Int8Array(count), shape: [count], dtype: 'int8' });
    const { axis, about } = linearly(t, scale!, zeros, graph);
    return graph.node('DequantizeLinear', [q!, ...about], axis);
  }
  const wide = graph.node('Cast', [q!], { to: onnxType(t.dtype, graph) });
  return graph.node('Mul', [wide, acrossDim(t, scale!, graph)]);
};

/** ONNX's types of eight bits by the whole numbers they hold. */
const EIGHT_BITS: Readonly<Record<string, 'uint8' | 'int8'>> = { '0 255': 'uint8', '-128 127': 'int8' };

/** As QuantizeLinear and DequantizeLinear where they have such a range, else step by step: Round takes halves to even. */
const fakeQuantize: Lowering = (t, [x, scale, zeroPoint], graph) => {
  const [qmin, qmax] = [number(t, 'qmin'), number(t, 'qmax')];
  const type = EIGHT_BITS[`${qmin} ${qmax}`];
  if (type !== undefined && graph.float === 'fp32' && t.dtype === 'float32') {
    const { axis, about } = linearly(t, scale!, graph.wholeNumbers(zeroPoint!, type), graph);
    return graph.node('DequantizeLinear', [graph.node('QuantizeLinear', [x!, ...about], axis), ...about], axis);
  }
  const [s, z] = [acrossDim(t, scale!, graph), acrossDim(t, zeroPoint!, graph)];
  const steps = graph.node('Add', [graph.node('Round', [graph.node('Div', [x!, s])]), z]);
  const clamped = graph.node('Clip', [steps, graph.floats([qmin], []), graph.floats([qmax], [])]);
  return graph.node('Mul', [graph.node('Sub', [clamped, z]), s]);
};

const loss: Lowering = (t) => {
  throw new UsageError(
    `a graph with '${t.op}' cannot be exported: losses are for training; export what gives the logits`,
  );
};

export const LOWERINGS: Record<OpName, Lowering> = {
  add: same('Add'),
  argmax: (t, inputs, graph) => graph.node('ArgMax', inputs, { axis: number(t, 'dim'), keepdims: 0 }),
  avgPool2d: pooling('AveragePool', { count_include_pad: 1 }),
  batchNorm2d: batchNorm,
  binaryCrossEntropyWithLogits: loss,
  cast: (t, inputs, graph) => graph.node('Cast', inputs, { to: onnxType(t.dtype, graph) }),
  concat: along('Concat'),
  conv2d: convolution((t) => number(t, 'groups')),
  crossEntropy: loss,
  depthwiseConv2d: convolution((t) => t.inputs[0]!.shape[1]!),
  dequantize,
  div: same('Div'),
  // Random while training; in use it passes on what it gets.
  dropout: (_t, inputs) => inputs[0]!,
  equal: same('Equal'),
  exp: same('Exp'),
  fakeQuantize,
  globalAveragePool: (_t, inputs, graph) =>
    graph.node('Flatten', [graph.node('GlobalAveragePool', inputs)], { axis: 1 }),
  hardsigmoid: (_t, inputs, graph) =>
    graph.node('HardSigmoid', inputs, { alpha: { float: 1 / 6 }, beta: { float: 0.5 } }),
  hardswish: same('HardSwish'),
  hardtanh: (t, inputs, graph) => clip(number(t, 'min'), number(t, 'max'))(t, inputs, graph),
  layerNorm,
  linear,
  log: same('Log'),
  logSoftmax: along('LogSoftmax'),
  matmul: same('MatMul'),
  max: reduction('ReduceMax'),
  maxPool2d: pooling('MaxPool'),
  mean: reduction('ReduceMean'),
  meanSquaredError: loss,
  min: reduction('ReduceMin'),
  mul: same('Mul'),
  pad2d: (t, inputs, graph) => {
    const [top, bottom, left, right] = numbers(t, 'pads');
    const amounts = graph.ints([0, 0, top!, left!, 0, 0, bottom!, right!]);
    return graph.node('Pad', [inputs[0]!, amounts, graph.floats([number(t, 'value')], [])]);
  },
  permute: (t, inputs, graph) => graph.node('Transpose', inputs, { perm: numbers(t, 'dims') }),
  relu: same('Relu'),
  relu6: clip(0, 6),
  // A 0 is a length of none here; without allowzero it would be the input's own.
  reshape: (t, inputs, graph) => graph.node('Reshape', [inputs[0]!, graph.ints(numbers(t, 'shape'))], { allowzero: 1 }),
  sigmoid: same('Sigmoid'),
  silu: (_t, inputs, graph) => graph.node('Mul', [inputs[0]!, graph.node('Sigmoid', inputs)]),
  slice: (t, inputs, graph) =>
    graph.node('Slice', [inputs[0]!, ...['start', 'end', 'dim', 'step'].map((a) => graph.ints([number(t, a)]))]),
  softmax: along('Softmax'),
  sub: same('Sub'),
  sum,
};
