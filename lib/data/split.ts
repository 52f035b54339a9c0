// How images are divided into training, validation and test. Which split is asked for is split-options.ts, the drawing
// split-classes.ts and split-groups.ts, split files split-file.ts.
import { DataError } from '../errors.js';
import type { ImageStore } from '../engine/images.js';
import { deal, holdBack, joinLone, together } from './split-classes.js';
import { divideGroups, unevenness } from './split-groups.js';
import { splitKind, type GroupRule, type SplitKind, type SplitOptions } from './split-options.js';

/** Rows of the store by use. Bad and unused images are in none. */
export interface Split {
  train: Int32Array;
  val: Int32Array;
  test: Int32Array;
  seed: number;
  /** share of the images in `val` */
  ratio: number;
  /** how it was drawn; absent where it was not: the folder has a val/, or a split file does not say */
  kind?: SplitKind;
  /** what made the groups of kind 'group' */
  group?: GroupRule;
  /** of a cross-validation: parts, and which of them is in `val`, from 0 */
  folds?: number;
  fold?: number;
}

/** What is divided. */
export interface Divided {
  classes: readonly string[];
  files: readonly string[];
  labels: Int32Array;
  /** usable rows */
  rows: readonly number[];
  /** for each row the first row with the same pixels */
  sameAs: ArrayLike<number>;
  /** the group of a row, where a pattern does not tell it; absent: the folder below the class folder */
  named?: (row: number) => string | undefined;
  /** whether every class has to be trained on, as where the labels are what is learned (default true) */
  exact?: boolean;
}

/** <class>/<folder>/<image> -> folder */
export function folderBelow(file: string): string | undefined {
  const [, folder, image] = file.split('/');
  return image === undefined ? undefined : folder;
}

/**
 * Splits rows into training and validation; rows with equal pixels stay together. The same seed gives the same split on
 * every machine. The options have been checked.
 * @param note hears what a user should know of it
 * @throws DataError for groups that do not allow it
 */
export function splitImages(data: Divided, options: SplitOptions, note: (sentence: string) => void): Split {
  const { rows, files, classes, sameAs, exact = true } = data;
  const named = data.named ?? ((row: number) => folderBelow(files[row]!));
  const { valSplit = 0.3, seed = 0, folds, fold = 0, group } = options;
  const kind = splitKind(options);
  const ratio = folds === undefined ? valSplit : 1 / folds;
  const units = together(rows, (row) => sameAs[row]!);
  const labels = exact ? data.labels : joinLone(units, data.labels);
  let held: readonly number[];
  if (kind === 'group') {
    const shares = folds === undefined ? [ratio] : new Array<number>(folds).fill(ratio);
    const split = { units, rows, labels, files, classes, rule: group!, named, seed, exact };
    held = divideGroups(split, shares)[fold]!;
    const uneven = unevenness(held, rows, labels, classes, ratio);
    if (uneven !== undefined) note(uneven);
  } else {
    const split = { units, labels, files, kind, seed };
    held = folds === undefined ? holdBack(split, ratio) : deal(split, folds, classes)[fold]!;
  }
  const validated = new Set(held);
  return {
    train: Int32Array.from(rows.filter((row) => !validated.has(row))).sort(),
    val: Int32Array.from(held).sort(),
    test: new Int32Array(0),
    seed,
    ratio,
    kind,
    ...(kind === 'group' && { group: group! }),
    ...(folds !== undefined && { folds, fold }),
  };
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
