// `mnv2-torch train`: options to Trainer, events to bars or NDJSON. The training itself is train/trainer.ts.
import path from 'node:path';
import type { Argv, ArgumentsCamelCase, CommandModule } from 'yargs';
import { EXIT, UsageError } from '../errors.js';
import { AUGMENT_PRESETS } from '../data/augment.js';
import type { Dataset } from '../data/dataset.js';
import { resolveDevice } from '../engine/engine.js';
import { Progress, showTraining } from '../report/progress.js';
import { ARCHITECTURES, createModel, type Arch, type ModelOptions } from '../models/registry.js';
import { builtInArch, loadCheckpoint, type Checkpoint } from '../weights/checkpoint.js';
import type { TrainEvent } from '../train/events.js';
import { OPTIMIZERS, type TrainerOptions } from '../train/recipe.js';
import { RunFolder } from '../train/run-folder.js';
import { Trainer } from '../train/trainer.js';

/** The demo: small enough to learn from scratch in about a minute on two cores. */
const DEMO = { size: 64, width: 0.35, epochs: 20, perClass: 100, batchSize: 32, lr: 4e-3, augment: 'basic' } as const;

const builder = (y: Argv): Argv =>
  y
    .positional('data', {
      type: 'string',
      describe: 'folder of images, one subfolder a class (or train/ and val/); none: the built-in scenes',
    })
    .options({
      arch: { choices: ARCHITECTURES, describe: 'network (default mobilenet_v2, or what the weights say)' },
      width: { type: 'number', describe: 'width multiplier (default 1, or what the weights say)' },
      size: {
        type: 'number',
        describe: 'side of the square images are resized to, pixels (default 224, or what the weights say)',
      },
      weights: { type: 'string', describe: "pretrained .safetensors, or 'none' (default)" },
      freeze: {
        type: 'string',
        default: 'none',
        describe: "'features' (train the classifier alone), 'none', or the first n blocks",
      },
      epochs: { type: 'number', describe: 'passes over the training images (default 20)' },
      'batch-size': { type: 'number', describe: 'images a step (default 16)' },
      optimizer: { choices: OPTIMIZERS, describe: 'default adam' },
      lr: {
        type: 'number',
        describe:
          'highest learning rate (default: adam 0.002 for a head, 0.0003 for a pretrained backbone, 0.003 from scratch; sgd 0.05, 0.002, 0.05)',
      },
      'weight-decay': { type: 'number', describe: "default: the optimizer's own" },
      'label-smoothing': { type: 'number', default: 0, describe: 'share of the target spread over all classes' },
      dropout: { type: 'number', describe: 'probability before the classifier (default 0.2)' },
      'val-split': { type: 'number', default: 0.3, describe: 'share of the images validated on' },
      seed: {
        type: 'number',
        default: 0,
        describe: 'of the split, the first weights, the order, dropout and augmentation',
      },
      device: { type: 'string', default: 'auto', describe: 'auto, cpu, cuda or cuda:n' },
      threads: { type: 'number', describe: 'CPU threads (default: all cores)' },
      precision: {
        choices: ['fp32', 'bf16'] as const,
        default: 'fp32' as const,
        describe: 'bf16: convolutions in bfloat16',
      },
      augment: {
        choices: AUGMENT_PRESETS,
        describe: 'none (default), basic: flips and quarter turns; strong: also crop, shift, rotation, colour',
      },
      views: {
        type: 'number',
        default: 4,
        describe: 'augmented views cached per image when a part is frozen; 0: fresh ones every epoch, no cache',
      },
      cache: {
        choices: ['auto', 'off'] as const,
        default: 'auto' as const,
        describe: 'keep what the frozen part computes',
      },
      'cuda-graph': {
        choices: ['auto', 'off'] as const,
        default: 'auto' as const,
        describe: 'CUDA: capture steps as graphs',
      },
      'skip-bad': { type: 'boolean', default: false, describe: 'leave unreadable images out instead of stopping' },
      out: { type: 'string', describe: 'run folder (default runs/<date>-<arch>)' },
      json: { type: 'boolean', default: false, describe: 'events as NDJSON on stdout' },
      quiet: { type: 'boolean', default: false, describe: 'no progress' },
    });

interface TrainArguments {
  data?: string;
  arch?: Arch;
  width?: number;
  size?: number;
  weights?: string;
  freeze: string;
  epochs?: number;
  batchSize?: number;
  optimizer?: (typeof OPTIMIZERS)[number];
  lr?: number;
  weightDecay?: number;
  labelSmoothing: number;
  dropout?: number;
  valSplit: number;
  seed: number;
  device: string;
  threads?: number;
  precision: 'fp32' | 'bf16';
  augment?: (typeof AUGMENT_PRESETS)[number];
  views: number;
  cache: 'auto' | 'off';
  cudaGraph: 'auto' | 'off';
  skipBad: boolean;
  out?: string;
  json: boolean;
  quiet: boolean;
}

/** Keys with a value: an absent flag leaves the default to whoever has it. */
function given<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, v]) => v !== undefined)) as never;
}

function parseFreeze(text: string): 'features' | 'none' | number {
  if (text === 'features' || text === 'none') return text;
  if (/^\d+$/.test(text)) return Number(text);
  throw new UsageError(`--freeze: expected features, none or a number of blocks, got '${text}'`);
}

/** The model's options: the weights' own, where they say; a flag that contradicts them is refused. */
function modelOptions(a: TrainArguments, weights: Checkpoint | undefined): { arch: Arch; options: ModelOptions } {
  const contradiction = (flag: string, said: unknown, has: unknown): never => {
    throw new UsageError(
      `--${flag} ${String(said)}: the weights in ${weights!.file} are for ${String(has)}; leave the flag out or use other weights`,
    );
  };
  const arch = weights && builtInArch(weights);
  if (a.arch && arch && a.arch !== arch) contradiction('arch', a.arch, arch);
  const width = weights?.options.widthMult;
  if (a.width !== undefined && width !== undefined && a.width !== width) contradiction('width', a.width, width);
  const { numClasses, ...rest } = weights?.options ?? {};
  void numClasses;
  return {
    arch: a.arch ?? arch ?? 'mobilenet_v2',
    options: { ...rest, ...given({ widthMult: a.width, dropout: a.dropout }) },
  };
}

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

async function handler(a: TrainArguments): Promise<void> {
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
  const { arch, options } = modelOptions(demo && !weights ? { ...a, width: a.width ?? DEMO.width } : a, weights);
  const size = a.size ?? weights?.preprocess?.size ?? (demo ? DEMO.size : 224);
  if (!Number.isInteger(size) || size < 32)
    throw new UsageError(`--size: expected a whole number of at least 32 pixels, got ${size}`);

  // What can be refused is refused before the images are decoded.
  const device = resolveDevice(a.device);
  const freeze = parseFreeze(a.freeze);
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
    const model = createModel(arch, { ...options, numClasses: data.classes.length });
    const trainerOptions: TrainerOptions = {
      freeze,
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
  if (signalled !== undefined) process.exitCode = signalled;
}

export const command: CommandModule<object, TrainArguments> = {
  command: 'train [data]',
  describe: 'fine-tune or train a classifier',
  builder: builder as never,
  handler: (a: ArgumentsCamelCase<TrainArguments>) => handler(a),
};
