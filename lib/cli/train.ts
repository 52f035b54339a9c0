// `mnv2-torch train`: options to Trainer, events to bars or NDJSON. The training itself is train/trainer.ts.
import path from 'node:path';
import { EXIT } from '../errors.js';
import { AUGMENT_PRESETS } from '../data/augment.js';
import type { Dataset } from '../data/dataset.js';
import { Progress, showTraining } from '../report/progress.js';
import { createModel } from '../models/registry.js';
import { loadCheckpoint } from '../weights/checkpoint.js';
import type { TrainEvent } from '../train/events.js';
import { OPTIMIZERS, resolveRecipe, type TrainerOptions } from '../train/recipe.js';
import { RunFolder } from '../train/run-folder.js';
import { Trainer } from '../train/trainer.js';
import { define } from './command.js';
import {
  archFlag,
  badImageFlags,
  batchSizeFlag,
  deviceFlag,
  freezeFlag,
  precisionFlag,
  seedFlag,
  sizeFlag,
  threadsFlag,
  widthFlag,
} from './flags.js';
import { namedNetwork } from './network.js';
import { choice, flag, given, number, optionalPath, whole, type Values } from './options.js';
import { Stopping } from './signals.js';

/** The demo: small enough to learn from scratch in about a minute on two cores. */
const DEMO = { size: 64, width: 0.35, epochs: 20, perClass: 100, batchSize: 32, lr: 4e-3, augment: 'basic' } as const;

const operands = {
  data: optionalPath({
    describe: 'folder of images, one subfolder a class (or train/ and val/); none: the built-in scenes',
  }),
};
const options = {
  arch: archFlag(),
  width: widthFlag(),
  size: sizeFlag({
    least: 32,
    describe: 'side of the square images are resized to, pixels (default 224, or what the weights say)',
  }),
  weights: optionalPath({ describe: "pretrained .safetensors or the folder of a run, or 'none' (default)" }),
  freeze: freezeFlag({
    default: 'none',
    describe: 'features: train the classifier alone; a number: all but the first n blocks',
  }),
  epochs: whole({ least: 1, describe: 'passes over the training images (default 20)' }),
  batchSize: batchSizeFlag({ least: 1, describe: 'images a step (default 16)' }),
  optimizer: choice(OPTIMIZERS, { describe: 'default adam' }),
  lr: number({
    above: 0,
    describe:
      'highest learning rate (default: adam 0.002 for a head, 0.0003 for a pretrained backbone, 0.003 from scratch; sgd 0.05, 0.002, 0.05)',
  }),
  weightDecay: number({ least: 0, describe: "default: the optimizer's own" }),
  labelSmoothing: number({ least: 0, below: 1, default: 0, describe: 'share of the target spread over all classes' }),
  dropout: number({ least: 0, below: 1, describe: 'probability before the classifier (default 0.2)' }),
  valSplit: number({ above: 0, below: 1, default: 0.3, describe: 'share of the images validated on' }),
  seed: seedFlag({ describe: 'of the split, the first weights, the order, dropout and augmentation' }),
  device: deviceFlag({ default: 'auto' }),
  threads: threadsFlag(),
  precision: precisionFlag(),
  augment: choice(AUGMENT_PRESETS, {
    describe: 'default none; basic: flips and quarter turns; strong: also crop, shift, rotation, colour',
  }),
  views: whole({
    least: 0,
    default: 4,
    describe: 'augmented views cached per image when a part is frozen; 0: fresh ones every epoch, no cache',
  }),
  cache: choice(['auto', 'off'] as const, { default: 'auto', describe: 'keep what the frozen part computes' }),
  cudaGraph: choice(['auto', 'off'] as const, { default: 'auto', describe: 'CUDA: capture steps as graphs' }),
  ...badImageFlags({ skipBad: 'leave unreadable images out instead of stopping' }),
  out: optionalPath({ describe: 'run folder (default runs/<date>-<arch>)' }),
  saveEvery: number({ least: 0, most: 86_400, describe: 'seconds between checkpoints while training (default 20)' }),
  json: flag({ describe: 'events as NDJSON on stdout' }),
  quiet: flag({ describe: 'no progress' }),
};
type TrainArguments = Values<typeof operands> & Values<typeof options>;

