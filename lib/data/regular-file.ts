// Reading files that may be anything by the name of an image: a pipe or a device is refused, never waited for.
import { createHash } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { lstat, open, stat, type FileHandle } from 'node:fs/promises';
import { DataError } from '../errors.js';

function kindOf(info: Stats): string {
  if (info.isDirectory()) return 'a folder';
  if (info.isFIFO()) return 'a named pipe';
  if (info.isSocket()) return 'a socket';
  return 'a device';
}

function refuseOthers(info: Stats): void {
  if (!info.isFile()) throw new DataError(`${kindOf(info)}, not a file`);
}

/** Runs `work` on the open file and its size in bytes. Links are followed. */
async function withFile<T>(file: string, work: (handle: FileHandle, size: number) => Promise<T>): Promise<T> {
  try {
    refuseOthers(await stat(file)); // opening a device can do something
  } catch (error) {
    const dangling = (error as NodeJS.ErrnoException).code === 'ENOENT' && (await lstat(file).catch(() => undefined));
    throw dangling ? new DataError('a symbolic link to nothing') : error;
  }
  // Should it have become a pipe meanwhile, opening does not wait for a writer, and the second look refuses it.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const info = await handle.stat();
    refuseOthers(info);
    return await work(handle, info.size);
  } finally {
    await handle.close();
  }
}

/** Fills `into` from the file's present position; fewer bytes at its end. */
async function fill(handle: FileHandle, into: Buffer): Promise<number> {
  let at = 0;
  while (at < into.length) {
    const { bytesRead } = await handle.read(into, at, into.length - at);
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return at;
}

/**
 * Reads a regular file and hands its bytes on.
 * @param admit sees the size in bytes first; it may refuse by throwing, or make the reading wait
 * @throws DataError for what is no file, the system's error for what cannot be opened
 */
export function readRegularFile<T>(
  file: string,
  admit: (size: number, read: () => Promise<Buffer>) => Promise<T>,
): Promise<T> {
  return withFile(file, (handle, size) =>
    admit(size, async () => {
      const bytes = Buffer.allocUnsafe(size);
      return bytes.subarray(0, await fill(handle, bytes));
    }),
  );
}

/** SHA-1 of a regular file's bytes, hexadecimal; of none where it cannot be read. A large file is not held in memory. */
export async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha1');
  await withFile(file, async (handle, size) => {
    const chunk = Buffer.allocUnsafe(Math.min(Math.max(size, 1), 2 ** 20));
    for (let n = await fill(handle, chunk); n > 0; n = n < chunk.length ? 0 : await fill(handle, chunk))
      hash.update(chunk.subarray(0, n));
  }).catch(() => undefined);
  return hash.digest('hex');
}
