// How often a training is saved on its way.
import { z } from 'zod';
import { number, whole } from '../schema.js';

const EXPECTED = 'seconds, a number of at least 0, or a text such as 20s, 5min or 100steps';
/** Seconds: a day. */
const MOST = 86_400;
const TEXT = /^(\d+(?:\.\d+)?)(s|min|steps)$/;

/** Seconds, or steps, or minutes; as a text with its unit. */
export const saveEverySchema = z.union(
  [
    number({ least: 0, most: MOST }),
    z.strictObject({ steps: whole({ least: 1 }) }),
    z.strictObject({ minutes: number({ least: 0, most: MOST / 60 }) }),
    z.string().refine((text) => {
      const [, count, unit] = TEXT.exec(text) ?? [];
      if (unit === 'steps') return whole({ least: 1 }).safeParse(Number(count)).success;
      return Number(count) * (unit === 'min' ? 60 : 1) <= MOST;
    }),
  ],
  { error: EXPECTED },
);
/** Seconds; or `{ steps }`, or `{ minutes }`; or a text such as '100steps'. */
export type SaveEvery = z.infer<typeof saveEverySchema>;

/** After so many seconds, and at step numbers that are multiples of `steps`; Infinity: never. */
export interface Interval {
  readonly seconds: number;
  readonly steps: number;
}

export function intervalOf(every: SaveEvery): Interval {
  if (typeof every === 'number') return { seconds: every, steps: Infinity };
  if (typeof every === 'object') {
    return 'steps' in every
      ? { seconds: Infinity, steps: every.steps }
      : { seconds: 60 * every.minutes, steps: Infinity };
  }
  const [, count, unit] = TEXT.exec(every) as unknown as [string, string, string];
  if (unit === 'steps') return { seconds: Infinity, steps: Number(count) };
  return { seconds: Number(count) * (unit === 'min' ? 60 : 1), steps: Infinity };
}
