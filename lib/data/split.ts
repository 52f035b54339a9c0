// How images are divided into training, validation and test. Split files are split-file.ts.
import { DataError } from '../errors.js';
import type { ImageStore } from '../engine/images.js';
import { Random } from '../random.js';
import { checkShare } from './checks.js';

/** Rows of the store by use. Bad and unused images are in none. */
export interface Split {
  train: Int32Array;
  val: Int32Array;
  test: Int32Array;
  seed: number;
  /** share of the images in `val` */
  ratio: number;
}

/**
 * Splits rows into training and validation, class by class, so that every class keeps its share; rows with equal pixels
 * stay together. The same seed gives the same split on every machine.
 * @param rows usable rows
 * @param groupOf equal for rows with equal pixels
 */
export function stratifiedSplit(
  rows: readonly number[],
  labels: Int32Array,
  groupOf: (row: number) => number,
  ratio: number,
  seed: number,
): Split {
  checkShare('valSplit', ratio);
  const groups = new Map<number, number[]>();
  for (const row of rows) {
    const key = groupOf(row);
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  // A group counts for the class of its first row; the same picture under two labels must not be on both sides either.
  const byClass = new Map<number, number[][]>();
  for (const group of groups.values()) {
    const label = labels[group[0]!]!;
    const list = byClass.get(label);
    if (list) list.push(group);
    else byClass.set(label, [group]);
  }
  const train: number[] = [];
  const val: number[] = [];
  for (const [label, list] of [...byClass].sort(([a], [b]) => a - b)) {
    const total = list.reduce((a, g) => a + g.length, 0);
    const wanted = Math.min(Math.max(Math.round(total * ratio), 1), total - 1);
    let held = 0;
    for (const group of new Random(seed, 'split', label).shuffle(list)) {
      const fits = held + group.length <= wanted;
      if (fits) held += group.length;
      (fits ? val : train).push(...group);
    }
  }
  const sorted = (list: number[]): Int32Array => Int32Array.from(list).sort();
  return { train: sorted(train), val: sorted(val), test: new Int32Array(0), seed, ratio };
}

/** For each row the first row with the same pixels. Yields to the event loop now and then. */
export async function duplicateGroups(store: ImageStore, rows: readonly number[]): Promise<Int32Array> {
  const first = new Map<string, number>();
  const group = Int32Array.from({ length: store.count }, (_, i) => i);
  for (const [n, row] of rows.entries()) {
    if (n % 32 === 31) await new Promise((resolve) => setImmediate(resolve));
    const hash = store.hash(row);
    const seen = first.get(hash);
    if (seen === undefined) first.set(hash, row);
    else if (store.equal(seen, row)) group[row] = seen;
  }
  return group;
}

/**
 * Refuses a split that nothing can be trained or validated on.
 * @param source where it comes from, for the message
 * @throws DataError
 */
export function requireTrainable(split: Split, source: string): void {
  const parts = { 'train on': split.train, 'validate on': split.val };
  const lacking = Object.entries(parts).flatMap(([use, rows]) => (rows.length === 0 ? [use] : []));
  if (lacking.length === 0) return;
  throw new DataError(
    `${source} leaves no images to ${lacking.join(' or to ')}; training needs both: add images, or change how they are split`,
  );
}
