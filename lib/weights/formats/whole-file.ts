// A file written whole or not at all: a reader, or a browser that loads it again, never sees half of it.
import { randomUUID } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { DataError } from '../../errors.js';
import { kindOf } from './open-file.js';

/**
 * Writes text, or bytes in parts, into a temporary file beside it, flushed, then renamed. What was there before stays
 * until then.
 * @throws DataError when it cannot be written; what was there before is still there
 */
export async function writeWhole(file: string, content: string | Iterable<Uint8Array>): Promise<void> {
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${randomUUID()}.tmp`);
  try {
    // Renaming would put a file in a device's or a folder's place.
    const existing = await stat(file).catch(() => undefined);
    if (existing && !existing.isFile())
      throw new Error(`it is ${kindOf(existing)}; choose the name of a file, this is no regular file`);
    const handle = await open(temporary, 'wx');
    try {
      for (const part of typeof content === 'string' ? [content] : content) await handle.writeFile(part);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new DataError(`cannot write ${file}: ${(cause as Error).message}`, [file], { cause });
  }
}
