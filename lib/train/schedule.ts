// Learning-rate schedules as values, and the order in which an epoch visits its images. Pure arithmetic.
import { z } from 'zod';
import { Random } from '../random.js';
import { check, listed, number, whole } from '../schema.js';

export const SCHEDULES = ['constant', 'cosine', 'linear', 'step', 'polynomial', 'exponential', 'one-cycle'] as const;

const warmUp = number({ least: 0 }, 'epochs, a number').optional();
const epochs = number({ above: 0 }, 'epochs, a number');

/** What a schedule may be; every kind but `one-cycle`, which has its own, may rise linearly over `warmUp` epochs first. */
export const scheduleSchema = z.discriminatedUnion(
  'kind',
  [
    /** stays at the highest rate */
    z.strictObject({ kind: z.literal('constant'), warmUp }),
    /** half a cosine down to zero (Loshchilov and Hutter 2017) */
    z.strictObject({ kind: z.literal('cosine'), warmUp }),
    /** a straight line down to zero */
    z.strictObject({ kind: z.literal('linear'), warmUp }),
    /** times `factor` after every `every` epochs */
    z.strictObject({ kind: z.literal('step'), every: epochs, factor: number({ least: 0 }), warmUp }),
    /** (1 - progress) to the power of `power`, down to zero */
    z.strictObject({ kind: z.literal('polynomial'), power: number({ above: 0 }), warmUp }),
    /** times `factor` every `every` epochs, smoothly; MobileNet V2 (section 6.1) took 0.98 an epoch */
    z.strictObject({ kind: z.literal('exponential'), factor: number({ above: 0 }), every: epochs.optional(), warmUp }),
    /**
     * Rises from a 25th of the highest rate over `rise` of all steps (0.3 where absent) and falls to a 10,000th of that,
     * both along half a cosine (Smith and Topin 2018); momentum stays
     */
    z.strictObject({ kind: z.literal('one-cycle'), rise: number({ above: 0, below: 1 }, 'a share').optional() }),
  ],
  { error: listed(SCHEDULES) },
);

/**
 * How the learning rate moves from step to step, a value with its `kind`. Warm-up rises linearly over `warmUp` epochs
 * (Goyal et al. 2017); what follows starts at the highest rate.
 */
export type Schedule = z.infer<typeof scheduleSchema>;

/** The schedule that a name means in a training of so many epochs. */
export function namedSchedule(kind: Schedule['kind'], of: { epochs: number; warmUp: number }): Schedule {
  const { warmUp } = of;
  switch (kind) {
    case 'step':
      return { kind, every: of.epochs / 3, factor: 0.1, warmUp };
    case 'polynomial':
      return { kind, power: 2, warmUp };
    case 'exponential':
      return { kind, factor: 0.98, warmUp };
    case 'one-cycle':
      return { kind };
    default:
      return { kind, warmUp };
  }
}

/** The training a schedule is laid out for. */
export interface Course {
  /** highest rate */
  lr: number;
  epochs: number;
  stepsPerEpoch: number;
}

const courseSchema = z.object({ lr: number({ least: 0 }), epochs, stepsPerEpoch: whole({ least: 1 }) });

/** Half a cosine from `from` to `to`. */
const cosine = (from: number, to: number, progress: number): number =>
  to + ((from - to) * (1 + Math.cos(Math.PI * progress))) / 2;

/** The rate over the highest one, `after` of `rest` steps beyond warm-up, which are `epochs` epochs. */
function factorAt(schedule: Schedule, after: number, rest: number, epochs: number): number {
  const progress = after / rest;
  switch (schedule.kind) {
    case 'constant':
      return 1;
    case 'cosine':
      return (1 + Math.cos((Math.PI * after) / rest)) / 2;
    case 'linear':
      return 1 - progress;
    case 'step':
      return schedule.factor ** Math.floor(epochs / schedule.every);
    case 'polynomial':
      return (1 - progress) ** schedule.power;
    case 'exponential':
      return schedule.factor ** (epochs / (schedule.every ?? 1));
    case 'one-cycle': {
      const { rise = 0.3 } = schedule;
      const [first, last] = [1 / 25, 1 / 25 / 1e4];
      return progress < rise ? cosine(first, 1, progress / rise) : cosine(1, last, (progress - rise) / (1 - rise));
    }
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
  check(scheduleSchema, schedule, 'schedule');
  check(courseSchema, course, 'course');
  const { lr, epochs, stepsPerEpoch } = course;
  const warmUp = 'warmUp' in schedule ? (schedule.warmUp ?? 0) * stepsPerEpoch : 0;
  const rest = Math.max(1, epochs * stepsPerEpoch - warmUp);
  return Float64Array.from({ length: count }, (_, i) => {
    const step = first + i;
    if (step < warmUp) return (lr * (step + 1)) / warmUp;
    return lr * factorAt(schedule, step - warmUp, rest, (step - warmUp) / stepsPerEpoch);
  });
}

/** The indices in an order that depends on (seed, epoch) alone (Fisher and Yates). */
export function shuffled(indices: Int32Array, seed: number, epoch: number): Int32Array {
  return new Random(seed, 'order', epoch).shuffle(indices.slice());
}
