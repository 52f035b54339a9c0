// Every op: its name, its attributes and the rule for its output's shape and dtype, by family in ops/. Executed by
// native/graph/ops.cc under the same name; test/graph/ops.test.ts holds the two name sets equal.
export * from './ops/activation.js';
export * from './ops/conv.js';
export * from './ops/dropout.js';
export * from './ops/elementwise.js';
export * from './ops/linear.js';
export * from './ops/loss.js';
export * from './ops/markers.js';
export * from './ops/norm.js';
export * from './ops/pool.js';
export * from './ops/reduce.js';
export * from './ops/shape.js';
export type { Padding, Pair } from './shape.js';

/** Ops the engine executes by name; what is missing here it must not have, and the other way round. */
export const ENGINE_OPS = [
  'add',
  'argmax',
  'avgPool2d',
  'batchNorm2d',
  'cast',
  'concat',
  'conv2d',
  'crossEntropy',
  'depthwiseConv2d',
  'div',
  'dropout',
  'equal',
  'globalAveragePool',
  'hardtanh',
  'linear',
  'logSoftmax',
  'max',
  'maxPool2d',
  'mean',
  'min',
  'mul',
  'pad2d',
  'permute',
  'relu',
  'relu6',
  'reshape',
  'slice',
  'softmax',
  'sub',
  'sum',
] as const;
