// The settings of a training, described once: their types, what is refused, the command line's help and what a config
// file may say all come from here. What holds where one is left out is recipe.ts.
import { z } from 'zod';
import {
  augmentPreset,
  augmentWith,
  AUGMENT_PRESETS,
  type AugmentPreset,
  type AugmentSettings,
} from '../data/augment.js';
import { MOST_BATCH } from '../engine/batch-size.js';
import { DEVICES, DEVICES_TEXT, MOST_THREADS } from '../engine/engine.js';
import { choice, flag, judged, listed, number, setting, whole } from '../schema.js';
import { validPreprocess, type Preprocess } from '../weights/preprocess.js';
import { saveEverySchema } from './interval.js';
import { scheduleSchema, SCHEDULES } from './schedule.js';

/** Optimizers by name; `sgd` has a momentum of 0.9. */
export const OPTIMIZERS = ['sgd', 'adam', 'adamw', 'rmsprop'] as const;
/** Ready-made settings by name: presets.ts. */
export const PRESET_NAMES = ['reference', 'fast', 'accurate'] as const;

const weightDecay = number({ least: 0 }).optional();
const share = number({ least: 0, below: 1 }, 'a share').optional();
const eps = number({ above: 0 }).optional();
const moments = { beta1: share, beta2: share, eps, weightDecay };
const optimizerSpecs = [
  z.strictObject({ kind: z.literal('sgd'), momentum: share, nesterov: flag().optional(), weightDecay }),
  z.strictObject({ kind: z.literal('adam'), ...moments }),
  z.strictObject({ kind: z.literal('adamw'), ...moments }),
  z.strictObject({
    kind: z.literal('rmsprop'),
    ...{ alpha: share, eps, momentum: share, weightDecay, epsInsideSqrt: flag().optional() },
  }),
] as const;

