// The recipe of a training: what is meant where a setting is left out, and why, and what can only be refused knowing the
// model and the data. Pure: both are looked at, never changed.
import path from 'node:path';
import { shown, UsageError } from '../errors.js';
import type { NativeAugment } from '../native/wire.js';
import { augmentPreset, augmentWith } from '../data/augment.js';
import { MOST_SIZE, type Preprocess } from '../weights/preprocess.js';
import type { Checkpoint } from '../weights/checkpoint.js';
import type { Task } from '../weights/task.js';
import { MobileNet } from '../models/classifier-network.js';
import { inHead } from '../models/head.js';
import { architectureOf } from '../models/registry.js';
import type { Module } from '../nn/module.js';
import { adam, adamw, rmsprop, sgd, type OptimizerSpec } from '../engine/optimizer.js';
import { resolveDevice } from '../engine/engine.js';
import { Weights } from '../engine/weights.js';
import { check } from '../schema.js';
import type { ClassWeights } from './balance.js';
import type { Hook } from './hooks/hook.js';
import type { SaveEvery } from './interval.js';
import { BEST_BY } from './measures.js';
import { PRESETS } from './presets.js';
import { namedSchedule, type Schedule } from './schedule.js';
import { settingsSchema, type BestBy, type Settings } from './settings.js';

/** A name of an optimizer with its usual settings. */
export type OptimizerName = Extract<Settings['optimizer'], string>;
/** 'features': the whole backbone; 'none'; or a number: its first n blocks. */
export type Freeze = NonNullable<Settings['freeze']>;

