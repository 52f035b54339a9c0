// Everything a training needs before its first epoch: weights, the cut between what is frozen and what is trained,
// features of the frozen part, labels, programs.
import { DataError, few, UsageError } from '../errors.js';
import type { NativeAugment } from '../native/wire.js';
import type { Dataset } from '../data/dataset.js';
import { requireTrainable, type Split } from '../data/split.js';
import { pixelScaling } from '../weights/preprocess.js';
import { topological } from '../graph/order.js';
import { elements, type Tensor } from '../graph/tensor.js';
import type { Module } from '../nn/module.js';
import { Engine } from '../engine/engine.js';
import { Weights } from '../engine/weights.js';
import { compile, type Binding, type LoopOptions, type Mix, type Program } from '../engine/program.js';
import { inHead } from '../models/head.js';
import { architectureOf } from '../models/registry.js';
import type { Checkpoint } from '../weights/checkpoint.js';
import { loadWeights, matchWeights } from '../weights/load.js';
import { quantisedFrom } from '../weights/quantised.js';
import type { LearnedTask } from '../weights/task.js';
import { checkClassWeights } from './balance.js';
import { firstNotFinite } from './diagnosis.js';
import type { TrainEvent } from './events.js';
import { firstLook } from './first-look.js';
import { cacheLimit, featureBytes, FrozenFeatures } from './features.js';
import { learningOf } from './learning.js';
import { trainingGraphs, type Graphs } from './network.js';
import { checkTask, learnedFrom, targetsOn, taskOfData, unlearned, weightsOf } from './task.js';
import type { Recipe } from './recipe.js';
import type { SavedState } from './state-file.js';

/** The parts of a training that stay the same from epoch to epoch. */
export interface Prepared {
  readonly split: Split;
  /** what the network's outputs mean */
  readonly task: LearnedTask;
  readonly trainer: Program;
  readonly validator: Program;
  /** the weights `validator` reads: those that are trained, or a copy that takes their running average */
  readonly judged: Weights;
  /** names of what is averaged: `ema.<name>` in the trainer's state */
  readonly averaged: readonly string[];
  readonly stepsPerEpoch: number;
  /** how a step of training mixes its images and targets */
  readonly mix: Mix | undefined;
  /** images a step of validation: more than in training where only cached features are read */
  readonly validBatch: number;
  /** seconds the frozen part took over all images; undefined where nothing is kept of it */
  readonly prefixSeconds: number | undefined;
  /** what feeds the programs in an epoch (counted from 1) */
  bind(phase: 'train' | 'valid', epoch: number): Record<string, Binding>;
  /** The first module whose output over a batch is not finite. */
  firstNotFinite(batch: LoopOptions): Promise<string | undefined>;
  /** Frees programs, features and labels; the weights and their engine go on. */
  release(): void;
}

const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** Names a message shows. */
const SHOWN = 4;

/** Takes what must be disposed when a training fails. */
export type Own = <T extends { dispose(): void }>(it: T) => T;

/** An engine and the first values on it: the model's own, overwritten by what was given. */
export async function firstWeights(
  recipe: Recipe,
  model: Module,
  own: Own,
  saved?: SavedState,
): Promise<{ weights: Weights; notes: string[] }> {
  const { weights: given } = recipe;
  if (saved) {
    const source = `the weights in ${recipe.resume}`;
    matchWeights(model, saved.weights, { strict: true, source });
    const engine = own(new Engine({ device: recipe.device, ...(recipe.threads && { threads: recipe.threads }) }));
    const weights = own(await Weights.init(model, { seed: recipe.seed, engine }));
    await loadWeights(weights, model, saved.weights, { source });
    return { weights, notes: [] };
  }
  // What does not fit is refused before anything is allocated for it.
  if (given && !(given instanceof Weights)) fitting(model, given);
  const engine = own(new Engine({ device: recipe.device, ...(recipe.threads && { threads: recipe.threads }) }));
  const weights = own(await Weights.init(model, { seed: recipe.seed, engine }));
  if (!given) return { weights, notes: [] };
  const source = given instanceof Weights ? 'the weights given' : `the weights in ${given.file}`;
  const tensors = given instanceof Weights ? await given.get() : given.tensors;
  const { partial = false, notes = [] } = given instanceof Weights ? {} : given;
  const report = await loadWeights(weights, model, tensors, { source, allowPartial: partial });
  const fresh = [...report.missing, ...report.skippedHead].filter((n) => !n.endsWith('num_batches_tracked'));
  const head = architectureOf(model)?.head;
  const body = head ? fresh.filter((name) => !inHead(head, name)) : [];
  const classifier = fresh.filter((name) => !body.includes(name));
  return {
    weights,
    notes: [
      ...notes,
      ...(body.length > 0 ? [`${body.length} tensors of the backbone start fresh (${few(body, SHOWN)})`] : []),
      ...(classifier.length > 0 ? [`the classifier starts fresh (${classifier.join(', ')})`] : []),
    ],
  };
}

