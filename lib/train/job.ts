// A training under way: what the trainer's loop calls, and what it tells the hooks.
import { DivergedError } from '../errors.js';
import { figures } from '../infer/evaluate.js';
import type { Dataset } from '../data/dataset.js';
import { splitToJSON } from '../data/split-file.js';
import type { Weights } from '../engine/weights.js';
import type { Module } from '../nn/module.js';
import { checkpointMetadata } from '../weights/checkpoint.js';
import type { Fingerprint } from '../data/fingerprint.js';
import { runPass, type PassResult, type Sums } from './epoch.js';
import type { EpochEvent, Phase, TrainEvent, ValidPhase } from './events.js';
import { BEST, Checkpoints, LAST } from './hooks/checkpoint.js';
import type { Ending, Hook, Outputs } from './hooks/hook.js';
import { Log } from './hooks/log.js';
import { balancedOrder } from './balance.js';
import { configOf } from './config.js';
import { intervalOf } from './interval.js';
import type { Prepared } from './prepare.js';
import type { Recipe } from './recipe.js';
import { TrainResult } from './result.js';
import type { RunFolder } from './run-folder.js';
import { learningRates, shuffled } from './schedule.js';
import { STATE, writeState, type SavedState } from './state-file.js';
import { TrainingState } from './state.js';
import type { Terms } from './terms.js';

export interface JobContext {
  recipe: Recipe;
  model: Module;
  data: Dataset;
  weights: Weights;
  /** absent where the training was stopped before its first step, or was done before it was resumed */
  prepared: Prepared | undefined;
  /** what the training is and on what, for those that go on with it; absent as `prepared` is */
  terms: Terms;
  fingerprint: Fingerprint | undefined;
  /** where an earlier process left it */
  saved: SavedState | undefined;
  run: RunFolder | undefined;
  /** when it began, as performance.now() says */
  started: number;
  stop: AbortSignal;
  emit: (event: TrainEvent) => void;
}

export class Job {
  readonly state: TrainingState;
  readonly #hooks: Hook[] = [];
  readonly #checkpoints: Checkpoints | undefined;

  constructor(private readonly context: JobContext) {
    const { recipe, model, data, weights, prepared, run, saved } = context;
    this.state = new TrainingState(weights, model);
    if (saved) this.state.goOn(saved.position, saved.best);
    if (!prepared) return;
    if (run) {
      const metadata = checkpointMetadata(model, data.classes, recipe.preprocess);
      const saveState = (): Promise<void> => this.#saveState(run.file(STATE));
      this.#checkpoints = new Checkpoints({ run, metadata, every: intervalOf(recipe.saveEvery), saveState });
      this.#hooks.push(new Log(run, splitToJSON(data, prepared.split)), this.#checkpoints);
    }
    this.#hooks.push(...recipe.hooks);
  }

