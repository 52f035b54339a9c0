// What a person reads when a training is over: how the accuracy went, the weakest classes, where everything is. Plain
// text; colours for a terminal that wants them.
import type { Evaluation } from '../infer/evaluate.js';
import type { EpochEvent, TrainEvent } from '../train/events.js';
import type { Hook } from '../train/hooks/hook.js';
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
  /** of the best epoch; undefined where none ended */
  evaluation(): Evaluation | undefined {
    return this.#answers?.evaluation();
  }
}

/** Classes in the table. */
const MOST_CLASSES = 5;

export interface Closing {
  /** null: nothing was trained */
  readonly event: Extract<TrainEvent, { event: 'done' | 'stopped' }> | null;
  readonly history: readonly EpochEvent[];
  readonly evaluation: Evaluation | undefined;
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

/** The closing words, each on lines of its own. */
export function closingText({ event, history, evaluation, report, colours }: Closing): string {
  const styled = (code: number) => (text: string) => (colours ? `\x1b[${code}m${text}\x1b[0m` : text);
  const [bold, dim] = [styled(1), styled(2)];
  if (event === null || event.checkpoint === null) return 'stopped before the first step; nothing was trained\n';
  const course = history.map((e) => e.valid.accuracy);
  const from =
    course.length > 0 ? `${(100 * Math.min(...course)).toFixed(1)} to ${(100 * Math.max(...course)).toFixed(1)}%` : '';
  const bars = course.length > 1 ? `${dim('validation accuracy')} ${sparkline(course)} ${dim(from)}\n` : '';
  const table = evaluation ? weakest(evaluation, dim) : '';
  const page = report === undefined ? '' : `look at ${report}\n`;
  if (event.event === 'stopped') {
    const when = event.epoch === 0 ? 'in the first epoch, before it was validated' : `after epoch ${event.epoch}`;
    return `${bars}${table}stopped ${when}; saved ${event.checkpoint}\n${page}`;
  }
  const { best, checkpoint, seconds, why } = event;
  const accuracy = bold(`${(100 * best.accuracy).toFixed(1)}%`);
  return (
    `${bars}${table}${why === undefined ? '' : `ended early: ${why}\n`}best validation accuracy ${accuracy} in epoch ${best.epoch}, ${seconds.toFixed(1)} s in all\n` +
    `saved ${checkpoint}\n${page}classify with: mnv2-torch predict ${checkpoint} <images...>\n`
  );
}
