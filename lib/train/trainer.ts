// Trainer: from a recipe, a model and data to trained weights. What comes before the first epoch is prepare.ts, one pass
// over the images epoch.ts; files are written by hooks.
import { UsageError } from '../errors.js';
import type { Dataset } from '../data/dataset.js';
import type { Module } from '../nn/module.js';
import { during, type TrainEvent } from './events.js';
import { Job } from './job.js';
import type { Own } from './prepare.js';
import { resolveRecipe, type Recipe, type TrainerOptions } from './recipe.js';
import type { TrainResult } from './result.js';
import { fittingNote, smallerBatch, type Batch } from './batch-fit.js';
import { begin } from './begin.js';
import { freezeAs } from './stages.js';
import { RunFolder } from './run-folder.js';
import { readState, type SavedState } from './state-file.js';

/**
 * Trains a model on a dataset: `await trainer.fit()`, or iterate it for its events. Whatever ends a training — it is
 * done, its signal aborts, the loss diverges, something throws, the iteration is left — with `out` its best and last
 * weights are on disk.
 * @throws UsageError for options that do not fit, before any work; DataError for unusable images or weights;
 * DivergedError when the loss explodes or stops being finite
 * @example
 * import { MobileNetV2, syntheticScenes, Trainer } from 'mnv2-torch';
 * const data = await syntheticScenes({ size: 32, perClass: 4 });
 * const model = MobileNetV2({ numClasses: data.classes.length, widthMult: 0.25 });
 * const trainer = new Trainer(model, data, { epochs: 1, seed: 0 });
 * const result = await trainer.fit();
 * console.log(result.history.length, result.best.epoch, result.weights.names().length); // 1 1 314
 */
export class Trainer implements AsyncIterable<TrainEvent> {
  /** All settings as they are used, defaults filled in. */
  readonly options: Recipe;
  #running = false;

  constructor(
    readonly model: Module,
    readonly data: Dataset,
    options: TrainerOptions = {},
  ) {
    this.options = resolveRecipe(model, data.size, options, data.task);
  }

  /**
   * Trains. Each call is a training of its own from the same beginning; one at a time.
   * @param options `onEvent` hears what an iteration would deliver; what it throws stops the training and is thrown
   * @returns the model, its best weights and what every epoch gave; `stopped` when the signal aborted
   */
  async fit(options: { onEvent?: (event: TrainEvent) => void } = {}): Promise<TrainResult> {
    const training = this[Symbol.asyncIterator]();
    for (;;) {
      const next = await training.next();
      if (next.done) return next.value;
      try {
        options.onEvent?.(next.value);
      } catch (error) {
        await training.return(undefined as never);
        throw error;
      }
    }
  }

  /** Events as they happen; leaving the loop stops the training after the step under way, its weights saved. */
  [Symbol.asyncIterator](): AsyncGenerator<TrainEvent, TrainResult> {
    return during<TrainEvent, TrainResult>((emit, left) => this.#train(emit, left));
  }

  async #train(emit: (event: TrainEvent) => void, left: AbortSignal): Promise<TrainResult> {
    if (this.#running) throw new UsageError('this Trainer is training already; wait for its end, or make another one');
    this.#running = true;
    const { options: recipe, model } = this;
    const stop = recipe.signal ? AbortSignal.any([recipe.signal, left]) : left;
    let run: RunFolder | undefined;
    let saved: SavedState | undefined;
    try {
      if (recipe.resume !== undefined) {
        run = await RunFolder.reopen(recipe.resume);
        saved = await readState(recipe.resume);
      } else if (recipe.out !== undefined) run = await RunFolder.claim(recipe.out);
      freezeAs(model, recipe.freeze);
      return await this.#attempt(recipe, { run, saved, started: performance.now(), stop, emit }, []);
    } finally {
      await run?.release();
      this.#running = false;
    }
  }

  /** Trains; again with smaller batches where memory ran out in the first epoch. */
  async #attempt(recipe: Recipe, context: Attempt, said: readonly string[]): Promise<TrainResult> {
    const { model, data } = this;
    const { saved } = context;
    const owned: { dispose(): void }[] = [];
    const own: Own = (it) => (owned.unshift(it), it);
    let job: Job | undefined;
    let trying = false;
    let smaller: Batch | undefined;
    try {
      const settled = { recipe, model, data, ...context, said };
      job = new Job({ ...settled, ...(await begin(settled, own)) });
      for await (const epoch of job.remaining()) {
        trying = epoch === 1 && !saved;
        const train = await job.train(epoch);
        trying = false;
        const valid = train && (await job.validate(epoch));
        if (!valid) break; // stopped
        await job.ended(epoch, train, valid);
      }
      return await job.finish();
    } catch (error) {
      smaller = trying ? smallerBatch(error, recipe) : undefined;
      if (!smaller) await job?.failed(error as Error);
      for (const it of owned) it.dispose();
      if (!smaller) throw error;
    }
    return this.#attempt({ ...recipe, ...smaller }, context, [...said, fittingNote(recipe, smaller)]);
  }
}

interface Attempt {
  run: RunFolder | undefined;
  saved: SavedState | undefined;
  started: number;
  stop: AbortSignal;
  emit: (event: TrainEvent) => void;
}
