// A trained model's answers to images of a store, all of them at once: what every evaluation begins with.
import { UsageError } from '../errors.js';
import { inferenceBatch } from '../engine/batch-size.js';
import type { ImageStore } from '../engine/images.js';
import { compile } from '../engine/program.js';
import { input } from '../graph/tensor.js';
import { pixelScaling } from '../weights/preprocess.js';
import { answersOf, MULTICLASS, type Task } from '../weights/task.js';
import { evaluating, onEngine, type Trained } from './trained.js';
import { meanOverViews, viewsOf, type TestTimeAugmentation } from './views.js';

/** Which model is judged on which images. */
export interface JudgeOptions {
  /** from `completeCheckpoint(await loadCheckpoint(file))`, or what `Trainer.fit()` returned */
  checkpoint: Trained;
  /** images of the model's size */
  store: ImageStore;
  /** rows of the store to look at */
  indices: Int32Array;
  /** 'cpu' (default), 'cuda', 'cuda:n' or 'auto' */
  device?: string;
  /** CPU threads (default: all cores) */
  threads?: number;
  /** 'bf16' runs convolutions in bfloat16 (default 'fp32') */
  precision?: 'fp32' | 'bf16';
  /** answers for these views of each image too, averaged: told beside the rest, in `tta` */
  tta?: TestTimeAugmentation;
  /** hears how many images are done; with `tta` an image counts once a view */
  onProgress?: (done: number, total: number) => void;
}

/** Answers in the order of `indices`, [images, classes]; probabilities, or numbers in their own units. */
export interface Answers {
  plain: Float32Array;
  /** the mean over the views that were asked for */
  mean: Float32Array | undefined;
  views: number;
}

/** @throws UsageError when there is nothing to look at, images have another size, or the model learned something else */
export async function answersOn(learned: Task, options: JudgeOptions): Promise<Answers> {
  const { checkpoint, store, indices, device = 'cpu', threads, precision = 'fp32', tta, onProgress } = options;
  const views = tta === undefined ? 1 : viewsOf(tta);
  const { size } = checkpoint.preprocess;
  const { task = MULTICLASS } = checkpoint;
  if (task.kind !== learned) {
    const by = { multiclass: 'evaluate', multilabel: 'evaluateMultilabel', regression: 'evaluateRegression' };
    throw new UsageError(`${by[learned]}: this model has learned ${task.kind}; expected a call of ${by[task.kind]}`);
  }
  if (indices.length === 0) throw new UsageError('evaluate: expected at least one image, got none');
  if (store.height !== size || store.width !== size) {
    throw new UsageError(`evaluate: expected images of ${size} pixels, got ${store.height} x ${store.width}`);
  }
  using weights = await onEngine(checkpoint, { device, ...(threads !== undefined && { threads }) });
  using engine = weights.engine;
  const image = input('image', [-1, 3, size, size]);
  const outputs = evaluating(checkpoint.model, (model) => model.call(image));
  using program = compile({ answer: answersOf(outputs, task) }, { weights, precision });
  const batchSize = inferenceBatch(engine.device);
  let before = 0; // images of earlier views
  const look = async (symmetry: number): Promise<Float32Array> => {
    const { rows } = await program.loop({
      order: indices,
      batchSize,
      bind: { image: { images: store, ...pixelScaling(checkpoint.preprocess), symmetry } },
      rows: ['answer'],
      ...(onProgress && {
        onProgress: (step) => onProgress(before + Math.min(step * batchSize, indices.length), views * indices.length),
      }),
    });
    before += indices.length;
    return rows['answer']!.data as Float32Array;
  };
  const plain = await look(0);
  return { plain, mean: tta === undefined ? undefined : await meanOverViews(plain, tta, look), views };
}
