// PackedImages: a dataset whose images are decoded side by side into one store. Owns progress, what is done about bad
// files, and the order rows become ready in; a source brings the list, the pixels of a row and the split.
import os from 'node:os';
import path from 'node:path';
import { DataError } from '../errors.js';
import { ImageStore } from '../engine/images.js';
import { checkFlag, checkFunction, checkSignal, checkWhole, MOST_PIXELS, MOST_SIZE } from './checks.js';
import type { Task } from '../weights/task.js';
import type { BadFile, Dataset } from './dataset.js';
import { decodeInParallel, reasonOf, type Decoded, type DecodeOptions } from './decode.js';
import { Milestones } from './milestones.js';
import { requireMemory } from './pack-room.js';
import { duplicateGroups, type Split } from './split.js';

/** How images are decoded into a store, whatever their source. */
export interface PackOptions extends DecodeOptions {
  /** side of the square every image is resized to, 1 to 8192 pixels */
  size: number;
  /** leave unreadable and damaged images out instead of failing */
  skipBad?: boolean;
  /**
   * called for each image decoded, and before the first one where there is something to know (`note`: the disk that
   * many images take); what it throws ends the decoding and rejects `ready()`
   */
  onProgress?: (progress: { done: number; total: number; note?: string }) => void;
  /** aborting ends decoding; `ready()` rejects */
  signal?: AbortSignal;
  /** images decoded at a time (default: one a core and one more) */
  concurrency?: number;
}

/** What is known before the first image is decoded, and how to go on. */
export interface PackSource {
  /** absent: 'multiclass' */
  task?: Task;
  classes: string[];
  files: string[];
  labels: Int32Array;
  targets?: Float32Array;
  notes?: readonly string[];
  /** what could not even be listed */
  unlisted?: readonly BadFile[];
  /** where files are, for errors' lists; absent: nowhere */
  root?: string;
  decode(row: number): Promise<Decoded>;
  /** Divides the usable rows; the store is full. */
  split(packed: Packed): Split | Promise<Split>;
}

/** Images that were packed, as they are divided. */
export interface Packed {
  /** usable rows */
  rows: readonly number[];
  /** files that were left out */
  absent: ReadonlySet<string>;
  /** for each row the first usable row with the same pixels */
  duplicates(): Promise<Int32Array>;
  /** adds a sentence to the dataset's notes */
  note(sentence: string): void;
}

/** Where the pixels are kept. */
export interface Place {
  store: ImageStore;
  /** bad files of a store that was full when it was opened; absent: it has to be filled */
  full?: { unreadable?: readonly BadFile[]; damaged: readonly BadFile[] };
  /** what should be known before it is filled */
  note?: string;
  /** whether an earlier run, interrupted, left a row's pixels in it */
  has(row: number): boolean;
  /** A row's pixels are in it, as whole as their file. */
  wrote(row: number): void;
  /** All images are in it. */
  keep(damaged: readonly BadFile[]): Promise<void>;
  /** It will not be completed by this run. */
  leave(): Promise<void>;
}

/** A store of `count` square RGB images. */
export const shapeOf = (
  count: number,
  size: number,
): { count: number; height: number; width: number; channels: 3 } => ({
  count,
  height: size,
  width: size,
  channels: 3,
});

const nothing = (): Promise<void> => Promise.resolve();
/** A place that nobody goes on with: in memory, or full already. */
export const settled = { has: () => false, wrote: () => {}, keep: nothing, leave: nothing };

/** @throws DataError where memory has no room for them */
export function inMemory(
  count: number,
  size: number,
  instead = 'Leave the cache on, which keeps them in a file',
): Place {
  requireMemory(count, size, instead);
  return { store: new ImageStore(shapeOf(count, size)), ...settled };
}

/** @throws UsageError naming the option, before any work */
export function checkPackOptions(options: PackOptions): void {
  const { size, maxPixels, concurrency, skipBad, allowDamaged, onProgress, signal } = options;
  checkWhole('size', size, 1, MOST_SIZE);
  if (maxPixels !== undefined) checkWhole('maxPixels', maxPixels, 1, MOST_PIXELS);
  if (concurrency !== undefined) checkWhole('concurrency', concurrency, 1, 1024);
  if (skipBad !== undefined) checkFlag('skipBad', skipBad);
  if (allowDamaged !== undefined) checkFlag('allowDamaged', allowDamaged);
  if (onProgress !== undefined) checkFunction('onProgress', onProgress);
  if (signal !== undefined) checkSignal('signal', signal);
}

/** Runs `work` for rows 0 .. total - 1, `limit` at a time, in row order. The first failure ends it, once all rest. */
export async function inLanes(total: number, limit: number, work: (row: number) => Promise<void>): Promise<void> {
  let next = 0;
  let failure: { error: unknown } | undefined;
  const lane = async (): Promise<void> => {
    while (next < total && !failure) {
      try {
        await work(next++);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, total) }, lane));
  if (failure) throw failure.error;
}

/** Images decoded side by side into one store: what every source returns. */
export class PackedImages implements Dataset {
  readonly task: Task;
  readonly classes: string[];
  readonly files: string[];
  readonly labels: Int32Array;
  readonly targets?: Float32Array;
  readonly size: number;
  readonly store: ImageStore;
  readonly notes: string[];
  readonly skipped: BadFile[] = [];
  readonly damaged: BadFile[] = [];
  decodeSeconds: number | undefined;
  readonly #source: PackSource;
  readonly #options: PackOptions;
  readonly #place: Place;
  readonly #packed: Milestones;
  readonly #full: Promise<void>;
  readonly #split: Promise<Split>;
  #duplicates: Promise<Int32Array> | undefined;
  #disposed = false;

