// Every op: its attributes and the rule for its output's shape and dtype, by family in ops/. Its name is in op-names.ts;
// native/graph/ops.cc executes it under that name.
export * from './ops/activation.js';
export * from './ops/conv.js';
export * from './ops/dropout.js';
export * from './ops/elementwise.js';
export * from './ops/linear.js';
export * from './ops/loss.js';
export * from './ops/markers.js';
export * from './ops/norm.js';
export * from './ops/pool.js';
export * from './ops/quantise.js';
export * from './ops/reduce.js';
export * from './ops/shape.js';
export type { Padding, Pair } from './shape.js';
