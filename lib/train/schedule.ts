// Learning rates of every step, and the order in which an epoch visits its images. Pure arithmetic.
import { Random } from '../random.js';

/**
 * Cosine decay to zero after a linear warm-up (Loshchilov and Hutter 2017; warm-up: Goyal et al. 2017).
 * @param lr the highest rate
 * @param warmUp steps of the warm-up
 * @param total steps of the whole training
 * @returns the rates of steps first .. first + count - 1
 * @example
 * import { cosineSchedule } from 'mnv2-torch';
 * console.log([...cosineSchedule(1, 0, 4, 0, 4)].map((v) => v.toFixed(2)).join(' ')); // 1.00 0.85 0.50 0.15
 */
export function cosineSchedule(lr: number, warmUp: number, total: number, first: number, count: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => {
    const step = first + i;
    if (step < warmUp) return (lr * (step + 1)) / warmUp;
    return (lr * (1 + Math.cos((Math.PI * (step - warmUp)) / Math.max(1, total - warmUp)))) / 2;
  });
}

/** The indices in an order that depends on (seed, epoch) alone (Fisher and Yates). */
export function shuffled(indices: Int32Array, seed: number, epoch: number): Int32Array {
  return new Random(seed, 'order', epoch).shuffle(indices.slice());
}
