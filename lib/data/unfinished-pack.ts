// A pack that is being filled: the pixels, and behind them which rows have them, so that a run that is killed is gone on
// with. Owns that file's layout and the order in which its parts reach the disk; its names are pack-cache.ts's.
import { open, truncate, type FileHandle } from 'node:fs/promises';
import { ImageStore } from '../engine/images.js';
import { shapeOf } from './pack.js';

/** Rows are recorded after so much work: what a kill loses. */
const FLUSH_MS = 500;
const FLUSH_BYTES = 64 * 2 ** 20;

// Behind the pixels: a byte a row, 1 where it has its pixels; then these.
const MAGIC = 'mnv2rows';
const TAIL = MAGIC.length + 8 + 8; // with the number of rows and the limit of pixels, float64

interface Rows {
  /** 1 for each row that has its pixels */
  marks: Uint8Array;
  /** no picture among them has more pixels */
  maxPixels: number;
}

/** What is behind the pixels of an unfinished pack; undefined where that is nothing of ours. */
export async function readRows(file: string): Promise<Rows | undefined> {
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    const tail = Buffer.alloc(TAIL);
    if (size < TAIL) return undefined;
    await handle.read(tail, 0, TAIL, size - TAIL);
    const count = tail.readDoubleLE(MAGIC.length);
    if (tail.toString('latin1', 0, MAGIC.length) !== MAGIC || !(count >= 1 && count <= size - TAIL)) return undefined;
    const marks = new Uint8Array(count);
    await handle.read(marks, 0, count, size - TAIL - count);
    return { marks, maxPixels: tail.readDoubleLE(MAGIC.length + 8) };
  } finally {
    await handle.close();
  }
}

/** A pack on its way. After `finish` or `close` nothing else may be called; the store stays usable. */
export class UnfinishedPack {
  #fresh: number[] = [];
  #since = performance.now();
  #flushing: Promise<void> | undefined;
  #failure: { error: unknown } | undefined;

  private constructor(
    readonly file: string,
    readonly store: ImageStore,
    private readonly handle: FileHandle,
    private readonly marks: Uint8Array,
    private readonly pixels: number,
  ) {}

  /**
   * Makes the file with all of its disk space reserved, or, with the `rows` that were read of it, goes on with it.
   * @throws where it cannot
   */
  static async open(
    file: string,
    count: number,
    size: number,
    maxPixels: number,
    rows?: Rows,
  ): Promise<UnfinishedPack> {
    const how = rows ? { update: true } : { create: true };
    const store = new ImageStore({ ...shapeOf(count, size), file, ...how });
    try {
      const handle = await open(file, 'r+');
      const pixels = count * size * size * 3;
      const marks = rows?.marks ?? new Uint8Array(count);
      const tail = Buffer.alloc(TAIL);
      tail.write(MAGIC, 'latin1');
      tail.writeDoubleLE(count, MAGIC.length);
      tail.writeDoubleLE(maxPixels, MAGIC.length + 8);
      await handle.write(Buffer.concat([marks, tail]), 0, count + TAIL, pixels);
      return new UnfinishedPack(file, store, handle, marks, pixels);
    } catch (error) {
      store.dispose();
      throw error;
    }
  }

  /** Whether a row has its pixels. */
  has(row: number): boolean {
    return this.marks[row] === 1;
  }

  /** The store holds the pixels of this row now. They are recorded soon, in the background. */
  wrote(row: number): void {
    this.#fresh.push(row);
    const bytes = this.#fresh.length * (this.pixels / this.marks.length);
    if (this.#flushing || (bytes < FLUSH_BYTES && performance.now() - this.#since < FLUSH_MS)) return;
    this.#flushing = this.#flush()
      .catch((error: unknown) => void (this.#failure ??= { error }))
      .finally(() => (this.#flushing = undefined));
  }

  /** Records what is not recorded yet and stops. */
  async close(): Promise<void> {
    await this.#flushing;
    try {
      if (!this.#failure) await this.#flush();
    } finally {
      await this.handle.close();
    }
  }

  /** All rows have their pixels: they are on the disk, and nothing is behind them any more. */
  async finish(): Promise<void> {
    await this.close();
    if (this.#failure) throw this.#failure.error;
    await truncate(this.file, this.pixels);
  }

  /** Pixels first, then the marks that say so: whenever the process or the machine stops, no mark is too early. */
  async #flush(): Promise<void> {
    const rows = this.#fresh;
    this.#fresh = [];
    this.#since = performance.now();
    if (rows.length === 0) return;
    await this.handle.datasync();
    let [first, last] = [Infinity, 0];
    for (const row of rows) {
      this.marks[row] = 1;
      [first, last] = [Math.min(first, row), Math.max(last, row)];
    }
    await this.handle.write(this.marks, first, last - first + 1, this.pixels + first);
  }
}
