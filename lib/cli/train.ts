// `mnv2-torch train`: options to Trainer, events to bars or NDJSON. The training itself is train/trainer.ts.
import path from 'node:path';
import { EXIT } from '../errors.js';
import { AUGMENT_PRESETS } from '../data/augment.js';
import type { Dataset } from '../data/dataset.js';
import { resolveDevice } from '../engine/engine.js';
import { Progress, showTraining } from '../report/progress.js';
import { createModel } from '../models/registry.js';
import { loadCheckpoint } from '../weights/checkpoint.js';
import type { TrainEvent } from '../train/events.js';
import { OPTIMIZERS, type TrainerOptions } from '../train/recipe.js';
import { RunFolder } from '../train/run-folder.js';
import { Trainer } from '../train/trainer.js';
import { define } from './command.js';
import {
  archFlag,
  batchSizeFlag,
  deviceFlag,
  freezeFlag,
  precisionFlag,
  seedFlag,
  sizeFlag,
  skipBadFlag,
  threadsFlag,
  widthFlag,
} from './flags.js';
import { namedNetwork } from './network.js';
import { choice, flag, given, number, optionalPath, whole, type Values } from './options.js';

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
  skipBad: skipBadFlag(),
  out: optionalPath({ describe: 'run folder (default runs/<date>-<arch>)' }),
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
    return syntheticScenes({ size, perClass: DEMO.perClass, seed: a.seed, valSplit: a.valSplit, onProgress });
  }
  const { ImageFolder } = await import('../data/sources/image-folder.js');
  return ImageFolder.open(a.data, { size, valSplit: a.valSplit, seed: a.seed, skipBad: a.skipBad, onProgress, signal });
}

/** `--out`, or a fresh folder below runs/. */
function runFolder(a: TrainArguments, arch: string): string {
  if (a.out) return a.out;
  const stamp = new Date().toISOString().slice(0, 19).replace('T', '-').replaceAll(':', '');
  return path.join('runs', `${stamp}-${arch}`);
}

async function run(a: TrainArguments): Promise<number> {
  const demo = a.data === undefined;
  const print = (event: object): void => void process.stdout.write(`${JSON.stringify(event)}\n`);
  const progress = new Progress();
  const draw = a.quiet ? (): void => {} : showTraining(progress);
  const show = (event: TrainEvent): void => {
    draw(event);
    // Steps are for bars; everything that stays true is an event.
    if (a.json && event.event !== 'progress') print(event);
  };
  const weights = a.weights && a.weights !== 'none' ? await loadCheckpoint(a.weights) : undefined;
  const { arch, options: network } = namedNetwork(
    demo && !weights ? { ...a, width: a.width ?? DEMO.width } : a,
    weights,
  );
  const size = a.size ?? weights?.preprocess?.size ?? (demo ? DEMO.size : 224);

  // What can be refused is refused before the images are decoded.
  const device = resolveDevice(a.device);
  const out = runFolder(a, arch);
  await RunFolder.check(out);

  const abort = new AbortController();
  let signalled: number | undefined;
  const stop = (code: number) => (): void => {
    if (signalled !== undefined) process.exit(code); // asked twice: at once
    signalled = code;
    progress.line('stopping after this step; again to stop at once');
    abort.abort();
  };
  const [onInt, onTerm] = [stop(EXIT.sigint), stop(EXIT.sigterm)];
  process.on('SIGINT', onInt).on('SIGTERM', onTerm);
  const data = await openData(a, size, draw, abort.signal);
  try {
    const model = createModel(arch, { ...network, numClasses: data.classes.length });
    const trainerOptions: TrainerOptions = {
      freeze: a.freeze,
      labelSmoothing: a.labelSmoothing,
      seed: a.seed,
      device,
      precision: a.precision,
      augment: a.augment ?? (demo ? DEMO.augment : 'none'),
      views: a.views,
      cache: a.cache,
      cudaGraph: a.cudaGraph === 'auto',
      out,
      signal: abort.signal,
      epochs: a.epochs ?? (demo ? DEMO.epochs : 20),
      batchSize: a.batchSize ?? (demo ? DEMO.batchSize : 16),
      config: {
        data: a.data ? path.resolve(a.data) : 'synthetic',
        arch,
        model: model.options,
        size,
        valSplit: a.valSplit,
        skipBad: a.skipBad,
      },
      ...given({
        weights,
        optimizer: a.optimizer,
        lr: a.lr ?? (demo && !weights ? DEMO.lr : undefined),
        weightDecay: a.weightDecay,
        threads: a.threads,
      }),
    };
    for await (const event of new Trainer(model, data, trainerOptions)) {
      show(event);
      if (a.json) continue;
      if (event.event === 'done') {
        const { best, checkpoint, seconds } = event;
        process.stdout.write(
          `best validation accuracy ${(100 * best.accuracy).toFixed(1)}% in epoch ${best.epoch}, ${seconds.toFixed(1)} s in all\n`,
        );
        process.stdout.write(`saved ${checkpoint}\nclassify with: mnv2-torch predict ${checkpoint} <images...>\n`);
      }
      if (event.event === 'stopped') process.stdout.write(`stopped; saved ${event.checkpoint}\n`);
    }
  } catch (error) {
    // Stopped while images were still being decoded: nothing was trained, nothing is lost.
    if (signalled === undefined || (error as Error).name !== 'AbortError') throw error;
  } finally {
    process.off('SIGINT', onInt).off('SIGTERM', onTerm);
    data.dispose();
  }
  return signalled ?? EXIT.ok;
}

export const command = define({
  usage: 'train [data]',
  describe: 'fine-tune or train a classifier',
  operands,
  options,
  outlivesReader: true,
  run,
});
