// `mnv2-torch import`: weights of another library as a checkpoint of ours. What they are is weights/adopt.ts.
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { imagesIn, spread, storeOf } from '../data/image-files.js';
import { UsageError } from '../errors.js';
import { calibrate } from '../infer/calibrate.js';
import { architectureOf, type Arch } from '../models/registry.js';
import { Progress } from '../report/progress.js';
import { importedMetadata, saveCheckpoint, type Checkpoint } from '../weights/checkpoint.js';
import { findPublished, isPublishedName } from '../weights/published.js';
import { PUBLISHED_PREPROCESS, validPreprocess, type Preprocess } from '../weights/preprocess.js';
import { define } from './command.js';
import { archFlag, widthFlag } from './flags.js';
import { openWeights, wishesOf } from './network.js';
import { choice, flag, given, number, optionalPath, path as pathOperand, word } from './options.js';

/** More images make no better statistics, and one wants to wait for none. */
const CALIBRATION_IMAGES = 512;

/** By name, or as metadata would say it. */
const FORMS = 'imagenet, x/127.5-1 or JSON such as {"size":224,"mean":[r,g,b],"std":[r,g,b]}';

function parsePreprocessWord(typed: string): Preprocess | undefined {
  if (typed === 'imagenet' || typed === 'x/127.5-1') return PUBLISHED_PREPROCESS[typed];
  try {
    return validPreprocess(JSON.parse(typed));
  } catch {
    return undefined;
  }
}

export const command = define({
  usage: 'import <file>',
  describe: 'weights of PyTorch, timm, Keras or ONNX as a checkpoint, told by their content',
  operands: {
    file: pathOperand({ describe: '.safetensors, .pth, .pt, .h5, .keras or .onnx, or a published name (see weights)' }),
  },
  options: {
    o: optionalPath({ describe: 'the checkpoint written (default: its name with .safetensors, in this folder)' }),
    arch: archFlag(),
    width: widthFlag(),
    padding: choice(['symmetric', 'tf-same'] as const, { describe: 'of convolutions (default: as its library pads)' }),
    bnEps: number({ above: 0, most: 1, describe: "BatchNorm's epsilon (default: its library's)" }),
    preprocess: word<Preprocess>({
      expected: FORMS,
      parse: parsePreprocessWord,
      describe: 'what the weights expect of pixels (default: as its library trains them)',
    }),
    allowPartial: flag({ describe: 'take what fits, though tensors are missing or too many' }),
    calibrate: optionalPath({
      describe: `images, a folder or a file: statistics of BatchNorm are measured on up to ${CALIBRATION_IMAGES} of them, as unfreezing a folded network needs`,
    }),
    quiet: flag({ describe: 'no progress bar' }),
  },
  run: async (a) => {
    const out = a.o ?? `${stemOf(a.file, a)}.safetensors`;
    if (await stat(out).catch(() => undefined))
      throw new UsageError(`-o ${out}: it is there already; choose another name or remove it`);
    const { padding, bnEps, preprocess } = a;
    const wishes = { ...wishesOf(a), ...given({ padding, bnEps, preprocess }) };
    const checkpoint = await openWeights(a.file, wishes, a.quiet);
    const metadata = importedMetadata(checkpoint);
    const images = a.calibrate === undefined ? [] : spread(await imagesIn(a.calibrate), CALIBRATION_IMAGES);
    const tensors = images.length === 0 ? checkpoint.tensors : await calibrated(checkpoint, images, a.quiet);
    await saveCheckpoint(out, tensors, metadata);
    const measured =
      images.length === 0 ? [] : [`measured the statistics of its BatchNorms on ${images.length} images`];
    const lines = [
      ...(checkpoint.notes ?? []),
      ...measured,
      facts(checkpoint),
      `saved ${out}: ${tensors.size} tensors`,
    ];
    process.stdout.write(`${lines.join('\n')}\n`);
  },
});

/** A file's name without its ending; of published weights their name, which a file of any system may have. */
function stemOf(from: string, network: { arch?: Arch | undefined; width?: number | undefined }): string {
  if (!isPublishedName(from)) return path.parse(from).name;
  return findPublished(from, wishesOf(network)).name.replace(':', '-');
}

/** What the network is built with, on a line: what a wrong guess would be seen in. */
function facts({ arch, options, preprocess }: Checkpoint): string {
  const { padding, bnEps, numClasses } = { ...architectureOf(arch!)?.create({}).options, ...options };
  const classes = options.numClasses === undefined ? 'no classifier' : `${numClasses} classes`;
  return `${arch}: ${classes}, padding ${padding}, BatchNorm eps ${bnEps}, preprocess ${JSON.stringify(preprocess)}`;
}

async function calibrated(checkpoint: Checkpoint, files: string[], quiet: boolean): Promise<Checkpoint['tensors']> {
  const progress = new Progress();
  const since = performance.now();
  using store = await storeOf(files, checkpoint.preprocess!.size);
  return await calibrate(checkpoint, store, {
    onProgress: (done) => {
      if (!quiet) progress.draw('calibrate', done, files.length, (performance.now() - since) / 1000);
    },
  });
}
