// split.json: which file was used for what, so that a run can be repeated and its held-back images evaluated.
import { DataError } from '../errors.js';
import type { Dataset } from './dataset.js';
import { shown } from './checks.js';
import { reasonOf } from './decode.js';
import { readRegularFile } from './regular-file.js';
import { SPLIT_KINDS, type GroupRule, type SplitKind } from './split-options.js';
import type { Split } from './split.js';

/** A split.json: how the split was made, and files by use, relative to the data's root. */
export interface SplitFile extends Omit<Split, Part> {
  train: string[];
  val: string[];
  test: string[];
}

const PARTS = ['train', 'val', 'test'] as const;
type Part = (typeof PARTS)[number];

/** Larger files are no split of images: a million long names take less. */
const MOST_BYTES = 2 ** 28;

/** What a run writes so that it can be repeated, and `eval --split` reads. */
export function splitToJSON(data: Pick<Dataset, 'files'>, split: Split): SplitFile {
  const { train, val, test, ...made } = split;
  const names = (rows: Int32Array): string[] => Array.from(rows, (i) => data.files[i]!);
  return { ...made, train: names(train), val: names(val), test: names(test) };
}

const some = (names: readonly string[]): string => `${names.slice(0, 5).join(', ')}${names.length > 5 ? ', ...' : ''}`;

async function parse(file: string): Promise<unknown> {
  try {
    const text = await readRegularFile(file, async (size, read) => {
      if (size > MOST_BYTES) throw new DataError(`it has ${size} bytes`);
      return (await read()).toString('utf8');
    });
    return JSON.parse(text);
  } catch (cause) {
    throw new DataError(`${file}: not a readable split.json (${reasonOf(cause)})`, [file], { cause });
  }
}

/**
 * Reads a split.json for these files. A list may be absent; what made the split is kept for the record, and may be absent
 * as well.
 * @param absent files that were left out of the data: passed over
 * @throws DataError when it is not one, names a file twice, or names files that are not there
 */
export async function splitFromFile(
  file: string,
  files: readonly string[],
  absent: ReadonlySet<string> = new Set(),
): Promise<Split> {
  const json = await parse(file);
  const refuse = (what: string, names: readonly string[] = [file]): never => {
    throw new DataError(`${file}: ${what}`, names);
  };
  if (typeof json !== 'object' || json === null || Array.isArray(json) || !PARTS.some((p) => p in json))
    refuse(`expected { "train": [...], "val": [...], "test": [...] } as a run writes it, got ${shown(json)}`);
  const fields = json as Record<string, unknown>;

  const rows = new Map(files.map((name, i) => [name, i]));
  const usedIn = new Map<string, Part>();
  const [missing, twice]: [string[], string[]] = [[], []];
  const split: Split = { train: new Int32Array(0), val: new Int32Array(0), test: new Int32Array(0), seed: 0, ratio: 0 };
  for (const part of PARTS) {
    const list = fields[part] ?? [];
    if (!Array.isArray(list)) refuse(`expected '${part}' to be a list of files, got ${shown(list)}`);
    const found: number[] = [];
    for (const name of list as unknown[]) {
      if (typeof name !== 'string')
        return refuse(`expected '${part}' to be a list of files, found ${shown(name)} in it`);
      const before = usedIn.get(name);
      if (before) twice.push(`${name} (${before === part ? `twice in ${part}` : `in ${before} and ${part}`})`);
      usedIn.set(name, part);
      const row = rows.get(name);
      if (absent.has(name)) continue;
      if (row === undefined) missing.push(name);
      else found.push(row);
    }
    split[part] = Int32Array.from(found);
  }
  // Counting one twice would change a figure; one in two parts would make it meaningless.
  if (twice.length > 0)
    refuse(`names ${twice.length} files more than once: ${some(twice)}. List each file once.`, twice);
  if (missing.length > 0) {
    throw new DataError(`${file} names ${missing.length} files that are not in the data: ${some(missing)}`, missing);
  }
  const { seed = 0, ratio = 0 } = fields;
  if (!Number.isSafeInteger(seed) || (seed as number) < 0)
    refuse(`expected 'seed' as a whole number, got ${shown(seed)}`);
  if (typeof ratio !== 'number' || !(ratio >= 0 && ratio <= 1))
    refuse(`expected 'ratio' as a number from 0 to 1, got ${shown(ratio)}`);
  return { ...split, seed: seed as number, ratio: ratio as number, ...madeBy(fields, refuse) };
}

/** The kind of a split and what belongs to it, as far as a file says. */
function madeBy(
  { kind, group, folds, fold }: Record<string, unknown>,
  refuse: (what: string) => never,
): Pick<Split, 'kind' | 'group' | 'folds' | 'fold'> {
  if (kind !== undefined && !(SPLIT_KINDS as readonly unknown[]).includes(kind))
    refuse(`expected 'kind' as one of ${SPLIT_KINDS.join(', ')}, got ${shown(kind)}`);
  if (group !== undefined && (typeof group !== 'object' || group === null))
    refuse(`expected 'group' as { "folder": true } or { "pattern": "..." }, got ${shown(group)}`);
  if (folds !== undefined && !(Number.isSafeInteger(folds) && (folds as number) >= 2))
    refuse(`expected 'folds' as a whole number of at least 2, got ${shown(folds)}`);
  const within = Number.isSafeInteger(fold) && (fold as number) >= 0 && (fold as number) < (folds as number);
  if ((folds ?? fold) !== undefined && !within)
    refuse(`expected 'fold' as a whole number below 'folds', got ${shown(fold)}`);
  return {
    ...(kind !== undefined && { kind: kind as SplitKind }),
    ...(group !== undefined && { group: group as GroupRule }),
    ...(folds !== undefined && { folds: folds as number, fold: fold as number }),
  };
}
