// An export on disk: tried beside its checkpoint, and only then put in its place. Knows no format.
import { createHash } from 'node:crypto';
import { access, constants } from 'node:fs/promises';
import path from 'node:path';
import { DataError } from '../errors.js';
import type { CompleteCheckpoint } from '../weights/checkpoint.js';
import { writeWhole } from '../weights/formats/whole-file.js';
import { compare, demandParity, type Demand, type Parity, type Runner } from './parity.js';
import { samplesFor } from './samples.js';

/** What every export takes. */
export interface ExportOptions {
  /** image files, or folders of them, that export and checkpoint are compared on (default: what the run held back, else noise) */
  images?: readonly string[];
}

/** A file before it is written. */
export interface Trial {
  bytes: Uint8Array;
  /** what runs it; disposed of in any case */
  runner: Runner;
  demand: Demand;
  /** what its reader must know, as sentences */
  notes?: readonly string[];
}

/**
 * Writes an export that agrees with its checkpoint, and what was compared, as `<file>.parity.json`.
 * @param make the export; called when there are pictures to try it on and a folder to put it in
 * @throws ParityError when it does not agree: nothing is written; DataError where there are no pictures, or no such folder
 */
export async function writeTried(
  checkpoint: CompleteCheckpoint,
  file: string,
  { images }: ExportOptions,
  make: () => Trial | Promise<Trial>,
): Promise<Parity> {
  const folder = path.dirname(file);
  await access(folder, constants.W_OK).catch((cause: Error) => {
    throw new DataError(`cannot write ${file}: ${cause.message}`, [file], { cause });
  });
  const samples = await samplesFor(checkpoint.file, images);
  const { bytes, runner, demand, notes } = await make();
  try {
    const parity = { ...(await compare(checkpoint, runner, samples, demand)), ...(notes && { notes }) };
    demandParity(parity);
    await writeWhole(file, [bytes]);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    await writeWhole(`${file}.parity.json`, `${JSON.stringify({ sha256, ...parity }, null, 2)}\n`);
    return parity;
  } finally {
    await runner.dispose();
  }
}
