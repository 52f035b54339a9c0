// The figures an epoch is told by besides its loss, for each task: whoever shows a training reads them here.
import type { Task } from '../weights/task.js';
import type { BestBy } from './settings.js';

/** A figure of a pass over images. */
export interface Measure {
  readonly key: 'accuracy' | 'macroF1' | 'mAP' | 'mae' | 'r2';
  readonly name: string;
  /** as a progress bar names it */
  readonly short: string;
  /** known of training too, and while it runs; the others of validation alone */
  readonly running: boolean;
  /** a share from 0 to 1 */
  readonly share: boolean;
  /** for people */
  readonly text: (value: number) => string;
}

const percent = (value: number): string => `${(100 * value).toFixed(1)}%`;
/** Four digits that count, whatever the unit. */
const plain = (value: number): string => (Number.isFinite(value) ? String(Number(value.toPrecision(4))) : '-');
const share = (key: Measure['key'], name: string, short: string, running = false): Measure => ({
  ...{ key, name, short, running, share: true },
  text: percent,
});

const ACCURACY = share('accuracy', 'accuracy', 'acc', true);
const MACRO_F1 = share('macroF1', 'macro F1', 'f1');

/** The first one is what a training is known by. */
export const MEASURES: Readonly<Record<Task, readonly [Measure, ...Measure[]]>> = {
  multiclass: [ACCURACY, MACRO_F1],
  multilabel: [share('mAP', 'mAP', 'mAP'), { ...ACCURACY, name: 'all labels right' }, MACRO_F1],
  regression: [
    { key: 'mae', name: 'mean absolute error', short: 'mae', running: true, share: false, text: plain },
    { key: 'r2', name: 'R²', short: 'r2', running: false, share: false, text: (v) => v.toFixed(3) },
  ],
};

/** The one that is known while a pass runs. */
export const runningMeasure = (task: Task): Measure => MEASURES[task].find((measure) => measure.running)!;

/** What the best epoch has most, or least, of: the first where nothing is said. */
export const BEST_BY: Readonly<Record<Task, readonly [BestBy, ...BestBy[]]>> = {
  multiclass: ['accuracy', 'macroF1', 'loss'],
  multilabel: ['mAP', 'macroF1', 'accuracy', 'loss'],
  regression: ['loss', 'mae', 'r2'],
};

/** The running figure of a pass, as its phase and its progress have it. */
export const runningFigure = (task: Task, value: number): { accuracy: number; mae?: number } =>
  task === 'regression' ? { accuracy: NaN, mae: value } : { accuracy: value };
