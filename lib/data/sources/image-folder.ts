// ImageFolder: a folder of class folders as a Dataset. Reading names is folder-scan.ts, the rest ../listed-images.ts.
import { checkText } from '../checks.js';
import { ImageList } from '../image-list.js';
import { checkOpenOptions, ListedImages, placeFor, type OpenOptions } from '../listed-images.js';
import { rowsOf, type Listing } from '../listing.js';
import type { Place } from '../pack.js';
import { scanFolder } from './folder-scan.js';

/** How a folder is read, decoded, split and cached. */
export type ImageFolderOptions = OpenOptions;

/** A folder of class folders, packed while it is used. */
export class ImageFolder extends ListedImages {
  /** files in class folders that are no images */
  readonly ignored: number;

  private constructor(listing: Listing, ignored: number, options: ImageFolderOptions, place: Place) {
    super(listing, options, place);
    this.ignored = ignored;
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
    checkText('the folder of images', dir);
    checkOpenOptions(options);
    const scanned = await scanFolder(dir, options.allowOneClass ?? false);
    const listing = rowsOf(scanned);
    return new ImageFolder(listing, scanned.ignored, options, await placeFor(listing, options));
  }

  /**
   * The images of a folder, to be chosen from before they are decoded. What cannot be trained on is refused when they are
   * opened.
   * @throws DataError where there are no images in class folders
   */
  static async list(dir: string): Promise<ImageList> {
    checkText('the folder of images', dir);
    return new ImageList(await scanFolder(dir, true));
  }
}
