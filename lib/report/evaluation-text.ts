// An evaluation as text: tables for people, and a line an image as CSV.
import type { Evaluation } from '../infer/evaluate.js';
import { csvLine } from './csv.js';
import { isMulticlass, type AnyEvaluation } from '../infer/evaluation.js';
import { mistakes } from '../infer/judged.js';
import { labelMistakes, type MultilabelEvaluation } from '../infer/multilabel.js';
import { furthestOff, type RegressionEvaluation } from '../infer/regression.js';

const percent = (v: number): string => (100 * v).toFixed(1).padStart(6);
/** Five digits that count. */
const number = (v: number): string => String(Number(v.toPrecision(5)));
/** Per-class figures, then the pairs confused most. */
function classTable({ accuracy, macroF1, loss, images, classes, confusion, calibration, tta }: Evaluation): string {
  const width = Math.max(5, ...classes.map((c) => c.label.length));
  const rows = classes.map(
    (c) =>
      `${c.label.padEnd(width)} ${[c.precision, c.recall, c.f1].map((v) => percent(v).padStart(9)).join(' ')} ${String(c.support).padStart(8)}`,
  );
  const pairs = confusion.flatMap((row, i) =>
    row.map((n, j) => ({ n, from: classes[i]!.label, to: classes[j]!.label, wrong: i !== j })),
  );
  const worst = pairs
    .filter((p) => p.wrong && p.n > 0)
    .sort((a, b) => b.n - a.n)
    .slice(0, 5);
  return [
    `${'class'.padEnd(width)} precision    recall        F1  support`,
    ...rows,
    '',
    `accuracy ${(100 * accuracy).toFixed(2)}% of ${images} images, loss ${loss.toFixed(4)}, macro F1 ${(100 * macroF1).toFixed(2)}%, ` +
      `calibration error ${(100 * calibration.ece).toFixed(1)}%`,
    ...(tta
      ? [`mean of ${tta.views} views: accuracy ${(100 * tta.accuracy).toFixed(2)}%, loss ${tta.loss.toFixed(4)}`]
      : []),
    ...(worst.length > 0 ? ['most confused:', ...worst.map((p) => `  ${p.n} ${p.from} taken for ${p.to}`)] : []),
    '',
  ].join('\n');
}

function labelTable({ mAP, macroF1, microF1, accuracy, loss, images, classes, tta }: MultilabelEvaluation): string {
  const width = Math.max(5, ...classes.map((c) => c.label.length));
  const rows = classes.map(
    (c) =>
      `${c.label.padEnd(width)} ${[c.ap, c.f1, c.precision, c.recall].map((v) => percent(v).padStart(9)).join(' ')} ${c.threshold.toFixed(2).padStart(9)} ${String(c.support).padStart(8)}`,
  );
  return [
    `${'label'.padEnd(width)}        AP        F1 precision    recall threshold  support`,
    ...rows,
    '',
    `mAP ${(100 * mAP).toFixed(2)}% of ${images} images, macro F1 ${(100 * macroF1).toFixed(2)}%, micro F1 ${(100 * microF1).toFixed(2)}%, ` +
      `all labels right ${(100 * accuracy).toFixed(2)}%, loss ${loss.toFixed(4)}`,
    ...(tta ? [`mean of ${tta.views} views: mAP ${(100 * tta.mAP).toFixed(2)}%, loss ${tta.loss.toFixed(4)}`] : []),
    '',
  ].join('\n');
}

function numberTable({ mae, rmse, r2, images, numbers, tta }: RegressionEvaluation): string {
  const width = Math.max(6, ...numbers.map((n) => n.name.length));
  const cell = (v: number): string => number(v).padStart(12);
  return [
    `${'number'.padEnd(width)}${['mae', 'rmse', 'r2', 'bias'].map((h) => h.padStart(12)).join('')}`,
    ...numbers.map((n) => `${n.name.padEnd(width)}${[n.mae, n.rmse, n.r2, n.bias].map(cell).join('')}`),
    '',
    `mean absolute error ${number(mae)} on ${images} images, RMSE ${number(rmse)}, R² ${r2.toFixed(4)}`,
    ...(tta ? [`mean of ${tta.views} views: mean absolute error ${number(tta.mae)}, R² ${tta.r2.toFixed(4)}`] : []),
    '',
  ].join('\n');
}

/** A table for people. */
export function evaluationTable(evaluation: AnyEvaluation): string {
  if (isMulticlass(evaluation)) return classTable(evaluation);
  return evaluation.task === 'multilabel' ? labelTable(evaluation) : numberTable(evaluation);
}

/** An image as people and scripts read it. */
export type Named = Readonly<Record<string, string | number>>;

/** All images, or the wrong ones, worst first (of numbers: all, furthest off first). */
export function namedImages(evaluation: AnyEvaluation, files: readonly string[], wrong: boolean): Named[] {
  if (isMulticlass(evaluation)) {
    const { classes, judged } = evaluation;
    return (wrong ? mistakes(judged) : judged).map(({ row, label, predicted, probability, loss }) => ({
      ...{ file: files[row]!, label: classes[label]!.label, predicted: classes[predicted]!.label, probability, loss },
    }));
  }
  if (evaluation.task === 'multilabel') {
    const { classes, judged } = evaluation;
    const names = (list: readonly number[]): string => list.map((c) => classes[c]!.label).join('|');
    return (wrong ? labelMistakes(judged) : judged).map(({ row, missed, wrong: extra, probabilities, loss }) => ({
      ...{ file: files[row]!, missed: names(missed), wrong: names(extra), loss },
      ...(wrong ? {} : Object.fromEntries(classes.map(({ label }, c) => [label, probabilities[c]!]))),
    }));
  }
  const { numbers, judged } = evaluation;
  return (wrong ? furthestOff(judged) : judged).map(({ row, truth, predicted, error }) => ({
    file: files[row]!,
    ...Object.fromEntries(
      numbers.flatMap(({ name }, c) => [
        [name, truth[c]!],
        [`${name} predicted`, predicted[c]!],
      ]),
    ),
    error,
  }));
}

/** Mistakes for people. */
export function mistakeTable(evaluation: AnyEvaluation, wrong: readonly Named[]): string {
  if (wrong.length === 0) return 'no mistakes\n';
  if (isMulticlass(evaluation)) {
    const of = wrong as unknown as { loss: number; predicted: string; probability: number; file: string }[];
    const width = Math.max(...of.map((w) => w.predicted.length), 5);
    const rows = of.map(
      (w) => `${w.loss.toFixed(3).padStart(8)}  ${w.predicted.padEnd(width)} ${percent(w.probability)}%  ${w.file}`,
    );
    return `    loss  ${'taken for'.padEnd(width + 9)} file\n${rows.join('\n')}\n`;
  }
  const keys = Object.keys(wrong[0]!).filter((key) => key !== 'file');
  const cells = wrong.map((w) => keys.map((key) => (typeof w[key] === 'number' ? number(w[key]) : w[key]!)));
  const widths = keys.map((key, i) => Math.max(key.length, ...cells.map((row) => String(row[i]).length)));
  const line = (row: readonly (string | number)[]): string =>
    row.map((v, i) => String(v).padEnd(widths[i]!)).join('  ');
  return `${[`${line(keys)}  file`, ...cells.map((row, i) => `${line(row)}  ${wrong[i]!['file']}`)].join('\n')}\n`;
}

/** A line an image; `images` are of one evaluation and not empty. */
export const csvOf = (images: readonly Named[]): string =>
  [Object.keys(images[0]!), ...images.map((i) => Object.values(i))].map(csvLine).join('');
