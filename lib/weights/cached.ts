// Published files in the user's cache: where each lies, and whether what lies there is the file it should be.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { cacheFolder } from '../cache/folder.js';
import { DataError } from '../errors.js';
import type { PublishedHash, PublishedWeights } from './published.js';

/** Where a published file is kept, whether or not it is there. */
export const cachedFile = ({ name, url }: PublishedWeights): string =>
  path.join(cacheFolder('weights'), name.replace(':', '-') + path.extname(new URL(url).pathname));

export const isCached = (weights: PublishedWeights): Promise<boolean> =>
  stat(cachedFile(weights)).then(
    (found) => found.isFile(),
    () => false,
  );

/** Of the whole file, hexadecimal. */
export async function hashOf(file: string, algorithm: PublishedHash['algorithm']): Promise<string> {
  const hash = createHash(algorithm);
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** `sha256 b0353104...`: as much of a hash as is known. */
export const hashText = ({ algorithm, hex }: Pick<PublishedHash, 'algorithm' | 'hex'>): string => {
  const whole = hex.length === (algorithm === 'sha256' ? 64 : 32);
  return `${algorithm} ${hex}${whole ? '' : '...'}`;
};

/** Refuses a file in the cache, put there by hand or damaged since, that is not the one published. */
export async function checkCached(weights: PublishedWeights): Promise<void> {
  const { name, hash } = weights;
  if (!hash) return;
  const file = cachedFile(weights);
  const found = await hashOf(file, hash.algorithm);
  if (!found.startsWith(hash.hex))
    throw new DataError(
      `${file} is not ${name}: expected ${hashText(hash)}, found ${hashText({ ...hash, hex: found })}; remove it to get it again`,
      [file],
    );
}
