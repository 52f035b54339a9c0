// state.safetensors: all that an interrupted training needs to go on as if it had not been. Owns the file's layout.
import path from 'node:path';
import { DataError, UsageError } from '../errors.js';
import { fingerprintFrom, fingerprintTensors, type Fingerprint } from '../data/fingerprint.js';
import type { TensorData } from '../native/wire.js';
import { optionsFromMetadata } from '../models/options.js';
import { architectureOf, type ModelOptions } from '../models/registry.js';
import { readSafetensors, writeSafetensors } from '../weights/formats/safetensors.js';
import type { Position } from './state.js';
import type { Terms } from './terms.js';

export const STATE = 'state.safetensors';
const FORMAT = 'mnv2-torch training state 1';

/** A training between two steps. */
export interface SavedState {
  /** where it was read from */
  readonly file: string;
  readonly terms: Terms;
  readonly position: Position;
  readonly stepsPerEpoch: number;
  /** epochs before the stage that `program` belongs to */
  readonly stage: number;
  /** all of them, as the next step reads them */
  readonly weights: ReadonlyMap<string, TensorData>;
  /** what the training program remembers: `Program.state` */
  readonly program: ReadonlyMap<string, TensorData>;
  /** of the best snapshot, those that training changes; empty where there is none */
  readonly best: ReadonlyMap<string, TensorData>;
  readonly data: Fingerprint;
}

/** The network of a training, as a checkpoint's metadata would say it. */
export function networkOf({ file, terms }: SavedState): { file: string; arch: string; options: ModelOptions } {
  const network = terms.network as Record<string, string>;
  const arch = network['arch']!;
  const architecture = architectureOf(arch);
  return { file, arch, options: architecture ? optionsFromMetadata(architecture.options, network, file) : {} };
}

const WEIGHTS = 'weights.';
const PROGRAM = 'program.';
const BEST = 'best.';

const prefixed = (prefix: string, tensors: ReadonlyMap<string, TensorData>): [string, TensorData][] =>
  [...tensors].map(([name, value]) => [prefix + name, value]);
const below = (prefix: string, tensors: ReadonlyMap<string, TensorData>): Map<string, TensorData> =>
  new Map([...tensors].flatMap(([n, value]) => (n.startsWith(prefix) ? [[n.slice(prefix.length), value]] : [])));

/** Writes it whole or not at all, as every checkpoint. Numbers keep every bit: JSON's doubles read back as they were. */
export async function writeState(file: string, state: Omit<SavedState, 'file'>): Promise<void> {
  const { terms, position, stepsPerEpoch, stage, weights, program, best, data } = state;
  const tensors = new Map([
    ...prefixed(WEIGHTS, weights),
    ...prefixed(PROGRAM, program),
    ...prefixed(BEST, best),
    ...fingerprintTensors(data),
  ]);
  await writeSafetensors(file, tensors, {
    format: FORMAT,
    terms: JSON.stringify(terms),
    position: JSON.stringify(position),
    steps_per_epoch: String(stepsPerEpoch),
    stage: String(stage),
  });
}

/**
 * Reads the state of the run in a folder.
 * @throws UsageError when there is none; DataError when the file is not one
 */
export async function readState(run: string): Promise<SavedState> {
  const file = path.join(run, STATE);
  const { tensors, metadata } = await readSafetensors(file).catch((error: unknown) => {
    const code = ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
    throw new UsageError(
      `resume: ${run} holds no run to go on with: expected ${STATE} in it, which a training writes from its first step on`,
    );
  });
  try {
    if (metadata['format'] !== FORMAT) throw new Error(`its format is not '${FORMAT}'`);
    return {
      file,
      terms: JSON.parse(metadata['terms']!) as Terms,
      position: JSON.parse(metadata['position']!) as Position,
      stepsPerEpoch: Number(metadata['steps_per_epoch']),
      stage: Number(metadata['stage']),
      weights: below(WEIGHTS, tensors),
      program: below(PROGRAM, tensors),
      best: below(BEST, tensors),
      data: fingerprintFrom(tensors),
    };
  } catch (cause) {
    throw new DataError(`${file} is no state of a training: ${(cause as Error).message}`, [file], { cause });
  }
}
