// Activations: clamps, sigmoids, and softmax along a dimension.
import type { OpName } from '../op-names.js';
import { record, refuse, type Tensor } from '../tensor.js';
import { axis, needFloat } from '../shape.js';
import { unary } from './unary.js';

/**
 * max(x, 0), elementwise.
 * @example
 * import { constant, relu } from 'mnv2-torch';
 * console.log([...(await relu(constant([-1, 2])).data()).data]); // [0, 2]
 */
export const relu = unary('relu');

/**
 * min(max(x, 0), 6), elementwise: robust at low precision (MobileNet V2, section 4).
 * @example
 * import { constant, relu6 } from 'mnv2-torch';
 * console.log([...(await relu6(constant([-1, 2, 7])).data()).data]); // [0, 2, 6]
 */
export const relu6 = unary('relu6');

/**
 * Clamp to [min, max]; the gradient passes strictly inside.
 * @example
 * import { constant, hardtanh } from 'mnv2-torch';
 * console.log([...(await hardtanh(constant([-2, 0.5, 2]), { min: -1, max: 1 }).data()).data]); // [-1, 0.5, 1]
 */
export function hardtanh(x: Tensor, { min = -1, max = 1 }: { min?: number; max?: number } = {}): Tensor {
  if (!(min < max)) refuse('hardtanh', 'min < max', `${min} and ${max}`);
  return unary('hardtanh', { min, max })(x);
}

/**
 * 1 / (1 + exp(-x)), elementwise.
 * @example
 * import { constant, sigmoid } from 'mnv2-torch';
 * console.log([...(await sigmoid(constant([0, 100])).data()).data]); // [0.5, 1]
 */
export const sigmoid = unary('sigmoid');

/**
 * relu6(x + 3) / 6, elementwise: the sigmoid of MobileNet V3 (section 5.2).
 * @example
 * import { constant, hardsigmoid } from 'mnv2-torch';
 * console.log([...(await hardsigmoid(constant([-4, 0, 3])).data()).data]); // [0, 0.5, 1]
 */
export const hardsigmoid = unary('hardsigmoid');

/**
 * x * relu6(x + 3) / 6, elementwise: the swish of MobileNet V3 (section 5.2).
 * @example
 * import { constant, hardswish } from 'mnv2-torch';
 * console.log([...(await hardswish(constant([-4, 1.5, 4])).data()).data]); // [-0, 1.125, 4]
 */
export const hardswish = unary('hardswish');

/**
 * x * sigmoid(x), elementwise: swish (Ramachandran et al. 2017).
 * @example
 * import { constant, silu } from 'mnv2-torch';
 * console.log([...(await silu(constant([0, 100])).data()).data]); // [0, 100]
 */
export const silu = unary('silu');

const alongDim =
  (op: OpName) =>
  (x: Tensor, dim = -1): Tensor => {
    needFloat(op, x);
    return record(op, [x], { dim: axis(op, dim, x.shape.length) }, x.shape, x.dtype);
  };

/**
 * exp(x) normalised to sum 1 along `dim`.
 * @example
 * import { constant, softmax } from 'mnv2-torch';
 * console.log([...(await softmax(constant([1, 1])).data()).data]); // [0.5, 0.5]
 */
export const softmax = alongDim('softmax');

/**
 * log(softmax(x)) along `dim`, computed stably.
 * @example
 * import { constant, logSoftmax } from 'mnv2-torch';
 * console.log((await logSoftmax(constant([1, 1])).data()).data[0].toFixed(4)); // -0.6931
 */
export const logSoftmax = alongDim('logSoftmax');
