// Vectors as NumPy's own file (.npy, format 1.0), with a file of their names beside it. Written vector by vector; both
// appear under their names when they are whole.
import { randomBytes } from 'node:crypto';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { DataError, UsageError } from '../errors.js';

/** Bytes before the numbers: a multiple of 64, as the format wants it, with room for any shape. */
const HEAD = 128;

function headOf(rows: number, width: number): Buffer {
  const head = Buffer.alloc(HEAD, ' ');
  head.write('\x93NUMPY\x01\x00', 'latin1');
  head.writeUInt16LE(HEAD - 10, 8);
  head.write(`{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${width}), }`, 10, 'latin1');
  head.write('\n', HEAD - 1);
  return head;
}

/** features.npy -> features.json: the names, in the order of the rows. */
export const namesFileOf = (file: string): string => `${file.replace(/\.npy$/i, '')}.json`;

/** A file under a name of its own until it is whole. */
class Growing {
  private constructor(
    readonly file: string,
    readonly temporary: string,
    private readonly handle: FileHandle,
  ) {}
  static async of(file: string): Promise<Growing> {
    const temporary = `${file}.${randomBytes(4).toString('hex')}.part`;
    try {
      return new Growing(file, temporary, await open(temporary, 'wx'));
    } catch (cause) {
      throw new UsageError(`${file}: cannot be written: ${(cause as Error).message}`, { cause });
    }
  }
  async append(bytes: Uint8Array | string): Promise<void> {
    await this.handle.appendFile(bytes);
  }
  async rewrite(head: Uint8Array): Promise<void> {
    await this.handle.write(head, 0, head.length, 0);
  }
  async whole(): Promise<void> {
    await this.handle.sync();
    await this.handle.close();
    await rename(this.temporary, this.file);
  }
  async drop(): Promise<void> {
    await this.handle.close().catch(() => {});
    await rm(this.temporary, { force: true });
  }
}

export class NpyFile {
  #rows = 0;
  #width = 0;

  private constructor(
    private readonly numbers: Growing,
    private readonly names: Growing,
  ) {}

  /** @throws UsageError where it cannot be written */
  static async create(file: string): Promise<NpyFile> {
    const numbers = await Growing.of(file);
    try {
      return new NpyFile(numbers, await Growing.of(namesFileOf(file)));
    } catch (error) {
      await numbers.drop();
      throw error;
    }
  }

  /** Rows and their width so far. */
  get shape(): [number, number] {
    return [this.#rows, this.#width];
  }

  /** One more row; all are as wide as the first. */
  async append(name: string, { buffer, byteOffset, byteLength, length }: Float32Array): Promise<void> {
    if (this.#rows === 0) {
      this.#width = length;
      await this.numbers.append(headOf(0, length));
    }
    await this.numbers.append(new Uint8Array(buffer, byteOffset, byteLength));
    await this.names.append(`${this.#rows === 0 ? '[\n' : ',\n'}${JSON.stringify(name)}`);
    this.#rows++;
  }

  /** Puts both files in their places. @throws DataError when there is no row; nothing is left then */
  async end(): Promise<void> {
    if (this.#rows === 0) {
      await this.drop();
      throw new DataError(`${this.numbers.file}: expected at least one image that can be read, got none; not written`);
    }
    await this.numbers.rewrite(headOf(this.#rows, this.#width));
    await this.names.append('\n]\n');
    await this.names.whole();
    await this.numbers.whole();
  }

  /** Removes what there is. */
  async drop(): Promise<void> {
    await Promise.all([this.numbers.drop(), this.names.drop()]);
  }
}
