// ImageList: images before they are decoded, to be put together, chosen from and relabelled. What becomes of them is
// listing.ts and listed-images.ts.
import path from 'node:path';
import { UsageError } from '../errors.js';
import { nearest } from '../nearest.js';
import { checkFunction, checkWhole, shown } from './checks.js';
import type { Task } from '../weights/task.js';
import { spread } from './image-files.js';
import { checkOpenOptions, ListedImages, placeFor, type OpenOptions } from './listed-images.js';
import { inOrder, rowsOf, type Label, type Listed, type ListedImage } from './listing.js';

/**
 * Images that a folder or a manifest lists, in the order of classes and names. Every method gives a new list and touches
 * no file; `open` decodes what is left, each image once. Iterating gives what `fromImages` takes.
 * @example
 * import { ImageFolder } from 'mnv2-torch';
 * import { mkdirSync, mkdtempSync } from 'node:fs';
 * import sharp from 'sharp';
 * const root = mkdtempSync('/tmp/mnv2-');
 * for (const [name, r] of [['cat', 0], ['dog', 120], ['car', 255]]) {
 *   mkdirSync(`${root}/${name}`);
 *   for (const n of [1, 2, 3, 4]) {
 *     const create = { width: 8, height: 8, channels: 3, background: { r, g: 20 * n, b: 9 } };
 *     await sharp({ create }).png().toFile(`${root}/${name}/${n}.png`);
 *   }
 * }
 * const list = await ImageFolder.list(root);
 * const fewer = list.filter(({ name }) => !name.endsWith('4.png')).relabel({ cat: 'animal', dog: 'animal' }).take(6);
 * const data = await fewer.open({ size: 8, cache: 'off' });
 * await data.ready();
 * console.log(list.length, data.files.length, data.classes.join(' ')); // 12 6 animal car
 * data.dispose();
 */
export class ImageList implements Iterable<ListedImage> {
  readonly #listed: Listed;

  /** @internal */
  constructor(listed: Listed) {
    this.#listed = { ...listed, images: inOrder(listed.images) };
  }

  /** what is learned of an image */
  get task(): Task {
    return this.#listed.task;
  }
  /** Number of images. */
  get length(): number {
    return this.#listed.images.length;
  }
  /** Images in order. */
  [Symbol.iterator](): Iterator<ListedImage> {
    return this.#listed.images[Symbol.iterator]();
  }

  /**
   * These images and those of other lists. Names become relative to the folder that all of them lie in.
   * @throws UsageError for lists of another task, or of other numbers
   */
  concat(...others: readonly ImageList[]): ImageList {
    const all = [this, ...others].map((list) => {
      if (!(list instanceof ImageList)) throw new UsageError(`concat: expected lists of images, got ${shown(list)}`);
      return list.#listed;
    });
    const { task } = this.#listed;
    const other = all.find((listed) => listed.task !== task);
    if (other) throw new UsageError(`concat: expected lists of one task, got ${task} and ${other.task}`);
    if (task === 'regression') {
      const [names, ...more] = all.flatMap(({ images }) => images.slice(0, 1).map((i) => Object.keys(i.label).join()));
      const differ = more.find((it) => it !== names);
      if (differ !== undefined)
        throw new UsageError(`concat: expected lists of the same numbers, got ${names} and ${differ}`);
    }
    const root = commonRoot(all.map((listed) => listed.root));
    return new ImageList({
      task,
      images: all.flatMap(({ images, root: own }) =>
        own === root || root === undefined || own === undefined
          ? images
          : images.map((image) => ({ ...image, name: nameIn(root, image) })),
      ),
      from: [...new Set(all.map(({ from }) => from))].join(' and '),
      ...(root !== undefined && { root }),
      partFolders: all.every(({ partFolders }) => partFolders),
      unlisted: all.flatMap(({ unlisted }) => unlisted),
      notes: [...new Set(all.flatMap(({ notes }) => notes))],
    });
  }

  /** Those images for which `keep` says true; it gets an image and its place in this list. */
  filter(keep: (image: ListedImage, index: number) => boolean): ImageList {
    checkFunction('filter', keep);
    return this.#with(this.#listed.images.filter((image, i) => keep(image, i)));
  }

  /**
   * At most `count` images, evenly spread over the list rather than its first ones, which may be of one class: classes
   * keep their shares. The same ones every time.
   */
  take(count: number): ImageList {
    checkWhole('take', count, 1, Number.MAX_SAFE_INTEGER);
    return this.#with(spread(this.#listed.images, count));
  }

  /**
   * Other labels in place of these: by a table, whose labels that are not in it stay, or by a function. Labels may become
   * one.
   * @throws UsageError for a label of the table that no image has, or for numbers
   */
  relabel(labels: Readonly<Record<string, string>> | ((label: string, image: ListedImage) => string)): ImageList {
    const { task, images } = this.#listed;
    if (task === 'regression') throw new UsageError('relabel: expected images with labels, got a list of numbers');
    const of = typeof labels === 'function' ? labels : tableOf(labels, images);
    const renamed = (label: string, image: ListedImage): string => {
      const name: unknown = of(label, image);
      if (typeof name === 'string' && name !== '') return name;
      throw new UsageError(`relabel: expected a label in place of ${shown(label)}, got ${shown(name)}`);
    };
    const relabelled = (image: ListedImage): Label =>
      typeof image.label === 'string'
        ? renamed(image.label, image)
        : [...new Set((image.label as readonly string[]).map((label) => renamed(label, image)))];
    return this.#with(images.map((image) => ({ ...image, label: relabelled(image) })));
  }

  /**
   * Starts decoding, as `ImageFolder.open` does.
   * @throws UsageError for options out of range; DataError when what is left cannot be trained on
   */
  async open(options: OpenOptions): Promise<ListedImages> {
    checkOpenOptions(options);
    const listing = rowsOf(this.#listed);
    return new ListedImages(listing, options, await placeFor(listing, options));
  }

  #with(images: readonly ListedImage[]): ImageList {
    return new ImageList({ ...this.#listed, images });
  }
}

/** The folder that all roots lie in; none where one has none. */
function commonRoot(roots: readonly (string | undefined)[]): string | undefined {
  return roots.reduce((a, b) => {
    if (a === undefined || b === undefined) return undefined;
    let common = a;
    while (common !== b && !b.startsWith(common.endsWith(path.sep) ? common : common + path.sep))
      common = path.dirname(common);
    return common;
  });
}

/** A file relative to a root, with '/'. */
const nameIn = (root: string, { image }: ListedImage): string => path.relative(root, image).split(path.sep).join('/');

function tableOf(table: Readonly<Record<string, string>>, images: readonly ListedImage[]): (label: string) => string {
  if (typeof table !== 'object' || table === null)
    throw new UsageError(`relabel: expected a function or a table of labels, got ${shown(table)}`);
  const known = [...new Set(images.flatMap(({ label }) => label as string | string[]))];
  for (const label of Object.keys(table)) {
    if (known.includes(label)) continue;
    const near = nearest(label, known);
    throw new UsageError(
      `relabel: no image has the label ${shown(label)}${near ? `. Did you mean ${near}?` : `; there are ${known.slice(0, 5).join(', ')}`}`,
    );
  }
  return (label) => (Object.hasOwn(table, label) ? table[label]! : label);
}
