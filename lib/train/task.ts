// How each task is learned: what a network is told of an image, what is made smaller, how an epoch is judged. What its
// outputs mean is weights/task.ts.
import { UsageError } from '../errors.js';
import type { Dataset } from '../data/dataset.js';
import type { Engine } from '../engine/engine.js';
import { RowStore } from '../engine/rows.js';
import { crossEntropy, equal, argmax, cast, sum } from '../graph/ops.js';
import { add, binaryCrossEntropyWithLogits, mean, meanSquaredError, min, mul, relu, sub } from '../graph/ops.js';
import { constant, input, type Tensor } from '../graph/tensor.js';
import { figures } from '../infer/evaluate.js';
import { bestThresholds, EVEN, multilabelFigures, rowsOf } from '../infer/multilabel.js';
import { regressionFigures, spreadOf } from '../infer/regression.js';
import { MULTICLASS, type LearnedTask, type Task } from '../weights/task.js';
import { classWeightsOf, labelWeightsOf, type ClassWeights } from './balance.js';
import type { ValidPhase } from './events.js';
import type { Recipe } from './recipe.js';

/** What is made smaller in training. */
export interface Objective {
  readonly task: LearnedTask;
  readonly labelSmoothing: number;
  /** multiclass: the input is `target` [N, classes] instead of `label`; right is who names the heaviest */
  readonly mixed: boolean;
  /** of each class: of its images, or (multilabel) of having it over not having it */
  readonly weights?: Float32Array;
  /** regression: squared errors, or Huber's, in standard deviations */
  readonly loss: Recipe['loss'];
}
/** One class of several by its cross entropy, as it is. */
export const PLAIN: Objective = { task: MULTICLASS, labelSmoothing: 0, mixed: false, loss: undefined };

/** What a data set is learned for. */
export const taskOfData = ({ task = 'multiclass' }: Dataset): Task => task;

/** The loss, the mean over images; and the sum over images of what the task counts: right answers, or absolute errors. */
export function lossesOf(outputs: Tensor, classes: number, objective: Objective): { loss: Tensor; correct: Tensor } {
  const { task, labelSmoothing, mixed, weights } = objective;
  if (task.kind === 'multiclass') {
    const given = mixed ? input('target', [-1, classes]) : input('label', [-1], 'int64');
    const label = mixed ? argmax(given) : given;
    return {
      loss: crossEntropy(outputs, given, { labelSmoothing, ...(weights && { weight: constant(weights) }) }),
      correct: sum(cast(equal(argmax(outputs), label), 'float32')),
    };
  }
  const given = input('target', [-1, classes]);
  if (task.kind === 'multilabel') {
    // A share of the target goes to the other answer, as with two classes.
    const smooth = add(mul(given, constant(1 - labelSmoothing)), constant(labelSmoothing / 2));
    const target = labelSmoothing > 0 ? smooth : given;
    const none = cast(equal(relu(outputs), constant(0)), 'float32'); // 1 where the label is not given
    const right = cast(equal(add(none, given), constant(1)), 'float32');
    return {
      loss: binaryCrossEntropyWithLogits(outputs, target, weights && { posWeight: constant(weights) }),
      correct: sum(min(right, { dims: [1] })),
    };
  }
  const target = mul(sub(given, constant(Float32Array.from(task.mean))), constant(task.scale.map((s) => 1 / s)));
  const error = sub(outputs, target);
  const size = add(relu(error), relu(mul(error, constant(-1))));
  const within = sub(size, relu(sub(size, constant(1)))); // at most 1
  return {
    // Huber (1964): half the square within one standard deviation, straight beyond it.
    loss:
      objective.loss === 'huber'
        ? mean(mul(within, sub(size, mul(within, constant(0.5)))))
        : meanSquaredError(outputs, target),
    correct: mul(sum(mul(size, constant(Float32Array.from(task.scale)))), constant(1 / classes)),
  };
}

/** Before the data is there: of the number of classes alone. */
export function unlearned(task: Task, classes: number): LearnedTask {
  const each = (value: number): number[] => new Array<number>(classes).fill(value);
  if (task === 'multilabel') return { kind: task, thresholds: each(EVEN) };
  if (task === 'regression') return { kind: task, mean: each(0), scale: each(1) };
  return MULTICLASS;
}

