// Figures of a model that gives numbers: how far they are off, and how much of what varies they explain.
import { UsageError } from '../errors.js';
import { answersOn, type JudgeOptions } from './answers-on.js';
import { rowsOf } from './multilabel.js';

/** How well one number is told, in its own unit. */
export interface NumberFigures {
  name: string;
  /** mean absolute error */
  mae: number;
  /** root of the mean squared error */
  rmse: number;
  /** 1 - squared errors over squared distances from the mean: 1 is perfect, 0 no better than the mean. Of a number that never varies 1 where it is met, else 0 */
  r2: number;
  /** mean of answer - truth: above 0 it says too much */
  bias: number;
}

/** How well all of them are: means over the numbers. */
export interface RegressionFigures {
  mae: number;
  rmse: number;
  r2: number;
  /** number of images */
  images: number;
  numbers: NumberFigures[];
}

/** An image, its numbers, and those it was given. */
export interface JudgedNumbers {
  /** of the store */
  readonly row: number;
  readonly truth: Float32Array;
  readonly predicted: Float32Array;
  /** mean over numbers of |predicted - truth|, each in standard deviations of the number over the images judged */
  readonly error: number;
}

/** How well a model tells numbers, and what it said of each image. */
export interface RegressionEvaluation extends RegressionFigures {
  task: 'regression';
  /** image by image, in the order asked for */
  judged: JudgedNumbers[];
  /** the mean of the answers over several views of each image, where asked for; all else is of the image as it is */
  tta?: { views: number; mae: number; r2: number };
}

/** Mean and standard deviation (of the whole, not of a sample) of each number; a deviation of 0 becomes 1. */
export function spreadOf(values: Float32Array, numbers: number): { mean: number[]; scale: number[] } {
  const n = values.length / numbers;
  const mean = new Array<number>(numbers).fill(0);
  values.forEach((v, at) => (mean[at % numbers]! += v / n));
  const square = new Array<number>(numbers).fill(0);
  values.forEach((v, at) => (square[at % numbers]! += (v - mean[at % numbers]!) ** 2 / n));
  return { mean, scale: square.map((s) => Math.sqrt(s) || 1) };
}

/**
 * Counts what follows from the answers.
 * @param predicted [images, numbers]
 * @param truth the same
 */
export function regressionFigures(
  names: readonly string[],
  predicted: Float32Array,
  truth: Float32Array,
): RegressionFigures {
  const k = names.length;
  const images = truth.length / k;
  const { mean } = spreadOf(truth, k);
  const numbers = names.map((name, c): NumberFigures => {
    let [absolute, squared, signed, spread] = [0, 0, 0, 0];
    for (let at = c; at < truth.length; at += k) {
      const error = predicted[at]! - truth[at]!;
      absolute += Math.abs(error);
      squared += error * error;
      signed += error;
      spread += (truth[at]! - mean[c]!) ** 2;
    }
    const r2 = spread > 0 ? 1 - squared / spread : Number(squared === 0);
    return { name, mae: absolute / images, rmse: Math.sqrt(squared / images), r2, bias: signed / images };
  });
  const over = (of: (f: NumberFigures) => number): number => numbers.reduce((a, f) => a + of(f), 0) / k;
  return { mae: over((f) => f.mae), rmse: over((f) => f.rmse), r2: over((f) => f.r2), images, numbers };
}

/** Everything that can be said of a model from its answers. */
export function regressionEvaluationOf(
  names: readonly string[],
  indices: Int32Array,
  predicted: Float32Array,
  truth: Float32Array,
): RegressionEvaluation {
  const k = names.length;
  const { scale } = spreadOf(truth, k);
  const judged = Array.from(indices, (row, i): JudgedNumbers => {
    const [said, is] = [predicted, truth].map((of) => of.subarray(i * k, (i + 1) * k)) as [Float32Array, Float32Array];
    const error = scale.reduce((a, s, c) => a + Math.abs(said[c]! - is[c]!) / s, 0) / k;
    return { row, truth: is, predicted: said, error };
  });
  return { task: 'regression', ...regressionFigures(names, predicted, truth), judged };
}

/** Images, the worst first. */
export function furthestOff(judged: readonly JudgedNumbers[]): JudgedNumbers[] {
  return [...judged].sort((a, b) => b.error - a.error);
}

/**
 * Runs a model of numbers over images and measures its errors.
 * @throws UsageError when there is nothing to evaluate, or the model has learned something else
 * @example
 * import { evaluateRegression, MobileNetV2, syntheticScenes, Trainer } from 'mnv2-torch';
 * const scenes = await syntheticScenes({ size: 32, perClass: 2 });
 * const { files, labels, size, store, skipped, damaged, notes } = scenes;
 * // How bright a picture is.
 * const targets = Float32Array.from(files, (_, row) => store.get(row).reduce((a, v) => a + v, 0) / (3 * 32 * 32));
 * const data = { task: 'regression', classes: ['brightness'], targets, files, labels: labels.map(() => 0), size, store,
 *   skipped, damaged, notes, packed: (n) => scenes.packed(n), ready: () => scenes.ready(), dispose: () => scenes.dispose() };
 * const result = await new Trainer(MobileNetV2({ numClasses: 1, widthMult: 0.25 }), data, { epochs: 1 }).fit();
 * const { images, numbers } = await evaluateRegression({ checkpoint: result, store, indices: Int32Array.of(0, 1), targets });
 * console.log(images, numbers[0].name); // 2 brightness
 */
export async function evaluateRegression(
  options: JudgeOptions & {
    /** [rows of the store, numbers] in their own units */
    targets: Float32Array;
  },
): Promise<RegressionEvaluation> {
  const { checkpoint, indices, targets } = options;
  const { classes } = checkpoint;
  const { plain, mean, views } = await answersOn('regression', options);
  const truth = rowsOf(targets, indices, classes.length);
  if (truth.some((t) => !Number.isFinite(t)))
    throw new UsageError('evaluateRegression: targets: expected finite numbers for every image judged');
  const evaluation = regressionEvaluationOf(classes, indices, plain, truth);
  if (!mean) return evaluation;
  const { mae, r2 } = regressionFigures(classes, mean, truth);
  return { ...evaluation, tta: { views, mae, r2 } };
}
