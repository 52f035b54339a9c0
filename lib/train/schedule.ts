// Learning-rate schedules as values, and the order in which an epoch visits its images. Pure arithmetic.
import { UsageError } from '../errors.js';
import { Random } from '../random.js';

/**
 * How the learning rate moves from step to step. Warm-up rises linearly over `warmUp` epochs (Goyal et al. 2017); what
 * follows starts at the highest rate.
 */
export type Schedule =
  /** stays at the highest rate */
  | { readonly kind: 'constant'; readonly warmUp?: number }
  /** half a cosine down to zero (Loshchilov and Hutter 2017) */
  | { readonly kind: 'cosine'; readonly warmUp?: number }
  /** a straight line down to zero */
  | { readonly kind: 'linear'; readonly warmUp?: number }
  /** times `factor` after every `every` epochs */
  | { readonly kind: 'step'; readonly every: number; readonly factor: number; readonly warmUp?: number };

/** The training a schedule is laid out for. */
export interface Course {
  /** highest rate */
  lr: number;
  epochs: number;
  stepsPerEpoch: number;
}

export const SCHEDULES = ['constant', 'cosine', 'linear', 'step'] as const;

/** Throws a UsageError that names what is wrong with a schedule. */
export function checkSchedule(schedule: Schedule): void {
  const kind = (schedule as Schedule | undefined)?.kind;
  if (!SCHEDULES.includes(kind!)) {
    throw new UsageError(`schedule: expected a kind out of ${SCHEDULES.join(', ')}, got ${JSON.stringify(schedule)}`);
  }
  const above = (name: string, value: unknown, least: number): void => {
    if (typeof value !== 'number' || !(value >= least) || !Number.isFinite(value)) {
      throw new UsageError(`schedule.${name}: expected a number of at least ${least}, got ${String(value)}`);
    }
  };
  above('warmUp', schedule.warmUp ?? 0, 0);
  if (schedule.kind !== 'step') return;
  above('factor', schedule.factor, 0);
  if (!(schedule.every > 0)) throw new UsageError(`schedule.every: expected epochs above 0, got ${schedule.every}`);
}

/** The rate over the highest one, `after` of `rest` steps beyond warm-up, which are `epochs` epochs. */
function decay(schedule: Schedule, after: number, rest: number, epochs: number): number {
  switch (schedule.kind) {
    case 'constant':
      return 1;
    case 'cosine':
      return (1 + Math.cos((Math.PI * after) / rest)) / 2;
    case 'linear':
      return 1 - after / rest;
    case 'step':
      return schedule.factor ** Math.floor(epochs / schedule.every);
  }
}

/**
 * Learning rates of steps first .. first + count - 1.
 * @example
 * import { learningRates } from 'mnv2-torch';
 * const course = { lr: 1, epochs: 2, stepsPerEpoch: 2 };
 * console.log([...learningRates({ kind: 'cosine' }, course, 0, 4)].map((v) => v.toFixed(2)).join(' ')); // 1.00 0.85 0.50 0.15
 */
export function learningRates(schedule: Schedule, course: Course, first: number, count: number): Float64Array {
  const { lr, epochs, stepsPerEpoch } = course;
  const warmUp = (schedule.warmUp ?? 0) * stepsPerEpoch;
  const rest = Math.max(1, epochs * stepsPerEpoch - warmUp);
  return Float64Array.from({ length: count }, (_, i) => {
    const step = first + i;
    if (step < warmUp) return (lr * (step + 1)) / warmUp;
    return lr * decay(schedule, step - warmUp, rest, (step - warmUp) / stepsPerEpoch);
  });
}

/** The indices in an order that depends on (seed, epoch) alone (Fisher and Yates). */
export function shuffled(indices: Int32Array, seed: number, epoch: number): Int32Array {
  return new Random(seed, 'order', epoch).shuffle(indices.slice());
}