  /** Starts decoding at once. The options have been checked. */
  constructor(source: PackSource, options: PackOptions, place: Place) {
    this.#source = source;
    this.#options = options;
    this.#place = place;
    this.task = source.task ?? 'multiclass';
    this.classes = source.classes;
    this.files = source.files;
    this.labels = source.labels;
    if (source.targets) this.targets = source.targets;
    this.notes = [...(source.notes ?? [])];
    this.size = options.size;
    this.store = place.store;
    this.#packed = new Milestones(source.files.length);
    this.#full = this.#pack();
    this.#split = this.#full.then(() => this.#divide());
    this.#split.catch((error: unknown) => this.#packed.fail(error));
  }

  packed(count: number): Promise<void> {
    return this.#packed.reach(count);
  }
  ready(): Promise<Split> {
    return this.#split;
  }
  duplicates(): Promise<Int32Array> {
    return (this.#duplicates ??= this.#full.then(() => duplicateGroups(this.store, this.#usable())));
  }
  dispose(): void {
    this.#disposed = true;
    this.store.dispose();
  }

  async #pack(): Promise<void> {
    const { full } = this.#place;
    const total = this.files.length;
    if (full) {
      this.#packed.finish();
      this.#options.onProgress?.({ done: total, total });
      return this.#judge(full.unreadable ?? [], full.damaged);
    }
    let bad: Awaited<ReturnType<PackedImages['decodeAll']>>;
    const since = performance.now();
    try {
      bad = await this.decodeAll();
      this.decodeSeconds = (performance.now() - since) / 1000;
    } catch (error) {
      await this.#place.leave();
      throw error;
    }
    // With files left out the pack would not be complete next time.
    await (bad.unreadable.length === 0 ? this.#place.keep(bad.damaged) : this.#place.leave());
    this.#judge(bad.unreadable, bad.damaged);
  }

  private async decodeAll(): Promise<{ unreadable: BadFile[]; damaged: BadFile[] }> {
    const { onProgress, signal, concurrency = os.availableParallelism() + 1 } = this.#options;
    await decodeInParallel();
    const [unreadable, damaged] = [new Map<number, string>(), new Map<number, string>()];
    const { has, note } = this.#place;
    const total = this.files.length;
    let done = [...this.files.keys()].filter(has).length;
    if (note !== undefined || done > 0) onProgress?.({ done, total, ...(note !== undefined && { note }) });
    await inLanes(total, concurrency, async (row) => {
      signal?.throwIfAborted();
      if (has(row)) return this.#packed.mark(row);
      let decoded: Decoded | undefined;
      try {
        decoded = await this.#source.decode(row);
      } catch (error) {
        unreadable.set(row, reasonOf(error));
      }
      if (this.#disposed) throw new DataError('the dataset was disposed while it was being decoded');
      if (decoded) this.store.put(row, decoded.pixels);
      // A damaged image is decoded again by a run that goes on, which learns of the damage that way.
      if (decoded?.damage !== undefined) damaged.set(row, decoded.damage);
      else if (decoded) this.#place.wrote(row);
      this.#packed.mark(row);
      onProgress?.({ done: ++done, total });
    });
    const listed = (of: Map<number, string>): BadFile[] =>
      [...of].sort(([a], [b]) => a - b).map(([row, reason]) => ({ file: this.files[row]!, reason }));
    return { unreadable: listed(unreadable), damaged: listed(damaged) };
  }

  /** Keeps, leaves out or refuses bad files, as the options say. */
  #judge(unreadable: readonly BadFile[], damaged: readonly BadFile[]): void {
    const { skipBad = false, allowDamaged = false } = this.#options;
    if (allowDamaged) this.damaged.push(...damaged);
    const lost = [...(this.#source.unlisted ?? []), ...unreadable];
    const bad = allowDamaged ? lost : [...lost, ...damaged].sort((a, b) => (a.file < b.file ? -1 : 1));
    if (bad.length === 0) return;
    if (skipBad) {
      this.skipped.push(...bad);
      return;
    }
    const shown = bad.slice(0, 20).map(({ file, reason }) => `  ${file}: ${reason}`);
    if (bad.length > shown.length) shown.push(`  and ${bad.length - shown.length} more`);
    const keep =
      damaged.length > 0 && !allowDamaged ? `, or keep what is left of damaged ones with --allow-damaged` : '';
    throw new DataError(
      `${bad.length} of ${this.files.length} images ${lost.length > 0 ? 'cannot be read' : 'are damaged'}:\n${shown.join('\n')}\n` +
        `Repair or remove them, or leave them out with --skip-bad${keep}.`,
      bad.map(({ file }) => (this.#source.root === undefined ? file : path.resolve(this.#source.root, file))),
    );
  }

  #usable(): number[] {
    const absent = new Set(this.skipped.map((s) => s.file));
    return [...this.files.keys()].filter((i) => !absent.has(this.files[i]!));
  }

  #divide(): Split | Promise<Split> {
    return this.#source.split({
      rows: this.#usable(),
      absent: new Set(this.skipped.map((s) => s.file)),
      duplicates: () => this.duplicates(),
      note: (sentence) => void this.notes.push(sentence),
    });
  }
}
