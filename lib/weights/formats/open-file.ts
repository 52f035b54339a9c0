// A file of weights, open to be read. Owns how: regular files alone, never more of them than there is.
import { constants, type Stats } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { DataError } from '../../errors.js';

/** Bytes read first: enough to tell every format. */
const START = 64 << 10;
/** Bytes of one read call: the system takes no more than 2 GiB. */
const CHUNK = 1 << 30;

export interface OpenFile {
  readonly path: string;
  /** bytes */
  readonly size: number;
  /** its first 64 KiB, or all of it */
  readonly start: Buffer;
  /**
   * `length` bytes from `position` on.
   * @throws DataError where the file ends before
   */
  read(position: number, length: number): Promise<Buffer>;
}

const endsBefore = (file: string, byte: number): DataError =>
  new DataError(`cannot read ${file}: it ends before byte ${byte}; is it cut short?`, [file]);

/** Bytes in memory as a file that messages call `name`; what is read of it are views. */
export function inMemory(bytes: Buffer, name: string): OpenFile {
  const read = (position: number, length: number): Promise<Buffer> =>
    position >= 0 && length >= 0 && position + length <= bytes.length
      ? Promise.resolve(bytes.subarray(position, position + length))
      : Promise.reject(endsBefore(name, position + length));
  return { path: name, size: bytes.length, start: bytes.subarray(0, START), read };
}

/** What it is that is no file. */
export function kindOf(found: Stats): string {
  if (found.isDirectory()) return 'a folder';
  if (found.isFIFO()) return 'a named pipe';
  return found.isSocket() ? 'a socket' : 'a device';
}

/**
 * Opens a file to read. What is none is refused before it is opened: a pipe would wait for a writer, and opening a
 * device can do things.
 */
async function openRegular(file: string): Promise<{ handle: FileHandle; size: number }> {
  const refuse = (found: Stats): void => {
    if (!found.isFile())
      throw new DataError(`cannot read the checkpoint ${file}: expected a file, it is ${kindOf(found)}`, [file]);
  };
  refuse(await stat(file));
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = await handle.stat();
    refuse(found); // it may have been replaced in between
    return { handle, size: found.size };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** `length` bytes from `position` on; fewer where the file ends before. */
async function readBytes(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.from(new ArrayBuffer(length));
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, Math.min(CHUNK, length - done), position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

/**
 * Opens a file of weights for `use`, and closes it after.
 * @throws DataError that says why it cannot be read
 */
export async function withFile<T>(file: string, use: (opened: OpenFile) => Promise<T>): Promise<T> {
  let handle: FileHandle | undefined;
  try {
    const opened = await openRegular(file);
    const { size } = opened;
    const from = (handle = opened.handle);
    const read = async (position: number, length: number): Promise<Buffer> => {
      if (!(position >= 0 && length >= 0 && position + length <= size)) throw endsBefore(file, position + length);
      const bytes = await readBytes(from, position, length);
      if (bytes.length < length) throw endsBefore(file, position + length); // it became shorter meanwhile
      return bytes;
    };
    return await use({ path: file, size, start: await readBytes(from, 0, Math.min(size, START)), read });
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    throw new DataError(`cannot read the checkpoint ${file}: ${(cause as Error).message}`, [file], { cause });
  } finally {
    await handle?.close();
  }
}
