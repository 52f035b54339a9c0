// `mnv2-torch export`: a checkpoint as a file that other programs run. A format is an entry of FORMATS; the work is in
// export/.
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { DataError, shown, UsageError } from '../errors.js';
import { exportOnnx } from '../export/onnx-file.js';
import { LIBRARIES } from '../export/foreign-models.js';
import { parityText, type Parity } from '../export/parity.js';
import { exportSafetensors } from '../export/safetensors-file.js';
import { exportTorchScript } from '../export/torchscript-file.js';
import type { ExportOptions } from '../export/tried.js';
import { architectureOf } from '../models/registry.js';
import { completeCheckpoint, loadCheckpoint, type CompleteCheckpoint } from '../weights/checkpoint.js';
import { define } from './command.js';
import { choice, dashed, flag, optionalPath, path as pathOperand, type Values } from './options.js';

const options = {
  format: choice(['onnx', 'torchscript', 'safetensors'] as const, { default: 'onnx', describe: 'what is written' }),
  o: optionalPath({ describe: 'the file (default: beside the checkpoint, under its name)' }),
  images: optionalPath({
    describe: 'a folder of images, or one, to try both on (default: what the run held back, else noise)',
  }),
  dtype: choice(['fp32', 'fp16', 'bf16'] as const, {
    default: 'fp32',
    describe: 'onnx, safetensors: fp16 is half the size and has three digits; bf16 (safetensors) two',
  }),
  noFold: flag({ describe: 'onnx: keep BatchNorm beside the convolutions' }),
  raw: flag({ describe: 'onnx, torchscript: scaled pixels [N, 3, size, size] to logits, no preprocessing inside' }),
  resize: flag({ describe: 'onnx: images of any size, resized inside within one level of what predict makes of them' }),
  reduceRange: flag({ describe: 'onnx, of int8 checkpoints: weights of seven bits, for processors without VNNI' }),
  names: choice(LIBRARIES, { describe: 'safetensors: whose model is to load it (default torchvision)' }),
};
type Given = Values<typeof options>;

/** A format: how its files end, the options that are its own, and who writes it. */
interface ExportFormat {
  extension: (given: Given) => string;
  options: readonly (keyof Given)[];
  dtypes: readonly Given['dtype'][];
  write(checkpoint: CompleteCheckpoint, file: string, given: Given): Promise<Parity>;
}

const onImages = (images: string | undefined): ExportOptions => (images === undefined ? {} : { images: [images] });

const FORMATS: Record<Given['format'], ExportFormat> = {
  onnx: {
    extension: () => '.onnx',
    options: ['noFold', 'raw', 'resize', 'reduceRange'],
    dtypes: ['fp32', 'fp16'],
    write: (checkpoint, file, { noFold, raw, resize, reduceRange, dtype, images }) =>
      exportOnnx(checkpoint, file, {
        fold: !noFold,
        raw,
        resize,
        reduceRange,
        dtype: dtype as 'fp32' | 'fp16',
        ...onImages(images),
      }),
  },
  torchscript: {
    extension: () => '.pt',
    options: ['raw'],
    dtypes: ['fp32'],
    write: (checkpoint, file, { raw, images }) => exportTorchScript(checkpoint, file, { raw, ...onImages(images) }),
  },
  safetensors: {
    extension: ({ names = 'torchvision' }) => `.${names}.safetensors`,
    options: ['names'],
    dtypes: ['fp32', 'fp16', 'bf16'],
    write: (checkpoint, file, { names, dtype, images }) =>
      exportSafetensors(checkpoint, file, { dtype, ...(names && { names }), ...onImages(images) }),
  },
};

/** Options of one format alone mean nothing to another. */
function refuseOthers(given: Given): void {
  const { options: own, dtypes } = FORMATS[given.format];
  for (const key of new Set(Object.values(FORMATS).flatMap((format) => format.options))) {
    if (!given[key] || own.includes(key)) continue;
    const takers = Object.entries(FORMATS).filter(([, format]) => format.options.includes(key));
    const names = takers.map(([name]) => name).join(' or ');
    throw new UsageError(`${dashed(key)} is for --format ${names}, not for ${given.format}`);
  }
  if (!dtypes.includes(given.dtype))
    throw new UsageError(`--dtype: expected ${dtypes.join(' or ')} for --format ${given.format}, got ${given.dtype}`);
}

/** Of one of the package's networks: a file has the numbers of any other, not its graph. */
async function read(from: string): Promise<CompleteCheckpoint> {
  const checkpoint = await loadCheckpoint(from);
  const { arch, file } = checkpoint;
  if (arch !== undefined && !architectureOf(arch))
    throw new DataError(
      `${file} holds a network of your own, ${shown(arch)}: a program that has it exports it, with ` +
        'exportOnnx(completeCheckpoint(await loadCheckpoint(file), { model }), out), or exportTorchScript',
      [file],
    );
  return completeCheckpoint(checkpoint);
}

export const command = define({
  usage: 'export <checkpoint>',
  describe: 'write a checkpoint for other programs, once their runtime has given the same answers with it',
  operands: { checkpoint: pathOperand({ describe: 'a .safetensors with its classes, or the folder of a run' }) },
  options,
  run: async (a) => {
    refuseOthers(a);
    if (a.raw && a.resize)
      throw new UsageError('--raw and --resize exclude each other: raw input has the size of the model');
    const checkpoint = await read(a.checkpoint);
    const { extension, write } = FORMATS[a.format];
    const { dir, name } = path.parse(checkpoint.file);
    const file = a.o ?? path.join(dir, name + extension(a));
    if (path.resolve(file) === path.resolve(checkpoint.file))
      throw new UsageError(`-o ${file}: this is the checkpoint itself; choose another name`);
    const parity = await write(checkpoint, file, a);
    const { size } = await stat(file);
    process.stdout.write(
      `${file}: ${(size / 1e6).toFixed(1)} MB\n${[parityText(parity), ...(parity.notes ?? [])].join('\n')}\n`,
    );
  },
});