/** Refuses a checkpoint that is not the model's, by names and shapes. */
function fitting(model: Module, { file, tensors, metadata, partial = false }: Checkpoint): void {
  const made = quantisedFrom(metadata);
  if (made !== undefined)
    throw new DataError(
      `${file} holds an int8 network, which cannot be trained: expected float weights, such as ${made}`,
      [file],
    );
  const source = `the weights in ${file}`;
  const { unexpected } = matchWeights(model, tensors, { source, allowPartial: partial }).report;
  if (unexpected.length > 0 && !partial)
    throw new DataError(
      `${source} hold ${few(unexpected, SHOWN)}, for which the model has no place. Is it the network they are for? ` +
        'With allowPartial (--allow-partial) what fits is taken',
      [file],
    );
}

/**
 * Prepares a training; undefined when `stop` aborts meanwhile. The data is decoded while the frozen part runs over what
 * is there already.
 */
export async function prepare(
  recipe: Recipe,
  model: Module,
  data: Dataset,
  { weights, notes }: { weights: Weights; notes: string[] },
  stop: AbortSignal,
  emit: (event: TrainEvent) => void,
  own: Own,
): Promise<Prepared | undefined> {
  const started = performance.now();
  const elapsed = (): number => (performance.now() - started) / 1000;
  const { augment, precision, seed } = recipe;
  const views = augment ? recipe.views : 0;
  const classes = data.classes.length;
  const { engine } = weights;
  const { classWeights, mixup, cutmix, labelSmoothing } = recipe;
  checkTask(recipe, data);
  if (classWeights) checkClassWeights(classWeights, data.classes);
  const mixed = mixup > 0 || cutmix > 0;
  let cache = recipe.cache === 'auto' && !(augment && recipe.views === 0);
  let task = unlearned(taskOfData(data), classes);
  const record = (weights?: Float32Array): Graphs => {
    const objective = { task, labelSmoothing, mixed, loss: recipe.loss, ...(weights && { weights }) };
    return trainingGraphs(model, data.size, classes, objective, cache, recipe.bn);
  };
  let graphs = record();
  if (mixed && Object.keys(graphs.train.prefix).length > 0) {
    notes.push('frozen features are not cached: mixup and cutmix make other images in every step');
    cache = false;
    graphs = record();
  }
  const bytes = featureBytes(graphs.train.prefix, data.labels.length, views, precision);
  if (bytes > cacheLimit()) {
    notes.push(
      `frozen features are not cached: they would take ${gibibytes(bytes)} of ${gibibytes(cacheLimit())} allowed`,
    );
    cache = false;
    graphs = record();
  }
  emit({ event: 'start', device: engine.device, precision, ...parameterCounts(model), out: recipe.out ?? null, notes });

  const images = { store: data.store, ...pixelScaling(recipe.preprocess) };
  const count = data.labels.length;
  const { prefix } = graphs.train;
  const features =
    Object.keys(prefix).length > 0
      ? own(new FrozenFeatures({ prefix, weights, precision, images, count, views, seed }))
      : undefined;
  const split = await decodeAndCache(data, features, recipe, views, stop, (done, total) =>
    emit({ event: 'progress', phase: 'cache', done, total, seconds: elapsed() }),
  );
  features?.finish();
  if (!split) return undefined;
  const { train, val, test } = split;
  requireTrainable(split, 'the data');
  refuseLoneImages(graphs.train.suffix, train.length, recipe.batchSize);
  const looked = await firstLook(data, split, features, views > 0 ? 1 : 0, engine);
  emit({
    event: 'data',
    ...(task.kind !== 'multiclass' && { task: task.kind }),
    classes,
    images: { train: train.length, valid: val.length, test: test.length },
    skipped: data.skipped.map((f) => f.file),
    damaged: data.damaged.map((f) => f.file),
    notes: [...data.notes, ...looked],
  });
  if (features) {
    emit({ event: 'cached', images: count, views: views + 1, bytes: features.bytes, seconds: elapsed() });
  }

  // Only now it is known which images are trained on; the cut stays where it is.
  task = learnedFrom(data, train);
  if (classWeights) graphs = record(weightsOf(classWeights, train, data));
  else if (task.kind === 'regression') graphs = record();
  const targets = own(await targetsOn(engine, data));
  const told = { [task.kind === 'multiclass' ? 'label' : 'target']: { rows: targets } };
  const shared = { weights, precision, cudaGraph: recipe.cudaGraph };
  const stepsPerEpoch = Math.ceil(train.length / recipe.batchSize);
  const updates = recipe.epochs * Math.ceil(stepsPerEpoch / recipe.accumulate);
  const learning = learningOf(recipe, model, graphs.train.suffix, graphs.trainable, updates);
  const trainer = own(compile(graphs.train.suffix, { ...shared, train: learning }));
  const judged = learning.average ? own(await weights.copy()) : weights;
  const validator = own(compile(graphs.valid.suffix, { ...shared, weights: judged }));
  const pixels = (epoch: number, drawn?: NativeAugment): Binding => {
    const { store, scale, shift } = images;
    // An image that comes again within an epoch is drawn anew.
    const eachStep = recipe.sampler === 'balanced';
    return { images: store, scale, shift, seed, epoch, ...(drawn && { augment: drawn, eachStep }) };
  };
  return {
    split,
    task,
    trainer,
    validator,
    judged,
    averaged: learning.average?.names ?? [],
    stepsPerEpoch,
    mix: mixed ? { mixup, cutmix } : undefined,
    validBatch: Math.max(recipe.batchSize, features ? 256 : 16),
    prefixSeconds: features?.seconds,
    bind(phase, epoch): Record<string, Binding> {
      const training = phase === 'train';
      const image = pixels(epoch, training ? augment : undefined);
      if (training && mixed) return { target: { targets, classes }, image };
      if (!features) return { ...told, image };
      // Cached views take turns; view 0 is the plain one.
      const view = training && views > 0 ? 1 + ((epoch - 1) % views) : 0;
      return { ...told, ...features.bindings(view) };
    },
    firstNotFinite: (batch) => firstNotFinite(graphs.train.suffix, { weights, precision }, batch),
    release() {
      for (const it of [trainer, validator, targets, features, judged === weights ? undefined : judged]) it?.dispose();
    },
  };
}

