// The learning-rate range test (Smith 2017, section 3.3): a short training whose rate grows step by step, to see where
// the loss falls fastest and where it breaks. Nothing is kept of it but its curve.
import { z } from 'zod';
import { UsageError } from '../errors.js';
import type { Dataset } from '../data/dataset.js';
import type { Module } from '../nn/module.js';
import { check, number, whole } from '../schema.js';
import type { TrainEvent } from './events.js';
import { runningFigure } from './measures.js';
import { firstWeights, prepare, type Own } from './prepare.js';
import { resolveRecipe, type TrainerOptions } from './recipe.js';
import { shuffled } from './schedule.js';
import { freezeAs } from './stages.js';
import { taskOfData } from './task.js';

/** How a range test goes, beside the options of the training it is for. */
export interface RateFinderOptions extends TrainerOptions {
  /** steps at most (default 100) */
  steps?: number;
  /** rate of the first step (default 1e-6) */
  from?: number;
  /** rate of the last step (default 10) */
  to?: number;
  /** hears of the preparation and of steps */
  onEvent?: (event: TrainEvent) => void;
}

/** What a range test saw, a step a place; it ends where the loss broke. */
export interface RateCurve {
  readonly rates: readonly number[];
  /** as they were */
  readonly losses: readonly number[];
  /** their running mean, of which the newest loss is a tenth, free of the bias of its beginning */
  readonly smoothed: readonly number[];
  /** a tenth of the rate at which the smoothed loss was lowest; undefined where it never fell */
  readonly suggestion: number | undefined;
}

const SETTINGS = z.object({
  steps: whole({ least: 10, most: 100_000 }).optional(),
  from: number({ above: 0 }).optional(),
  to: number({ above: 0 }).optional(),
});
/** The loss has broken when it is so many times the lowest one. */
const BROKEN = 4;
const KEPT = 0.9;
/** Losses at the beginning are those of no training: falling means falling below them by this share. */
const FALLEN = 0.02;

/** The curve of a test's losses; cut where they broke. */
export function curveOf(rates: readonly number[], losses: readonly number[]): RateCurve {
  const smoothed: number[] = [];
  let [mean, lowest] = [0, Infinity];
  for (const [i, loss] of losses.entries()) {
    if (!Number.isFinite(loss)) break;
    mean = KEPT * mean + (1 - KEPT) * loss;
    const fair = mean / (1 - KEPT ** (i + 1));
    if (fair > BROKEN * lowest) break;
    lowest = Math.min(lowest, fair);
    smoothed.push(fair);
  }
  const count = smoothed.length;
  const best = smoothed.indexOf(lowest);
  const fell = count > 0 && lowest < (1 - FALLEN) * smoothed[0]!;
  return {
    rates: rates.slice(0, count),
    losses: losses.slice(0, count),
    smoothed,
    suggestion: fell ? rates[best]! / 10 : undefined,
  };
}

/**
 * Trains with a rate that grows geometrically from `from` to `to` and watches the loss; options are those of the training
 * that the rate is for. The weights it trained are thrown away.
 * @returns the curve, and a rate to begin with: a tenth of the one at which the loss was lowest
 * @throws UsageError for options that do not fit; what `prepare` of a training throws
 * @example
 * import { findRate, MobileNetV2, syntheticScenes } from 'mnv2-torch';
 * const data = await syntheticScenes({ size: 32, perClass: 4 });
 * const model = MobileNetV2({ numClasses: data.classes.length, widthMult: 0.25 });
 * const { rates } = await findRate(model, data, { batchSize: 8, steps: 12 });
 * console.log(rates[0].toFixed(6)); // 0.000001
 */
export async function findRate(model: Module, data: Dataset, options: RateFinderOptions = {}): Promise<RateCurve> {
  const { steps = 100, from = 1e-6, to = 10, onEvent = () => {}, ...training } = options;
  check(SETTINGS, { steps, from, to });
  if (!(from < to)) throw new UsageError(`from: expected a rate below the last one, ${to}, got ${from}`);
  const recipe = resolveRecipe(model, data.size, training, data.task);
  const owned: { dispose(): void }[] = [];
  const own: Own = (it) => (owned.unshift(it), it);
  const stop = recipe.signal ?? new AbortController().signal;
  const rates = Array.from({ length: steps }, (_, i) => from * (to / from) ** (i / (steps - 1)));
  try {
    freezeAs(model, recipe.freeze);
    const first = await firstWeights(recipe, model, own);
    const prepared = await prepare(recipe, model, data, first, stop, onEvent, own);
    if (!prepared) return curveOf([], []);
    const { batchSize, seed } = recipe;
    const losses: number[] = [];
    const since = performance.now();
    // An epoch at a time, until all steps are taken or the loss has broken.
    for (let epoch = 1; losses.length < steps && curveOf(rates, losses).losses.length === losses.length; epoch++) {
      const done = losses.length;
      const order = shuffled(prepared.split.train, seed, epoch).subarray(0, (steps - done) * batchSize);
      const count = Math.ceil(order.length / batchSize);
      const { stack, stopped } = await prepared.trainer.loop({
        order,
        batchSize,
        bind: prepared.bind('train', epoch),
        ...(prepared.mix && { mix: prepared.mix }),
        stack: ['loss', 'correct'],
        seed,
        firstStep: done,
        lr: Float64Array.from(rates.slice(done, done + count)),
        finite: 'loss',
        ...(recipe.signal && { signal: recipe.signal }),
        onProgress: (n, sums) => {
          const seconds = (performance.now() - since) / 1000;
          onEvent({
            ...{ event: 'progress', phase: 'train', epoch: 1, epochs: 1, done: done + n, total: steps, seconds },
            ...{ loss: sums['loss']! / n, ...runningFigure(taskOfData(data), sums['correct']! / (n * batchSize)) },
          });
        },
      });
      losses.push(...stack['loss']!);
      if (stopped || losses.length === done) break;
    }
    return curveOf(rates, losses);
  } finally {
    for (const it of owned) it.dispose();
  }
}
