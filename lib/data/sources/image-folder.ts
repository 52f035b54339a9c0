// ImageFolder: a folder of class folders as a Dataset. Reading names is folder-scan.ts, decoding ../pack.ts.
import path from 'node:path';
import { DataError, UsageError } from '../../errors.js';
import { checkFlag, checkText, shown } from '../checks.js';
import { decodeFile, DEFAULT_MAX_PIXELS } from '../decode.js';
import { cacheFolder } from '../../cache/folder.js';
import { contentKey, inCache } from '../pack-cache.js';
import {
  checkPackOptions,
  inMemory,
  PackedImages,
  type Packed,
  type PackOptions,
  type PackSource,
  type Place,
} from '../pack.js';
import { splitFromFile } from '../split-file.js';
import { asksForSplit, checkSplitOptions, type SplitOptions } from '../split-options.js';
import { requireTrainable, splitImages, type Split } from '../split.js';
import { scanFolder, type Listing } from './folder-scan.js';

/** How a folder is read, decoded, split and cached. */
export interface ImageFolderOptions extends PackOptions, SplitOptions {
  /** 'auto' keeps packed images below `cacheDir`, so that a second run starts at once */
  cache?: 'auto' | 'off';
  /** default: `mnv2-torch/packs` in `$XDG_CACHE_HOME`, else in `~/.cache` */
  cacheDir?: string;
  /** a run's split.json to use instead of a fresh split, of whatever kind */
  splitFile?: string;
  /** for evaluation: one class, one image a class, and nothing to train or to validate on are all right */
  allowOneClass?: boolean;
}

function checkOptions(dir: string, options: ImageFolderOptions): void {
  const { cache, cacheDir, splitFile, allowOneClass } = options;
  checkText('the folder of images', dir);
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

/** A folder of class folders, packed while it is used. */
export class ImageFolder extends PackedImages {
  /** files in class folders that are no images */
  readonly ignored: number;

  private constructor(
    private readonly listing: Listing,
    source: PackSource,
    options: ImageFolderOptions,
    place: Place,
  ) {
    super(source, options, place);
    this.ignored = listing.ignored;
  }

  /**
   * Scans a folder and starts decoding. It holds one subfolder of images a class, or parts with class folders in each:
   * `train/`, and `val/` (`valid`, `validation`), `test/` or both, in any case. Without `val/` a share of `train/` is
   * held back to validate on and `test/` is kept apart; `notes` says so. Hidden files and folders are passed over.
   * Which images are held back is said by `split`, `group`, `folds` and `seed`; the folder's own `val/` cannot be split.
   *
   * Files that cannot be read (no image, no regular file, a link to nothing, more than `maxPixels` pixels) and damaged
   * ones are refused in one list, by `ready()`; `skipBad` leaves them out, `allowDamaged` keeps what is left of damaged
   * ones. Large pictures wait for each other, so that memory stays bounded whatever the folder holds.
   * @throws UsageError for options out of range, before any work; DataError when there is nothing to train on: no
   * folder, no images, one class, classes that differ between parts, a part without class folders
   * @example
   * import { ImageFolder } from 'mnv2-torch';
   * import { mkdirSync, mkdtempSync } from 'node:fs';
   * import sharp from 'sharp';
   * const root = mkdtempSync('/tmp/mnv2-');
   * for (const [name, r, b] of [['blue', 0, 255], ['red', 255, 0]]) {
   *   mkdirSync(`${root}/${name}`);
   *   for (const n of [1, 2, 3]) {
   *     const create = { width: 8 + n, height: 8, channels: 3, background: { r, g: 20 * n, b } };
   *     await sharp({ create }).png().toFile(`${root}/${name}/${n}.png`);
   *   }
   * }
   * const data = await ImageFolder.open(root, { size: 8, cache: 'off' });
   * await data.ready();
   * console.log(data.classes.join(' '), data.files.length, data.store.get(0)[2]); // blue red 6 255
   * data.dispose();
   */
  static async open(dir: string, options: ImageFolderOptions): Promise<ImageFolder> {
    checkOptions(dir, options);
    const { size, cache = 'auto', cacheDir = cacheFolder('packs'), maxPixels = DEFAULT_MAX_PIXELS, signal } = options;
    const root = path.resolve(dir);
    const listing = await scanFolder(root, options.allowOneClass ?? false);
    if (listing.parts.includes('val') && asksForSplit(options)) throw ownValidation(dir);
    const { files } = listing;
    const count = files.length;
    const place =
      cache === 'off'
        ? inMemory(count, size)
        : await inCache({
            dir: cacheDir,
            key: await contentKey(root, files, size, signal),
            root,
            count,
            size,
            maxPixels,
          });
    const source: PackSource = {
      ...listing,
      root,
      decode: (row) => decodeFile(path.join(root, files[row]!), size, maxPixels),
      split: (packed) => divide(dir, listing, options, packed),
    };
    return new ImageFolder(listing, source, options, place);
  }

  /**
   * Another split of the same images than `ready()` gives, test/ left out; `note` hears what is to be known of it.
   * @throws UsageError where the folder has a val/ of its own; DataError where a class has too few images or groups
   */
  async splitBy(options: SplitOptions, note: (sentence: string) => void = () => {}): Promise<Split> {
    checkSplitOptions(options);
    if (this.listing.parts.includes('val')) throw ownValidation(this.listing.root);
    const { train, val, test } = await this.ready();
    const rows = [...train, ...val].sort((a, b) => a - b);
    return { ...freshSplit(this.listing, rows, await this.duplicates(), options, note), test };
  }
}

const ownValidation = (dir: string): UsageError =>
  new UsageError(
    `${dir} has a val/ of its own: expected no split, group or folds; merge val/ into train/ to split them anew`,
  );

/** A split of rows that are in no part by their folder. */
function freshSplit(
  { classes, files, labels, parts }: Listing,
  rows: readonly number[],
  sameAs: Int32Array,
  options: SplitOptions,
  note: (sentence: string) => void,
): Split {
  const few = classes.filter((_, c) => rows.filter((i) => labels[i] === c).length < 2);
  if (few.length > 0)
    throw new DataError(
      `too few readable images to train on and validate: ${few.join(', ')}; expected at least two a class`,
    );
  const depth = (row: number): number => (parts[row] === '' ? 0 : 1);
  return splitImages({ classes, files, labels, rows, sameAs, depth }, options, note);
}

async function divide(dir: string, listing: Listing, options: ImageFolderOptions, packed: Packed): Promise<Split> {
  const { files, parts } = listing;
  const { rows, absent, duplicates, note } = packed;
  const { seed = 0, splitFile, allowOneClass = false } = options;
  if (splitFile !== undefined) {
    const split = await splitFromFile(splitFile, files, absent);
    if (!allowOneClass) requireTrainable(split, splitFile);
    return split;
  }
  const part = (name: string): Int32Array => Int32Array.from(rows.filter((i) => parts[i] === name));
  const [train, val, test] = [part('train'), part('val'), part('test')];
  if (parts.includes('val')) {
    const split = { train, val, test, seed, ratio: val.length / Math.max(1, train.length + val.length) };
    if (!allowOneClass) requireTrainable(split, dir);
    return split;
  }
  const free = parts.some((p) => p !== '') ? [...train] : [...rows];
  if (allowOneClass) return { train: Int32Array.from(free), val, test, seed, ratio: 0 };
  const split = { ...freshSplit(listing, free, await duplicates(), options, note), test };
  requireTrainable(split, `${dir} (identical images stay together)`);
  return split;
}