/** Options of a training; every one may be left out. */
export interface TrainerOptions extends Settings {
  /** first values: a checkpoint read with loadCheckpoint, whose classifier is used when it has as many classes, or the weights of an earlier training */
  weights?: Checkpoint | Weights;
  /** run folder; default: nothing is written */
  out?: string;
  /** folder of an interrupted run to go on with: the options must be those it began with */
  resume?: string;
  /** hear of the start, epochs and the end, after what writes the run folder */
  hooks?: readonly Hook[];
  /** settings of the data and the model, written to config.json beside the resolved ones */
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
  /** before the other epochs */
  readonly headEpochs: number;
  readonly batchSize: number;
  readonly optimizer: OptimizerSpec;
  readonly lr: number;
  readonly schedule: Schedule;
  readonly decayAll: boolean;
  /** undefined: no, as in runs before there was such a setting */
  readonly spareDepthwise: true | undefined;
  /** undefined: any norm */
  readonly clip: number | undefined;
  readonly accumulate: number;
  readonly backboneRate: number;
  readonly bn: 'train' | 'frozen';
  readonly ema: number | 'auto' | undefined;
  readonly bestBy: BestBy;
  readonly patience: number | undefined;
  readonly timeBudget: number | undefined;
  /** of a regression */
  readonly loss: 'mse' | 'huber' | undefined;
  readonly labelSmoothing: number;
  readonly mixup: number;
  readonly cutmix: number;
  readonly classWeights: ClassWeights | undefined;
  readonly sampler: 'shuffled' | 'balanced';
  readonly deadKernels: boolean;
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

function optimizerOf(choice: NonNullable<Settings['optimizer']>, weightDecay: number | undefined): OptimizerSpec {
  const spec = typeof choice === 'string' ? { kind: choice, ...(choice === 'sgd' && { momentum: 0.9 }) } : choice;
  return { sgd, adam, adamw, rmsprop }[spec.kind]({ ...spec, ...(weightDecay !== undefined && { weightDecay }) });
}

/** All that can be said against options before a model or images are there. `resolveRecipe` says it too. */
export function checkOptions(options: TrainerOptions): void {
  if (typeof options !== 'object' || options === null) {
    throw new UsageError(`Trainer: expected an object of options, got ${String(options)}`);
  }
  const { weights, out, resume, hooks, config: _, signal, ...settings } = options;
  check(settingsSchema, settings);
  if (typeof options.schedule === 'object' && options.warmUp !== undefined) {
    throw new UsageError('warmUp: give it within schedule');
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new UsageError(`signal: expected an AbortSignal, got ${String(signal)}`);
  }
  if (
    hooks !== undefined &&
    (!Array.isArray(hooks) || hooks.some((hook) => typeof hook !== 'object' || hook === null))
  ) {
    throw new UsageError(`hooks: expected a list of hooks, got ${shown(hooks)}`);
  }
  if (out !== undefined && (typeof out !== 'string' || out === '')) {
    throw new UsageError(`out: expected a folder's path, got ${JSON.stringify(out)}`);
  }
  if (resume !== undefined) {
    if (typeof resume !== 'string' || resume === '')
      throw new UsageError(`resume: expected a run folder's path, got ${shown(resume)}`);
    if (out !== undefined && path.resolve(out) !== path.resolve(resume))
      throw new UsageError(`out: a run goes on in its own folder, ${resume}; got ${out}`);
  }
  if (weights !== undefined && !(weights instanceof Weights) && !(weights.tensors instanceof Map)) {
    throw new UsageError('weights: expected what loadCheckpoint() or fit() gives');
  }
  optimizerOf(options.optimizer ?? 'adam', options.weightDecay);
  resolveDevice(options.device ?? 'cpu');
}

/** Without the keys that have no value, which would hide a preset's. */
function present(options: TrainerOptions): TrainerOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function augmentOf(augment: Settings['augment']): NativeAugment | undefined {
  if (augment === undefined) return undefined;
  return typeof augment === 'string' ? augmentPreset(augment) : augmentWith(augment);
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

function lossOf(asked: Settings['loss'], task: Task): Recipe['loss'] {
  if (task === 'regression') return asked ?? 'mse';
  if (asked !== undefined)
    throw new UsageError(`loss: expected none for the task '${task}', got '${asked}'; it is of a regression`);
  return undefined;
}

function bestByOf(asked: BestBy | undefined, task: Task): BestBy {
  const known = BEST_BY[task];
  if (asked === undefined || known.includes(asked)) return asked ?? known[0];
  throw new UsageError(`bestBy: expected one of ${known.join(', ')} for the task '${task}', got '${asked}'`);
}

/**
 * Checks options and fills in defaults.
 * @param size side of the data's images, pixels
 * @param task what is learned of them
 * @throws UsageError naming the option, what was expected and what came; EnvironmentError for a device that is not there
 */
export function resolveRecipe(model: Module, size: number, given: TrainerOptions, task: Task = 'multiclass'): Recipe {
  checkOptions(given);
  const options: TrainerOptions = given.preset ? { ...PRESETS[given.preset].settings, ...present(given) } : given;
  const { weights, freeze, epochs = 20, seed = 0, precision = 'fp32', cache = 'auto', views = 4 } = options;
  const { schedule = 'cosine' } = options;
  if (freeze !== undefined && !('freezeBackbone' in model)) {
    throw new UsageError('freeze: this model has no freezeBackbone(); call freeze() on its modules instead');
  }
  if (typeof freeze === 'number' && model instanceof MobileNet && freeze > model.features.layers.length) {
    throw new UsageError(
      `freeze: expected 'features', 'none' or a number of blocks from 0 to ${model.features.layers.length}, got ${freeze}`,
    );
  }
  if (options.headEpochs && !('freezeBackbone' in model)) {
    throw new UsageError('headEpochs: this model has no freezeBackbone(), so its head cannot be trained alone');
  }
  if (options.headEpochs && freeze === 'features') {
    throw new UsageError("headEpochs: freeze 'features' trains the head alone in every epoch; leave one of them out");
  }
  if ((options.backboneRate ?? 1) !== 1 && !architectureOf(model)) {
    throw new UsageError('backboneRate: this model does not say which part is its head; expected one of the registry');
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
    headEpochs: options.headEpochs ?? 0,
    batchSize: options.batchSize ?? 16,
    optimizer,
    lr: options.lr ?? defaultRate(optimizer.kind, training),
    schedule: typeof schedule === 'string' ? namedSchedule(schedule, { epochs, warmUp }) : schedule,
    decayAll: options.decayAll ?? false,
    deadKernels: options.deadKernels ?? true,
    spareDepthwise: options.spareDepthwise || undefined,
    clip: options.clip,
    accumulate: options.accumulate ?? 1,
    backboneRate: options.backboneRate ?? 1,
    bn: options.bn ?? 'train',
    ema: options.ema,
    bestBy: bestByOf(options.bestBy, task),
    patience: options.patience,
    timeBudget: options.timeBudget,
    loss: lossOf(options.loss, task),
    labelSmoothing: options.labelSmoothing ?? 0,
    mixup: options.mixup ?? 0,
    cutmix: options.cutmix ?? 0,
    classWeights: options.classWeights,
    sampler: options.sampler ?? 'shuffled',
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