/** Batch statistics need two values a channel: a batch of one image has them unless a map is a single pixel. */
function refuseLoneImages(outputs: Record<string, Tensor>, images: number, batchSize: number): void {
  if (batchSize !== 1 && images % batchSize !== 1) return;
  const single = topological(Object.values(outputs)).find(
    (t) => t.op === 'batchNorm2d' && t.attrs['training'] === true && t.shape[2] === 1 && t.shape[3] === 1,
  );
  if (!single) return;
  throw new UsageError(
    `${images} images in batches of ${batchSize} leave a batch of one, whose statistics '${single.path}' cannot take ` +
      `(its maps are one pixel); expected another batch size, such as ${batchSize + 1}, or larger images`,
  );
}

export function parameterCounts(model: Module): { parameters: number; trainable: number } {
  const parameters = [...model.namedParameters()].filter(([, p]) => p.kind === 'parameter');
  const size = (of: typeof parameters): number => of.reduce((a, [, p]) => a + elements(p.shape), 0);
  return { parameters: size(parameters), trainable: size(parameters.filter(([, p]) => p.requiresGrad)) };
}

/** Waits for the data, the frozen part running over every image and view meanwhile; undefined when stopped. */
async function decodeAndCache(
  data: Dataset,
  features: FrozenFeatures | undefined,
  recipe: Recipe,
  views: number,
  stop: AbortSignal,
  report: (done: number, total: number) => void,
): Promise<Split | undefined> {
  const counter = (total: number): ((n: number) => void) => {
    let done = 0;
    return (n) => report((done += n), total);
  };
  if (features && !recipe.augment) {
    const packed = async (n: number): Promise<void> => void (await unlessStopped(data.packed(n), stop));
    if (!(await features.follow(packed, stop, counter(data.labels.length)))) return undefined;
    return unlessStopped(data.ready(), stop);
  }
  const split = await unlessStopped(data.ready(), stop);
  if (!split || !features) return split;
  const step = counter(split.val.length + views * split.train.length);
  let complete = await features.compute(split.val, 0, undefined, stop, step);
  for (let v = 1; v <= views && complete; v++) {
    complete = await features.compute(split.train, v, recipe.augment, stop, step);
  }
  return complete ? split : undefined;
}

/** What a promise gives, or undefined as soon as `stop` aborts: decoding may go on for long. */
async function unlessStopped<T>(promise: Promise<T>, stop: AbortSignal): Promise<T | undefined> {
  if (stop.aborted) return undefined;
  let hear: () => void = () => {};
  const stopped = new Promise<undefined>((resolve) => {
    hear = () => resolve(undefined);
    stop.addEventListener('abort', hear, { once: true });
  });
  try {
    return await Promise.race([promise, stopped]);
  } catch (error) {
    if (stop.aborted) return undefined; // the data listens to the same signal, and says so its own way
    throw error;
  } finally {
    stop.removeEventListener('abort', hear);
  }
}
