// ImageFolder: a folder of class folders as a Dataset. Owns scanning, concurrent decoding, and the cache of packs.
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { DataError, UsageError } from '../../errors.js';
import { ImageStore } from '../../engine/images.js';
import { duplicateGroups, splitFromFile, stratifiedSplit, type Dataset, type Split } from '../dataset.js';
import { DECODE_VERSION, decodeBytes, IMAGE_EXTENSIONS, reasonOf } from '../decode.js';

/** How a folder is read, split and cached. */
export interface ImageFolderOptions {
  /** side of the square every image is resized to, pixels */
  size: number;
  /** share held back to validate on, where the folder has no val/ (default 0.3) */
  valSplit?: number;
  /** of the split (default 0) */
  seed?: number;
  /** leave unreadable images out instead of failing */
  skipBad?: boolean;
  /** 'auto' keeps packed images below `cacheDir`, so that a second run starts at once */
  cache?: 'auto' | 'off';
  /** default: `mnv2-torch/packs` in `$XDG_CACHE_HOME`, else in `~/.cache` */
  cacheDir?: string;
  /** a run's split.json to use instead of a fresh split */
  splitFile?: string;
  /** for evaluation, where one class or one image a class is nothing wrong */
  allowOneClass?: boolean;
  /** hears how many images are decoded */
  onProgress?: (progress: { done: number; total: number }) => void;
  /** aborting ends decoding; `ready` rejects */
  signal?: AbortSignal;
  /** images decoded at a time */
  concurrency?: number;
}

interface Listing {
  classes: string[];
  files: string[];
  labels: Int32Array;
  /** of each file: its part where the folder names parts, else '' */
  parts: string[];
  ignored: number;
}

/** Packs kept in the cache, in bytes; the longest unused go first. */
const CACHE_LIMIT = 8 * 2 ** 30;
const PARTS: Record<string, 'train' | 'val' | 'test'> = {
  train: 'train',
  training: 'train',
  val: 'val',
  valid: 'val',
  validation: 'val',
  test: 'test',
};
const byCodePoint = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

async function folders(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true });
  const named = await Promise.all(
    entries.map(async (e) =>
      e.isDirectory() ||
      (e.isSymbolicLink() && (await stat(path.join(dir, e.name)).catch(() => undefined))?.isDirectory())
        ? e.name
        : '',
    ),
  );
  return named.filter((n) => n !== '' && !n.startsWith('.')).sort(byCodePoint);
}

/** Files below a class folder, however deep, as paths relative to `root`. */
async function imagesBelow(root: string, dir: string): Promise<{ images: string[]; ignored: number }> {
  const entries = await readdir(path.join(root, dir), { recursive: true, withFileTypes: true });
  const files = entries.filter((e) => !e.isDirectory() && !e.name.startsWith('.'));
  const images = files.filter((e) => IMAGE_EXTENSIONS.has(path.extname(e.name).toLowerCase()));
  const relative = images.map((e) =>
    path
      .relative(root, path.join(e.parentPath ?? e.path, e.name))
      .split(path.sep)
      .join('/'),
  );
  return { images: relative.sort(byCodePoint), ignored: files.length - images.length };
}

