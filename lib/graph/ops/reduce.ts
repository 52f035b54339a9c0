// Reductions over dimensions.
import type { OpName } from '../op-names.js';
import { record, refuse, type Tensor } from '../tensor.js';
import { axis, isFloat, needFloat } from '../shape.js';

/**
 * Index of the largest value along `dim`, int64; not differentiable.
 * @example
 * import { argmax, constant } from 'mnv2-torch';
 * console.log((await argmax(constant([1, 5, 2])).data()).data[0]); // 1n
 */
export function argmax(x: Tensor, dim = -1): Tensor {
  const d = axis('argmax', dim, x.shape.length);
  return record('argmax', [x], { dim: d }, x.shape.toSpliced(d, 1), 'int64');
}

/** What a reduction runs over. */
export interface ReduceOptions {
  /** default: all dimensions */
  dims?: readonly number[];
  /** keep reduced dimensions as 1 (default: drop them) */
  keepDims?: boolean;
}

const reduction =
  (op: OpName) =>
  (x: Tensor, { dims, keepDims = false }: ReduceOptions = {}): Tensor => {
    const rank = x.shape.length;
    const over = (dims ?? x.shape.map((_, i) => i)).map((d) => axis(op, d, rank));
    if (new Set(over).size !== over.length) refuse(op, 'distinct dimensions', `[${over.join(', ')}]`);
    if (op === 'mean') needFloat(op, x);
    const kept = x.shape.map((d, i) => (over.includes(i) ? 1 : d));
    const shape = keepDims ? kept : kept.filter((_, i) => !over.includes(i));
    const dtype = op === 'sum' && !isFloat(x.dtype) ? 'int64' : x.dtype;
    return record(op, [x], { dims: over, keepDims }, shape, dtype);
  };

/**
 * Sum over `dims` (default all); integers and bools sum to int64.
 * @example
 * import { constant, sum } from 'mnv2-torch';
 * console.log([...(await sum(constant([1, 2, 3, 4], [2, 2]), { dims: [0] }).data()).data]); // [4, 6]
 */
export const sum = reduction('sum');

/**
 * Mean over `dims` (default all).
 * @example
 * import { constant, mean } from 'mnv2-torch';
 * console.log((await mean(constant([1, 2, 6])).data()).data[0]); // 3
 */
export const mean = reduction('mean');

/**
 * Maximum over `dims` (default all); equal maxima share the gradient.
 * @example
 * import { constant, max } from 'mnv2-torch';
 * console.log((await max(constant([1, 6, 2])).data()).data[0]); // 6
 */
export const max = reduction('max');

/**
 * Minimum over `dims` (default all); equal minima share the gradient.
 * @example
 * import { constant, min } from 'mnv2-torch';
 * console.log((await min(constant([3, 1, 2])).data()).data[0]); // 1
 */
export const min = reduction('min');