  /** Epochs still to train, counted from 1; ends early when the training is stopped. */
  async *remaining(): AsyncIterable<number> {
    const { prepared, recipe, model, data, stop } = this.context;
    if (!prepared) return;
    const { preprocess, out } = recipe;
    const settings = configOf(recipe, data.classes);
    const { split, prefixSeconds: prefix } = prepared;
    const { decodeSeconds: decode } = data;
    const seconds = { ...(decode !== undefined && { decode }), ...(prefix !== undefined && { prefix }) };
    const beginning = { model, data, split, settings, preprocess, seconds, out };
    for (const hook of this.#hooks) await hook.began?.(this.state, beginning);
    while (this.state.epoch < recipe.epochs && !stop.aborted) yield this.state.epoch + 1;
  }

  /**
   * Trains on every training image once; undefined when stopped on the way.
   * @throws DivergedError when the loss of a step is not finite
   */
  async train(epoch: number): Promise<Phase | undefined> {
    const { recipe, prepared } = this.context;
    const { trainer, split, stepsPerEpoch, mix } = prepared!;
    const firstStep = (epoch - 1) * stepsPerEpoch;
    const lr = this.#rates(firstStep, stepsPerEpoch);
    const { sampler, seed, batchSize } = recipe;
    const order =
      sampler === 'balanced'
        ? balancedOrder(split.train, this.context.data.labels, seed, epoch)
        : shuffled(split.train, seed, epoch);
    const reached = (sums: Sums): void => {
      this.state.step = firstStep + sums.steps;
      this.state.pass = sums;
    };
    const pass = { program: trainer, order, lr, firstStep, batchSize, mix, from: this.state.pass };
    const result = await this.#pass('train', epoch, pass, reached);
    reached(result.sums);
    if (result.diverged >= 0) {
      const rate = lr[result.diverged]!.toPrecision(3);
      throw new DivergedError(
        `the loss stopped being finite at step ${result.diverged + 1} of epoch ${epoch} (learning rate ${rate}). ` +
          `Try a lower --lr (it was ${recipe.lr})`,
      );
    }
    return result.stopped ? undefined : result.phase;
  }

  /** Runs every validation image once; undefined when stopped on the way. */
  async validate(epoch: number): Promise<{ phase: ValidPhase; outputs: Outputs } | undefined> {
    const { validator, split, validBatch } = this.context.prepared!;
    const { classes, labels } = this.context.data;
    const order = split.val;
    const pass = { program: validator, order, batchSize: validBatch, rows: ['probability'] };
    const result = await this.#pass('valid', epoch, pass);
    if (result.stopped) return undefined;
    if (!Number.isFinite(result.phase.loss)) {
      throw new DivergedError(
        `the validation loss is not finite after epoch ${epoch}. Try a lower --lr (it was ${this.context.recipe.lr})`,
      );
    }
    const outputs = { indices: order, probabilities: result.rows['probability']! };
    const truth = Int32Array.from(order, (row) => labels[row]!);
    const { macroF1 } = figures(classes, truth, likeliest(outputs, classes.length), result.phase.loss);
    return { phase: { ...result.phase, macroF1 }, outputs };
  }

  /** Counts the epoch and tells everyone. */
  async ended(epoch: number, train: Phase, valid: { phase: ValidPhase; outputs: Outputs }): Promise<void> {
    const { recipe, prepared, emit } = this.context;
    const [lr] = this.#rates((epoch - 1) * prepared!.stepsPerEpoch, 1);
    const event: EpochEvent = { event: 'epoch', epoch, epochs: recipe.epochs, lr: lr!, train, valid: valid.phase };
    await this.state.ended(event);
    for (const hook of this.#hooks) await hook.epochEnded?.(this.state, event, valid.outputs);
    emit(event);
  }

  /** The one good way out, done or stopped: everything is saved, the best weights stay. */
  async finish(): Promise<TrainResult> {
    const { recipe, model, data, weights, prepared, run, emit } = this.context;
    const { state } = this;
    const stopped = state.epoch < recipe.epochs;
    await this.#tell({ how: stopped ? 'stopped' : 'done' });
    const { best } = state;
    if (best && best.step !== state.step) await state.restore(best);
    prepared?.release();
    const checkpoints =
      run && !prepared && !stopped
        ? { best: run.file(BEST), last: run.file(LAST) } // it was done when it was resumed
        : { best: this.#checkpoints?.best ?? null, last: this.#checkpoints?.last ?? null };
    const seconds = (performance.now() - this.context.started) / 1000;
    if (stopped) emit({ event: 'stopped', epoch: state.epoch, checkpoint: checkpoints.last });
    else {
      const { epoch, accuracy } = best!;
      emit({ event: 'done', best: { epoch, accuracy }, checkpoint: checkpoints.best, seconds });
    }
    return new TrainResult({
      model,
      weights,
      classes: data.classes,
      preprocess: recipe.preprocess,
      history: state.history,
      best: best && { epoch: best.epoch, accuracy: best.accuracy, loss: best.loss },
      stopped,
      checkpoints,
    });
  }

  /** The other way out: saves what is good, and lets the error say where it is. What fails on the way changes nothing. */
  async failed(error: Error): Promise<void> {
    const ending: Ending = { how: error instanceof DivergedError ? 'diverged' : 'failed', error };
    for (const hook of this.#hooks) {
      try {
        await hook.ended?.(this.state, ending);
      } catch {
        // The first error is the one to tell.
      }
    }
    const { best, last } = this.#checkpoints ?? {};
    if (!(error instanceof DivergedError)) return;
    if (best) error.message += `; the best checkpoint so far is ${best}`;
    else if (last) error.message += `; the last good weights are in ${last}`;
  }

  async #tell(ending: Ending): Promise<void> {
    for (const hook of this.#hooks) await hook.ended?.(this.state, ending);
  }

  async #saveState(file: string): Promise<void> {
    const { terms, prepared, fingerprint } = this.context;
    const { trainer, stepsPerEpoch } = prepared!;
    const { state } = this;
    await writeState(file, {
      terms,
      position: state.position,
      stepsPerEpoch,
      weights: await state.weights.get(),
      program: await trainer.state.get(),
      best: state.best?.tensors ?? new Map(),
      data: fingerprint!,
    });
  }

  #rates(first: number, count: number): Float64Array {
    const { lr, schedule, epochs } = this.context.recipe;
    const { stepsPerEpoch } = this.context.prepared!;
    return learningRates(schedule, { lr, epochs, stepsPerEpoch }, first, count);
  }

  async #pass(
    phase: 'train' | 'valid',
    epoch: number,
    pass: Pick<
      Parameters<typeof runPass>[0],
      'program' | 'order' | 'batchSize' | 'lr' | 'firstStep' | 'mix' | 'rows' | 'from'
    >,
    reached: (sums: Sums) => void = () => {},
  ): Promise<PassResult> {
    const { recipe, prepared, stop, emit } = this.context;
    const { epochs } = recipe;
    const since = performance.now();
    const total = Math.ceil(pass.order.length / pass.batchSize);
    const never = { seconds: Infinity, steps: Infinity };
    const { seconds, steps } = this.#checkpoints ? intervalOf(recipe.saveEvery) : never;
    return runPass({
      ...pass,
      bind: prepared!.bind(phase, epoch),
      seed: recipe.seed,
      stop,
      pause: { seconds, steps: phase === 'train' ? steps : Infinity },
      onPause: async (sums) => {
        reached(sums);
        for (const hook of this.#hooks) await hook.paused?.(this.state);
      },
      onProgress: (done, loss, accuracy) => {
        const seconds = (performance.now() - since) / 1000;
        emit({ event: 'progress', phase, epoch, epochs, done, total, seconds, loss, accuracy });
      },
    });
  }
}

/** The class of the highest probability, of each image. */
function likeliest({ indices, probabilities }: Outputs, classes: number): Int32Array {
  return Int32Array.from(indices, (_, i) => {
    const row = probabilities.subarray(i * classes, (i + 1) * classes);
    return row.reduce((best, p, c) => (p > row[best]! ? c : best), 0);
  });
}
