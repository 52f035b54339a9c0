// Room for packed images: what they will take, said before anything is decoded, and refused where there is too little.
import { statfs } from 'node:fs/promises';
import { DataError } from '../errors.js';

/** From so many bytes on it is worth a word. */
const NOTABLE = 2 ** 30;

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

/** Bytes of packed square images. */
export const packBytes = (count: number, size: number): number => count * size * size * 3;

const images = (count: number, size: number): string =>
  `${count.toLocaleString('en-US')} images of ${size} x ${size} pixels`;

/** What is said before packing; undefined where it is little. */
export function roomNote(count: number, size: number, dir: string): string | undefined {
  const bytes = packBytes(count, size);
  return bytes < NOTABLE ? undefined : `packing ${images(count, size)}: ${gigabytes(bytes)} in ${dir}`;
}

/** Bytes free in a folder for who is no superuser. @throws where the folder is not there */
export async function diskFree(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize;
}

/** Refuses images that the disk has no room for. */
export function refuseDisk(count: number, size: number, dir: string, free: number): never {
  throw new DataError(
    `${images(count, size)} take ${gigabytes(packBytes(count, size))} when packed, and ${gigabytes(free)} are free in ${dir}. ` +
      'Free disk space, name a folder on another disk with XDG_CACHE_HOME (cacheDir in a program), or use a smaller --size.',
    [dir],
  );
}

/** Refuses images that are too many for memory where the cache cannot be written to. */
export function refuseFolder(count: number, size: number, dir: string, cause: Error): never {
  throw new DataError(
    `${images(count, size)} take ${gigabytes(packBytes(count, size))} when packed, and ${dir} cannot be written to (${cause.message}). ` +
      'Make it writable, or name another folder with XDG_CACHE_HOME (cacheDir in a program).',
    [dir],
    { cause },
  );
}

/** Refuses images that memory has no room for. `instead` says what else could be done than a smaller size. */
export function requireMemory(count: number, size: number, instead: string): void {
  const [bytes, free] = [packBytes(count, size), process.availableMemory()];
  if (bytes > free)
    throw new DataError(
      `${images(count, size)} take ${gigabytes(bytes)} of memory, and ${gigabytes(free)} are free. ${instead}, or use a smaller size.`,
    );
}
