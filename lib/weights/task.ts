// What a network has learned to say: what its outputs mean, and how they become answers. Checkpoints carry it.
import { DataError, shown } from '../errors.js';
import { add, mul, sigmoid, softmax } from '../graph/ops.js';
import { constant, type Tensor } from '../graph/tensor.js';

/** What can be learned of an image, as `task` and `--task` name it. */
export const TASKS = ['multiclass', 'multilabel', 'regression'] as const;
/** What is learned of an image: one class of several, any number of labels, or numbers. */
export type Task = (typeof TASKS)[number];

/**
 * What the outputs of a network mean, one a class:
 * - `multiclass`: logits of a softmax.
 * - `multilabel`: logits of a sigmoid each; an image has a label where its probability is at least its threshold.
 * - `regression`: numbers in units of their own: `mean + scale * output` is the number itself.
 */
export type LearnedTask =
  | { readonly kind: 'multiclass' }
  | { readonly kind: 'multilabel'; readonly thresholds: readonly number[] }
  | { readonly kind: 'regression'; readonly mean: readonly number[]; readonly scale: readonly number[] };

/** What every file that does not say otherwise holds. */
export const MULTICLASS: LearnedTask = { kind: 'multiclass' };

/** Answers [N, K] of outputs [N, K]: probabilities, or numbers in their own units. */
export function answersOf(outputs: Tensor, task: LearnedTask): Tensor {
  if (task.kind === 'multiclass') return softmax(outputs);
  if (task.kind === 'multilabel') return sigmoid(outputs);
  return add(mul(outputs, constant(Float32Array.from(task.scale))), constant(Float32Array.from(task.mean)));
}

/** The entries of a checkpoint's metadata; none for `multiclass`. */
export function taskToMetadata(task: LearnedTask): Record<string, string> {
  if (task.kind === 'multiclass') return {};
  const lists = task.kind === 'multilabel' ? { thresholds: task.thresholds } : { mean: task.mean, scale: task.scale };
  return {
    task: task.kind,
    ...Object.fromEntries(Object.entries(lists).map(([key, list]) => [`task_${key}`, JSON.stringify(list)])),
  };
}

/**
 * The reverse.
 * @param classes number of outputs, where it is known
 * @throws DataError for what does not fit
 */
export function taskFromMetadata(
  metadata: Readonly<Record<string, string>>,
  classes: number | undefined,
  file: string,
): LearnedTask {
  const kind = metadata['task'] ?? 'multiclass';
  const list = (key: string, fits: (v: number) => boolean, what: string): number[] => {
    const text = metadata[`task_${key}`];
    let value: unknown;
    try {
      value = JSON.parse(text ?? 'null');
    } catch {
      // Refused below, as whatever else is no list of numbers.
    }
    const count = classes ?? (Array.isArray(value) ? value.length : 0);
    const good =
      Array.isArray(value) && value.length === count && value.every((v) => Number.isFinite(v) && fits(v as number));
    if (good) return value as number[];
    throw new DataError(
      `${file}: metadata 'task_${key}': expected a JSON array of ${count} ${what}, got ${shown(text)}`,
      [file],
    );
  };
  if (kind === 'multiclass') return MULTICLASS;
  if (kind === 'multilabel')
    return { kind, thresholds: list('thresholds', (v) => v >= 0 && v <= 1, 'probabilities from 0 to 1') };
  if (kind === 'regression')
    return { kind, mean: list('mean', () => true, 'numbers'), scale: list('scale', (v) => v > 0, 'numbers above 0') };
  throw new DataError(`${file}: metadata 'task': expected one of ${TASKS.join(', ')}, got ${shown(kind)}`, [file]);
}
