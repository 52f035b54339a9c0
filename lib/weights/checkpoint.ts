// Checkpoints: a safetensors file that says everything about the model it holds. Owns the metadata's keys.
import { DataError, shown } from '../errors.js';
import type { TensorData } from '../native/wire.js';
import { pixelScaling, parsePreprocess, type Preprocess } from './preprocess.js';
import { SHARED_OPTIONS } from '../models/classifier-network.js';
import { headClasses } from '../models/head.js';
import { optionsFromMetadata, optionsToMetadata } from '../models/options.js';
import { ARCHITECTURES, architectureOf, createModel, type Arch, type ModelOptions } from '../models/registry.js';
import type { MobileNet } from '../models/classifier-network.js';
import type { Module } from '../nn/module.js';
import { readSafetensors, writeSafetensors } from './formats/safetensors.js';

/** A checkpoint read and understood. Fields are absent where the file does not say. */
export interface Checkpoint {
  file: string;
  tensors: Map<string, TensorData>;
  metadata: Record<string, string>;
  /** one of ARCHITECTURES, or the class name of a network of one's own */
  arch?: string;
  /** what the file says of its network; empty for a network of one's own */
  options: ModelOptions;
  classes?: string[];
  preprocess?: Preprocess;
}

/**
 * Reads a checkpoint and its metadata, all strings, any of which may be absent: `arch`, `classes` (JSON), `preprocess`
 * (JSON) and the options of its architecture (`num_classes`, `width_mult`, `padding`, ...).
 * @throws DataError when the file or one of these is unusable
 * @example
 * import { loadCheckpoint, writeSafetensors } from 'mnv2-torch';
 * import { mkdtempSync } from 'node:fs';
 * const file = mkdtempSync('/tmp/mnv2-') + '/x.safetensors';
 * await writeSafetensors(file, new Map(), { arch: 'mobilenet_v2', width_mult: '0.5' });
 * console.log((await loadCheckpoint(file)).options.widthMult); // 0.5
 */
export async function loadCheckpoint(file: string): Promise<Checkpoint> {
  const { tensors, metadata } = await readSafetensors(file);
  const checkpoint: Checkpoint = { file, tensors, metadata, options: {} };
  const { arch, classes, preprocess } = metadata;
  if (arch) checkpoint.arch = arch;
  if (preprocess !== undefined) checkpoint.preprocess = parsePreprocess(preprocess, `${file}: metadata 'preprocess'`);
  if (classes !== undefined) checkpoint.classes = parseClasses(file, classes);
  // A file that does not say which network it holds may still say what all of them share.
  const table = arch ? architectureOf(arch)?.options : SHARED_OPTIONS;
  if (table) {
    checkpoint.options = optionsFromMetadata(table, metadata, file);
    const count = checkpoint.classes?.length;
    if (count !== undefined && (checkpoint.options.numClasses ??= count) !== count)
      throw new DataError(
        `${file}: metadata 'num_classes': expected ${count}, the number of classes, got ${shown(metadata['num_classes'])}`,
        [file],
      );
  }
  return checkpoint;
}

function parseClasses(file: string, text: string): string[] {
  let classes: unknown;
  try {
    classes = JSON.parse(text);
  } catch {
    // Refused below, as whatever else is no array of names.
  }
  if (!Array.isArray(classes) || classes.length === 0 || classes.some((c) => typeof c !== 'string'))
    throw new DataError(`${file}: metadata 'classes': expected a JSON array of names, got ${shown(text)}`, [file]);
  return classes as string[];
}

/** Which of the package's architectures a checkpoint is for; undefined when it does not say. */
export function builtInArch({ file, arch }: Checkpoint): Arch | undefined {
  if (arch === undefined) return undefined;
  const architecture = architectureOf(arch);
  if (architecture) return architecture.name;
  throw new DataError(
    `${file} holds ${shown(arch)}, none of ${ARCHITECTURES.join(', ')}: this is a network of your own; pass it: ` +
      'Classifier.load(file, { model })',
    [file],
  );
}

/** A checkpoint that classifies by itself: everything `eval` and `predict` need is there. */
export type CompleteCheckpoint = Required<Checkpoint> & {
  model: MobileNet;
  scaling: { scale: number[]; shift: number[] };
};

/** Builds the model of a complete checkpoint; a DataError names the first key that is missing. */
export function completeCheckpoint(checkpoint: Checkpoint): CompleteCheckpoint {
  const { file, preprocess, tensors } = checkpoint;
  const missing = (key: string, expected: string): DataError =>
    new DataError(`${file}: metadata '${key}' is missing; expected ${expected}`, [file]);
  const arch = builtInArch(checkpoint);
  if (!arch) throw missing('arch', ARCHITECTURES.join(' or '));
  if (!preprocess) throw missing('preprocess', 'JSON such as {"size":224,"scale":"x/127.5-1"}');
  const { head } = architectureOf(arch)!;
  const numClasses = headClasses(head, tensors);
  if (numClasses === undefined)
    throw new DataError(
      `${file} is a backbone without a classifier ('${head.classes}' is missing): train on it first, with --weights`,
      [file],
    );
  const options = { ...checkpoint.options, numClasses: checkpoint.options.numClasses ?? numClasses };
  const classes = checkpoint.classes ?? Array.from({ length: options.numClasses }, (_, i) => `class ${i}`);
  const model = createModel(arch, options).eval();
  return { ...checkpoint, arch, preprocess, options, classes, model, scaling: pixelScaling(preprocess) };
}

/** Metadata of a model: what loadCheckpoint reads back. */
export function checkpointMetadata(
  model: Module,
  classes: readonly string[],
  preprocess: Preprocess,
  extra: Record<string, string> = {},
): Record<string, string> {
  const architecture = architectureOf(model);
  return {
    arch: architecture?.name ?? (model.constructor.name || 'Network'),
    ...(architecture && optionsToMetadata(architecture.options, (model as MobileNet).options)),
    classes: JSON.stringify(classes),
    num_classes: String(classes.length),
    preprocess: JSON.stringify(preprocess),
    ...extra,
  };
}

/** Writes a checkpoint atomically. */
export function saveCheckpoint(
  file: string,
  tensors: ReadonlyMap<string, TensorData>,
  metadata: Record<string, string>,
): Promise<void> {
  return writeSafetensors(file, tensors, metadata);
}
