// ListedImages: images of any list as a Dataset: what of the list cannot be trained on, the pack they are kept in, and
// how they are divided. Listing is sources/, decoding pack.ts.
import { DataError, few, UsageError } from '../errors.js';
import { cacheFolder } from '../cache/folder.js';
import { checkFlag, checkText, shown } from './checks.js';
import { decodeFile, DEFAULT_MAX_PIXELS } from './decode.js';
import { byCodePoint, strataOf, type Listing } from './listing.js';
import { contentKey, inCache } from './pack-cache.js';
import { checkPackOptions, inMemory, PackedImages, type Packed, type PackOptions, type Place } from './pack.js';
import { splitFromFile } from './split-file.js';
import { asksForSplit, checkSplitOptions, type GroupRule, type SplitOptions } from './split-options.js';
import { requireTrainable, splitImages, type Split } from './split.js';

/** How listed images are decoded and split, wherever they come from. */
export interface DividedOptions extends PackOptions, SplitOptions {
  /** a run's split.json to use instead of a fresh split, of whatever kind */
  splitFile?: string;
  /** for evaluation: one class, one image a class, and nothing to train or to validate on are all right */
  allowOneClass?: boolean;
}

/** How listed files are decoded, split and cached. */
export interface OpenOptions extends DividedOptions {
  /** 'auto' keeps packed images below `cacheDir`, so that a second run starts at once */
  cache?: 'auto' | 'off';
  /** default: `mnv2-torch/packs` in `$XDG_CACHE_HOME`, else in `~/.cache` */
  cacheDir?: string;
}

/** @throws UsageError naming the option, before any work */
export function checkOpenOptions(options: OpenOptions): void {
  const { cache, cacheDir, splitFile, allowOneClass } = options;
  checkPackOptions(options);
  checkSplitOptions(options);
  if (splitFile !== undefined && asksForSplit(options))
    throw new UsageError(
      'splitFile: expected no split, group or folds beside it: it says which images are validated on',
    );
  if (cache !== undefined && cache !== 'auto' && cache !== 'off')
    throw new UsageError(`cache: expected 'auto' or 'off', got ${shown(cache)}`);
  if (cacheDir !== undefined) checkText('cacheDir', cacheDir);
  if (splitFile !== undefined) checkText('splitFile', splitFile);
  if (allowOneClass !== undefined) checkFlag('allowOneClass', allowOneClass);
}

/** Images of a list, packed while they are used. */
export class ListedImages extends PackedImages {
  readonly #listing: Listing;

  /** Starts decoding at once, unless the place is full. The options and the list have been checked. */
  constructor(listing: Listing, options: DividedOptions, place: Place) {
    const { size, maxPixels = DEFAULT_MAX_PIXELS } = options;
    super(
      {
        ...listing,
        decode: (row) => decodeFile(listing.images[row]!.image, size, maxPixels),
        split: (packed) => divide(listing, options, packed),
      },
      options,
      place,
    );
    this.#listing = listing;
  }

  /** the folder that files are relative to, where there is one */
  get root(): string | undefined {
    return this.#listing.root;
  }

  /** Path of a row's file. */
  pathOf(row: number): string {
    return this.#listing.images[row]!.image;
  }

