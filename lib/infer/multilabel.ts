// Figures of a model that gives an image any number of labels: average precision, F1 at its thresholds, and thresholds.
import { UsageError } from '../errors.js';
import { MULTICLASS } from '../weights/task.js';
import { answersOn, type JudgeOptions } from './answers-on.js';

/** How well one label is told. */
export interface LabelFigures {
  label: string;
  /** average precision: the mean of the precision over the recalls, at every threshold; 0 where no image has the label */
  ap: number;
  /** at `threshold` */
  precision: number;
  recall: number;
  f1: number;
  /** images that have it */
  support: number;
  /** an image has the label where its probability is at least this */
  threshold: number;
}

/** How well all of them are. */
export interface MultilabelFigures {
  /** mean of the average precisions of labels that some image has */
  mAP: number;
  /** mean of the F1 of labels that some image has or is given */
  macroF1: number;
  /** F1 of all labels of all images together */
  microF1: number;
  /** share of images all of whose labels are right, present and absent ones */
  accuracy: number;
  /** mean over images and labels of the binary cross entropy */
  loss: number;
  /** number of images */
  images: number;
  classes: LabelFigures[];
}

/** An image and which labels it has and was given. */
export interface JudgedLabels {
  /** of the store */
  readonly row: number;
  /** of each label, 0 to 1 */
  readonly probabilities: Float32Array;
  /** indices of labels it has and was not given, and was given and has not */
  readonly missed: readonly number[];
  readonly wrong: readonly number[];
  /** mean over labels of the binary cross entropy */
  readonly loss: number;
}

/** How well a model tells labels, and what it said of each image. */
export interface MultilabelEvaluation extends MultilabelFigures {
  task: 'multilabel';
  /** image by image, in the order asked for */
  judged: JudgedLabels[];
  /** the mean of the probabilities over several views of each image, where asked for; all else is of the image as it is */
  tta?: { views: number; mAP: number; loss: number };
}

/** Smallest positive float32: a probability that came out as 0 was below it. */
const LEAST = 1e-38;
/** Where nothing tells a better one. */
export const EVEN = 0.5;

const ratio = (a: number, b: number): number => (b === 0 ? 0 : a / b);
const meanOf = (values: readonly number[]): number =>
  ratio(
    values.reduce((a, v) => a + v, 0),
    values.length,
  );

/** Places of a label's images, most probable first; and how many have it up to each place where the probability changes. */
function ranked(
  probabilities: Float32Array,
  truth: Float32Array,
): { at: number[]; hits: number[]; sorted: Float32Array } {
  const order = probabilities.map((_, i) => i).sort((a, b) => probabilities[b]! - probabilities[a]! || a - b);
  const sorted = Float32Array.from(order, (i) => probabilities[i]!);
  const [at, hits]: [number[], number[]] = [[], []];
  let found = 0;
  order.forEach((i, place) => {
    found += truth[i]!;
    // Equal probabilities cannot be told apart by any threshold.
    if (place + 1 < order.length && sorted[place + 1] === sorted[place]) return;
    at.push(place + 1);
    hits.push(found);
  });
  return { at, hits, sorted };
}

/**
 * The area under precision over recall as a sum of steps: scikit-learn's average_precision_score.
 * @param probabilities of one label, [images]
 * @param truth 1 where an image has it, else 0
 */
export function averagePrecision(probabilities: Float32Array, truth: Float32Array): number {
  const { at, hits } = ranked(probabilities, truth);
  const all = hits.at(-1) ?? 0;
  return ratio(
    hits.reduce((area, found, i) => area + (found - (hits[i - 1] ?? 0)) * (found / at[i]!), 0),
    all,
  );
}

/**
 * The threshold of the highest F1; half way between the probabilities it parts, so that it does not hang on one image.
 * 0.5 where no image, or every one, has the label: nothing is to be learned there.
 */
export function bestThreshold(probabilities: Float32Array, truth: Float32Array): number {
  const { at, hits, sorted } = ranked(probabilities, truth);
  const all = hits.at(-1) ?? 0;
  if (all === 0 || all === truth.length) return EVEN;
  const f1 = hits.map((found, i) => (2 * found) / (at[i]! + all));
  const best = f1.indexOf(Math.max(...f1));
  const low = at[best]! < sorted.length ? sorted[at[best]!]! : 0;
  return (sorted[at[best]! - 1]! + low) / 2;
}

/** One column of [images, classes]. */
const column = (of: Float32Array, classes: number, c: number): Float32Array =>
  Float32Array.from({ length: of.length / classes }, (_, i) => of[i * classes + c]!);

/** The best threshold of each label over images. */
export function bestThresholds(probabilities: Float32Array, truth: Float32Array, classes: number): number[] {
  return Array.from({ length: classes }, (_, c) =>
    bestThreshold(column(probabilities, classes, c), column(truth, classes, c)),
  );
}

/** The rows of [store, classes] that were looked at. */
export function rowsOf(targets: Float32Array, indices: Int32Array, classes: number): Float32Array {
  const rows = new Float32Array(indices.length * classes);
  indices.forEach((row, i) => rows.set(targets.subarray(row * classes, (row + 1) * classes), i * classes));
  return rows;
}

/**
 * Counts what follows from the answers.
 * @param truth [images, classes], 1 or 0
 */
