// The recipe of a training: its options, their defaults and why, and all that can be refused before any work. Pure: the
// model and the data are looked at, never changed.
import path from 'node:path';
import { shown, UsageError } from '../errors.js';
import type { NativeAugment } from '../native/wire.js';
import { augmentPreset, augmentWith, type AugmentPreset } from '../data/augment.js';
import { MOST_SIZE, validPreprocess, type Preprocess } from '../weights/preprocess.js';
import type { Checkpoint } from '../weights/checkpoint.js';
import { MobileNet } from '../models/classifier-network.js';
import { inHead } from '../models/head.js';
import { architectureOf } from '../models/registry.js';
import type { Module } from '../nn/module.js';
import { adam, adamw, rmsprop, sgd, type OptimizerSpec } from '../engine/optimizer.js';
import { MOST_THREADS, resolveDevice } from '../engine/engine.js';
import { Weights } from '../engine/weights.js';
import type { Hook } from './hooks/hook.js';
import { checkSaveEvery, type SaveEvery } from './interval.js';
import { checkSchedule, type Schedule } from './schedule.js';

/** Optimizers by name; `sgd` has a momentum of 0.9. */
export const OPTIMIZERS = ['sgd', 'adam', 'adamw', 'rmsprop'] as const;
/** A name of an optimizer with its usual settings. */
export type OptimizerName = (typeof OPTIMIZERS)[number];
/** 'features': the whole backbone; 'none'; or a number: its first n blocks. */
export type Freeze = 'features' | 'none' | number;

/** Options of a training; every one may be left out. */
export interface TrainerOptions {
  /** first values: a checkpoint read with loadCheckpoint, whose classifier is used when it has as many classes, or the weights of an earlier training */
  weights?: Checkpoint | Weights;
  /** what is frozen before training; absent: what you did with `freeze()` and `freezeBackbone()` stands */
  freeze?: Freeze;
  /** passes over the training images (default 20) */
  epochs?: number;
  /** images a step (default 16) */
  batchSize?: number;
  /** a name, or a description with settings of its own (default 'adam') */
  optimizer?: OptimizerName | OptimizerSpec;
  /** highest learning rate; the default depends on the optimizer and on what is trained */
  lr?: number;
  /** how the rate moves (default: a cosine down to zero, after `warmUp`) */
  schedule?: Schedule;
  /** epochs of linear warm-up, where `schedule` is not given; default 1 when the backbone trains, else 0 */
  warmUp?: number;
  /** default: the optimizer's own */
  weightDecay?: number;
  /** share of the target spread over all classes (default 0) */
  labelSmoothing?: number;
  /** of the first weights, the order, dropout and augmentation (default 0) */
  seed?: number;
  /** 'cpu' (default), 'cuda', 'cuda:n' or 'auto' */
  device?: string;
  /** CPU threads (default: all cores) */
  threads?: number;
  /** 'bf16' runs convolutions in bfloat16 (default 'fp32') */
  precision?: 'fp32' | 'bf16';
  /** a preset's name, or settings: those left out change nothing */
  augment?: AugmentPreset | Partial<NativeAugment>;
  /** augmented views of each training image that the cache keeps (default 4); 0: no cache, fresh draws every epoch */
  views?: number;
  /** keep what the frozen part computes, when it fits into memory (default 'auto') */
  cache?: 'auto' | 'off';
  /** CUDA: capture steps as graphs (default true) */
  cudaGraph?: boolean;
  /** what the weights expect of pixels; default: as the weights say, else x/127.5 - 1 */
  preprocess?: Preprocess;
  /** run folder; default: nothing is written */
  out?: string;
  /** between two checkpoints while training: seconds, at most (default 20), `{ minutes }` or `{ steps }`; a step is always finished first */
  saveEvery?: SaveEvery;
  /** folder of an interrupted run to go on with: the options must be those it began with */
  resume?: string;
  /** hear of the start, epochs and the end, after what writes the run folder */
  hooks?: readonly Hook[];
  /** written to config.json beside the resolved settings */
  config?: Record<string, unknown>;
  /** aborting stops after the step under way, saves, and ends with `stopped` */
  signal?: AbortSignal;
}

/** A training's settings, defaults filled in. */
export interface Recipe {
  readonly weights: Checkpoint | Weights | undefined;
  /** undefined: the model stays as it is */
  readonly freeze: Freeze | undefined;
  readonly epochs: number;
  readonly batchSize: number;
  readonly optimizer: OptimizerSpec;
  readonly lr: number;
  readonly schedule: Schedule;
  readonly labelSmoothing: number;
  readonly seed: number;
  readonly device: string;
  readonly threads: number | undefined;
  readonly precision: 'fp32' | 'bf16';
  readonly augment: NativeAugment | undefined;
  readonly views: number;
  readonly cache: 'auto' | 'off';
  readonly cudaGraph: boolean;
  readonly preprocess: Preprocess;
  readonly out: string | undefined;
  readonly saveEvery: SaveEvery;
  /** the folder to go on in, which is `out` */
  readonly resume: string | undefined;
  readonly hooks: readonly Hook[];
  readonly config: Record<string, unknown>;
  readonly signal: AbortSignal | undefined;
}

