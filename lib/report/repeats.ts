// Several trainings as one figure: folds of a cross-validation, or the same training from other seeds. Owns mean,
// interval and table; who trains is the command.
import { MEASURES, type Measure } from '../train/measures.js';
import type { Task } from '../weights/task.js';

/** The best epoch of one of several trainings. */
export interface RepeatedRun {
  /** 'fold 1', 'seed 7' */
  name: string;
  /** run folder */
  out: string;
  epoch: number;
  /** of the images validated on: the loss, and the figures that the task has */
  loss: number;
  accuracy?: number;
  macroF1?: number;
  mAP?: number;
  mae?: number;
  r2?: number;
}

/** A mean over runs and its 95% interval by Student's t: `mean` - `half` to `mean` + `half`. */
export interface Estimate {
  mean: number;
  /** null for a single run, which tells nothing of others */
  half: number | null;
}

/** Several runs together. */
export interface Repeats {
  event: 'repeats';
  /** absent: one class of several */
  task?: Task;
  runs: RepeatedRun[];
  loss: Estimate;
  /** of the figures that the task has */
  accuracy?: Estimate;
  macroF1?: Estimate;
  mAP?: Estimate;
  mae?: Estimate;
  r2?: Estimate;
}

/** 97.5% quantiles of Student's t for 1, 2, ... 30 degrees of freedom. */
const STUDENT = [
  ...[12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131],
  ...[2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042],
];

/** Beyond the table: Cornish and Fisher's expansion about the normal quantile, right to three places there. */
function studentQuantile(freedom: number): number {
  const z = 1.959964;
  return (
    STUDENT[freedom - 1] ?? z + (z ** 3 + z) / (4 * freedom) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * freedom ** 2)
  );
}

/** @param values one or more, of independent runs */
export function estimate(values: readonly number[]): Estimate {
  const n = values.length;
  const mean = values.reduce((a, v) => a + v, 0) / n;
  if (n < 2) return { mean, half: null };
  const deviation = Math.sqrt(values.reduce((a, v) => a + (v - mean) ** 2, 0) / (n - 1));
  return { mean, half: (studentQuantile(n - 1) * deviation) / Math.sqrt(n) };
}

/** @param runs at least one */
export function summarizeRepeats(runs: readonly RepeatedRun[], task: Task = 'multiclass'): Repeats {
  const of = (figure: Measure['key'] | 'loss'): Estimate => estimate(runs.map((run) => run[figure]!));
  const figures = Object.fromEntries(MEASURES[task].map(({ key }) => [key, of(key)]));
  return { event: 'repeats', ...(task !== 'multiclass' && { task }), runs: [...runs], ...figures, loss: of('loss') };
}

/** What a person reads: a line a run, the mean and its interval. */
export function repeatsTable(repeats: Repeats): string {
  const { task = 'multiclass', runs, loss } = repeats;
  const measures = MEASURES[task];
  const width = Math.max(12, ...measures.map((m) => m.name.length + 4));
  const name = Math.max(8, ...runs.map((run) => run.name.length));
  const line = (label: string, ...cells: string[]): string =>
    (label.padEnd(name) + cells.map((cell) => cell.padStart(width)).join('')).trimEnd();
  const cell = (m: Measure, value: number): string => (m.share ? (100 * value).toFixed(2) : m.text(value));
  const half = (m: Measure): string => {
    const of = repeats[m.key]!.half;
    return of === null ? '' : `± ${cell(m, of)}`;
  };
  return [
    line('', ...measures.map((m) => (m.share ? `${m.name} %` : m.name)), 'loss', 'best epoch'),
    ...runs.map((run) =>
      line(run.name, ...measures.map((m) => cell(m, run[m.key]!)), run.loss.toFixed(4), String(run.epoch)),
    ),
    line('mean', ...measures.map((m) => cell(m, repeats[m.key]!.mean)), loss.mean.toFixed(4)),
    ...(loss.half === null ? [] : [line('95%', ...measures.map(half), `± ${loss.half.toFixed(4)}`)]),
    '',
  ].join('\n');
}
