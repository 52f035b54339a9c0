// Arithmetic, comparison and functions value by value, with broadcasting; conversion between dtypes.
import type { OpName } from '../op-names.js';
import { record, type DType, type Tensor } from '../tensor.js';
import { broadcast, needFloat, sameDType } from '../shape.js';
import { unary } from './unary.js';

const binary =
  (op: OpName) =>
  (a: Tensor, b: Tensor): Tensor => {
    const dtype = sameDType(op, a, b);
    return record(op, [a, b], {}, broadcast(op, a.shape, b.shape), dtype);
  };

/**
 * a + b with broadcasting; both of one dtype.
 * @example
 * import { add, constant } from 'mnv2-torch';
 * console.log([...(await add(constant([1, 2]), constant(10)).data()).data]); // [11, 12]
 */
export const add = binary('add');

/**
 * a - b with broadcasting; both of one dtype.
 * @example
 * import { constant, sub } from 'mnv2-torch';
 * console.log([...(await sub(constant([1, 2]), constant(10)).data()).data]); // [-9, -8]
 */
export const sub = binary('sub');

/**
 * a * b with broadcasting; both of one dtype.
 * @example
 * import { constant, mul } from 'mnv2-torch';
 * console.log([...(await mul(constant([1, 2]), constant(10)).data()).data]); // [10, 20]
 */
export const mul = binary('mul');

/**
 * a / b with broadcasting; both of one floating-point dtype.
 * @example
 * import { constant, div } from 'mnv2-torch';
 * console.log([...(await div(constant([1, 2]), constant(2)).data()).data]); // [0.5, 1]
 */
export function div(a: Tensor, b: Tensor): Tensor {
  needFloat('div', a, b);
  return binary('div')(a, b);
}

/**
 * a == b with broadcasting, as `bool`; not differentiable.
 * @example
 * import { constant, equal } from 'mnv2-torch';
 * console.log([...(await equal(constant([1, 2]), constant([1, 3])).data()).data]); // [1, 0]
 */
export function equal(a: Tensor, b: Tensor): Tensor {
  sameDType('equal', a, b);
  return record('equal', [a, b], {}, broadcast('equal', a.shape, b.shape), 'bool');
}

/**
 * e^x, elementwise.
 * @example
 * import { constant, exp } from 'mnv2-torch';
 * console.log((await exp(constant([0, 1])).data()).data[1].toFixed(4)); // 2.7183
 */
export const exp = unary('exp');

/**
 * Natural logarithm, elementwise: -Infinity at 0, NaN below.
 * @example
 * import { constant, log } from 'mnv2-torch';
 * console.log([...(await log(constant([1, 0])).data()).data]); // [0, -Infinity]
 */
export const log = unary('log');

/**
 * Converts to another dtype; floats to integers truncate.
 * @example
 * import { cast, constant } from 'mnv2-torch';
 * console.log([...(await cast(constant([1.5]), 'int64').data()).data]); // [1n]
 */
export function cast(x: Tensor, dtype: DType): Tensor {
  return record('cast', [x], { dtype }, x.shape, dtype);
}