/** How much of a network learns, which is what a good learning rate depends on. */
export type Training = 'head' | 'pretrained' | 'scratch';

/**
 * Highest rates that were stable and best on UC Merced (batch 16): a fresh head alone takes a large one; a pretrained
 * backbone a small one (SGD at 0.01 wrecks it); a network from scratch lies between.
 */
export function defaultRate(kind: OptimizerSpec['kind'], training: Training): number {
  const adaptive = { head: 2e-3, pretrained: 3e-4, scratch: 3e-3 };
  const plain = { head: 0.05, pretrained: 2e-3, scratch: 0.05 };
  const rms = { head: 1e-3, pretrained: 1e-4, scratch: 1e-3 };
  return (kind === 'sgd' ? plain : kind === 'rmsprop' ? rms : adaptive)[training];
}

function optimizerOf(choice: OptimizerName | OptimizerSpec, weightDecay: number | undefined): OptimizerSpec {
  if (typeof choice === 'object' && choice !== null) {
    if (OPTIMIZERS.includes(choice.kind)) return weightDecay === undefined ? choice : { ...choice, weightDecay };
    throw new UsageError(
      `optimizer: expected a kind out of ${OPTIMIZERS.join(', ')}, got ${JSON.stringify(choice.kind)}`,
    );
  }
  const decay = weightDecay === undefined ? {} : { weightDecay };
  switch (choice) {
    case 'sgd':
      return sgd({ momentum: 0.9, ...decay });
    case 'adam':
      return adam(decay);
    case 'adamw':
      return adamw(decay);
    case 'rmsprop':
      return rmsprop(decay);
    default:
      throw new UsageError(`optimizer: expected ${OPTIMIZERS.join(', ')}, got '${String(choice)}'`);
  }
}

function number(name: string, value: unknown, ok: (v: number) => boolean, expected: string): void {
  if (typeof value !== 'number' || !ok(value)) {
    throw new UsageError(
      `${name}: expected ${expected}, got ${typeof value === 'string' ? `'${value}'` : String(value)}`,
    );
  }
}
const whole = (name: string, value: unknown, least: number, most = Number.MAX_SAFE_INTEGER): void =>
  number(
    name,
    value,
    (v) => Number.isSafeInteger(v) && v >= least && v <= most,
    most === Number.MAX_SAFE_INTEGER
      ? `a whole number of at least ${least}`
      : `a whole number from ${least} to ${most}`,
  );

function oneOf<T>(name: string, value: unknown, choices: readonly T[]): void {
  if (!choices.includes(value as T))
    throw new UsageError(`${name}: expected ${choices.join(' or ')}, got '${String(value)}'`);
}

/** All that can be said against options before a model or images are there. `resolveRecipe` says it too. */
export function checkOptions(options: TrainerOptions): void {
  if (typeof options !== 'object' || options === null) {
    throw new UsageError(`Trainer: expected an object of options, got ${String(options)}`);
  }
  const given = <K extends keyof TrainerOptions>(
    name: K,
    check: (value: NonNullable<TrainerOptions[K]>) => void,
  ): void => {
    if (options[name] !== undefined) check(options[name] as NonNullable<TrainerOptions[K]>);
  };
  const finite = (least: number, strictly: boolean) => (v: number) =>
    Number.isFinite(v) && (strictly ? v > least : v >= least);
  given('epochs', (v) => whole('epochs', v, 1));
  given('batchSize', (v) => whole('batchSize', v, 1));
  given('seed', (v) => whole('seed', v, 0));
  given('views', (v) => whole('views', v, 0));
  given('threads', (v) => whole('threads', v, 1, MOST_THREADS));
  given('lr', (v) => number('lr', v, finite(0, true), 'a number above 0'));
  given('warmUp', (v) => number('warmUp', v, finite(0, false), 'epochs, a number of at least 0'));
  given('weightDecay', (v) => number('weightDecay', v, finite(0, false), 'a number of at least 0'));
  given('labelSmoothing', (v) => number('labelSmoothing', v, (x) => x >= 0 && x < 1, 'a share in [0, 1)'));
  given('saveEvery', checkSaveEvery);
  given('freeze', (v) => {
    if (v !== 'features' && v !== 'none')
      number('freeze', v, (n) => Number.isInteger(n) && n >= 0, "'features', 'none' or a number of blocks");
  });
  given('schedule', checkSchedule);
  if (options.schedule && options.warmUp !== undefined) throw new UsageError('warmUp: give it within schedule');
  given('precision', (v) => oneOf('precision', v, ['fp32', 'bf16']));
  given('cache', (v) => oneOf('cache', v, ['auto', 'off']));
  given('cudaGraph', (v) => oneOf('cudaGraph', v, [true, false]));
  given('preprocess', (v) => {
    try {
      validPreprocess(v, 'preprocess');
    } catch (cause) {
      throw new UsageError((cause as Error).message, { cause });
    }
  });
  given('device', (v) => resolveDevice(v));
  given('augment', (v) => augmentOf(v));
  given('signal', (v) => {
    if (!(v instanceof AbortSignal)) throw new UsageError(`signal: expected an AbortSignal, got ${String(v)}`);
  });
  given('hooks', (v) => {
    if (!Array.isArray(v) || v.some((hook) => typeof hook !== 'object' || hook === null))
      throw new UsageError(`hooks: expected a list of hooks, got ${shown(v)}`);
  });
  given('out', (v) => {
    if (typeof v !== 'string' || v === '')
      throw new UsageError(`out: expected a folder's path, got ${JSON.stringify(v)}`);
  });
  given('resume', (v) => {
    if (typeof v !== 'string' || v === '')
      throw new UsageError(`resume: expected a run folder's path, got ${shown(v)}`);
    if (options.out !== undefined && path.resolve(options.out) !== path.resolve(v))
      throw new UsageError(`out: a run goes on in its own folder, ${v}; got ${options.out}`);
  });
  given('weights', (v) => {
    if (!(v instanceof Weights) && !((v as Checkpoint).tensors instanceof Map)) {
      throw new UsageError('weights: expected what loadCheckpoint() or fit() gives');
    }
  });
  optimizerOf(options.optimizer ?? 'adam', options.weightDecay);
}