  /**
   * Another split of the same images than `ready()` gives, test images left out; `note` hears what is to be known of it.
   * @throws UsageError where the images to validate on are given; DataError where a class has too few images or groups
   */
  async splitBy(options: SplitOptions, note: (sentence: string) => void = () => {}): Promise<Split> {
    checkSplitOptions(options);
    if (validates(this.#listing)) throw ownValidation(this.#listing);
    const { train, val, test } = await this.ready();
    const rows = [...train, ...val].sort((a, b) => a - b);
    return { ...freshSplit(this.#listing, rows, await this.duplicates(), options, note), test };
  }
}

/**
 * Where these images are packed: what is there from an earlier run, or a new place.
 * @throws before any decoding, where the list is not what the options need
 */
export async function placeFor(listing: Listing, options: OpenOptions): Promise<Place> {
  const { size, cache = 'auto', cacheDir = cacheFolder('packs'), maxPixels = DEFAULT_MAX_PIXELS, signal } = options;
  checkListing(listing, options);
  const { files, images, from, root = from } = listing;
  const count = files.length;
  if (cache === 'off') return inMemory(count, size);
  const paths = images.map(({ image }) => image);
  const key = await contentKey(files, paths, size, signal);
  return inCache({ dir: cacheDir, key, root, count, size, maxPixels });
}

const validates = ({ images }: Listing): boolean => images.some(({ split }) => split === 'val');

const ownValidation = ({ from, partFolders }: Listing): UsageError =>
  new UsageError(
    partFolders
      ? `${from} has a val/ of its own: expected no split, group or folds; merge val/ into train/ to split them anew`
      : `${from} says which images are validated on: expected no split, group or folds; leave that out to split them anew`,
  );

/** @throws UsageError for a split of what is split; DataError for what cannot be trained on */
export function checkListing(listing: Listing, options: DividedOptions): void {
  const { from, images, task, classes, labels } = listing;
  if (validates(listing) && asksForSplit(options)) throw ownValidation(listing);
  if (task !== 'multiclass' || (options.allowOneClass ?? false)) return;
  const refuse = (why: string): never => {
    throw new DataError(why, [from]);
  };
  if (classes.length === 1) refuse(`${from} has one class (${classes[0]}); a classifier needs at least two`);
  const kept = images.flatMap(({ split }, row) => (split === 'test' ? [] : [row]));
  const trained = kept.filter((row) => images[row]!.split !== 'val');
  const known = new Set(trained.map((row) => labels[row]!));
  const unknown = classes.filter((_, c) => !known.has(c));
  if (unknown.length > 0)
    refuse(`${from} has no images to train on of ${few(unknown, 5)}; expected every class to be trained on`);
  if (validates(listing)) return;
  const counts = new Int32Array(classes.length);
  for (const row of trained) counts[labels[row]!]!++;
  const lonely = classes.filter((_, c) => counts[c] === 1);
  if (lonely.length > 0)
    refuse(
      `too few images to train on and validate: ${lonely.join(', ')} ${lonely.length === 1 ? 'has' : 'have'} one; expected at least two a class`,
    );
}

/** What tells the group of a row; undefined where the row has none. */
function groupOf({ images }: Listing, rule: GroupRule): ((row: number) => string | undefined) | undefined {
  if ('folder' in rule) return (row) => images[row]!.folder;
  if (!('column' in rule)) return undefined;
  const { column } = rule;
  const columns = new Set(images.flatMap(({ fields = {} }) => Object.keys(fields)));
  if (!columns.has(column))
    throw new DataError(
      `group: there is no column ${shown(column)}; ${columns.size === 0 ? 'the images are in no manifest with other columns than of images, labels and splits' : `expected ${[...columns].sort(byCodePoint).join(', ')}`}`,
    );
  return (row) => images[row]!.fields?.[column];
}

/** A split of rows that are in no part already. */
function freshSplit(
  listing: Listing,
  rows: readonly number[],
  sameAs: Int32Array,
  options: SplitOptions,
  note: (sentence: string) => void,
): Split {
  const { task, files, labels } = listing;
  const classes = strataOf(listing);
  const counts = new Int32Array(classes.length);
  for (const row of rows) counts[labels[row]!]!++;
  const short = classes.filter((_, c) => counts[c]! < 2);
  if (task === 'multiclass' && short.length > 0)
    throw new DataError(
      `too few readable images to train on and validate: ${short.join(', ')}; expected at least two a class`,
    );
  const named = options.group && groupOf(listing, options.group);
  const exact = task === 'multiclass';
  return splitImages({ classes, files, labels, rows, sameAs, exact, ...(named && { named }) }, options, note);
}

async function divide(listing: Listing, options: DividedOptions, packed: Packed): Promise<Split> {
  const { files, images, from } = listing;
  const { rows, absent, duplicates, note } = packed;
  const { seed = 0, splitFile, allowOneClass = false } = options;
  if (splitFile !== undefined) {
    const split = await splitFromFile(splitFile, files, absent);
    if (!allowOneClass) requireTrainable(split, splitFile);
    return split;
  }
  const part = (name: string): Int32Array => Int32Array.from(rows.filter((i) => images[i]!.split === name));
  const [val, test] = [part('val'), part('test')];
  if (validates(listing)) {
    // An image without a part is trained on: what is held back has been said.
    const train = Int32Array.from(rows.filter((i) => (images[i]!.split ?? 'train') === 'train'));
    const split = { train, val, test, seed, ratio: val.length / Math.max(1, train.length + val.length) };
    if (!allowOneClass) requireTrainable(split, from);
    return split;
  }
  const free = rows.filter((i) => images[i]!.split !== 'test');
  if (allowOneClass) return { train: Int32Array.from(free), val, test, seed, ratio: 0 };
  const split = { ...freshSplit(listing, free, await duplicates(), options, note), test };
  requireTrainable(split, `${from} (identical images stay together)`);
  return split;
}