async function scan(root: string, lenient: boolean): Promise<Listing> {
  const info = await stat(root).catch(() => undefined);
  if (!info)
    throw new DataError(`${root} does not exist; expected a folder with one subfolder of images a class`, [root]);
  if (!info.isDirectory())
    throw new DataError(`${root} is a file; expected a folder with one subfolder of images a class`, [root]);
  const top = await folders(root);
  const parted = top.some((n) => PARTS[n] === 'train') && top.some((n) => PARTS[n] === 'val');
  const parts = parted ? top.filter((n) => PARTS[n]) : [''];
  const found = new Map<string, { part: string; file: string }[]>();
  const classesOf = new Map<string, string[]>();
  let ignored = 0;
  for (const part of parts) {
    const names = await folders(path.join(root, part));
    classesOf.set(part, names);
    for (const name of names) {
      const { images, ignored: others } = await imagesBelow(root, path.join(part, name));
      ignored += others;
      found.set(name, [...(found.get(name) ?? []), ...images.map((file) => ({ part: PARTS[part] ?? '', file }))]);
    }
  }
  const classes = [...found.keys()].filter((c) => found.get(c)!.length > 0).sort(byCodePoint);
  if (classes.length === 0) {
    throw new DataError(
      `${root} has no images in class folders; expected <class>/<image>.jpg (or .png, .webp, .tif, ...)${ignored ? `; ${ignored} files of other kinds were passed over` : ''}`,
      [root],
    );
  }
  for (const [part, names] of lenient ? [] : classesOf) {
    const missing = classes.filter((c) => !names.includes(c));
    if (parted && missing.length > 0)
      throw new DataError(
        `${path.join(root, part)} lacks the classes ${missing.join(', ')}; train/ and val/ must have the same class folders`,
        [root],
      );
  }
  if (classes.length === 1 && !lenient)
    throw new DataError(`${root} has one class (${classes[0]}); a classifier needs at least two class folders`, [root]);
  const lonely = classes.filter((c) => found.get(c)!.length === 1);
  if (lonely.length > 0 && !parted && !lenient)
    throw new DataError(
      `too few images to train on and validate: ${lonely.join(', ')} ${lonely.length === 1 ? 'has' : 'have'} one; expected at least two a class`,
      [root],
    );
  const all = classes.flatMap((c, label) => found.get(c)!.map((f) => ({ ...f, label })));
  return {
    classes,
    files: all.map((f) => f.file),
    labels: Int32Array.from(all, (f) => f.label),
    parts: all.map((f) => f.part),
    ignored,
  };
}

/** Progress of rows 0, 1, 2, ... that finish in any order. */
class Watermark {
  readonly #done: Uint8Array;
  #level = 0;
  #waiting: { count: number; resolve: () => void; reject: (e: unknown) => void }[] = [];
  #failure: { error: unknown } | undefined;

  constructor(private readonly total: number) {
    this.#done = new Uint8Array(total);
  }
  mark(row: number): void {
    this.#done[row] = 1;
    while (this.#level < this.total && this.#done[this.#level]) this.#level++;
    this.#settle();
  }
  finish(): void {
    this.#level = this.total;
    this.#settle();
  }
  fail(error: unknown): void {
    this.#failure = { error };
    this.#settle();
  }
  reach(count: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ count, resolve, reject });
      this.#settle();
    });
  }
  #settle(): void {
    this.#waiting = this.#waiting.filter((w) => {
      if (w.count <= this.#level) w.resolve();
      else if (this.#failure) w.reject(this.#failure.error);
      else return true;
      return false;
    });
  }
}

const defaultCache = (): string =>
  path.join(process.env['XDG_CACHE_HOME'] || path.join(os.homedir(), '.cache'), 'mnv2-torch', 'packs');

/** Removes the packs longest unused until the rest fits. */
async function prune(dir: string, keep: string): Promise<void> {
  const names = (await readdir(dir)).filter((n) => n.endsWith('.u8') && n !== `${keep}.u8`);
  const packs = await Promise.all(names.map(async (n) => ({ n, s: await stat(path.join(dir, n)) })));
  packs.sort((a, b) => b.s.mtimeMs - a.s.mtimeMs);
  let total = (await stat(path.join(dir, `${keep}.u8`))).size;
  for (const { n, s } of packs) {
    total += s.size;
    if (total <= CACHE_LIMIT) continue;
    await rm(path.join(dir, n), { force: true });
    await rm(path.join(dir, n.replace(/\.u8$/, '.json')), { force: true });
  }
}

export class ImageFolder implements Dataset {
  readonly classes: string[];
  readonly files: string[];
  readonly labels: Int32Array;
  readonly size: number;
  readonly skipped: { file: string; reason: string }[] = [];
  /** files in class folders that are no images */
  readonly ignored: number;
  store!: ImageStore;
  readonly #root: string;
  readonly #parts: string[];
  readonly #options: ImageFolderOptions;
  readonly #level: Watermark;
  #split!: Promise<Split>;
  #disposed = false;

