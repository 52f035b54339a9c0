// What a training leaves: the model, its weights, and how it went.
import type { Weights } from '../engine/weights.js';
import type { Module } from '../nn/module.js';
import { checkpointMetadata, saveCheckpoint } from '../weights/checkpoint.js';
import type { Preprocess } from '../weights/preprocess.js';
import type { LearnedTask } from '../weights/task.js';
import { bestMetadata, type BestFigures, type EpochEvent } from './events.js';

interface Facts {
  model: Module;
  weights: Weights;
  classes: readonly string[];
  preprocess: Preprocess;
  history: readonly EpochEvent[];
  task: LearnedTask;
  best: ({ epoch: number; loss: number } & BestFigures) | undefined;
  stopped: boolean;
  checkpoints: { best: string | null; last: string | null };
}

/**
 * The end of a training. Its weights live on the training's engine: classify with `Classifier.from(result)`, judge with
 * `evaluate`, keep with `save`, train on with `new Trainer(model, data, { weights: result.weights })`.
 */
export class TrainResult {
  readonly model: Module;
  /** of the best epoch in validation, by `bestBy`; of the last step where no epoch was validated */
  readonly weights: Weights;
  /** label names, as the data had them */
  readonly classes: readonly string[];
  /** what the model expects of pixels */
  readonly preprocess: Preprocess;
  /** one event an epoch */
  readonly history: readonly EpochEvent[];
  /** the best epoch in validation, by `bestBy`; undefined where none was validated */
  readonly best: ({ readonly epoch: number; readonly loss: number } & Readonly<BestFigures>) | undefined;
  /** what the model's outputs mean */
  readonly task: LearnedTask;
  /** the signal aborted before all epochs were trained */
  readonly stopped: boolean;
  /** files in the run folder; null where none was written */
  readonly checkpoints: { readonly best: string | null; readonly last: string | null };

  /** @internal */
  constructor(facts: Facts) {
    this.model = facts.model;
    this.weights = facts.weights;
    this.classes = facts.classes;
    this.preprocess = facts.preprocess;
    this.history = facts.history;
    this.best = facts.best;
    this.task = facts.task;
    this.stopped = facts.stopped;
    this.checkpoints = facts.checkpoints;
  }

  /**
   * Writes the weights as a checkpoint, whole or not at all.
   * @throws DataError when it cannot be written; an existing file is then as it was
   * @example
   * import { loadCheckpoint, MobileNetV2, syntheticScenes, Trainer } from 'mnv2-torch';
   * import { mkdtempSync } from 'node:fs';
   * const data = await syntheticScenes({ size: 32, perClass: 2 });
   * const result = await new Trainer(MobileNetV2({ numClasses: 21, widthMult: 0.25 }), data, { epochs: 1 }).fit();
   * const file = mkdtempSync('/tmp/mnv2-') + '/mine.safetensors';
   * await result.save(file);
   * console.log((await loadCheckpoint(file)).classes.length); // 21
   */
  async save(file: string): Promise<void> {
    const { model, classes, preprocess, task, best } = this;
    const extra: Record<string, string> = best ? { epoch: String(best.epoch), ...bestMetadata(best) } : {};
    await saveCheckpoint(file, await this.weights.get(), checkpointMetadata(model, classes, preprocess, extra, task));
  }

  /** Frees the weights and ends their engine. Idempotent. */
  dispose(): void {
    this.weights.dispose();
    this.weights.engine.dispose();
  }
  /** `using` calls dispose(). */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