export function multilabelFigures(
  classes: readonly string[],
  probabilities: Float32Array,
  truth: Float32Array,
  thresholds: readonly number[],
): MultilabelFigures {
  const k = classes.length;
  const images = truth.length / k;
  const given = probabilities.map((p, at) => Number(p >= thresholds[at % k]!));
  const [hit, claimed, support] = [0, 0, 0].map(() => new Array<number>(k).fill(0)) as [number[], number[], number[]];
  let loss = 0;
  let right = 0;
  for (let i = 0; i < images; i++) {
    let same = true;
    for (let c = 0; c < k; c++) {
      const at = i * k + c;
      hit[c]! += given[at]! * truth[at]!;
      claimed[c]! += given[at]!;
      support[c]! += truth[at]!;
      same &&= given[at] === truth[at];
      loss += crossEntropyOf(probabilities[at]!, truth[at]!);
    }
    if (same) right++;
  }
  const figures = classes.map((label, c): LabelFigures => ({
    label,
    ap: averagePrecision(column(probabilities, k, c), column(truth, k, c)),
    precision: ratio(hit[c]!, claimed[c]!),
    recall: ratio(hit[c]!, support[c]!),
    f1: ratio(2 * hit[c]!, claimed[c]! + support[c]!),
    support: support[c]!,
    threshold: thresholds[c]!,
  }));
  const total = (of: readonly number[]): number => of.reduce((a, v) => a + v, 0);
  return {
    mAP: meanOf(figures.filter((f) => f.support > 0).map((f) => f.ap)),
    macroF1: meanOf(figures.filter((f, c) => f.support + claimed[c]! > 0).map((f) => f.f1)),
    microF1: ratio(2 * total(hit), total(claimed) + total(support)),
    accuracy: ratio(right, images),
    loss: ratio(loss, truth.length),
    images,
    classes: figures,
  };
}

const crossEntropyOf = (p: number, t: number): number => -Math.log(Math.max(t === 1 ? p : 1 - p, LEAST));

/** Everything that can be said of a model from its answers. */
export function multilabelEvaluationOf(
  classes: readonly string[],
  indices: Int32Array,
  probabilities: Float32Array,
  truth: Float32Array,
  thresholds: readonly number[],
): MultilabelEvaluation {
  const k = classes.length;
  const judged = Array.from(indices, (row, i): JudgedLabels => {
    const [said, has] = [probabilities, truth].map((of) => of.subarray(i * k, (i + 1) * k)) as [
      Float32Array,
      Float32Array,
    ];
    const all = [...classes.keys()];
    return {
      row,
      probabilities: said,
      missed: all.filter((c) => has[c] === 1 && said[c]! < thresholds[c]!),
      wrong: all.filter((c) => has[c] === 0 && said[c]! >= thresholds[c]!),
      loss: meanOf(all.map((c) => crossEntropyOf(said[c]!, has[c]!))),
    };
  });
  return { task: 'multilabel', ...multilabelFigures(classes, probabilities, truth, thresholds), judged };
}

/** Images with a label missed or wrong, highest loss first. */
export function labelMistakes(judged: readonly JudgedLabels[]): JudgedLabels[] {
  return judged.filter((j) => j.missed.length + j.wrong.length > 0).sort((a, b) => b.loss - a.loss);
}

/**
 * Runs a model of several labels over images and counts, at the thresholds its checkpoint keeps. They were chosen on the
 * images it was validated on: F1 and accuracy on those flatter a little; mAP does not depend on them.
 * @throws UsageError when there is nothing to evaluate, or the model has learned something else
 * @example
 * import { evaluateMultilabel, MobileNetV2, syntheticScenes, Trainer } from 'mnv2-torch';
 * const scenes = await syntheticScenes({ size: 32, perClass: 2 });
 * // Two labels: every image has one of them, some have both.
 * const targets = Float32Array.from({ length: 84 }, (_, i) => Number(i % 2 === 0 || i % 3 === 0));
 * const { files, labels, size, store, skipped, damaged, notes } = scenes;
 * const data = { task: 'multilabel', classes: ['a', 'b'], targets, files, labels: labels.map((l) => l % 2), size, store,
 *   skipped, damaged, notes, packed: (n) => scenes.packed(n), ready: () => scenes.ready(), dispose: () => scenes.dispose() };
 * const result = await new Trainer(MobileNetV2({ numClasses: 2, widthMult: 0.25 }), data, { epochs: 1 }).fit();
 * const { images, classes } = await evaluateMultilabel({ checkpoint: result, store, indices: Int32Array.of(0, 1), targets });
 * console.log(images, classes.map((c) => c.label)); // 2 [ 'a', 'b' ]
 */
export async function evaluateMultilabel(
  options: JudgeOptions & {
    /** 1 where an image has the label, else 0; [rows of the store, the model's classes] */
    targets: Float32Array;
  },
): Promise<MultilabelEvaluation> {
  const { checkpoint, indices, targets } = options;
  const { classes, task = MULTICLASS } = checkpoint;
  const { plain, mean, views } = await answersOn('multilabel', options);
  const thresholds = task.kind === 'multilabel' ? task.thresholds : [];
  const truth = rowsOf(targets, indices, classes.length);
  if (truth.some((t) => t !== 0 && t !== 1))
    throw new UsageError('evaluateMultilabel: targets: expected 1 for each label an image has, else 0');
  const evaluation = multilabelEvaluationOf(classes, indices, plain, truth, thresholds);
  if (!mean) return evaluation;
  const { mAP, loss } = multilabelFigures(classes, mean, truth, thresholds);
  return { ...evaluation, tta: { views, mAP, loss } };
}
