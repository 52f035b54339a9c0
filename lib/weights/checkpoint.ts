// Checkpoints: a safetensors file that says everything about the model it holds. Owns the metadata's keys.
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { DataError, Mnv2Error, shown, UsageError } from '../errors.js';
import { input } from '../graph/tensor.js';
import type { TensorData } from '../native/wire.js';
import { parsePreprocess, type Preprocess } from './preprocess.js';
import { SHARED_OPTIONS } from '../models/classifier-network.js';
import { headClasses } from '../models/head.js';
import { optionsFromMetadata, optionsToMetadata, resolveOptions } from '../models/options.js';
import { ARCHITECTURES, architectureOf, createModel, type Arch, type ModelOptions } from '../models/registry.js';
import type { MobileNet } from '../models/classifier-network.js';
import { Module } from '../nn/module.js';
import { adopt, unrecognised, type Adopted, type Wishes } from './adopt.js';
import { matchWeights } from './load.js';
import { isPublishedName } from './published.js';
import { pullWeights, type PulledWeights } from './pull.js';
import type { OnnxFile } from './formats/onnx.js';
import { readWeightFile } from './formats/read.js';
import type { WeightFile } from './formats/weight-file.js';
import { quantisedForm, quantisedNetwork } from './quantised.js';
import { MULTICLASS, taskFromMetadata, taskToMetadata, type LearnedTask } from './task.js';
import { writeSafetensors } from './formats/safetensors.js';

/** A checkpoint read and understood. Fields are absent where the file does not say. */
export interface Checkpoint {
  /** the file that was read: of a run folder its best.safetensors */
  file: string;
  tensors: Map<string, TensorData>;
  metadata: Record<string, string>;
  /** one of ARCHITECTURES, or the class name of a network of one's own */
  arch?: string;
  /** what the file says of its network; empty for a network of one's own */
  options: ModelOptions;
  classes?: string[];
  preprocess?: Preprocess;
  /** what its outputs mean; absent: one class of several */
  task?: LearnedTask;
  /** the name of published weights, where it was asked for by name */
  published?: string;
  /** where the file is another library's: what was recognised and assumed, as sentences */
  notes?: readonly string[];
  /** tensors of the backbone may be missing, and others be there: the user said so */
  partial?: boolean;
}

/**
 * Reads a checkpoint and its metadata, all strings, any of which may be absent: `arch`, `classes` (JSON), `preprocess`
 * (JSON), `task` and the options of its architecture (`num_classes`, `width_mult`, `padding`, ...). A file of another library
 * (PyTorch, Keras or ONNX, told by its content) becomes one of ours: its tensors by our names and with our axes, what its
 * library builds such networks with in place of metadata, and `notes` of what was recognised.
 * @param from a file, a run folder for its best.safetensors, or a name as {@link pullWeights} takes it
 * @param wishes what the file does not say itself, or says wrongly
 * @throws DataError when the file or one of these is unusable, or where tensors of a backbone are missing or unknown
 * @example
 * import { loadCheckpoint, writeSafetensors } from 'mnv2-torch';
 * import { mkdtempSync } from 'node:fs';
 * const file = mkdtempSync('/tmp/mnv2-') + '/x.safetensors';
 * await writeSafetensors(file, new Map(), { arch: 'mobilenet_v2', width_mult: '0.5' });
 * console.log((await loadCheckpoint(file)).options.widthMult); // 0.5
 */
export async function loadCheckpoint(from: string, wishes: Wishes = {}): Promise<Checkpoint> {
  return isPublishedName(from)
    ? readPulled(await pullWeights(from, wishes), wishes)
    : readCheckpoint(await checkpointFile(from), wishes);
}

/** Published weights that are in the cache, as {@link loadCheckpoint} reads them. */
export async function readPulled({ weights, file }: PulledWeights, wishes: Wishes): Promise<Checkpoint> {
  const { name, url, license, arch, widthMult, ...facts } = weights;
  const { padding = facts.padding, bnEps = facts.bnEps, preprocess = facts.preprocess } = wishes;
  const said = { arch, widthMult, padding, bnEps, preprocess };
  const read = await readCheckpoint(file, { ...wishes, ...said }).catch((error: unknown) => {
    // Where no hash told, something else may have been sent in its place and kept.
    if (weights.hash || !(error instanceof DataError)) throw error;
    throw new DataError(`${error.message} (remove ${file} to get ${name} again)`, [file], { cause: error });
  });
  return {
    ...read,
    published: name,
    metadata: { ...read.metadata, source: url, license },
    notes: [`${name}, published under ${license}`, ...(read.notes ?? [])],
  };
}

const readCheckpoint = async (file: string, wishes: Wishes): Promise<Checkpoint> =>
  checkpointOf(await readWeightFile(file), file, wishes);

