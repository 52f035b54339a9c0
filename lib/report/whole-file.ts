// A text file written whole or not at all: a reader, or a browser that loads it again, never sees half of it.
import { randomUUID } from 'node:crypto';
import { rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DataError } from '../errors.js';

/** @throws DataError when it cannot be written; what was there before is still there */
export async function writeWhole(file: string, text: string): Promise<void> {
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${randomUUID()}.tmp`);
  try {
    // Renaming would put a file in a device's or a folder's place.
    const existing = await stat(file).catch(() => undefined);
    if (existing && !existing.isFile()) throw new Error('it is there already and no regular file');
    await writeFile(temporary, text, { flag: 'wx' });
    await rename(temporary, file);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new DataError(`cannot write ${file}: ${(cause as Error).message}`, [file], { cause });
  }
}
