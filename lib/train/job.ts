// A training under way: what the trainer's loop calls, and what it tells the hooks.
import { DivergedError, UsageError } from '../errors.js';
import type { Dataset } from '../data/dataset.js';
import { splitToJSON } from '../data/split-file.js';
import type { Weights } from '../engine/weights.js';
import type { Module } from '../nn/module.js';
import { checkpointMetadata } from '../weights/checkpoint.js';
import type { LearnedTask } from '../weights/task.js';
import type { Fingerprint } from '../data/fingerprint.js';
import { DeadKernels } from './dead-kernels.js';
import { enough } from './enough.js';
import { runPass, type PassResult, type Sums } from './epoch.js';
import { bestFigures, type Phase, type TrainEvent, type ValidPhase } from './events.js';
import { BEST, Checkpoints, LAST } from './hooks/checkpoint.js';
import type { Ending, Hook, Outputs } from './hooks/hook.js';
import { Log } from './hooks/log.js';
import { balancedOrder } from './balance.js';
import { configOf } from './config.js';
import { runningFigure } from './measures.js';
import { intervalOf } from './interval.js';
import type { Prepared } from './prepare.js';
import type { Recipe } from './recipe.js';
import { TrainResult } from './result.js';
import type { RunFolder } from './run-folder.js';
import { learningRates, shuffled } from './schedule.js';
import { epochsOf, stageAfter, type Stage } from './stages.js';
import { STATE, writeState, type SavedState } from './state-file.js';
import { TrainingState, type Snapshot } from './state.js';
import { guessingLoss, judgedEpoch, taskOfData, unlearned } from './task.js';
import type { Terms } from './terms.js';

/** So many times the loss of guessing, over a whole epoch, is no training any more. */
const EXPLODED = 100;

export interface JobContext {
  recipe: Recipe;
  model: Module;
  data: Dataset;
  weights: Weights;
  /** absent where the training was stopped before its first step, or was done before it was resumed */
  prepared: Prepared | undefined;
  /** prepares the stage after so many epochs; undefined when stopped meanwhile */
  prepareStage: (epoch: number) => Promise<Prepared | undefined>;
  /** names of what training changes, in all stages */
  changing: readonly string[];
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
  readonly #dead: DeadKernels;
  #stage: Stage;