/** Settings of a training as plain values: what a config file can hold. Every one may be left out. */
export const settingsSchema = z.strictObject(
  {
    /** ready-made settings; those given beside it count */
    preset: setting(choice(PRESET_NAMES), 'ready-made settings; what is given beside it counts'),
    /** what is frozen before training; absent: what you did with `freeze()` and `freezeBackbone()` stands */
    freeze: setting(
      z.union([z.enum(['features', 'none']), whole({ least: 0 })], { error: 'features, none or a number of blocks' }),
      'features: train the classifier alone; a number: all but the first n blocks',
      { default: 'none' },
    ),
    /** passes over the training images (default 20) */
    epochs: setting(whole({ least: 1 }), 'passes over the training images', { default: 20 }),
    /**
     * epochs before these in which the head alone is trained, on cached features, at a head's own rate; the rest follows
     * from there with a fresh optimizer (LP-FT, Kumar et al. 2022). Default 0
     */
    headEpochs: setting(whole({ least: 0 }), 'epochs of the head alone before those of the rest', { default: 0 }),
    /** images a step (default 16) */
    batchSize: setting(whole({ least: 1, most: MOST_BATCH }), 'images a step', { default: 16 }),
    /** a name, or a description with settings of its own, such as `{ kind: 'sgd', momentum: 0.8 }` (default 'adam') */
    optimizer: setting(
      z.union([z.enum(OPTIMIZERS), z.discriminatedUnion('kind', optimizerSpecs, { error: listed(OPTIMIZERS) })], {
        error: listed(OPTIMIZERS),
      }),
      'rule of the updates',
      { default: 'adam' },
    ),
    /** highest learning rate; the default depends on the optimizer and on what is trained */
    lr: setting(
      number({ above: 0 }),
      'highest learning rate (default: adam 0.002 for a head, 0.0003 for a pretrained backbone, 0.003 from scratch; ' +
        'sgd 0.05, 0.002, 0.05)',
    ),
    /** how the rate moves, a name or a value (default: a cosine down to zero) */
    schedule: setting(
      z.union([z.enum(SCHEDULES), scheduleSchema], { error: listed(SCHEDULES) }),
      'how the learning rate moves',
      { default: 'cosine' },
    ),
    /** epochs of linear warm-up, where `schedule` is not a value of its own; default 1 when the backbone trains, else 0 */
    warmUp: setting(
      number({ least: 0 }, 'epochs, a number'),
      'epochs in which the rate rises (default 1 when the backbone trains, else 0)',
    ),
    /** default: the optimizer's own */
    weightDecay: setting(number({ least: 0 }), "default: the optimizer's own"),
    /** weight decay for norms and biases too, which it leaves alone otherwise */
    decayAll: setting(flag(), 'weight decay for norms and biases too, which it leaves alone otherwise'),
    /** no weight decay for depthwise kernels, which have few weights (V1, section 3.2) */
    spareDepthwise: setting(flag(), 'no weight decay for depthwise kernels (MobileNet V1, section 3.2)'),
    /** largest norm of the whole gradient: longer ones are scaled down to it; absent: any */
    clip: setting(number({ above: 0 }), 'largest norm of the whole gradient; longer ones are scaled down to it'),
    /** batches whose gradients make one update (default 1): as one batch of so many times the images, in less memory */
    accumulate: setting(whole({ least: 1, most: MOST_BATCH }), 'batches whose gradients make one update', {
      default: 1,
    }),
    /** the backbone's learning rate over the head's (default 1) */
    backboneRate: setting(number({ least: 0 }), "the backbone's learning rate over the head's", { default: 1 }),
    /** 'frozen': BatchNorm keeps the statistics it has, its scale and shift are trained (default 'train') */
    bn: setting(choice(['train', 'frozen']), 'frozen: BatchNorm keeps its statistics; scale and shift are trained', {
      default: 'train',
    }),
    /**
     * decay of a running average of the weights, which is then what is validated, kept and written; 'auto': it reaches
     * back over a tenth of all updates. Absent: none
     */
    ema: setting(
      z.union([z.literal('auto'), number({ above: 0, below: 1 })], { error: 'auto or a decay above 0 and below 1' }),
      'validate and keep a running average of the weights, with this decay; auto: over a tenth of all updates',
    ),
    /**
     * what the best epoch has most, or least, of in validation. One class of several: accuracy (default), macroF1 or
     * loss; several labels: mAP (default), macroF1, accuracy or loss; numbers: loss (default), mae or r2
     */
    bestBy: setting(
      choice(['accuracy', 'macroF1', 'loss', 'mAP', 'mae', 'r2']),
      'what makes an epoch the best (default accuracy; multilabel mAP; regression loss)',
    ),
    /** regression: squared errors (default), or Huber's, which outliers pull less; in standard deviations */
    loss: setting(choice(['mse', 'huber']), 'regression: what is made smaller', { default: 'mse' }),
    /** ends the training after so many epochs without a better one; absent: never */
    patience: setting(whole({ least: 1 }), 'epochs without a better one after which it ends'),
    /** ends the training after so many seconds, after the step under way; what was trained is validated. Absent: never */
    timeBudget: setting(number({ above: 0 }, 'seconds, a number'), 'seconds after which it ends, validated and saved'),
    /** share of the target spread over all classes (default 0) */
    labelSmoothing: setting(number({ least: 0, below: 1 }, 'a share'), 'share of the target spread over all classes', {
      default: 0,
    }),
    /**
     * tell after each epoch which share of the depthwise kernels is dead: empty, or of a channel that its activation never
     * opens (default true, where depthwise kernels are trained)
     */
    deadKernels: setting(
      flag(),
      'tell the share of depthwise kernels that are dead (the default where they are trained)',
    ),
    /** of the first weights, the order, dropout and augmentation (default 0) */
    seed: setting(
      whole({ least: 0, most: Number.MAX_SAFE_INTEGER }),
      'of the split, the first weights, the order, dropout and augmentation',
      { default: 0 },
    ),
    /** 'cpu' (default), 'cuda', 'cuda:n' or 'auto' */
    device: setting(z.string({ error: DEVICES_TEXT }).regex(DEVICES, { error: DEVICES_TEXT }), 'where it runs', {
      default: 'auto',
    }),
    /** CPU threads (default: all cores) */
    threads: setting(whole({ least: 1, most: MOST_THREADS }), 'CPU threads (default: all cores)'),
    /** 'bf16' runs convolutions in bfloat16 (default 'fp32') */
    precision: setting(choice(['fp32', 'bf16']), 'bf16: convolutions in bfloat16', { default: 'fp32' }),
    /** a preset's name, or settings: those left out change nothing */
    augment: setting(
      judged<AugmentPreset | AugmentSettings>((v) =>
        typeof v === 'string' ? augmentPreset(v as AugmentPreset) : augmentWith(v as AugmentSettings),
      ),
      'default none; photo: mirrored, crop, colour; aerial: flips, quarter turns; strong: also scale, shift, rotation, ' +
        'colour, erasing',
      { expected: listed(AUGMENT_PRESETS) },
    ),
    /**
     * alpha of MixUp, 0: off (default 0): images of a batch and their targets are blended in pairs. While images are
     * mixed, accuracy in training is counted against the heavier label, and what is frozen is not cached
     */
    mixup: setting(number({ least: 0, most: 100 }), 'alpha of MixUp, 0: off; such as 0.2', { default: 0 }),
    /** alpha of CutMix, 0: off (default 0): a rectangle shows another image. With `mixup`, an image takes either */
    cutmix: setting(number({ least: 0, most: 100 }), 'alpha of CutMix, 0: off; such as 1', { default: 0 }),
    /** weights of the classes in the loss of training: numbers, or 'balanced', n / (k * n_c); absent: all weigh the same */
    classWeights: setting(
      z.union([z.enum(['balanced']), z.array(number({ least: 0 })).min(1)], {
        error: 'balanced or (in a config file) a list of numbers, one a class',
      }),
      "balanced: a small class's images weigh more in the loss",
    ),
    /** 'balanced' visits each class equally often, images of small ones several times an epoch (default 'shuffled') */
    sampler: setting(choice(['shuffled', 'balanced']), 'balanced: each class comes equally often', {
      default: 'shuffled',
    }),
    /** augmented views of each training image that the cache keeps (default 4); 0: no cache, fresh draws every epoch */
    views: setting(
      whole({ least: 0 }),
      'augmented views cached per image when a part is frozen (default 4); 0: fresh ones every epoch, no cache',
    ),
    /** keep what the frozen part computes, when it fits into memory (default 'auto') */
    cache: setting(choice(['auto', 'off']), 'keep what the frozen part computes', { default: 'auto' }),
    /** CUDA: capture steps as graphs (default true) */
    cudaGraph: setting(flag(), 'CUDA: capture steps as graphs (the default)'),
    /** what the weights expect of pixels; default: as the weights say, else x/127.5 - 1 */
    preprocess: setting(
      judged<Preprocess>((v) => validPreprocess(v, 'preprocess')),
      'what the weights expect of pixels',
    ),
    /** between two checkpoints while training: seconds, at most (default 20), `{ minutes }` or `{ steps }`; a step is always finished first */
    saveEvery: setting(saveEverySchema, 'time or steps between checkpoints while training: 20s, 5min, 100steps', {
      default: '20s',
    }),
  },
  { error: 'an object of options' },
);

/** Settings of a training as plain values. */
export type Settings = z.input<typeof settingsSchema>;
/** What the best epoch has most, or least, of. */
export type BestBy = NonNullable<Settings['bestBy']>;