/** With what the images that are trained on say: mean and spread of their numbers. */
export function learnedFrom(data: Dataset, train: Int32Array): LearnedTask {
  const { classes } = data;
  const task = unlearned(taskOfData(data), classes.length);
  return task.kind === 'regression'
    ? { kind: 'regression', ...spreadOf(rowsOf(data.targets!, train, classes.length), classes.length) }
    : task;
}

/** The loss of guessing: of even probabilities, or of the numbers' mean. */
export function guessingLoss(task: Task, classes: number): number {
  return { multiclass: Math.log(classes), multilabel: Math.LN2, regression: 1 }[task];
}

/** What each class weighs in the loss, by the images that are trained on. */
export function weightsOf(weights: ClassWeights, train: Int32Array, data: Dataset): Float32Array {
  const k = data.classes.length;
  return taskOfData(data) === 'multilabel'
    ? labelWeightsOf(weights, train, data.targets!, k)
    : classWeightsOf(weights, train, data.labels, k);
}

/** What a step is fed of each image: its label, or its targets. */
export async function targetsOn(engine: Engine, data: Dataset): Promise<RowStore> {
  const { labels, targets, classes } = data;
  if (taskOfData(data) === 'multiclass')
    return RowStore.from(
      engine,
      BigInt64Array.from(labels, (l) => BigInt(l)),
      [labels.length],
      'int64',
    );
  return RowStore.from(engine, targets!, [labels.length, classes.length], 'float32');
}

/** What validation says of an epoch, besides loss and pace; and the thresholds it would choose. */
export function judgedEpoch(
  data: Dataset,
  rows: Int32Array,
  answers: Float32Array,
  loss: number,
): { figures: Pick<ValidPhase, 'macroF1' | 'mAP' | 'r2'>; thresholds?: number[] } {
  const { classes, labels } = data;
  const k = classes.length;
  switch (taskOfData(data)) {
    case 'multiclass': {
      const truth = Int32Array.from(rows, (row) => labels[row]!);
      return { figures: { macroF1: figures(classes, truth, likeliest(answers, k), loss).macroF1 } };
    }
    case 'multilabel': {
      const truth = rowsOf(data.targets!, rows, k);
      const { mAP, macroF1 } = multilabelFigures(classes, answers, truth, new Array<number>(k).fill(EVEN));
      return { figures: { mAP, macroF1 }, thresholds: bestThresholds(answers, truth, k) };
    }
    case 'regression': {
      const { r2 } = regressionFigures(classes, answers, rowsOf(data.targets!, rows, k));
      return { figures: { r2, macroF1: NaN } };
    }
  }
}

/** The class of the highest probability, of each image. */
function likeliest(probabilities: Float32Array, classes: number): Int32Array {
  return Int32Array.from({ length: probabilities.length / classes }, (_, i) => {
    const row = probabilities.subarray(i * classes, (i + 1) * classes);
    return row.reduce((best, p, c) => (p > row[best]! ? c : best), 0);
  });
}

/**
 * Refuses settings that mean nothing for a task, and a data set that is none of it.
 * @throws UsageError
 */
export function checkTask(recipe: Recipe, data: Dataset): void {
  const task = taskOfData(data);
  const { labels, targets, classes } = data;
  if (task === 'multiclass') return;
  if (targets?.length !== labels.length * classes.length)
    throw new UsageError(
      `targets: expected ${labels.length * classes.length} values, ${classes.length} for each of ${labels.length} images, for the task '${task}'; got ${targets?.length ?? 'none'}`,
    );
  const asked: [string, boolean][] = [
    ['mixup', recipe.mixup > 0],
    ['cutmix', recipe.cutmix > 0],
    ...(task === 'regression'
      ? ([
          ['labelSmoothing', recipe.labelSmoothing > 0],
          ['classWeights', recipe.classWeights !== undefined],
          ["sampler 'balanced'", recipe.sampler === 'balanced'],
        ] as [string, boolean][])
      : []),
  ];
  const senseless = asked.filter(([, is]) => is).map(([name]) => name);
  if (senseless.length > 0)
    throw new UsageError(`${senseless.join(', ')}: expected none for the task '${task}'; leave it out`);
}
