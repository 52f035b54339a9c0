// Options of a training: names, defaults and why, checks.
import { UsageError } from '../errors.js';
import type { NativeAugment, OptimizerSpec } from '../native/wire.js';
import { augmentPreset, type AugmentPreset } from '../data/augment.js';
import type { Dataset } from '../data/dataset.js';
import type { Preprocess } from '../weights/preprocess.js';
import type { MobileNet } from '../models/classifier-network.js';
import type { Module } from '../nn/module.js';
import { adam, adamw, rmsprop, sgd } from '../engine/optimizer.js';
import { resolveDevice } from '../engine/engine.js';
import type { Checkpoint } from '../weights/checkpoint.js';

export const OPTIMIZERS = ['sgd', 'adam', 'adamw', 'rmsprop'] as const;
export type OptimizerName = (typeof OPTIMIZERS)[number];
export type Freeze = 'features' | 'none' | number;

export interface TrainerOptions {
  /** a checkpoint read with loadCheckpoint; its classifier is used when it has as many classes */
  weights?: Checkpoint;
  /** 'features': the whole backbone; a number: its first n blocks; 'none' (default). For networks without `freezeBackbone`, freeze modules yourself */
  freeze?: Freeze;
  epochs?: number;
  batchSize?: number;
  optimizer?: OptimizerName | OptimizerSpec;
  /** highest learning rate; it warms up for `warmUp` epochs, then decays to zero along a cosine */
  lr?: number;
  /** epochs; default 1 when the backbone trains, else 0 */
  warmUp?: number;
  weightDecay?: number;
  labelSmoothing?: number;
  seed?: number;
  device?: string;
  threads?: number;
  precision?: 'fp32' | 'bf16';
  augment?: AugmentPreset | NativeAugment;
  /** augmented views of each training image that the cache keeps (default 4); 0: no cache, fresh draws every epoch */
  views?: number;
  /** keep what the frozen part computes, when it fits into memory (default 'auto') */
  cache?: 'auto' | 'off';
  cudaGraph?: boolean;
  /** what the weights expect of pixels; default: as the weights say, else x/127.5 - 1 */
  preprocess?: Preprocess;
  /** run folder; default: none is written */
  out?: string;
  /** written to config.json beside the resolved settings */
  config?: Record<string, unknown>;
  signal?: AbortSignal;
}

export interface ResolvedTrainer {
  weights: Checkpoint | undefined;
  freeze: Freeze;
  epochs: number;
  batchSize: number;
  optimizer: OptimizerSpec;
  lr: number;
  warmUp: number;
  labelSmoothing: number;
  seed: number;
  device: string;
  threads: number | undefined;
  precision: 'fp32' | 'bf16';
  augment: NativeAugment | undefined;
  views: number;
  cache: 'auto' | 'off';
  cudaGraph: boolean;
  preprocess: Preprocess;
  out: string | undefined;
  config: Record<string, unknown>;
  signal: AbortSignal | undefined;
}

/**
 * Highest rates that were stable and best on UC Merced (batch 16): a fresh head alone takes a large one; a pretrained
 * backbone a small one (SGD at 0.01 wrecks it); a network from scratch lies between.
 */
export function defaultRate(kind: OptimizerSpec['kind'], training: 'head' | 'pretrained' | 'scratch'): number {
  const adaptive = { head: 2e-3, pretrained: 3e-4, scratch: 3e-3 };
  const plain = { head: 0.05, pretrained: 2e-3, scratch: 0.05 };
  const rms = { head: 1e-3, pretrained: 1e-4, scratch: 1e-3 };
  return (kind === 'sgd' ? plain : kind === 'rmsprop' ? rms : adaptive)[training];
}

function optimizerOf(choice: OptimizerName | OptimizerSpec, weightDecay: number | undefined): OptimizerSpec {
  if (typeof choice !== 'string') return choice;
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

const isMobileNet = (model: Module): model is MobileNet => 'freezeBackbone' in model;

/** Fills in defaults, checks ranges, and freezes the model as asked. */
export function resolveTrainer(model: Module, data: Dataset, options: TrainerOptions): ResolvedTrainer {
  const {
    weights,
    epochs = 20,
    batchSize = 16,
    labelSmoothing = 0,
    seed = 0,
    precision = 'fp32',
    cache = 'auto',
    views = 4,
  } = options;
  const whole = (name: string, value: number, least: number): void => {
    if (!Number.isInteger(value) || value < least)
      throw new UsageError(`${name}: expected a whole number of at least ${least}, got ${value}`);
  };
  whole('epochs', epochs, 1);
  whole('batchSize', batchSize, 1);
  whole('seed', seed, 0);
  whole('views', views, 0);
  if (!['fp32', 'bf16'].includes(precision))
    throw new UsageError(`precision: expected fp32 or bf16, got '${precision}'`);
  if (!['auto', 'off'].includes(cache)) throw new UsageError(`cache: expected auto or off, got '${cache}'`);
  const freeze = options.freeze ?? 'none';
  if (isMobileNet(model)) model.freezeBackbone(freeze);
  else if (options.freeze !== undefined)
    throw new UsageError('freeze: this model has no freezeBackbone(); call freeze() on its modules instead');
  const optimizer = optimizerOf(options.optimizer ?? 'adam', options.weightDecay);
  const training = freeze === 'features' ? 'head' : weights ? 'pretrained' : 'scratch';
  const lr = options.lr ?? defaultRate(optimizer.kind, training);
  if (!(lr > 0 && Number.isFinite(lr))) throw new UsageError(`lr: expected a number above 0, got ${lr}`);
  const warmUp = options.warmUp ?? (training === 'head' ? 0 : Math.min(1, epochs / 10));
  const augment = typeof options.augment === 'string' ? augmentPreset(options.augment) : options.augment;
  const preprocess = options.preprocess ??
    (weights?.preprocess && { ...weights.preprocess, size: data.size }) ?? { size: data.size, scale: 'x/127.5-1' };
  return {
    weights,
    freeze,
    epochs,
    batchSize,
    optimizer,
    lr,
    warmUp,
    labelSmoothing,
    seed,
    precision,
    augment,
    views,
    cache,
    preprocess,
    device: resolveDevice(options.device ?? 'cpu'),
    threads: options.threads,
    cudaGraph: options.cudaGraph ?? true,
    out: options.out,
    config: options.config ?? {},
    signal: options.signal,
  };
}
