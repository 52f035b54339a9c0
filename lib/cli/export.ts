// `mnv2-torch export`: a checkpoint as a file that other programs run. A format is an entry of FORMATS; the work is in
// export/.
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { UsageError } from '../errors.js';
import { exportOnnx } from '../export/onnx-file.js';
import { parityText, type Parity } from '../export/parity.js';
import { completeCheckpoint, loadCheckpoint, type CompleteCheckpoint } from '../weights/checkpoint.js';
import { define } from './command.js';
import { choice, dashed, flag, optionalPath, path as pathOperand, type Values } from './options.js';

const options = {
  format: choice(['onnx'] as const, { default: 'onnx', describe: 'what is written' }),
  o: optionalPath({ describe: 'the file (default: beside the checkpoint, under its name)' }),
  images: optionalPath({
    describe: 'a folder of images, or one, to try both on (default: what the run held back, else noise)',
  }),
  dtype: choice(['fp32', 'fp16'] as const, { default: 'fp32', describe: 'fp16: half the size, three digits' }),
  noFold: flag({ describe: 'onnx: keep BatchNorm beside the convolutions' }),
  raw: flag({ describe: 'onnx: scaled pixels [N, 3, size, size] to logits, no preprocessing inside' }),
  resize: flag({ describe: 'onnx: images of any size, resized inside as predict does' }),
};
type Given = Values<typeof options>;

/** A format: how its files end, the options that are its own, and who writes it. */
interface ExportFormat {
  extension: string;
  options: readonly (keyof Given)[];
  write(checkpoint: CompleteCheckpoint, file: string, given: Given): Promise<Parity>;
}

const FORMATS: Record<Given['format'], ExportFormat> = {
  onnx: {
    extension: '.onnx',
    options: ['noFold', 'raw', 'resize'],
    write: (checkpoint, file, { noFold, raw, resize, dtype, images }) =>
      exportOnnx(checkpoint, file, {
        fold: !noFold,
        raw,
        resize,
        dtype,
        ...(images !== undefined && { images: [images] }),
      }),
  },
};

/** Options of one format alone mean nothing to another. */
function refuseOthers(given: Given): void {
  const own = FORMATS[given.format].options;
  for (const [name, format] of Object.entries(FORMATS))
    for (const key of format.options)
      if (given[key] && !own.includes(key))
        throw new UsageError(`${dashed(key)} is for --format ${name}, not for ${given.format}`);
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
    const checkpoint = completeCheckpoint(await loadCheckpoint(a.checkpoint));
    const { extension, write } = FORMATS[a.format];
    const { dir, name } = path.parse(checkpoint.file);
    const file = a.o ?? path.join(dir, name + extension);
    if (path.resolve(file) === path.resolve(checkpoint.file))
      throw new UsageError(`-o ${file}: this is the checkpoint itself; choose another name`);
    const parity = await write(checkpoint, file, a);
    const { size } = await stat(file);
    process.stdout.write(`${file}: ${(size / 1e6).toFixed(1)} MB\n${parityText(parity)}\n`);
  },
});
