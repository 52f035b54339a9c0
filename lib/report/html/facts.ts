// Facts of a report that are not figures: what the data is, how it is divided, the settings in words.
import { createHash } from 'node:crypto';
import type { Dataset } from '../../data/dataset.js';
import type { Split } from '../../data/split.js';
import type { Part } from './data.js';
import { count, plural } from './markup.js';

/** Classes, files, labels and pixels as a few digits: equal for equal data. Yields to the event loop now and then. */
export async function fingerprint(data: Dataset): Promise<string> {
  const { classes, files, labels, targets, store, skipped } = data;
  const digest = createHash('sha256').update(JSON.stringify({ classes, files, labels: [...labels] }));
  if (targets) digest.update(targets);
  const absent = new Set(skipped.map((s) => s.file));
  for (const [row, file] of files.entries()) {
    if (row % 32 === 31) await new Promise((resolve) => setImmediate(resolve));
    if (!absent.has(file)) digest.update(store.hash(row));
  }
  return digest.digest('hex').slice(0, 32);
}

/** How many images of each class each part has; parts without images are left out. */
export function partsOf(
  split: Split,
  { labels, targets, task }: Pick<Dataset, 'labels' | 'targets' | 'task'>,
  classes: number,
): Part[] {
  const counted = (rows: Int32Array): number[] => {
    if (task === 'regression') return [];
    const counts = new Array<number>(classes).fill(0);
    for (const row of rows) {
      if (task === 'multilabel') counts.forEach((_, c) => (counts[c]! += targets![row * classes + c]!));
      else counts[labels[row]!]!++;
    }
    return counts;
  };
  const parts: [string, Int32Array][] = [
    ['training', split.train],
    ['validation', split.val],
    ['test', split.test],
  ];
  return parts
    .filter(([, rows]) => rows.length > 0)
    .map(([name, rows]) => ({ name, images: rows.length, counts: counted(rows) }));
}

/** '1,176 training, 504 validation' */
export const imagesByPart = (parts: readonly Part[]): string =>
  parts.map((p) => `${count(p.images)} ${p.name}`).join(', ');

/** What the data's reader noticed, as a sentence each. */
export function notesOf({ notes, skipped, damaged }: Dataset): string[] {
  const named = (list: readonly { file: string }[]): string =>
    `${list
      .slice(0, 5)
      .map((b) => b.file)
      .join(', ')}${list.length > 5 ? ', ...' : ''}`;
  return [
    ...notes,
    ...(skipped.length > 0 ? [`${plural(skipped.length, 'file')} left out: ${named(skipped)}`] : []),
    ...(damaged.length > 0 ? [`${plural(damaged.length, 'damaged file')} used all the same: ${named(damaged)}`] : []),
  ];
}

const simple = (value: unknown): string =>
  value === null
    ? 'none'
    : typeof value === 'object'
      ? Object.entries(value)
          .filter(([, v]) => v !== undefined)
          .map(([k, v]) => (Array.isArray(value) ? simple(v) : `${k} ${simple(v)}`))
          .join(', ')
      : String(value as string | number | boolean);

/** Settings as lines; the classes are shown elsewhere. */
export function settingLines(settings: Readonly<Record<string, unknown>>): [string, string][] {
  return Object.entries(settings)
    .filter(([name, value]) => name !== 'classes' && name !== 'about' && value !== undefined)
    .map(([name, value]): [string, string] => [name, simple(value)])
    .concat(settings['about'] ? settingLines(settings['about'] as Record<string, unknown>) : []);
}
