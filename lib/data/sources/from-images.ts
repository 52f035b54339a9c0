// fromImages: images that a program gives one after the other, as a Dataset. What is taken when is ../drain.ts, where
// pixels are kept meanwhile ../growing-pack.ts, the rest ../listed-images.ts.
import os from 'node:os';
import { cacheFolder } from '../../cache/folder.js';
import { DataError, UsageError } from '../../errors.js';
import { checkText, shown } from '../checks.js';
import { TASKS, type Task } from '../../weights/task.js';
import type { BadFile } from '../dataset.js';
import { decodeInParallel, DEFAULT_MAX_PIXELS, reasonOf } from '../decode.js';
import { drain } from '../drain.js';
import { GrowingPack } from '../growing-pack.js';
import { decodeInput, imageName, type ImageInput } from '../image-input.js';
import { manyLabels, oneLabel, oneNumber } from '../labels.js';
import { checkListing, checkOpenOptions, ListedImages, type DividedOptions } from '../listed-images.js';
import { partNotes, partOf, rowsOf, type Label, type ListedImage, type Part } from '../listing.js';
import { settled } from '../pack.js';

/** An image and what is known of it, as a program gives it. */
export interface ImageItem {
  /** a path, the encoded bytes, pixels, or what else `decodeImage` takes */
  image: ImageInput;
  /** its class; its labels, a list (multilabel); its number, or numbers by name (regression) */
  label: string | number | readonly (string | number)[] | Readonly<Record<string, number>>;
  /** train, val (valid, validation) or test, in any case; absent: it is divided as the options say */
  split?: string | null | undefined;
  /** of its row; default: the path, else image-000001 and so on */
  name?: string;
  /** what else is known of it: `group: { column: 'site' }` finds `site` here */
  fields?: Readonly<Record<string, string>>;
}

/** How images are taken, decoded and split. */
export interface FromImagesOptions extends DividedOptions {
  /** what is learned of an image (default 'multiclass') */
  task?: Task;
  /** where pixels are kept until the data is disposed of (default as for `ImageFolder`) */
  cacheDir?: string;
}

function checkOptions(items: unknown, options: FromImagesOptions): void {
  const { task, cacheDir } = options;
  const many =
    typeof items === 'object' && items !== null && (Symbol.asyncIterator in items || Symbol.iterator in items);
  if (!many)
    throw new UsageError(`images: expected an iterable or async iterable of { image, label }, got ${shown(items)}`);
  checkOpenOptions(options);
  if (task !== undefined && !TASKS.includes(task))
    throw new UsageError(`task: expected ${TASKS.join(', ')}, got ${shown(task)}`);
  if (cacheDir !== undefined) checkText('cacheDir', cacheDir);
}

/**
 * Images of a database cursor, an object store, or whatever else gives one after the other. They are taken as fast as they
 * are decoded, at most `concurrency` at a time, and only their pixels at `size` are kept, in a file that goes with the
 * data: neither their number nor their sizes have to be known, and memory stays bounded. Resolves when all are there;
 * rows come in the order of classes and names, so that the order they are given in does not matter.
 *
 * Splits, identical pictures and files that cannot be read are treated as `ImageFolder.open` does. There is no cache:
 * what a stream gives is known when it has been read. `onProgress` tells as `total` how many were taken so far.
 * @throws UsageError for options out of range; DataError for an item that cannot be understood, with its number, when
 * there is nothing to train on, and with the cause when the iterable fails; the signal's reason when it aborts. The
 * iterable's `return()` is called on every early end.
 * @example
 * import { fromImages } from 'mnv2-torch';
 * async function* cursor() {
 *   for (const [label, red] of [['night', 10], ['day', 200]]) {
 *     for (const n of [1, 2, 3]) {
 *       const data = new Uint8Array(8 * 8 * 3).fill(red + n);
 *       yield { image: { data, width: 8, height: 8, channels: 3 }, label, name: `${label}-${n}` };
 *     }
 *   }
 * }
 * const data = await fromImages(cursor(), { size: 4 });
 * await data.ready();
 * console.log(data.classes.join(' '), data.files[0], data.store.get(0)[0]); // day night day-1 201
 * data.dispose();
 */
