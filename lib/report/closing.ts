// What a person reads when a training is over: how the accuracy went, the weakest classes, where everything is. Plain
// text; colours for a terminal that wants them.
import type { Evaluation } from '../infer/evaluate.js';
import { isMulticlass, type AnyEvaluation } from '../infer/evaluation.js';
import type { MultilabelEvaluation } from '../infer/multilabel.js';
import type { RegressionEvaluation } from '../infer/regression.js';
import type { BestFigures, EpochEvent, TrainEvent } from '../train/events.js';
import type { Hook } from '../train/hooks/hook.js';
import { MEASURES } from '../train/measures.js';
import type { Task } from '../weights/task.js';
import { Answers } from './answers.js';

const STEPS = '▁▂▃▄▅▆▇█';

/** Values as a row of bars, lowest to highest; more values than columns are thinned out, the last one stays. */
export function sparkline(values: readonly number[], columns = 40): string {
  const every = Math.ceil(values.length / columns);
  const shown = values.filter((_, i) => (values.length - 1 - i) % every === 0);
  const [low, high] = [Math.min(...shown), Math.max(...shown)];
  const at = (v: number): number => (high > low ? Math.round(((v - low) / (high - low)) * (STEPS.length - 1)) : 3);
  return shown.map((v) => STEPS[at(v)]).join('');
}

/** Hears what the closing words need. */
export class LastAnswers implements Hook {
  #answers: Answers | undefined;
  history: readonly EpochEvent[] = [];

  began: Hook['began'] = (_state, beginning) => void (this.#answers = new Answers(beginning));
  epochEnded: Hook['epochEnded'] = (state, event, outputs) => {
    this.#answers!.hear(state, event, outputs);
    this.history = state.history;
  };
  get task(): Task {
    return this.#answers?.beginning.task.kind ?? 'multiclass';
  }
  /** of the best epoch; undefined where none ended */
  evaluation(): AnyEvaluation | undefined {
    return this.#answers?.evaluation();
  }
}

/** Classes in the table. */
const MOST_CLASSES = 5;

export interface Closing {
  /** null: nothing was trained */
  readonly event: Extract<TrainEvent, { event: 'done' | 'stopped' }> | null;
  readonly history: readonly EpochEvent[];
  readonly evaluation: AnyEvaluation | undefined;
  /** what is learned (default 'multiclass') */
  readonly task?: Task;
  /** page about the training, where one was written */
  readonly report: string | undefined;
  readonly colours: boolean;
}

/** The weakest classes by F1, where one is not perfect. */
function weakest({ classes, confusion }: Evaluation, bold: (text: string) => string): string {
  const weak = classes
    .map((c, i) => ({ ...c, i }))
    .filter((c) => c.support > 0 && c.f1 < 1)
    .sort((a, b) => a.f1 - b.f1)
    .slice(0, MOST_CLASSES);
  if (weak.length === 0) return '';
  const width = Math.max(...weak.map((c) => c.label.length), 15);
  const percent = (v: number): string => `${(100 * v).toFixed(1)}%`.padStart(9);
  const rows = weak.map((c) => {
    const taken = confusion[c.i]!.map((n, p) => ({ n: p === c.i ? 0 : n, p })).sort((a, b) => b.n - a.n)[0]!;
    const mostly = taken.n === 0 ? '' : `${taken.n} as ${classes[taken.p]!.label}`;
    return `${c.label.padEnd(width)} ${percent(c.f1)} ${percent(c.precision)} ${percent(c.recall)} ${String(c.support).padStart(7)}  ${mostly}`.trimEnd();
  });
  const heads = `${'weakest classes'.padEnd(width)}        F1 precision    recall  images  mostly mistaken`;
  return `${bold(heads)}\n${rows.join('\n')}\n`;
}

/** The weakest labels by average precision, where one is not perfect. */
function weakestLabels({ classes }: MultilabelEvaluation, dim: (text: string) => string): string {
  const weak = classes
    .filter((c) => c.support > 0 && c.ap < 1)
    .sort((a, b) => a.ap - b.ap)
    .slice(0, MOST_CLASSES);
  if (weak.length === 0) return '';
  const width = Math.max(...weak.map((c) => c.label.length), 14);
  const percent = (v: number): string => `${(100 * v).toFixed(1)}%`.padStart(9);
  const rows = weak.map(
    (c) =>
      `${c.label.padEnd(width)} ${percent(c.ap)} ${percent(c.f1)} ${percent(c.precision)} ${percent(c.recall)} ${String(c.support).padStart(7)}  ${c.threshold.toFixed(2).padStart(9)}`,
  );
  return `${dim(`${'weakest labels'.padEnd(width)}        AP        F1 precision    recall  images  threshold`)}\n${rows.join('\n')}\n`;
}

function numbersTable({ numbers }: RegressionEvaluation, dim: (text: string) => string): string {
  const width = Math.max(...numbers.map((n) => n.name.length), 6);
  const cell = (v: number): string => String(Number(v.toPrecision(4))).padStart(11);
  const rows = numbers.map((n) => `${n.name.padEnd(width)}${cell(n.mae)}${cell(n.rmse)}${cell(n.r2)}${cell(n.bias)}`);
  const heads = ['mae', 'rmse', 'r2', 'bias'].map((h) => h.padStart(11)).join('');
  return `${dim('number'.padEnd(width) + heads)}\n${rows.join('\n')}\n`;
}

/** The closing words, each on lines of its own. */
export function closingText({ event, history, evaluation, task = 'multiclass', report, colours }: Closing): string {
  const styled = (code: number) => (text: string) => (colours ? `\x1b[${code}m${text}\x1b[0m` : text);
  const [bold, dim] = [styled(1), styled(2)];
  if (event === null || event.checkpoint === null) return 'stopped before the first step; nothing was trained\n';
  const [main, ...others] = MEASURES[task];
  const course = history.map((e) => e.valid[main.key]!);
  const [low, high] = [Math.min(...course), Math.max(...course)].map(main.text) as [string, string];
  const from = main.share ? `${low.slice(0, -1)} to ${high}` : `${low} to ${high}`;
  const bars = course.length > 1 ? `${dim(`validation ${main.name}`)} ${sparkline(course)} ${dim(from)}\n` : '';
  const table = !evaluation
    ? ''
    : isMulticlass(evaluation)
      ? weakest(evaluation, dim)
      : evaluation.task === 'multilabel'
        ? weakestLabels(evaluation, dim)
        : numbersTable(evaluation, dim);
  const page = report === undefined ? '' : `look at ${report}\n`;
  if (event.event === 'stopped') {
    const when = event.epoch === 0 ? 'in the first epoch, before it was validated' : `after epoch ${event.epoch}`;
    return `${bars}${table}stopped ${when}; saved ${event.checkpoint}\n${page}`;
  }
  const { best, checkpoint, seconds, why } = event;
  const kept = bold(main.text(best[main.key as keyof BestFigures]!));
  const beside = others
    .filter(({ key }) => task !== 'multiclass' && key in best)
    .map(({ key, name, text }) => `, ${name} ${text(best[key as 'r2']!)}`)
    .join('');
  return (
    `${bars}${table}${why === undefined ? '' : `ended early: ${why}\n`}best validation ${main.name} ${kept}${beside} in epoch ${best.epoch}, ${seconds.toFixed(1)} s in all\n` +
    `saved ${checkpoint}\n${page}classify with: mnv2-torch predict ${checkpoint} <images...>\n`
  );
}
