// What commands that train have in common: from words and a config file to a network, images and the options of a
// training. Owns no training.
import path from 'node:path';
import { UsageError } from '../errors.js';
import { DEFAULT_MAX_PIXELS } from '../data/decode.js';
import type { Dataset } from '../data/dataset.js';
import { checkManifestOptions } from '../data/sources/image-manifest.js';
import { groupRule } from '../data/split-options.js';
import { createModel } from '../models/registry.js';
import type { Module } from '../nn/module.js';
import type { TrainEvent } from '../train/events.js';
import { PRESETS } from '../train/presets.js';
import { resolveRecipe, type TrainerOptions } from '../train/recipe.js';
import { networkOf, type SavedState } from '../train/state-file.js';
import { namedNetwork, openWeights, wishesOf } from './network.js';
import { given, ofSettings, optionalPath, type Values } from './options.js';
import { divided, IMAGES, manifestOptions, readConfig, runSchema, type RunSettings } from './run-settings.js';

/** The demo: small enough to learn from scratch in about a minute on two cores. */
const DEMO = { epochs: 20, batchSize: 32, augment: 'aerial' } as const;
/** Where no weights say otherwise. */
const DEMO_NETWORK = { size: 64, width: 0.35, lr: 4e-3 } as const;
const DEMO_PER_CLASS = 100;
/** Of the images, where nothing is said. */
const HOW_READ = { valSplit: 0.3, skipBad: false, allowDamaged: false, maxPixels: DEFAULT_MAX_PIXELS };

export const trainingOperands = {
  data: optionalPath({ describe: `${IMAGES}; none: the built-in scenes` }),
};
export const trainingOptions = {
  config: optionalPath({ describe: "settings as YAML or JSON, such as a run's config.json; flags count before them" }),
  ...ofSettings(runSchema, ['data', 'preprocess', 'about']),
};
export type TrainingWords = Values<typeof trainingOperands> & Values<typeof trainingOptions>;

/** A model and the images it is to learn; `config` says how they were made. */
export interface Opened {
  readonly data: Dataset;
  readonly model: Module;
  readonly config: Record<string, unknown>;
}

/** A training as it was asked for: checked, nothing opened yet. */
export interface Planned {
  readonly arch: string;
  readonly seed: number;
  /** all that was asked for and is not left to whoever has its default */
  readonly settings: RunSettings;
  /** without what only some commands have: folder, hooks, signal */
  readonly options: TrainerOptions;
  /**
   * Decoding goes on in the background; the data is the caller's to dispose.
   * @param other seed of the split and of scenes, or fold from 1, where it is not the one asked for
   */
  open(
    show: (event: TrainEvent) => void,
    signal: AbortSignal,
    other?: Pick<RunSettings, 'seed' | 'fold'>,
  ): Promise<Opened>;
}

/**
 * What is typed counts before the config file, that before the preset.
 * @param saved a run to go on with: its config.json is the config file, its network the network
 * @param quiet no bar while published weights are downloaded
 * @throws UsageError for all that can be refused before images are decoded
 */
export async function planTraining(words: TrainingWords, quiet: boolean, saved?: SavedState): Promise<Planned> {
  const typed = Object.entries(words).filter(([key]) => key in runSchema.shape);
  if (saved && words.config !== undefined)
    throw new UsageError('--config: a run goes on under its own settings; leave it out beside --resume');
  const file = saved ? path.join(path.dirname(saved.file), 'config.json') : words.config;
  const asked: RunSettings = {
    ...(file !== undefined && (await readConfig(file))),
    ...given(Object.fromEntries(typed)),
  };
  // A run that goes on has its weights; what it began with may be gone.
  const from = saved ? words.weights : asked.weights;
  const weights = from && from !== 'none' ? await openWeights(from, wishesOf(asked), quiet) : undefined;
  const demo = asked.data === undefined && asked.preset === undefined;
  const settings = { ...HOW_READ, ...(demo && DEMO), ...(demo && !weights && DEMO_NETWORK), ...asked };
  const { training, around } = divided(settings);
  const manifest = manifestOptions(settings);
  checkManifestOptions(manifest);
  if (settings.data === undefined && (settings.task ?? 'multiclass') !== 'multiclass')
    throw new UsageError(`--task ${settings.task}: expected a manifest, got none: the built-in scenes have classes`);
  const { arch, options: network } = namedNetwork(settings, saved ? networkOf(saved) : weights);
  const preset = settings.preset && PRESETS[settings.preset];
  const size = settings.size ?? preset?.size ?? weights?.preprocess?.size ?? 224;
  const { device = 'auto', seed = 0 } = settings;
  const unfrozen = preset ? {} : ({ freeze: 'none' } as const);
  const options: TrainerOptions = { ...unfrozen, ...training, device, ...(weights && { weights }) };
  // A network of two classes takes what the real one will.
  resolveRecipe(createModel(arch, { ...network, numClasses: 2 }), size, options, settings.task);
  return {
    arch,
    seed,
    settings,
    options,
    async open(show, signal, other = {}) {
      const data = await imagesOf({ ...settings, seed, ...other }, size, show, signal);
      const model = createModel(arch, { ...network, numClasses: data.classes.length });
      const absolute = { data: around.data, root: around.root };
      const from = Object.fromEntries(Object.entries(given(absolute)).map(([key, at]) => [key, path.resolve(at)]));
      return {
        data,
        model,
        config: {
          ...around,
          ...from,
          ...(other.fold && { fold: other.fold }),
          repeat: undefined, // this is one of them
          arch,
          size,
          about: { model: model.options },
        },
      };
    },
  };
}

async function imagesOf(
  settings: RunSettings & typeof HOW_READ & { seed: number },
  size: number,
  show: (event: TrainEvent) => void,
  signal: AbortSignal,
): Promise<Dataset> {
  const since = performance.now();
  const onProgress = (progress: { done: number; total: number; note?: string }): void =>
    show({ event: 'progress', phase: 'pack', ...progress, seconds: (performance.now() - since) / 1000 });
  const { data, valSplit, seed, split, group, folds, fold = 1, skipBad, allowDamaged, maxPixels } = settings;
  const rule = group === undefined ? undefined : groupRule(group);
  const dividing = { valSplit, seed, ...given({ split, group: rule }), ...(folds && { folds, fold: fold - 1 }) };
  if (data === undefined) {
    const { syntheticScenes } = await import('../data/sources/synthetic.js');
    return syntheticScenes({ size, perClass: DEMO_PER_CLASS, ...dividing, onProgress, signal });
  }
  const { openImages } = await import('../data/sources/open-images.js');
  const reading = { skipBad, allowDamaged, maxPixels, onProgress, signal };
  return openImages(data, { size, ...manifestOptions(settings), ...dividing, ...reading });
}
