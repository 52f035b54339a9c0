// Whole numbers in place of floats: rounding to what eight bits can hold, and back from the whole numbers of a file.
import { record, refuse, type Tensor } from '../tensor.js';
import { axis as axisOf, needDim, needFloat, needRank, sameDType } from '../shape.js';

/** One scale for all, or one an index of `axis`. */
function checkScale(op: string, x: Tensor, scale: Tensor, axis: number | undefined): Record<string, number> {
  needFloat(op, scale);
  needRank(op, 'a scale [1], or [C] with an axis,', scale, 1);
  if (axis === undefined) {
    needDim(op, 'one scale, or an axis: a scale of length', scale.shape[0]!, 1);
    return {};
  }
  const at = axisOf(op, axis, x.shape.length);
  needDim(op, `scales along dimension ${at}:`, scale.shape[0]!, x.shape[at]!);
  return { axis: at };
}

/** What {@link fakeQuantize} rounds to. */
export interface FakeQuantizeOptions {
  /** least whole number: 0 for uint8, -127 for symmetric int8 */
  qmin: number;
  /** greatest whole number, above 0: 255 for uint8, 127 for int8 */
  qmax: number;
  /** the dimension that has a scale an index; absent: one scale for all of x */
  axis?: number;
}

/**
 * x as whole numbers could hold it: (clamp(round(x / scale) + zeroPoint, qmin, qmax) - zeroPoint) * scale, halves rounded
 * to even. Its gradient for x passes inside of the range and is 0 outside; that for the scale is LSQ's (Esser et al. 2020),
 * with its factor 1 / sqrt(N * qmax), N the values that share a scale; the zero point has none.
 * @param scale [1], or [C] with an axis; above 0
 * @param zeroPoint of scale's shape: whole numbers
 * @throws ShapeError when scale and zero point do not fit x, or the range holds no numbers
 * @example
 * import { constant, fakeQuantize } from 'mnv2-torch';
 * const y = fakeQuantize(constant([-1, 0.26, 9]), constant([0.5]), constant([0]), { qmin: 0, qmax: 10 });
 * console.log([...(await y.data()).data]); // [0, 0.5, 5]
 */
export function fakeQuantize(x: Tensor, scale: Tensor, zeroPoint: Tensor, options: FakeQuantizeOptions): Tensor {
  const op = 'fakeQuantize';
  const { qmin, qmax, axis } = options;
  if (!Number.isInteger(qmin) || !Number.isInteger(qmax) || !(qmin < qmax) || !(qmax > 0))
    refuse(op, 'whole numbers qmin < qmax, qmax above 0', `${qmin} and ${qmax}`);
  needFloat(op, x, zeroPoint);
  const along = checkScale(op, x, scale, axis);
  needRank(op, "a zero point of the scale's shape,", zeroPoint, 1);
  needDim(op, "a zero point of the scale's length", zeroPoint.shape[0]!, scale.shape[0]!);
  return record(op, [x, scale, zeroPoint], { qmin, qmax, ...along }, x.shape, sameDType(op, x, scale, zeroPoint));
}

/**
 * Whole numbers as the floats they stand for: q * scale.
 * @param q int8
 * @param scale [1], or [C] with an axis
 * @param options.axis the dimension that has a scale an index; absent: one scale for all of q
 * @returns of q's shape and scale's dtype
 * @throws ShapeError when q is not int8 or the scale does not fit it
 * @example
 * import { constant, dequantize } from 'mnv2-torch';
 * const q = constant(Int8Array.of(-127, 2), [2, 1]);
 * console.log([...(await dequantize(q, constant([0.5, 10]), { axis: 0 }).data()).data]); // [-63.5, 20]
 */
export function dequantize(q: Tensor, scale: Tensor, options: { axis?: number } = {}): Tensor {
  const op = 'dequantize';
  if (q.dtype !== 'int8') refuse(op, 'int8', q.dtype);
  return record(op, [q, scale], checkScale(op, q, scale, options.axis), q.shape, scale.dtype);
}
