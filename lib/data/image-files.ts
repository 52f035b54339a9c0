// Images that are not a data set: files that were named, and all those below folders.
import { stat } from 'node:fs/promises';
import { ImageStore } from '../engine/images.js';
import { DataError } from '../errors.js';
import { decodeImage } from './image-input.js';
import { walkImages } from './image-walk.js';
import { inLanes } from './pack.js';

/** Pictures decoded at a time. */
const LANES = 4;

/**
 * An image that was named, or every image below a folder, sorted; hidden files and folders are left out.
 * @throws DataError where there is nothing of that name, a folder cannot be read, or has no image in it
 */
export async function imagesIn(at: string): Promise<string[]> {
  await stat(at).catch((cause: Error) => {
    throw new DataError(`${at}: expected an image or a folder of images: ${cause.message}`, [at], { cause });
  });
  const names: string[] = [];
  const onFailure = (error: DataError): never => {
    throw error;
  };
  for await (const name of walkImages([at], { onFailure })) names.push(name);
  return names.sort();
}

/** At most `most` of a list, spread evenly over it. */
export const spread = <T>(of: readonly T[], most: number): T[] =>
  of.length <= most ? [...of] : Array.from({ length: most }, (_, i) => of[Math.floor((i * of.length) / most)]!);

/**
 * Files as a store of squares of `size`.
 * @throws DataError naming the first that cannot be read
 */
export async function storeOf(files: readonly string[], size: number): Promise<ImageStore> {
  const store = new ImageStore({ count: files.length, height: size, width: size, channels: 3 });
  try {
    await inLanes(files.length, LANES, async (i) => {
      store.put(i, await decodeImage(files[i]!, size));
    });
    return store;
  } catch (error) {
    store.dispose();
    throw error;
  }
}
