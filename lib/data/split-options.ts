// Which split is asked for: the kinds, the rule of groups, folds; and what of it makes no sense. Makes no split.
import { UsageError } from '../errors.js';
import { checkShare, checkWhole, shown } from './checks.js';

/** Kinds of split, as `split` and `--split` name them. */
export const SPLIT_KINDS = ['random', 'blocked', 'group'] as const;
/** How images are held back: scattered, in contiguous runs of file names, or whole groups of images. */
export type SplitKind = (typeof SPLIT_KINDS)[number];

/** Folds of a cross-validation at most. */
export const MOST_FOLDS = 1000;

/**
 * What tells the group of an image: the folder below its class folder (`beach/site7/1.jpg`), what a regular expression
 * with one capture group finds in its path relative to the root (`'site(\\d+)'`), or a column of the manifest it is in.
 * A group is one in all classes: images of the same name of group stay together whatever their class.
 */
export type GroupRule = { readonly folder: true } | { readonly pattern: string } | { readonly column: string };

/** How images are divided into those trained on and those validated on. */
export interface SplitOptions {
  /**
   * - `random` (default): images of each class at random. Flatters where neighbours look alike: frames of a film, tiles
   *   of a map, several pictures of one thing.
   * - `blocked`: of each class one contiguous run in natural order of file name (`beach2` before `beach10`); the seed
   *   draws where it begins, and behind the last name it goes on with the first. One run has the fewest borders across
   *   which neighbours can meet.
   * - `group`: whole groups, see `group`; no group is on both sides.
   *
   * All of them keep every class's share (groups as far as they allow), and identical pictures on one side.
   */
  split?: SplitKind;
  /** for `split: 'group'`, which it implies */
  group?: GroupRule;
  /** share held back to validate on; default 0.3, not used with `folds` */
  valSplit?: number;
  /** cross-validation: images are cut into this many parts, 2 to 1000, and `fold` says which one is validated on */
  folds?: number;
  /** 0 to `folds` - 1; over all of them each image is validated on once */
  fold?: number;
  /** of the split, 0 to 2^53 - 1 (default 0) */
  seed?: number;
}

/** The kind that options ask for. */
export const splitKind = ({ split, group }: SplitOptions): SplitKind => split ?? (group ? 'group' : 'random');

/** Options that only say how a fresh split is made. */
export const asksForSplit = ({ split, group, folds }: SplitOptions): boolean =>
  (split !== undefined && split !== 'random') || group !== undefined || folds !== undefined;

/** @throws UsageError naming the option */
export function checkSplitOptions(options: SplitOptions): void {
  const { split, group, valSplit, folds, fold, seed } = options;
  if (split !== undefined && !SPLIT_KINDS.includes(split))
    throw new UsageError(`split: expected ${SPLIT_KINDS.join(', ')}, got ${shown(split)}`);
  if (valSplit !== undefined) checkShare('valSplit', valSplit);
  if (seed !== undefined) checkWhole('seed', seed, 0, Number.MAX_SAFE_INTEGER);
  if (group !== undefined) checkGroupRule(group);
  if (group !== undefined && splitKind(options) !== 'group')
    throw new UsageError(`group: expected none with split '${split}'; groups are kept whole by split 'group'`);
  if (split === 'group' && group === undefined)
    throw new UsageError(
      `split 'group': expected group as { folder: true }, { pattern: 'site(\\\\d+)' } or { column: 'site' }, got none (--group folder, a pattern, or column:site)`,
    );
  if (folds !== undefined) checkWhole('folds', folds, 2, MOST_FOLDS);
  if ((folds === undefined) !== (fold === undefined))
    throw new UsageError(`expected folds and fold together, got folds ${shown(folds)} and fold ${shown(fold)}`);
  if (folds !== undefined) checkWhole('fold', fold, 0, folds - 1);
}

/** A rule as one types it: 'folder', 'column:' and a name, or a pattern. */
export function groupRule(typed: string): GroupRule {
  if (typed === 'folder') return { folder: true };
  if (/^column:./.test(typed)) return { column: typed.slice('column:'.length) };
  captureOf(typed);
  return { pattern: typed };
}

function checkGroupRule(rule: GroupRule): void {
  const { folder, pattern, column } = (rule ?? {}) as { folder?: unknown; pattern?: unknown; column?: unknown };
  const count = [folder, pattern, column].filter((it) => it !== undefined).length;
  if (count === 1 && folder === true) return;
  if (count === 1 && typeof column === 'string' && column !== '') return;
  if (count !== 1 || typeof pattern !== 'string')
    throw new UsageError(
      `group: expected { folder: true } or { pattern: '...' } or { column: '...' }, got ${shown(rule)}`,
    );
  try {
    captureOf(pattern);
  } catch (error) {
    throw new UsageError(`group: ${(error as Error).message}`);
  }
}

/**
 * The regular expression of a pattern.
 * @throws UsageError unless it is one, with one capture group
 */
export function captureOf(pattern: string): RegExp {
  let captures = 0;
  try {
    captures = new RegExp(`${pattern}|`).exec('')!.length - 1;
  } catch (cause) {
    throw new UsageError(`expected a regular expression, got ${shown(pattern)} (${(cause as Error).message})`);
  }
  if (captures === 1) return new RegExp(pattern);
  throw new UsageError(
    `expected a pattern with one capture group, such as 'site(\\d+)', got ${shown(pattern)} with ${captures}`,
  );
}