/** What was read, as the checkpoint it is. @param file named in errors */
export async function checkpointOf(read: WeightFile, file: string, wishes: Wishes = {}): Promise<Checkpoint> {
  const stated = read.metadata['arch'] !== undefined;
  const partial = wishes.allowPartial ? { partial: true } : {};
  const adopted =
    read.format === 'onnx'
      ? (await import('./from-onnx.js')).fromOnnx(read as OnnxFile, file, wishes)
      : stated
        ? undefined
        : adopt(read, file, wishes);
  if (adopted) return { ...foreign(file, read, adopted), ...partial };
  if (!stated && read.format !== 'safetensors') throw unrecognised(read.tensors, file);
  const own = understood(file, read);
  const { padding, bnEps, preprocess } = wishes;
  return {
    ...own,
    ...partial,
    options: { ...own.options, ...(padding && { padding }), ...(bnEps !== undefined && { bnEps }) },
    ...(preprocess && { preprocess }),
  };
}

/** A file of another library's: what is known of it stands where metadata would. */
function foreign(file: string, { metadata }: WeightFile, adopted: Adopted): Checkpoint {
  const { arch, options, preprocess, tensors, notes } = adopted;
  const { classes } = metadata;
  return {
    ...{ file, tensors, arch, options, preprocess, notes },
    metadata: { ...metadata, arch, preprocess: JSON.stringify(preprocess) },
    ...(classes !== undefined && { classes: parseClasses(file, classes) }),
  };
}

