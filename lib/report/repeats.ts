// Several trainings as one figure: folds of a cross-validation, or the same training from other seeds. Owns mean,
// interval and table; who trains is the command.

/** The best epoch of one of several trainings. */
export interface RepeatedRun {
  /** 'fold 1', 'seed 7' */
  name: string;
  /** run folder */
  out: string;
  epoch: number;
  /** of the images validated on */
  accuracy: number;
  macroF1: number;
  loss: number;
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
  runs: RepeatedRun[];
  accuracy: Estimate;
  macroF1: Estimate;
  loss: Estimate;
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
export function summarizeRepeats(runs: readonly RepeatedRun[]): Repeats {
  const of = (figure: 'accuracy' | 'macroF1' | 'loss'): Estimate => estimate(runs.map((run) => run[figure]));
  return { event: 'repeats', runs: [...runs], accuracy: of('accuracy'), macroF1: of('macroF1'), loss: of('loss') };
}

/** What a person reads: a line a run, the mean and its interval. */
export function repeatsTable({ runs, accuracy, macroF1, loss }: Repeats): string {
  const percent = (share: number): string => (100 * share).toFixed(2);
  const name = Math.max(8, ...runs.map((run) => run.name.length));
  const line = (label: string, ...cells: string[]): string =>
    (label.padEnd(name) + cells.map((cell) => cell.padStart(12)).join('')).trimEnd();
  const spread = (scale: number, digits: number) =>
    [accuracy, macroF1].map(({ half }) => (half === null ? '' : `± ${(scale * half).toFixed(digits)}`));
  return [
    line('', 'accuracy %', 'macro F1 %', 'loss', 'best epoch'),
    ...runs.map((run) =>
      line(run.name, percent(run.accuracy), percent(run.macroF1), run.loss.toFixed(4), String(run.epoch)),
    ),
    line('mean', percent(accuracy.mean), percent(macroF1.mean), loss.mean.toFixed(4)),
    ...(loss.half === null ? [] : [line('95%', ...spread(100, 2), `± ${loss.half.toFixed(4)}`)]),
    '',
  ].join('\n');
}