async function openData(
  a: TrainArguments,
  size: number,
  show: (event: TrainEvent) => void,
  signal: AbortSignal,
): Promise<Dataset> {
  const since = performance.now();
  const onProgress = ({ done, total }: { done: number; total: number }): void =>
    show({ event: 'progress', phase: 'pack', done, total, seconds: (performance.now() - since) / 1000 });
  if (a.data === undefined) {
    const { syntheticScenes } = await import('../data/sources/synthetic.js');
    return syntheticScenes({ size, perClass: DEMO.perClass, seed: a.seed, valSplit: a.valSplit, onProgress, signal });
  }
  const { ImageFolder } = await import('../data/sources/image-folder.js');
  const { valSplit, seed, skipBad, allowDamaged, maxPixels } = a;
  return ImageFolder.open(a.data, { size, valSplit, seed, skipBad, allowDamaged, maxPixels, onProgress, signal });
}

/** `--out`, or a fresh folder below runs/. */
function runFolder(a: TrainArguments, arch: string): string {
  if (a.out) return a.out;
  const stamp = new Date().toISOString().slice(0, 19).replace('T', '-').replaceAll(':', '');
  return path.join('runs', `${stamp}-${arch}`);
}

/** What a person reads at the end; `null` where nothing was trained. */
function closing(event: TrainEvent | null): string {
  if (event?.event === 'done') {
    const { best, checkpoint, seconds } = event;
    return (
      `best validation accuracy ${(100 * best.accuracy).toFixed(1)}% in epoch ${best.epoch}, ${seconds.toFixed(1)} s in all\n` +
      `saved ${checkpoint}\nclassify with: mnv2-torch predict ${checkpoint} <images...>\n`
    );
  }
  const { epoch = 0, checkpoint = null } = event?.event === 'stopped' ? event : {};
  if (checkpoint === null) return 'stopped before the first step; nothing was trained\n';
  return `stopped ${epoch === 0 ? 'in the first epoch, before it was validated' : `after epoch ${epoch}`}; saved ${checkpoint}\n`;
}

async function run(a: TrainArguments): Promise<number> {
  const demo = a.data === undefined;
  const progress = new Progress();
  const draw = a.quiet ? (): void => {} : showTraining(progress);
  const say = (text: string): void => void process.stdout.write(text);
  const show = (event: TrainEvent): void => {
    draw(event);
    // Steps are for bars; everything that stays true is an event.
    if (a.json && event.event !== 'progress') say(`${JSON.stringify(event)}\n`);
    if (!a.json && (event.event === 'done' || event.event === 'stopped')) say(closing(event));
  };
  using stopping = new Stopping(() => progress.line('stopping after this step; again to stop at once'));
  const weights = a.weights && a.weights !== 'none' ? await loadCheckpoint(a.weights) : undefined;
  const { arch, options: network } = namedNetwork(
    demo && !weights ? { ...a, width: a.width ?? DEMO.width } : a,
    weights,
  );
  const size = a.size ?? weights?.preprocess?.size ?? (demo ? DEMO.size : 224);
  const out = runFolder(a, arch);
  const recipe: TrainerOptions = {
    freeze: a.freeze,
    labelSmoothing: a.labelSmoothing,
    seed: a.seed,
    device: a.device,
    precision: a.precision,
    augment: a.augment ?? (demo ? DEMO.augment : 'none'),
    views: a.views,
    cache: a.cache,
    cudaGraph: a.cudaGraph === 'auto',
    out,
    signal: stopping.signal,
    epochs: a.epochs ?? (demo ? DEMO.epochs : 20),
    batchSize: a.batchSize ?? (demo ? DEMO.batchSize : 16),
    ...given({
      weights,
      optimizer: a.optimizer,
      lr: a.lr ?? (demo && !weights ? DEMO.lr : undefined),
      weightDecay: a.weightDecay,
      threads: a.threads,
      saveEvery: a.saveEvery,
    }),
  };

  // What can be refused is refused before the images are decoded: a network of two classes takes what the real one will.
  resolveRecipe(createModel(arch, { ...network, numClasses: 2 }), size, recipe);
  await RunFolder.check(out);
  try {
    const data = await openData(a, size, draw, stopping.signal);
    try {
      const model = createModel(arch, { ...network, numClasses: data.classes.length });
      const { valSplit, skipBad, allowDamaged, maxPixels } = a;
      const from = a.data === undefined ? 'synthetic' : path.resolve(a.data);
      const config = { data: from, arch, model: model.options, size, valSplit, skipBad, allowDamaged, maxPixels };
      (await new Trainer(model, data, { ...recipe, config }).fit({ onEvent: show })).dispose();
    } finally {
      data.dispose();
    }
  } catch (error) {
    // Stopped while images were still being decoded: nothing was trained, nothing is lost.
    if (stopping.code === undefined || (error as Error).name !== 'AbortError') throw error;
    if (!a.json) say(closing(null));
  }
  return stopping.code ?? EXIT.ok;
}

export const command = define({
  usage: 'train [data]',
  describe: 'fine-tune or train a classifier',
  operands,
  options,
  outlivesReader: true,
  run,
});
