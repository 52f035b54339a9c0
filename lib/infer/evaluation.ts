// An evaluation of whatever task: of several classes, labels or numbers.
import type { Dataset } from '../data/dataset.js';
import type { LearnedTask } from '../weights/task.js';
import { evaluationOf, type Evaluation } from './evaluate.js';
import { judge } from './judged.js';
import { multilabelEvaluationOf, rowsOf, type MultilabelEvaluation } from './multilabel.js';
import { regressionEvaluationOf, type RegressionEvaluation } from './regression.js';

/** How well a model does; that of one class of several has no `task`. */
export type AnyEvaluation = Evaluation | MultilabelEvaluation | RegressionEvaluation;

/** Narrows to one class of several. */
export const isMulticlass = (evaluation: AnyEvaluation): evaluation is Evaluation => !('task' in evaluation);

/**
 * Everything that can be said of a model from its answers to a part of a data set.
 * @param answers [indices, classes], as the task has them
 */
export function evaluationOn(
  task: LearnedTask,
  { classes, labels, targets }: Pick<Dataset, 'classes' | 'labels' | 'targets'>,
  indices: Int32Array,
  answers: Float32Array,
): AnyEvaluation {
  const k = classes.length;
  if (task.kind === 'multiclass') return evaluationOf(classes, judge({ indices, probabilities: answers }, labels, k));
  const truth = rowsOf(targets!, indices, k);
  return task.kind === 'multilabel'
    ? multilabelEvaluationOf(classes, indices, answers, truth, task.thresholds)
    : regressionEvaluationOf(classes, indices, answers, truth);
}
