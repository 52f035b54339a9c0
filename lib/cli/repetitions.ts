// Several trainings from one command line, one after the other: which ones, where, and their figures together. One
// training is train.ts, the figures report/repeats.ts.
import path from 'node:path';
import { UsageError } from '../errors.js';
import { summarizeRepeats, type RepeatedRun, type Repeats } from '../report/repeats.js';
import { RunFolder } from '../train/run-folder.js';
import type { Task } from '../weights/task.js';
import type { RunSettings } from './run-settings.js';

/** One of several trainings: how it differs from what was asked for. */
export interface Repetition {
  /** 'fold 1' */
  name: string;
  /** below the folder of all of them */
  folder: string;
  /** seed of split and scenes, or fold from 1 */
  other: Pick<RunSettings, 'seed' | 'fold'>;
}

/** The trainings that settings ask for; none where it is a single one. */
export function repetitions({ folds, fold, repeat, seed = 0 }: RunSettings): Repetition[] {
  if (repeat !== undefined && folds !== undefined)
    throw new UsageError('--repeat: expected it or --folds, got both; folds are repeated splits already');
  if (repeat !== undefined) {
    return Array.from({ length: repeat }, (_, i) => ({
      name: `seed ${seed + i}`,
      folder: `seed-${seed + i}`,
      other: { seed: seed + i },
    }));
  }
  if (folds === undefined && fold !== undefined)
    throw new UsageError(`--fold ${fold}: expected --folds beside it, the number of parts`);
  if (folds === undefined) return [];
  if (fold !== undefined && fold > folds)
    throw new UsageError(`--fold: expected at most ${folds}, the folds; got ${fold}`);
  if (fold !== undefined) return [];
  return Array.from({ length: folds }, (_, i) => ({
    name: `fold ${i + 1}`,
    folder: `fold-${i + 1}`,
    other: { fold: i + 1 },
  }));
}

/** What becomes of one training that was not stopped. */
export interface Repeated {
  task: Task;
  figures: Omit<RepeatedRun, 'name' | 'out'>;
}

export interface RepetitionsOptions {
  list: readonly Repetition[];
  /** the folder of all of them */
  out: string;
  /** looked at before each */
  stopped: () => boolean;
  train: (repetition: Repetition, out: string) => Promise<Repeated | undefined>;
  /** hears before each training */
  next: (repetition: Repetition, out: string) => void;
}

/** Trains them in order. Figures of those that were done; undefined where none was. */
export async function trainAll(options: RepetitionsOptions): Promise<Repeats | undefined> {
  const { list, out, stopped, train, next } = options;
  // A folder that cannot be used is no surprise after the first training.
  for (const { folder } of list) await RunFolder.check(path.join(out, folder));
  const runs: RepeatedRun[] = [];
  let task: Task = 'multiclass';
  for (const repetition of list) {
    if (stopped()) break;
    const folder = path.join(out, repetition.folder);
    next(repetition, folder);
    const done = await train(repetition, folder);
    if (!done) continue;
    task = done.task;
    runs.push({ name: repetition.name, out: folder, ...done.figures });
  }
  return runs.length > 0 ? summarizeRepeats(runs, task) : undefined;
}