/** A file that says itself what it holds. */
function understood(file: string, { tensors, metadata }: WeightFile): Checkpoint {
  const checkpoint: Checkpoint = { file, tensors, metadata, options: {} };
  const { arch, classes, preprocess } = metadata;
  if (arch) checkpoint.arch = arch;
  if (preprocess !== undefined) checkpoint.preprocess = parsePreprocess(preprocess, `${file}: metadata 'preprocess'`);
  if (classes !== undefined) checkpoint.classes = parseClasses(file, classes);
  const task = taskFromMetadata(metadata, checkpoint.classes?.length, file);
  if (task.kind !== 'multiclass') checkpoint.task = task;
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

/** A run folder stands for its best weights. */
async function checkpointFile(from: string): Promise<string> {
  const isFolder = await stat(from).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) return from;
  const best = path.join(from, 'best.safetensors');
  if (await stat(best).catch(() => undefined)) return best;
  throw new DataError(
    `${from} is a folder without best.safetensors: expected a .safetensors file, or the folder of a run that ended an epoch`,
    [from],
  );
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
export function builtInArch({ file, arch }: Pick<Checkpoint, 'file' | 'arch'>): Arch | undefined {
  if (arch === undefined) return undefined;
  const architecture = architectureOf(arch);
  if (architecture) return architecture.name;
  throw new DataError(
    `${file} holds ${shown(arch)}, none of ${ARCHITECTURES.join(', ')}: this is a network of your own; pass it: ` +
      'Classifier.load(file, { model })',
    [file],
  );
}

/** A checkpoint with its model: everything that classifying and evaluating need. */
export type CompleteCheckpoint = Required<Omit<Checkpoint, 'notes' | 'partial' | 'published'>> & { model: Module };

/**
 * Completes a checkpoint with the network its tensors are for, and checks that they are: every parameter there, with
 * its shape, and one logit a class. Nothing is allocated for the network itself.
 * @param options.model a network of one's own; without it the file's architecture is built
 * @throws DataError that names the first key that is missing, or what does not fit
 * @example
 * import { completeCheckpoint, Flatten, Linear, loadCheckpoint, Sequential, writeSafetensors } from 'mnv2-torch';
 * import { mkdtempSync } from 'node:fs';
 * const file = mkdtempSync('/tmp/mnv2-') + '/x.safetensors';
 * const tensors = new Map([...new Sequential(new Flatten(), new Linear(12, 2)).state(0)].map((t) => [t.name, t]));
 * await writeSafetensors(file, tensors, { arch: 'Mine', classes: '["a","b"]', preprocess: '{"size":2,"scale":"x/127.5-1"}' });
 * const model = new Sequential(new Flatten(), new Linear(12, 2));
 * console.log(completeCheckpoint(await loadCheckpoint(file), { model }).classes); // [ 'a', 'b' ]
 */
export function completeCheckpoint(checkpoint: Checkpoint, options: { model?: Module } = {}): CompleteCheckpoint {
  const { file, preprocess, tensors } = checkpoint;
  const own = options.model;
  if (own !== undefined && !(own instanceof Module))
    throw new UsageError(`model: expected a Module, got ${shown(own)}`);
  const arch = checkpoint.arch ?? own?.constructor.name;
  const float = own ?? builtInModel(checkpoint);
  if (arch === undefined) throw missing(file, 'arch', ARCHITECTURES.join(' or '));
  if (!preprocess) throw missing(file, 'preprocess', 'JSON such as {"size":224,"scale":"x/127.5-1"}');
  const model = asStored(float, checkpoint, preprocess);
  const { unexpected } = matchWeights(model, tensors, { strict: true, source: `the tensors of ${file}` }).report;
  // What an architecture of ours leaves out is known; a network of one's own may be another than the one trained.
  if (own && unexpected.length > 0)
    throw new DataError(
      `the tensors of ${file} do not fit this model: it has no ${shown(unexpected[0])} (${unexpected.length} such). Is it the network that was trained?`,
      [file],
    );
  const numClasses = countLogits(model, preprocess.size, file);
  const classes = checkpoint.classes ?? Array.from({ length: numClasses }, (_, i) => `class ${i}`);
  if (classes.length !== numClasses)
    throw new DataError(`${file} names ${classes.length} classes; its network has ${numClasses}`, [file]);
  const { task = MULTICLASS } = checkpoint;
  if (task.kind !== 'multiclass') taskFromMetadata(taskToMetadata(task), numClasses, file);
  return { ...checkpoint, arch, preprocess, options: { ...checkpoint.options, numClasses }, classes, task, model };
}

/** The network whose tensors a checkpoint holds: a float one, or its int8 form. */
export function asStored(
  float: Module,
  { file, tensors, metadata, options }: Checkpoint,
  { size }: Preprocess,
): Module {
  const form = quantisedForm(metadata, file);
  if (!form) return float;
  const image = [-1, options.inChannels ?? 3, size, size];
  return unusable(file, () => quantisedNetwork(float, form, { file, tensors, image }));
}

const missing = (file: string, key: string, expected: string): DataError =>
  new DataError(`${file}: metadata '${key}' is missing; expected ${expected}`, [file]);

/** The network of the file's architecture, for as many classes as its head has. */
function builtInModel(checkpoint: Checkpoint): MobileNet {
  const { file, options, tensors } = checkpoint;
  const arch = builtInArch(checkpoint);
  if (!arch) throw missing(file, 'arch', ARCHITECTURES.join(' or '));
  const { head } = architectureOf(arch)!;
  const numClasses = headClasses(head, tensors);
  if (numClasses === undefined) {
    const what = tensors.has(head.classes) ? 'has no rows' : 'is missing';
    throw new DataError(
      `${file} is a backbone without a classifier ('${head.classes}' ${what}): train on it first, with --weights`,
      [file],
    );
  }
  if ((options.numClasses ?? numClasses) !== numClasses)
    throw new DataError(
      `${file}: metadata 'num_classes' is ${options.numClasses}; the classifier has ${numClasses} classes`,
      [file],
    );
  return unusable(file, () => createModel(arch, { ...options, numClasses }).eval());
}

/** Classes the model tells apart, by recording it on images. */
function countLogits(model: Module, size: number, file: string): number {
  const { shape } = unusable(file, () => model.call(input('image', [-1, 3, size, size])));
  if (shape.length !== 2 || shape[1]! < 1)
    throw new DataError(`${file}: its network must give [images, classes], got [${shape.join(', ')}]`, [file]);
  return shape[1]!;
}

/** What a file describes and a call would be blamed for is the file's fault. */
function unusable<T>(file: string, build: () => T): T {
  try {
    return build();
  } catch (error) {
    if (!(error instanceof Mnv2Error) || error instanceof DataError) throw error;
    throw new DataError(`${file} describes a network that cannot be built: ${error.message}`, [file], { cause: error });
  }
}

/** Metadata of a model: what loadCheckpoint reads back. */
export function checkpointMetadata(
  model: Module,
  classes: readonly string[],
  preprocess: Preprocess,
  extra: Record<string, string> = {},
  task: LearnedTask = MULTICLASS,
): Record<string, string> {
  const architecture = architectureOf(model);
  return {
    arch: architecture?.name ?? (model.constructor.name || 'Network'),
    ...(architecture && optionsToMetadata(architecture.options, (model as MobileNet).options)),
    classes: JSON.stringify(classes),
    num_classes: String(classes.length),
    preprocess: JSON.stringify(preprocess),
    ...taskToMetadata(task),
    ...extra,
  };
}

/**
 * Metadata of a checkpoint as it was read: what loadCheckpoint reads back, whatever library the file came from.
 * @throws DataError when no network is recognised in it
 */
export function importedMetadata(checkpoint: Checkpoint): Record<string, string> {
  const { file, options, preprocess, classes, metadata } = checkpoint;
  const arch = builtInArch(checkpoint);
  if (!arch) throw unrecognised(checkpoint.tensors, file);
  if (!preprocess)
    throw missing(file, 'preprocess', 'JSON such as {"size":224,"scale":"x/127.5-1"}; name it with --preprocess');
  const table = architectureOf(arch)!.options;
  const whole = optionsToMetadata(table, resolveOptions(table, options));
  // A backbone is of no number of classes.
  if (options.numClasses === undefined) delete whole['num_classes'];
  return {
    ...metadata,
    arch,
    ...whole,
    preprocess: JSON.stringify(preprocess),
    ...(classes && { classes: JSON.stringify(classes) }),
    imported_from: path.basename(file),
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