function augmentOf(augment: TrainerOptions['augment']): NativeAugment | undefined {
  if (augment === undefined) return undefined;
  if (typeof augment === 'string') return augmentPreset(augment);
  return augmentWith(augment);
}

/** What of a model would learn under `freeze`, before anything is frozen. */
function trainingOf(model: Module, freeze: Freeze | undefined, pretrained: boolean): Training {
  if (freeze === 'features') return 'head';
  const all = [...model.namedParameters()].filter(([, p]) => p.kind === 'parameter');
  const head = architectureOf(model)?.head;
  const backbone = head ? all.filter(([name]) => !inHead(head, name)) : [];
  if (freeze === undefined && backbone.length > 0 && backbone.every(([, p]) => !p.requiresGrad)) return 'head';
  return pretrained ? 'pretrained' : 'scratch';
}

/**
 * Checks options and fills in defaults.
 * @param size side of the data's images, pixels
 * @throws UsageError naming the option, what was expected and what came; EnvironmentError for a device that is not there
 */
export function resolveRecipe(model: Module, size: number, options: TrainerOptions): Recipe {
  checkOptions(options);
  const { weights, freeze, epochs = 20, seed = 0, precision = 'fp32', cache = 'auto', views = 4 } = options;
  if (freeze !== undefined && !('freezeBackbone' in model)) {
    throw new UsageError('freeze: this model has no freezeBackbone(); call freeze() on its modules instead');
  }
  if (typeof freeze === 'number' && model instanceof MobileNet && freeze > model.features.layers.length) {
    throw new UsageError(
      `freeze: expected 'features', 'none' or a number of blocks from 0 to ${model.features.layers.length}, got ${freeze}`,
    );
  }
  const optimizer = optimizerOf(options.optimizer ?? 'adam', options.weightDecay);
  const training = trainingOf(model, freeze, weights !== undefined);
  const warmUp = options.warmUp ?? (training === 'head' ? 0 : Math.min(1, epochs / 10));
  const said = weights && !(weights instanceof Weights) ? weights.preprocess : undefined;
  const preprocess = options.preprocess ?? (said && { ...said, size }) ?? { size, scale: 'x/127.5-1' };
  // A checkpoint of larger images could not be loaded again.
  if (size > MOST_SIZE) throw new UsageError(`size: expected images of at most ${MOST_SIZE} pixels, got ${size}`);
  if (preprocess.size !== size) {
    throw new UsageError(`preprocess: expected the data's size of ${size} pixels, got ${preprocess.size}`);
  }
  return {
    weights,
    freeze,
    epochs,
    batchSize: options.batchSize ?? 16,
    optimizer,
    lr: options.lr ?? defaultRate(optimizer.kind, training),
    schedule: options.schedule ?? { kind: 'cosine', warmUp },
    labelSmoothing: options.labelSmoothing ?? 0,
    seed,
    device: resolveDevice(options.device ?? 'cpu'),
    threads: options.threads,
    precision,
    augment: augmentOf(options.augment),
    views,
    cache,
    cudaGraph: options.cudaGraph ?? true,
    preprocess,
    out: options.resume ?? options.out,
    resume: options.resume,
    saveEvery: options.saveEvery ?? 20,
    hooks: options.hooks ?? [],
    config: options.config ?? {},
    signal: options.signal,
  };
}
