// Figures of a trained model on images: accuracy, per-class precision and recall, confusion, calibration. Owns no files.
import { UsageError } from '../errors.js';
import { inferenceBatch } from '../engine/batch-size.js';
import type { ImageStore } from '../engine/images.js';
import { compile } from '../engine/program.js';
import { softmax } from '../graph/ops.js';
import { input } from '../graph/tensor.js';
import { pixelScaling } from '../weights/preprocess.js';
import { calibration, judge, type Calibration, type Judged } from './judged.js';
import { evaluating, onEngine, type Trained } from './trained.js';
import { meanOverViews, viewsOf, type TestTimeAugmentation } from './views.js';

/** How well a model does on images, as counted from its answers. */
export interface Figures {
  /** share of images classified right */
  accuracy: number;
  /** mean cross entropy */
  loss: number;
  /** mean over classes of F1, the harmonic mean of precision and recall; classes neither present nor predicted do not count */
  macroF1: number;
  /** number of images */
  images: number;
  /** precision and recall are 0 where nothing was predicted or present, F1 where neither was */
  classes: { label: string; precision: number; recall: number; f1: number; support: number }[];
  /** [true class][predicted class] */
  confusion: number[][];
}

/** How well a model does on images, and what it said of each. */
export interface Evaluation extends Figures {
  /** whether it is right as often as it says, in 15 bins */
  calibration: Calibration;
  /** image by image, in the order asked for */
  judged: Judged[];
  /** the mean of the probabilities over several views of each image, where asked for; all else is of the image as it is */
  tta?: { views: number; accuracy: number; loss: number };
}

/** Counts a confusion matrix and what follows from it. */
export function figures(
  classes: readonly string[],
  labels: ArrayLike<number>,
  predicted: ArrayLike<number>,
  loss: number,
): Figures {
  const confusion = classes.map(() => new Array<number>(classes.length).fill(0));
  for (let i = 0; i < labels.length; i++) confusion[labels[i]!]![predicted[i]!]!++;
  const ratio = (a: number, b: number): number => (b === 0 ? 0 : a / b);
  const claimed = classes.map((_, c) => confusion.reduce((a, row) => a + row[c]!, 0));
  const support = confusion.map((row) => row.reduce((a, b) => a + b, 0));
  // 2pr / (p + r) is twice the right ones over all that were there or claimed.
  const f1 = classes.map((_, c) => ratio(2 * confusion[c]![c]!, support[c]! + claimed[c]!));
  const seen = classes.filter((_, c) => support[c]! + claimed[c]! > 0).length;
  const right = confusion.reduce((a, row, c) => a + row[c]!, 0);
  return {
    accuracy: ratio(right, labels.length),
    loss,
    macroF1: ratio(
      f1.reduce((a, v) => a + v, 0),
      seen,
    ),
    images: labels.length,
    classes: classes.map((label, c) => ({
      label,
      precision: ratio(confusion[c]![c]!, claimed[c]!),
      recall: ratio(confusion[c]![c]!, support[c]!),
      f1: f1[c]!,
      support: support[c]!,
    })),
    confusion,
  };
}

/** Which model is judged on which images. */
export interface EvaluateOptions {
  /** from `completeCheckpoint(await loadCheckpoint(file))`, or what `Trainer.fit()` returned */
  checkpoint: Trained;
  /** images of the model's size */
  store: ImageStore;
  /** rows of the store to look at */
  indices: Int32Array;
  /** label of each row of the store, as an index into the model's classes */
  labels: Int32Array;
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

/**
 * Runs a trained model over images and counts. Fused inference, every image once.
 * @throws UsageError when there is nothing to evaluate, or a label is no class of the model
 * @example
 * import { evaluate, MobileNetV2, syntheticScenes, Trainer } from 'mnv2-torch';
 * const data = await syntheticScenes({ size: 32, perClass: 2 });
 * const result = await new Trainer(MobileNetV2({ numClasses: 21, widthMult: 0.25 }), data, { epochs: 1 }).fit();
 * const { store, labels } = data;
 * const { images, confusion } = await evaluate({ checkpoint: result, store, indices: Int32Array.of(0, 5, 9), labels });
 * console.log(images, confusion.length); // 3 21
 */
export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
  const { checkpoint, store, indices, labels, device = 'cpu', threads, precision = 'fp32', tta, onProgress } = options;
  const views = tta === undefined ? 1 : viewsOf(tta);
  const { size } = checkpoint.preprocess;
  const classes = checkpoint.classes;
  if (indices.length === 0) throw new UsageError('evaluate: expected at least one image, got none');
  if (store.height !== size || store.width !== size) {
    throw new UsageError(`evaluate: expected images of ${size} pixels, got ${store.height} x ${store.width}`);
  }
  const stray = indices.findIndex((i) => !(labels[i]! >= 0 && labels[i]! < classes.length));
  if (stray >= 0) {
    throw new UsageError(
      `evaluate: image ${indices[stray]} has the label ${labels[indices[stray]!]}; the model has ${classes.length} classes`,
    );
  }
  using weights = await onEngine(checkpoint, { device, ...(threads !== undefined && { threads }) });
  using engine = weights.engine;
  const image = input('image', [-1, 3, size, size]);
  const logits = evaluating(checkpoint.model, (model) => model.call(image));
  using program = compile({ probability: softmax(logits) }, { weights, precision });
  const batchSize = inferenceBatch(engine.device);
  let before = 0; // images of earlier views
  const ask = async (symmetry: number): Promise<Float32Array> => {
    const { rows } = await program.loop({
      order: indices,
      batchSize,
      bind: { image: { images: store, ...pixelScaling(checkpoint.preprocess), symmetry } },
      rows: ['probability'],
      ...(onProgress && {
        onProgress: (step) => onProgress(before + Math.min(step * batchSize, indices.length), views * indices.length),
      }),
    });
    before += indices.length;
    return rows['probability']!.data as Float32Array;
  };
  const judged = (probabilities: Float32Array): Judged[] => judge({ indices, probabilities }, labels, classes.length);
  const plain = await ask(0);
  const evaluation = evaluationOf(classes, judged(plain));
  if (tta === undefined) return evaluation;
  const { accuracy, loss } = evaluationOf(classes, judged(await meanOverViews(plain, tta, ask)));
  return { ...evaluation, tta: { views, accuracy, loss } };
}

/** Everything that can be said of a model from its answers. */
export function evaluationOf(classes: readonly string[], judged: Judged[]): Evaluation {
  const loss = judged.reduce((a, j) => a + j.loss, 0) / judged.length;
  const [truth, predicted] = [judged.map((j) => j.label), judged.map((j) => j.predicted)];
  return { ...figures(classes, truth, predicted, loss), calibration: calibration(judged), judged };
}