  private constructor(root: string, listing: Listing, options: ImageFolderOptions) {
    this.#root = root;
    this.#options = options;
    this.#parts = listing.parts;
    this.classes = listing.classes;
    this.files = listing.files;
    this.labels = listing.labels;
    this.ignored = listing.ignored;
    this.size = options.size;
    this.#level = new Watermark(this.files.length);
  }

  /**
   * Scans a folder of class folders (or of train/ and val/, and test/, with class folders in each) and starts decoding.
   * @throws DataError when there is nothing to train on: no folder, no images, one class, classes that differ
   * @example
   * import { ImageFolder } from 'mnv2-torch';
   * import { mkdirSync, mkdtempSync } from 'node:fs';
   * import sharp from 'sharp';
   * const root = mkdtempSync('/tmp/mnv2-');
   * for (const [name, background] of [['blue', '#00f'], ['red', '#f00']]) {
   *   mkdirSync(`${root}/${name}`);
   *   for (const n of [1, 2, 3]) await sharp({ create: { width: 8 + n, height: 8, channels: 3, background } }).png().toFile(`${root}/${name}/${n}.png`);
   * }
   * const data = await ImageFolder.open(root, { size: 8, cache: 'off' });
   * await data.ready();
   * console.log(data.classes.join(' '), data.files.length, data.store.get(0)[2]); // blue red 6 255
   * data.dispose();
   */
  static async open(dir: string, options: ImageFolderOptions): Promise<ImageFolder> {
    if (!Number.isInteger(options.size) || options.size < 1)
      throw new UsageError(`size: expected a whole number of pixels, got ${options.size}`);
    const root = path.resolve(dir);
    const data = new ImageFolder(root, await scan(root, options.allowOneClass ?? false), options);
    const { packing } = await data.#begin();
    data.#split = packing.then(() => data.#divide());
    data.#split.catch((error: unknown) => data.#level.fail(error));
    return data;
  }

  packed(count: number): Promise<void> {
    return this.#level.reach(count);
  }
  ready(): Promise<Split> {
    return this.#split;
  }
  /** Stops decoding and frees the pixels. Idempotent. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.store.dispose();
  }

  /** Opens the store; `packing` resolves when it is full. */
  async #begin(): Promise<{ packing: Promise<void> }> {
    const shape = { count: this.files.length, height: this.size, width: this.size, channels: 3 };
    const { cache = 'auto', cacheDir = defaultCache() } = this.#options;
    const memory = (): ImageStore => new ImageStore(shape);
    if (cache === 'off') {
      this.store = memory();
      return { packing: this.#pack() };
    }
    const key = await this.#contentKey();
    const [pack, record] = [path.join(cacheDir, `${key}.u8`), path.join(cacheDir, `${key}.json`)];
    try {
      const known = JSON.parse(await readFile(record, 'utf8')) as { count: number; size: number };
      if (known.count === shape.count && known.size === this.size) {
        this.store = new ImageStore({ ...shape, file: pack });
        await utimes(pack, new Date(), new Date()).catch(() => {});
        this.#level.finish();
        this.#options.onProgress?.({ done: shape.count, total: shape.count });
        return { packing: Promise.resolve() };
      }
    } catch {
      // Not there, or not usable: packed anew below.
    }
    const temporary = `${pack}.${process.pid}.tmp`;
    try {
      await mkdir(cacheDir, { recursive: true });
      this.store = new ImageStore({ ...shape, file: temporary, create: true });
    } catch {
      this.store = memory(); // a cache that cannot be written is no reason to fail
      return { packing: this.#pack() };
    }
    const packing = this.#pack().then(
      async () => {
        // With files left out the pack would not be complete next time.
        if (this.skipped.length > 0) return rm(temporary, { force: true });
        await rename(temporary, pack);
        await writeFile(record, JSON.stringify({ count: shape.count, size: this.size, root: this.#root }));
        await prune(cacheDir, key).catch(() => {});
      },
      async (error: unknown) => {
        await rm(temporary, { force: true });
        throw error;
      },
    );
    return { packing };
  }

  /** Depends on names and contents, and on how pixels are made of them. */
  async #contentKey(): Promise<string> {
    const total = createHash('sha256').update(`${DECODE_VERSION} ${this.size}\n`);
    const digests = new Array<string>(this.files.length);
    await this.#concurrently(8, async (row) => {
      const bytes = await readFile(path.join(this.#root, this.files[row]!)).catch(() => Buffer.alloc(0));
      digests[row] = createHash('sha1').update(bytes).digest('hex');
    });
    this.files.forEach((file, i) => total.update(`${digests[i]} ${file}\n`));
    return total.digest('hex').slice(0, 32);
  }

  /** Runs `work` for every row, `limit` at a time, in row order. */
  async #concurrently(limit: number, work: (row: number) => Promise<void>): Promise<void> {
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < this.files.length) {
        this.#options.signal?.throwIfAborted();
        if (this.#disposed) throw new DataError('the dataset was disposed while it was being decoded');
        await work(next++);
      }
    };
    await Promise.all(Array.from({ length: limit }, lane));
  }

