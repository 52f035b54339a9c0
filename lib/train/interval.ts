// How often a training is saved on its way.
import { shown, UsageError } from '../errors.js';

/** Seconds; or steps, or minutes. */
export type SaveEvery = number | { readonly steps: number } | { readonly minutes: number };

/** After so many seconds, and at step numbers that are multiples of `steps`; Infinity: never. */
export interface Interval {
  readonly seconds: number;
  readonly steps: number;
}

/** Throws a UsageError for what is no interval. */
export function checkSaveEvery(value: SaveEvery): void {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return;
  if (typeof value === 'object' && value !== null && Object.keys(value).length === 1) {
    if ('steps' in value && Number.isSafeInteger(value.steps) && value.steps >= 1) return;
    if ('minutes' in value && Number.isFinite(value.minutes) && value.minutes >= 0) return;
  }
  throw new UsageError(
    `saveEvery: expected seconds, a number of at least 0, or { steps } or { minutes }, got ${shown(value)}`,
  );
}

export function intervalOf(every: SaveEvery): Interval {
  if (typeof every === 'number') return { seconds: every, steps: Infinity };
  return 'steps' in every
    ? { seconds: Infinity, steps: every.steps }
    : { seconds: 60 * every.minutes, steps: Infinity };
}
