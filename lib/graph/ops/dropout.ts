// Dropout, the one random op.
import { record, refuse, type Tensor } from '../tensor.js';
import { needFloat } from '../shape.js';

/**
 * Zeroes each value with probability p and scales the rest by 1 / (1 - p). The mask depends on the run's seed, the
 * step and the position in the graph alone. Record it only for training; modules do.
 * @example
 * import { constant, dropout } from 'mnv2-torch';
 * const y = await dropout(constant([1, 1, 1, 1]), 0.5).data();
 * console.log([...y.data].every((v) => v === 0 || v === 2)); // true
 */
export function dropout(x: Tensor, p: number): Tensor {
  if (!(p >= 0 && p < 1)) refuse('dropout', 'a probability in [0, 1)', `${p}`);
  needFloat('dropout', x);
  return record('dropout', [x], { p }, x.shape, x.dtype);
}