  constructor(private readonly context: JobContext) {
    const { recipe, model, data, weights, prepared, run, saved } = context;
    this.state = new TrainingState(weights, context.changing, recipe.bestBy, context.started);
    this.#dead = new DeadKernels(model, data.size, recipe.deadKernels && prepared ? context.changing : []);
    if (saved) this.state.goOn(saved.position, saved.best);
    this.#stage = stageAfter(this.state.epoch, recipe);
    if (!prepared) return;
    this.state.task = prepared.task;
    this.state.average(prepared.trainer.state, prepared.averaged);
    if (run) {
      const metadata = (at: Snapshot): Record<string, string> =>
        checkpointMetadata(model, data.classes, recipe.preprocess, {}, this.#learned(at));
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
    const { split, task, prefixSeconds: prefix } = prepared;
    const { decodeSeconds: decode } = data;
    const seconds = { ...(decode !== undefined && { decode }), ...(prefix !== undefined && { prefix }) };
    const beginning = { model, data, split, settings, preprocess, task, seconds, out };
    for (const hook of this.#hooks) await hook.began?.(this.state, beginning);
    while (!enough(this.state.position, recipe) && !stop.aborted) {
      if (this.state.epoch === this.#stage.first + this.#stage.epochs && !(await this.#enterStage())) return;
      yield this.state.epoch + 1;
    }
  }

  /** The next stage, from the weights the last one left; false when stopped meanwhile. */
  async #enterStage(): Promise<boolean> {
    const { context, state } = this;
    const next = await context.prepareStage(state.epoch);
    if (!next) return false;
    context.prepared?.release();
    context.prepared = next;
    this.#stage = stageAfter(state.epoch, context.recipe);
    state.average(next.trainer.state, next.averaged);
    return true;
  }

  /**
   * Trains on every training image once; undefined when stopped on the way. Out of time, an epoch ends where it is.
   * @throws DivergedError when the loss of a step is not finite, or the epoch's loss exploded; UsageError when there was no time for a step
   */
  async train(epoch: number): Promise<Phase | undefined> {
    const { recipe, prepared } = this.context;
    const { trainer, split, stepsPerEpoch, mix } = prepared!;
    const firstStep = (epoch - 1) * stepsPerEpoch;
    const { lr, updates } = this.#course(epoch);
    const { sampler, seed, batchSize } = recipe;
    const order =
      sampler === 'balanced'
        ? balancedOrder(split.train, this.context.data.labels, seed, epoch)
        : shuffled(split.train, seed, epoch);
    const reached = (sums: Sums): void => {
      this.state.step = firstStep + sums.steps;
      this.state.pass = sums;
    };
    const pass = { program: trainer, order, lr, updates, firstStep, batchSize, mix, from: this.state.pass };
    const time = this.#timeLeft();
    const result = await this.#pass('train', epoch, pass, reached, time.signal).finally(() => clearTimeout(time.timer));
    reached(result.sums);
    if (result.diverged >= 0) {
      const rate = lr[result.diverged]!.toPrecision(3);
      throw new DivergedError(
        `the loss stopped being finite at step ${result.diverged + 1} of epoch ${epoch} (learning rate ${rate})` +
          `${await this.#wentFirst(epoch, order, result.diverged)}. Try a lower --lr (it was ${recipe.lr})`,
      );
    }
    if (!result.stopped) {
      this.#refuseExploded(epoch, result.phase.loss);
      return result.phase;
    }
    if (!time.signal?.aborted || this.context.stop.aborted) return undefined;
    if (result.sums.steps > 0) return result.phase;
    if (this.state.epoch > 0) return undefined; // it ends with the epoch before
    throw new UsageError(`timeBudget: ${recipe.timeBudget} s were used up before the first step; expected more`);
  }

  /** Runs every validation image once; undefined when stopped on the way. */
  async validate(epoch: number): Promise<{ phase: ValidPhase; outputs: Outputs } | undefined> {
    const { weights } = this.context;
    const { validator, judged, split, validBatch } = this.context.prepared!;
    if (judged !== weights) {
      const average = await this.state.keep();
      if (average) await judged.set([...average.tensors].map(([name, value]) => ({ name, ...value })));
    }
    const order = split.val;
    const pass = { program: validator, order, batchSize: validBatch, rows: ['answer'] };
    const result = await this.#pass('valid', epoch, pass);
    if (result.stopped) return undefined;
    if (!Number.isFinite(result.phase.loss)) {
      throw new DivergedError(
        `the validation loss is not finite after epoch ${epoch}. Try a lower --lr (it was ${this.context.recipe.lr})`,
      );
    }
    const answers = result.rows['answer']!;
    const { figures, thresholds } = judgedEpoch(this.context.data, order, answers, result.phase.loss);
    this.state.thresholds = thresholds;
    return { phase: { ...result.phase, ...figures }, outputs: { indices: order, answers } };
  }

  /** Counts the epoch and tells everyone. */
  async ended(epoch: number, train: Phase, valid: { phase: ValidPhase; outputs: Outputs }): Promise<void> {
    const { recipe, emit } = this.context;
    const [lr] = this.#course(epoch).lr;
    const figures = { event: 'epoch', epoch, epochs: epochsOf(recipe), lr: lr!, train, valid: valid.phase } as const;
    const event = await this.state.ended(figures, (snapshot) => this.#dead.of(this.state, snapshot));
    for (const hook of this.#hooks) await hook.epochEnded?.(this.state, event, valid.outputs);
    emit(event);
  }

  /** The one good way out, done or stopped: everything is saved, the best weights stay. */
  async finish(): Promise<TrainResult> {
    const { recipe, model, data, weights, prepared, run, emit } = this.context;
    const { state } = this;
    const why = enough(state.position, recipe);
    const stopped = why === undefined;
    await this.#tell({ how: stopped ? 'stopped' : 'done' });
    const { best } = state;
    // Where averages were judged, the weights as trained are other ones at every step.
    const kept = best ?? (recipe.ema === undefined ? undefined : state.last);
    if (kept && (kept.step !== state.step || recipe.ema !== undefined)) await state.restore(kept);
    prepared?.release();
    const checkpoints =
      run && !prepared && !stopped
        ? { best: run.file(BEST), last: run.file(LAST) } // it was done when it was resumed
        : { best: this.#checkpoints?.best ?? null, last: this.#checkpoints?.last ?? null };
    const seconds = (performance.now() - this.context.started) / 1000;
    if (stopped) emit({ event: 'stopped', epoch: state.epoch, checkpoint: checkpoints.last });
    else {
      emit({
        event: 'done',
        best: { epoch: best!.epoch, ...bestFigures(best!) },
        checkpoint: checkpoints.best,
        seconds,
        ...(state.epoch < epochsOf(recipe) && { why }),
      });
    }
    return new TrainResult({
      model,
      weights,
      classes: data.classes,
      preprocess: recipe.preprocess,
      history: state.history,
      task: this.#learned(best ?? state),
      best: best && { epoch: best.epoch, loss: best.loss, ...bestFigures(best) },
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

  /** What the outputs mean at one moment: the thresholds are those that its validation chose. */
  #learned({ thresholds }: Pick<Snapshot, 'thresholds'>): LearnedTask {
    const { data } = this.context;
    const task = this.state.task ?? unlearned(taskOfData(data), data.classes.length);
    return task.kind === 'multilabel' && thresholds ? { ...task, thresholds } : task;
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
      stage: this.#stage.first,
      weights: await state.weights.get(),
      program: await trainer.state.get(),
      best: state.best?.tensors ?? new Map(),
      data: fingerprint!,
    });
  }

  /** Rates of an epoch's steps, and which of them update. The schedule is laid out over updates. */
  #course(epoch: number): { lr: Float64Array; updates: Uint8Array | undefined } {
    const { accumulate } = this.context.recipe;
    const { first, epochs, lr, schedule } = this.#stage;
    const { stepsPerEpoch } = this.context.prepared!;
    const count = Math.ceil(stepsPerEpoch / accumulate);
    const rates = learningRates(schedule, { lr, epochs, stepsPerEpoch: count }, (epoch - 1 - first) * count, count);
    if (accumulate === 1) return { lr: rates, updates: undefined };
    const closes = (i: number): boolean => (i + 1) % accumulate === 0 || i + 1 === stepsPerEpoch;
    return {
      lr: Float64Array.from({ length: stepsPerEpoch }, (_, i) => rates[Math.floor(i / accumulate)]!),
      updates: Uint8Array.from({ length: stepsPerEpoch }, (_, i) => Number(closes(i))),
    };
  }

  /** Aborts when the time is used up. */
  #timeLeft(): { signal?: AbortSignal; timer?: NodeJS.Timeout } {
    const { timeBudget } = this.context.recipe;
    if (timeBudget === undefined) return {};
    const control = new AbortController();
    const left = 1000 * (timeBudget - this.state.seconds);
    if (left <= 0) control.abort();
    // A timer may fire a millisecond early.
    const after = Math.min(Math.max(left, 0) + 2, 2 ** 31 - 1);
    return { signal: control.signal, timer: setTimeout(() => control.abort(), after) };
  }

  /** Nothing is learned any more far beyond what guessing gets, though every number is finite. */
  #refuseExploded(epoch: number, loss: number): void {
    const { data, recipe } = this.context;
    const guessing = guessingLoss(taskOfData(data), data.classes.length);
    if (loss <= EXPLODED * guessing) return;
    throw new DivergedError(
      `the loss exploded: ${loss.toPrecision(3)} over epoch ${epoch}, where guessing gets ${guessing.toPrecision(3)}. ` +
        `Try a lower --lr (it was ${recipe.lr})`,
    );
  }

  /** `; the output of 'features.3' was the first that was not finite`, where that can be told. */
  async #wentFirst(epoch: number, order: Int32Array, step: number): Promise<string> {
    const { recipe, prepared } = this.context;
    // On a device the step was taken before anybody looked: its weights tell nothing any more.
    if (!(await this.state.isFinite())) return '';
    const { batchSize, seed } = recipe;
    const rows = order.slice(step * batchSize, (step + 1) * batchSize);
    const firstStep = (epoch - 1) * prepared!.stepsPerEpoch + step;
    const path = await prepared!.firstNotFinite({
      order: rows,
      batchSize,
      bind: prepared!.bind('train', epoch),
      ...(prepared!.mix && { mix: prepared!.mix }),
      seed,
      firstStep,
    });
    return path === undefined ? '' : `; the output of '${path}' was the first that was not finite`;
  }

  async #pass(
    phase: 'train' | 'valid',
    epoch: number,
    pass: Pick<
      Parameters<typeof runPass>[0],
      'program' | 'order' | 'batchSize' | 'lr' | 'updates' | 'firstStep' | 'mix' | 'rows' | 'from'
    >,
    reached: (sums: Sums) => void = () => {},
    time?: AbortSignal,
  ): Promise<PassResult> {
    const { recipe, prepared, stop, emit } = this.context;
    const epochs = epochsOf(recipe);
    const since = performance.now();
    const total = Math.ceil(pass.order.length / pass.batchSize);
    const never = { seconds: Infinity, steps: Infinity };
    const { seconds, steps } = this.#checkpoints ? intervalOf(recipe.saveEvery) : never;
    return runPass({
      ...pass,
      bind: prepared!.bind(phase, epoch),
      seed: recipe.seed,
      stop: time ? AbortSignal.any([stop, time]) : stop,
      pause: { seconds, steps: phase === 'train' ? steps : Infinity },
      onPause: async (sums) => {
        reached(sums);
        for (const hook of this.#hooks) await hook.paused?.(this.state);
      },
      figure: (value) => runningFigure(taskOfData(this.context.data), value),
      onProgress: (done, figures) => {
        const seconds = (performance.now() - since) / 1000;
        emit({ event: 'progress', phase, epoch, epochs, done, total, seconds, ...figures });
      },
    });
  }
}
