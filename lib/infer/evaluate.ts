// Figures of a trained model on images: accuracy, per-class precision and recall, confusion, calibration. Owns no files.
import { UsageError } from '../errors.js';
import { answersOn, type JudgeOptions } from './answers-on.js';
import { calibration, judge, type Calibration, type Judged } from './judged.js';

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
export interface EvaluateOptions extends JudgeOptions {
  /** label of each row of the store, as an index into the model's classes */
  labels: Int32Array;
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
  const { checkpoint, indices, labels } = options;
  const { classes } = checkpoint;
  const stray = indices.findIndex((i) => !(labels[i]! >= 0 && labels[i]! < classes.length));
  if (stray >= 0) {
    throw new UsageError(
      `evaluate: image ${indices[stray]} has the label ${labels[indices[stray]!]}; the model has ${classes.length} classes`,
    );
  }
  const { plain, mean, views } = await answersOn('multiclass', options);
  const judged = (probabilities: Float32Array): Judged[] => judge({ indices, probabilities }, labels, classes.length);
  const evaluation = evaluationOf(classes, judged(plain));
  if (!mean) return evaluation;
  const { accuracy, loss } = evaluationOf(classes, judged(mean));
  return { ...evaluation, tta: { views, accuracy, loss } };
}

/** Everything that can be said of a model from its answers. */
export function evaluationOf(classes: readonly string[], judged: Judged[]): Evaluation {
  const loss = judged.reduce((a, j) => a + j.loss, 0) / judged.length;
  const [truth, predicted] = [judged.map((j) => j.label), judged.map((j) => j.predicted)];
  return { ...figures(classes, truth, predicted, loss), calibration: calibration(judged), judged };
}
