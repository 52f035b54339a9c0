// What a training tells those who follow it. One concern a file implements this; the trainer calls them in order.
import type { Dataset } from '../../data/dataset.js';
import type { Split } from '../../data/split.js';
import type { Module } from '../../nn/module.js';
import type { Preprocess } from '../../weights/preprocess.js';
import type { LearnedTask } from '../../weights/task.js';
import type { EpochEvent } from '../events.js';
import type { TrainingState } from '../state.js';

/** What stays the same from a training's first epoch to its last. */
export interface Beginning {
  readonly model: Module;
  /** images, labels and classes; every image is decoded */
  readonly data: Dataset;
  /** which of them are trained and validated on */
  readonly split: Split;
  /** what config.json holds: every setting as it is used, plain values */
  readonly settings: Readonly<Record<string, unknown>>;
  /** what the model expects of pixels */
  readonly preprocess: Preprocess;
  /** what its outputs mean; of several labels the thresholds come with each `Snapshot` */
  readonly task: LearnedTask;
  /** seconds: decoding, and the frozen part over all images; absent where there was nothing to do */
  readonly seconds: { readonly decode?: number; readonly prefix?: number };
  /** the run folder, where one is written */
  readonly out: string | undefined;
}

/** What the model said of every validation image after an epoch. */
export interface Outputs {
  /** rows of the data's store, in the order of `answers` */
  readonly indices: Int32Array;
  /**
   * [images, classes]. One class of several: probabilities, each row sums to 1. Several labels: the probability of each.
   * Numbers: in their own units
   */
  readonly answers: Float32Array;
}

/** How a training ended: `failed` and `diverged` come with the error that is thrown once every hook has heard of it. */
export type Ending =
  { readonly how: 'done' | 'stopped' } | { readonly how: 'diverged' | 'failed'; readonly error: Error };

/**
 * Follows a training: `new Trainer(model, data, { hooks: [mine] })`. Every method is awaited, the training does not go on
 * before; what one throws ends it.
 */
export interface Hook {
  /** the data is there, the first epoch is next */
  began?(state: TrainingState, beginning: Beginning): Promise<void> | void;
  /** between two steps, every `saveEvery` seconds at most; `state.weights` may be read */
  paused?(state: TrainingState): Promise<void> | void;
  /** an epoch was trained and validated */
  epochEnded?(state: TrainingState, event: EpochEvent, outputs: Outputs): Promise<void> | void;
  /** nothing more will be trained */
  ended?(state: TrainingState, ending: Ending): Promise<void> | void;
}
