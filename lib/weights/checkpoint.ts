// Checkpoints: a safetensors file that says everything about the model it holds. Owns the metadata's keys.
import { DataError } from '../errors.js';
import type { TensorData } from '../native/wire.js';
import { pixelScaling, parsePreprocess, type Preprocess } from './preprocess.js';
import { MobileNetV1 } from '../models/mobilenet-v1.js';
import { MobileNetV2 } from '../models/mobilenet-v2.js';
import type { MobileNet, MobileNetOptions } from '../models/classifier-network.js';
import type { Module } from '../nn/module.js';
import { readSafetensors, writeSafetensors } from './formats/safetensors.js';

export type Arch = 'mobilenet_v1' | 'mobilenet_v2';
export const ARCHITECTURES: readonly Arch[] = ['mobilenet_v2', 'mobilenet_v1'];

/** Options an architecture's own metadata keys carry. */
export interface ModelOptions extends MobileNetOptions {
  activation?: 'relu' | 'relu6';
  linearBottleneck?: boolean;
}

/** A network by its name in metadata and on the command line. */
export function createModel(arch: Arch, options: ModelOptions): MobileNet {
  return arch === 'mobilenet_v1' ? MobileNetV1(options) : MobileNetV2(options);
}

/** A checkpoint read and understood. Fields are absent where the file does not say. */
export interface Checkpoint {
  file: string;
  tensors: Map<string, TensorData>;
  metadata: Record<string, string>;
  arch?: Arch;
  options: ModelOptions;
  classes?: string[];
  preprocess?: Preprocess;
}

/**
 * Reads a checkpoint and its metadata: `arch`, `width_mult`, `num_classes`, `classes` (JSON), `padding`, `bn_eps`,
 * `preprocess` (JSON), all strings; any may be absent.
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
  const bad = (key: string, expected: string): DataError =>
    new DataError(`${file}: metadata '${key}': expected ${expected}, got '${metadata[key]}'`, [file]);
  const number = (key: string, ok: (v: number) => boolean, expected: string): number | undefined => {
    if (metadata[key] === undefined) return undefined;
    const value = Number(metadata[key]);
    if (!ok(value)) throw bad(key, expected);
    return value;
  };
  const choice = <T extends string>(key: string, allowed: readonly T[]): T | undefined => {
    const value = metadata[key] as T | undefined;
    if (value !== undefined && !allowed.includes(value)) throw bad(key, allowed.join(' or '));
    return value;
  };
  const positive = (v: number): boolean => v > 0 && Number.isFinite(v);
  const checkpoint: Checkpoint = { file, tensors, metadata, options: {} };
  const arch = choice('arch', ARCHITECTURES);
  if (arch) checkpoint.arch = arch;
  const padding = choice('padding', ['symmetric', 'tf_same', 'tf-same']);
  const set = <K extends keyof ModelOptions>(key: K, value: ModelOptions[K] | undefined): void => {
    if (value !== undefined) checkpoint.options[key] = value;
  };
  set('padding', padding === undefined ? undefined : padding === 'symmetric' ? 'symmetric' : 'tf-same');
  set('widthMult', number('width_mult', positive, 'a number above 0'));
  set('bnEps', number('bn_eps', positive, 'a number above 0'));
  set(
    'numClasses',
    number('num_classes', (v) => Number.isInteger(v) && v > 0, 'a whole number above 0'),
  );
  set(
    'roundNearest',
    number('round_nearest', (v) => Number.isInteger(v) && v > 0, 'a whole number above 0'),
  );
  set('activation', choice('activation', ['relu', 'relu6']));
  const linear = choice('linear_bottleneck', ['true', 'false']);
  set('linearBottleneck', linear === undefined ? undefined : linear === 'true');
  if (metadata['preprocess'] !== undefined)
    checkpoint.preprocess = parsePreprocess(metadata['preprocess'], `${file}: metadata 'preprocess'`);
  if (metadata['classes'] !== undefined) {
    let classes: unknown;
    try {
      classes = JSON.parse(metadata['classes']);
    } catch {
      throw bad('classes', 'a JSON array of names');
    }
    if (!Array.isArray(classes) || classes.some((c) => typeof c !== 'string'))
      throw bad('classes', 'a JSON array of names');
    checkpoint.classes = classes as string[];
    checkpoint.options.numClasses ??= classes.length;
    if (checkpoint.options.numClasses !== classes.length)
      throw bad('num_classes', `${classes.length}, the number of classes`);
  }
  return checkpoint;
}

/** A checkpoint that classifies by itself: everything `eval` and `predict` need is there. */
export type CompleteCheckpoint = Required<Checkpoint> & {
  model: MobileNet;
  scaling: { scale: number[]; shift: number[] };
};

/** Builds the model of a complete checkpoint; a DataError names the first key that is missing. */
export function completeCheckpoint(checkpoint: Checkpoint): CompleteCheckpoint {
  const { file, arch, preprocess, tensors } = checkpoint;
  const missing = (key: string, expected: string): DataError =>
    new DataError(`${file}: metadata '${key}' is missing; expected ${expected}`, [file]);
  if (!arch) throw missing('arch', ARCHITECTURES.join(' or '));
  if (!preprocess) throw missing('preprocess', 'JSON such as {"size":224,"scale":"x/127.5-1"}');
  const head = tensors.get('classifier.1.weight');
  if (!head)
    throw new DataError(
      `${file} is a backbone without a classifier ('classifier.1.weight' is missing): train on it first, with --weights`,
      [file],
    );
  const options = { ...checkpoint.options, numClasses: checkpoint.options.numClasses ?? head.shape[0]! };
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
  const shared = {
    classes: JSON.stringify(classes),
    num_classes: String(classes.length),
    preprocess: JSON.stringify(preprocess),
    ...extra,
  };
  if (!('arch' in model)) return { arch: model.constructor.name, ...shared };
  const { arch, options } = model as MobileNet & { options: ModelOptions };
  return {
    arch,
    width_mult: String(options.widthMult),
    round_nearest: String(options.roundNearest),
    padding: options.padding === 'tf-same' ? 'tf_same' : 'symmetric',
    bn_eps: String(options.bnEps),
    ...(options.activation && { activation: options.activation }),
    ...(options.linearBottleneck !== undefined && { linear_bottleneck: String(options.linearBottleneck) }),
    ...shared,
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
