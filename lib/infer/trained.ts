// A trained model in the forms it comes in: what a training returned, or a checkpoint read from a file. Owns putting
// its weights on an engine.
import { UsageError } from '../errors.js';
import { Engine, type EngineOptions } from '../engine/engine.js';
import { Weights, type WeightSource } from '../engine/weights.js';
import { createModel } from '../models/registry.js';
import type { Module } from '../nn/module.js';
import { asStored, builtInArch, type Checkpoint, type CompleteCheckpoint } from '../weights/checkpoint.js';
import { loadWeights } from '../weights/load.js';
import type { Preprocess } from '../weights/preprocess.js';
import type { LearnedTask } from '../weights/task.js';

/** A model with weights on an engine, and what its outputs and inputs mean: what `Trainer.fit()` returns is one. */
export interface TrainedModel {
  readonly model: Module;
  readonly weights: Weights;
  readonly classes: readonly string[];
  readonly preprocess: Preprocess;
  /** what its outputs mean; absent: one class of several */
  readonly task?: LearnedTask;
}

/** What can be classified with and evaluated. */
export type Trained = TrainedModel | CompleteCheckpoint;

/**
 * The weights of a trained model on an engine of their own, as they are now.
 * @throws DataError when a checkpoint's tensors do not fit its model
 */
export async function onEngine(trained: Trained, options: EngineOptions): Promise<Weights> {
  if (typeof trained !== 'object' || trained === null || !('model' in trained)) {
    throw new UsageError(`expected what fit() or completeCheckpoint() gives, got ${String(trained)}`);
  }
  const { model } = trained;
  const engine = new Engine(options);
  try {
    const weights = await Weights.init(unset(model), { engine });
    if ('tensors' in trained) {
      await loadWeights(weights, model, trained.tensors, { strict: true, source: trained.file });
    } else {
      await weights.set([...(await trained.weights.get())].map(([name, value]) => ({ name, ...value })));
    }
    return weights;
  } catch (error) {
    engine.dispose();
    throw error;
  }
}

/** A model whose first values are zeros: to draw millions that are overwritten at once takes longer than a prediction. */
export const unset = (model: Module): WeightSource => ({
  state: () =>
    [...model.namedParameters()].map(([name, { shape, dtype }]) => {
      const count = shape.reduce((a, b) => a * b, 1);
      const data = new { float32: Float32Array, int64: BigInt64Array, int8: Int8Array }[dtype](count);
      return { name, data, shape: [...shape], dtype };
    }),
});

/**
 * One of the package's networks with a checkpoint's weights, with or without a classifier, on an engine of its own.
 * @throws DataError when tensors of the backbone are missing; UsageError when the checkpoint does not say what it is of
 */
export async function backboneOnEngine(
  checkpoint: Checkpoint,
  options: EngineOptions,
): Promise<{ model: Module; weights: Weights; preprocess: Preprocess }> {
  const { file, preprocess, tensors, partial = false } = checkpoint;
  const arch = builtInArch(checkpoint);
  if (!arch || !preprocess)
    throw new UsageError(`${file}: expected weights whose metadata names 'arch' and 'preprocess', got none`);
  const model = asStored(createModel(arch, checkpoint.options), checkpoint, preprocess);
  const engine = new Engine(options);
  try {
    const weights = await Weights.init(model, { engine });
    await loadWeights(weights, model, tensors, { source: file, allowPartial: partial });
    return { model, weights, preprocess };
  } catch (error) {
    engine.dispose();
    throw error;
  }
}

/** Records the model on images in evaluation mode, and leaves its mode as it was. */
export function evaluating<T>(model: Module, record: (model: Module) => T): T {
  const { training } = model;
  try {
    return record(model.eval());
  } finally {
    model.train(training);
  }
}
