// Ops of one floating-point tensor that keep its shape and dtype.
import type { OpName } from '../op-names.js';
import { record, type Tensor } from '../tensor.js';
import { needFloat } from '../shape.js';

export const unary =
  (op: OpName, attrs: Record<string, number> = {}) =>
  (x: Tensor): Tensor => {
    needFloat(op, x);
    return record(op, [x], attrs, x.shape, x.dtype);
  };