  async #pack(): Promise<void> {
    const { skipBad = false, onProgress, concurrency = os.availableParallelism() + 1 } = this.#options;
    const sharp = (await import('sharp')).default;
    sharp.concurrency(1); // images in parallel, not parts of one: no waiting on each other
    const bad: { row: number; reason: string }[] = [];
    let done = 0;
    await this.#concurrently(concurrency, async (row) => {
      const file = path.join(this.#root, this.files[row]!);
      try {
        const pixels = await decodeBytes(await readFile(file), this.size);
        this.store.put(row, pixels);
      } catch (error) {
        if (this.#disposed) throw error;
        bad.push({ row, reason: reasonOf(error) });
      }
      this.#level.mark(row);
      onProgress?.({ done: ++done, total: this.files.length });
    });
    if (bad.length === 0) return;
    bad.sort((a, b) => a.row - b.row);
    const listed = bad.map(({ row, reason }) => ({ file: this.files[row]!, reason }));
    if (!skipBad) {
      const shown = listed.slice(0, 20).map(({ file, reason }) => `  ${file}: ${reason}`);
      throw new DataError(
        `${listed.length} of ${this.files.length} images cannot be read:\n${shown.join('\n')}${listed.length > 20 ? `\n  and ${listed.length - 20} more` : ''}\nRepair or remove them, or leave them out with --skip-bad.`,
        listed.map((b) => path.join(this.#root, b.file)),
      );
    }
    this.skipped.push(...listed);
  }

  async #divide(): Promise<Split> {
    const { valSplit = 0.3, seed = 0, splitFile } = this.#options;
    const absent = new Set(this.skipped.map((s) => s.file));
    if (splitFile) return splitFromFile(splitFile, this.files, absent);
    const rows = [...this.files.keys()].filter((i) => !absent.has(this.files[i]!));
    if (this.#parts.some((p) => p !== '')) {
      const part = (name: string): Int32Array => Int32Array.from(rows.filter((i) => this.#parts[i] === name));
      const [train, val, test] = [part('train'), part('val'), part('test')];
      return { train, val, test, seed, ratio: val.length / Math.max(1, train.length + val.length) };
    }
    const counts = this.classes.map((_, c) => rows.filter((i) => this.labels[i] === c).length);
    if (this.#options.allowOneClass)
      return { train: Int32Array.from(rows), val: new Int32Array(0), test: new Int32Array(0), seed, ratio: 0 };
    const few = this.classes.filter((_, c) => counts[c]! < 2);
    if (few.length > 0)
      throw new DataError(
        `too few readable images to train on and validate: ${few.join(', ')}; expected at least two a class`,
      );
    const group = await duplicateGroups(this.store, rows);
    return stratifiedSplit(rows, this.labels, (i) => group[i]!, valSplit, seed);
  }
}
