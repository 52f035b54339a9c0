// The answers a training's reports show: those of the best epoch so far, with pictures and with the activation maps of
// the weights that gave them.
import { UsageError } from '../errors.js';
import type { Weights } from '../engine/weights.js';
import { ActivationMaps } from '../infer/cam.js';
import { evaluationOn, type AnyEvaluation } from '../infer/evaluation.js';
import type { Module } from '../nn/module.js';
import type { EpochEvent } from '../train/events.js';
import type { Beginning, Outputs } from '../train/hooks/hook.js';
import type { Snapshot, TrainingState } from '../train/state.js';
import type { Preprocess } from '../weights/preprocess.js';
import type { Pictures } from './html/data.js';
import { Album } from './html/pictures.js';

/** Activation maps, or undefined for a network that has none. */
export function mapsOf(model: Module, preprocess: Preprocess, weights: Weights): ActivationMaps | undefined {
  try {
    return new ActivationMaps(model, preprocess, weights);
  } catch (error) {
    if (error instanceof UsageError) return undefined;
    throw error;
  }
}

export class Answers {
  /** epoch that gave them */
  epoch: number | undefined;
  #outputs: Outputs | undefined;
  #snapshot: Snapshot | undefined;
  readonly #album: Album;
  #pictures: { epoch: number; pictures: Pictures } | undefined;

  constructor(readonly beginning: Beginning) {
    this.#album = new Album(beginning.data.store);
  }

  /** Keeps the best epoch's answers; where they are not known, as after a resume, those of the newest. */
  hear(state: TrainingState, event: EpochEvent, outputs: Outputs): void {
    const isBest = state.best?.epoch === event.epoch;
    if (!isBest && this.epoch !== undefined && this.epoch === state.best?.epoch) return;
    this.epoch = event.epoch;
    this.#outputs = outputs;
    this.#snapshot = isBest ? state.best : state.last;
  }

  /** undefined before the first epoch ended */
  evaluation(): AnyEvaluation | undefined {
    const { data, task } = this.beginning;
    if (!this.#outputs) return undefined;
    const thresholds = this.#snapshot?.thresholds;
    const learned = task.kind === 'multilabel' && thresholds ? { ...task, thresholds } : task;
    return evaluationOn(learned, data, this.#outputs.indices, this.#outputs.answers);
  }

  /** Made once for an epoch's answers. */
  async pictures(state: TrainingState, evaluation: AnyEvaluation): Promise<Pictures> {
    const epoch = this.epoch!;
    if (this.#pictures?.epoch === epoch) return this.#pictures.pictures;
    const { model, preprocess } = this.beginning;
    using weights = await state.weights.copy();
    const { tensors } = this.#snapshot ?? { tensors: [] };
    await weights.set([...tensors].map(([name, value]) => ({ name, ...value })));
    const maps = mapsOf(model, preprocess, weights);
    try {
      const pictures = await this.#album.of(evaluation, maps);
      this.#pictures = { epoch, pictures };
      return pictures;
    } finally {
      maps?.dispose();
    }
  }
}
