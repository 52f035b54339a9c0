// GrowingPack: pixels of images whose number is not known yet, in a file of their own. What is known of each image is the
// business of who fills it.
import { randomBytes } from 'node:crypto';
import { mkdir, open, rm, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { processMark } from '../cache/live-process.js';
import { ImageStore } from '../engine/images.js';
import { DataError } from '../errors.js';
import { reasonOf } from './decode.js';
import { shapeOf } from './pack.js';

export class GrowingPack {
  readonly #bytes: number;

  private constructor(
    private readonly file: string,
    private readonly handle: FileHandle,
    private readonly size: number,
  ) {
    this.#bytes = size * size * 3;
  }

  /**
   * In a folder, under a name by which it is removed should this process not come to it (see pack-cache.ts).
   * @throws DataError where the folder cannot be written to
   */
  static async create(dir: string, size: number): Promise<GrowingPack> {
    const name = `${randomBytes(16).toString('hex')}.u8.${await processMark()}.${randomBytes(4).toString('hex')}.tmp`;
    try {
      await mkdir(dir, { recursive: true });
      const file = path.join(dir, name);
      return new GrowingPack(file, await open(file, 'wx+'), size);
    } catch (cause) {
      throw new DataError(
        `${dir}: cannot keep pixels there (${reasonOf(cause)}); name another folder: cacheDir`,
        [dir],
        {
          cause,
        },
      );
    }
  }

  /** Image `index`, [size, size, 3]; in any order. */
  async put(index: number, pixels: Uint8Array): Promise<void> {
    try {
      await this.#write(index, pixels);
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      throw new DataError(
        `${this.file}: cannot write pixels: ${code === 'ENOSPC' ? 'no space is left on the disk' : message}; name another folder: cacheDir`,
        [this.file],
        { cause },
      );
    }
  }

  /**
   * All images as a store, row by row image `order[row]`; those that were never put are black. The file goes with the
   * store.
   */
  async store(order: readonly number[]): Promise<ImageStore> {
    await this.handle.truncate(order.length * this.#bytes);
    await this.#arrange(order);
    const store = new ImageStore({ ...shapeOf(order.length, this.size), file: this.file });
    await this.drop(); // its bytes stay for as long as they are mapped
    return store;
  }

  async drop(): Promise<void> {
    await this.handle.close();
    await rm(this.file, { force: true });
  }

  /** In place, circle by circle: each image is moved once, and a second file is not needed. */
  async #arrange(order: readonly number[]): Promise<void> {
    const settled = new Uint8Array(order.length);
    const [first, moved] = [Buffer.alloc(this.#bytes), Buffer.alloc(this.#bytes)];
    for (const start of order.keys()) {
      if (settled[start] || order[start] === start) continue;
      await this.#read(start, first);
      let row = start;
      for (; order[row] !== start; row = order[row]!) {
        await this.#read(order[row]!, moved);
        await this.#write(row, moved);
        settled[row] = 1;
      }
      await this.#write(row, first);
      settled[row] = 1;
    }
  }

  async #read(index: number, into: Buffer): Promise<void> {
    for (let at = 0; at < into.length;) {
      const { bytesRead } = await this.handle.read(into, at, into.length - at, index * this.#bytes + at);
      if (bytesRead === 0) throw new DataError(`${this.file}: it was cut short by another program`, [this.file]);
      at += bytesRead;
    }
  }

  async #write(index: number, pixels: Uint8Array): Promise<void> {
    for (let at = 0; at < pixels.length;)
      at += (await this.handle.write(pixels, at, pixels.length - at, index * this.#bytes + at)).bytesWritten;
  }
}
