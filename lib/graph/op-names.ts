// The names a graph's nodes can have. A table over all ops is a Record<OpName, ...>: the compiler sees what is missing.

/** Ops the engine executes under these names; test/graph/ops.test.ts holds the engine's set equal. */
export const OPS = [
  'add',
  'argmax',
  'avgPool2d',
  'batchNorm2d',
  'binaryCrossEntropyWithLogits',
  'cast',
  'concat',
  'conv2d',
  'crossEntropy',
  'depthwiseConv2d',
  'dequantize',
  'div',
  'dropout',
  'equal',
  'exp',
  'fakeQuantize',
  'globalAveragePool',
  'hardsigmoid',
  'hardswish',
  'hardtanh',
  'layerNorm',
  'linear',
  'log',
  'logSoftmax',
  'matmul',
  'max',
  'maxPool2d',
  'mean',
  'meanSquaredError',
  'min',
  'mul',
  'pad2d',
  'permute',
  'relu',
  'relu6',
  'reshape',
  'sigmoid',
  'silu',
  'slice',
  'softmax',
  'sub',
  'sum',
] as const;

/** What a node can compute. */
export type OpName = (typeof OPS)[number];
/** Nodes that are no ops: values from outside, gradients asked for, and the marks modules leave. */
export type MarkerName = 'input' | 'parameter' | 'constant' | 'gradient' | 'module';
/** What a node can be: an op or a marker. */
export type NodeName = OpName | MarkerName;

const ops: ReadonlySet<string> = new Set(OPS);

/** Whether a node computes something itself. */
export function isOp(name: NodeName): name is OpName {
  return ops.has(name);
}