export async function fromImages(
  items: Iterable<ImageItem> | AsyncIterable<ImageItem>,
  options: FromImagesOptions,
): Promise<ListedImages> {
  checkOptions(items, options);
  const { size, task = 'multiclass', maxPixels = DEFAULT_MAX_PIXELS, signal, onProgress } = options;
  const { concurrency = os.availableParallelism() + 1, cacheDir = cacheFolder('packs') } = options;
  const since = performance.now();
  await decodeInParallel();
  const pack = await GrowingPack.create(cacheDir, size);
  try {
    const images: ListedImage[] = [];
    const [unreadable, damaged] = [new Map<ListedImage, string>(), new Map<ListedImage, string>()];
    let done = 0;
    await drain(items, concurrency, signal, async (item, index) => {
      const image = (images[index] = listed(item, index, task));
      let pixels: Uint8Array | undefined;
      try {
        const read = await decodeInput(item.image, size, maxPixels);
        if (read.damage !== undefined) damaged.set(image, read.damage);
        pixels = read.pixels;
      } catch (error) {
        // No picture at all is a mistake of the program, a picture that cannot be read one of the data.
        if (error instanceof UsageError)
          throw new DataError(`item ${index + 1}: ${error.message}`, [image.name], { cause: error });
        unreadable.set(image, reasonOf(error));
      }
      if (pixels) await pack.put(index, pixels);
      onProgress?.({ done: ++done, total: images.length });
    });
    const from = 'the stream of images';
    const notes = partNotes(from, images);
    const listing = rowsOf({ task, images, from, partFolders: false, unlisted: [], notes });
    checkListing(listing, options);
    const inRows = (of: Map<ListedImage, string>): BadFile[] =>
      listing.images.flatMap((image) => (of.has(image) ? [{ file: image.name, reason: of.get(image)! }] : []));
    const index = new Map(images.map((image, i) => [image, i]));
    const store = await pack.store(listing.images.map((image) => index.get(image)!));
    const full = { unreadable: inRows(unreadable), damaged: inRows(damaged) };
    const data = new ListedImages(listing, options, { store, full, ...settled });
    data.decodeSeconds = (performance.now() - since) / 1000;
    return data;
  } catch (error) {
    await pack.drop();
    throw error;
  }
}

/** @throws DataError with the number of the item */
function listed(item: ImageItem, index: number, task: Task): ListedImage {
  const refuse = (what: string, cause?: unknown): never => {
    throw new DataError(`item ${index + 1}: ${what}`, [], { cause });
  };
  if (typeof item !== 'object' || item === null || !('image' in item) || !('label' in item))
    return refuse(`expected { image, label }, got ${shown(item)}`);
  const {
    image,
    split,
    name = typeof image === 'string' ? image : `image-${String(index + 1).padStart(6, '0')}`,
  } = item;
  if (typeof name !== 'string' || name === '') return refuse(`expected a name, got ${shown(name)}`);
  const { fields, folder } = item as Partial<ListedImage>;
  try {
    const part = split === undefined || split === null || split === '' ? undefined : usedFor(split);
    return {
      name,
      image: imageName(image),
      label: labelOf(item.label, task),
      ...(part && { split: part }),
      ...(fields && { fields }),
      ...(folder !== undefined && { folder }),
    };
  } catch (error) {
    return refuse((error as Error).message, error);
  }
}

function usedFor(split: unknown): Part {
  const part = typeof split === 'string' ? partOf(split) : undefined;
  if (part) return part;
  throw new DataError(`expected the split train, val or test, got ${shown(split)}`);
}

function labelOf(label: unknown, task: Task): Label {
  if (task === 'multiclass') return oneLabel(label);
  if (task === 'multilabel') {
    if (Array.isArray(label)) return manyLabels(label);
    throw new DataError(`expected labels, a list, got ${shown(label)}`);
  }
  const numbers = typeof label === 'object' && label !== null ? Object.entries(label) : [['value', label] as const];
  if (numbers.length === 0 || Array.isArray(label))
    throw new DataError(`expected a number, or numbers by name, got ${shown(label)}`);
  return Object.fromEntries(numbers.map(([name, value]) => [name, oneNumber(value)]));
}
