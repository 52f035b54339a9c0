// Dataset: packed images with labels, and how they are split. Where they come from is image-folder.ts and synthetic.ts.
import { readFile } from 'node:fs/promises';
import { DataError, UsageError } from '../errors.js';
import type { ImageStore } from '../engine/images.js';
import { Random } from '../random.js';

/** Rows of the store by use. Bad and unused images are in none. */
export interface Split {
  train: Int32Array;
  val: Int32Array;
  test: Int32Array;
  seed: number;
  /** share of the images in `val` */
  ratio: number;
}

/** Images as rows of one packed store. Decoding goes on after it is handed out: see `packed` and `ready`. */
export interface Dataset {
  /** sorted by code point; labels index it */
  readonly classes: string[];
  /** file of each row, relative to the root, with '/' */
  readonly files: string[];
  readonly labels: Int32Array;
  /** side of the square, pixels */
  readonly size: number;
  readonly store: ImageStore;
  /** unreadable files that were left out, with why (known once `ready`) */
  readonly skipped: { file: string; reason: string }[];
  /** resolves when rows 0 .. count - 1 hold their pixels */
  packed(count: number): Promise<void>;
  /** resolves when every row does, with the split; rejects with a DataError that lists all bad files */
  ready(): Promise<Split>;
  /** Stops decoding and frees the pixels. Idempotent. */
  dispose(): void;
}

/** A split.json: files by use, relative to the data's root. */
export interface SplitFile {
  seed: number;
  ratio: number;
  train: string[];
  val: string[];
  test: string[];
}

/** What a run writes so that it can be repeated, and `eval --split` reads. */
export function splitToJSON(data: Pick<Dataset, 'files'>, split: Split): SplitFile {
  const names = (rows: Int32Array): string[] => Array.from(rows, (i) => data.files[i]!);
  return {
    seed: split.seed,
    ratio: split.ratio,
    train: names(split.train),
    val: names(split.val),
    test: names(split.test),
  };
}

/**
 * Reads a split.json for these files.
 * @throws DataError when it is not one, or names files that are not there
 */
export async function splitFromFile(
  file: string,
  files: readonly string[],
  absent: ReadonlySet<string> = new Set(),
): Promise<Split> {
  let json: SplitFile;
  try {
    json = JSON.parse(await readFile(file, 'utf8')) as SplitFile;
  } catch (cause) {
    throw new DataError(`${file}: not a readable split.json (${(cause as Error).message})`, [file], { cause });
  }
  const rows = new Map(files.map((name, i) => [name, i]));
  const missing: string[] = [];
  const part = (name: 'train' | 'val' | 'test'): Int32Array => {
    const list = json[name] ?? [];
    if (!Array.isArray(list)) throw new DataError(`${file}: expected '${name}' to be a list of files`, [file]);
    return Int32Array.from(list.filter((f) => !absent.has(f)).flatMap((f) => rows.get(f) ?? (missing.push(f), [])));
  };
  const split: Split = {
    train: part('train'),
    val: part('val'),
    test: part('test'),
    seed: json.seed ?? 0,
    ratio: json.ratio ?? 0,
  };
  if (missing.length > 0) {
    throw new DataError(
      `${file} names ${missing.length} files that are not in the data: ${missing.slice(0, 5).join(', ')}${missing.length > 5 ? ', ...' : ''}`,
      missing,
    );
  }
  return split;
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
  if (!(ratio > 0 && ratio < 1)) throw new UsageError(`valSplit: expected a share between 0 and 1, got ${ratio}`);
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
    byClass.set(label, [...(byClass.get(label) ?? []), group]);
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
