// `mnv2-torch quantize`: a float checkpoint as an int8 one, and what that costs. The work is in quant/.
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { DataError, UsageError } from '../errors.js';
import { imagesIn, spread, storeOf } from '../data/image-files.js';
import type { Dataset } from '../data/dataset.js';
import type { ListedImages } from '../data/listed-images.js';
import type { Split } from '../data/split.js';
import { splitFromFile } from '../data/split-file.js';
import type { AnyEvaluation } from '../infer/evaluation.js';
import { METHODS } from '../quant/ranges.js';
import { quantize, type QuantizeOptions } from '../quant/quantise.js';
import { quantisationText, type QuantisationReport } from '../report/quantisation-text.js';
import { Progress } from '../report/progress.js';
import type { TrainEvent } from '../train/events.js';
import { completeCheckpoint, loadCheckpoint, type CompleteCheckpoint } from '../weights/checkpoint.js';
import { define } from './command.js';
import { badImageFlags, deviceFlag } from './flags.js';
import { choice, flag, ofSettings, optionalPath, path as pathOperand, whole, type Values } from './options.js';
import { runSchema } from './run-settings.js';
import { evaluateAny, imagesFor, judgedPart, truthOf, type Truth } from './truth.js';

const options = {
  o: optionalPath({ describe: 'the int8 checkpoint (default: beside the other, .int8.safetensors)' }),
  method: choice(METHODS, {
    default: 'mse',
    describe: 'ranges of values: all that is seen, all but a ten-thousandth, or those of least error',
  }),
  perTensor: flag({ describe: 'one scale a weight tensor instead of one an output channel' }),
  equalize: flag({ describe: 'cross-layer equalisation, for --per-tensor' }),
  biasCorrect: flag({ describe: 'move biases by what rounding does to the means of their layers' }),
  qat: whole({ least: 1, most: 10_000, describe: 'epochs of quantisation-aware training on the labelled images' }),
  images: whole({ least: 1, most: 100_000, default: 256, describe: 'images it is calibrated on, at most' }),
  split: optionalPath({
    describe:
      "a run's split.json: calibrated on what was trained on, judged on what was held back (default: that of the run)",
  }),
  ...ofSettings(runSchema.pick({ columns: true, separator: true, root: true })),
  device: deviceFlag({ default: 'cpu' }),
  ...badImageFlags({ skipBad: 'leave unreadable images out instead of stopping' }),
  json: flag({ describe: 'one JSON line' }),
  quiet: flag({ describe: 'no progress' }),
};
type Given = Values<typeof options> & { checkpoint: string; data: string };

/** Pictures to calibrate on, and to judge on where they say what they are. */
interface Material {
  store: QuantizeOptions['store'];
  rows: Int32Array;
  judged?: { indices: Int32Array; on: string; truth: Truth };
  /** what can be trained on: the images in the checkpoint's own classes */
  data?: Dataset;
  notes: string[];
  dispose(): void;
}

/** Images with labels that the checkpoint knows; without them all images below the folder. */
async function materialFor(a: Given, checkpoint: CompleteCheckpoint, progress: Progress): Promise<Material> {
  const { size } = checkpoint.preprocess;
  let data: ListedImages | undefined;
  let reason = '';
  try {
    data = await imagesFor(checkpoint, a.data, a, progress);
    const truth = truthOf(data, checkpoint, a.data);
    return await labelled(data, truth, a, checkpoint);
  } catch (error) {
    data?.dispose();
    if (!(error instanceof DataError) || a.split !== undefined) throw error;
    reason = error.message;
  }
  const files = spread(await imagesIn(a.data), a.images);
  const store = await storeOf(files, size);
  const rows = Int32Array.from(files.keys());
  return { store, rows, notes: [`accuracy is not told: ${reason}`], dispose: () => store.dispose() };
}

async function labelled(data: ListedImages, truth: Truth, a: Given, checkpoint: CompleteCheckpoint): Promise<Material> {
  const notes: string[] = [];
  const split = await splitOf(data, a.split, checkpoint, notes);
  const held = split.val.length + split.test.length > 0;
  const { indices, judgedOn: on } = judgedPart(split, true);
  return {
    store: data.store,
    rows: Int32Array.from(spread([...split.train], a.images)),
    ...(held && { judged: { indices, on, truth }, data: inClasses(data, truth, checkpoint, split) }),
    notes: held ? notes : [...notes, 'accuracy is not told: no image is left that it is not calibrated on'],
    dispose: () => data.dispose(),
  };
}

/** The same images with the classes of the checkpoint, divided by `split`. */
function inClasses(data: ListedImages, truth: Truth, { classes }: CompleteCheckpoint, split: Split): Dataset {
  const { files, size, store, skipped, damaged, notes } = data;
  return {
    ...{ files, size, store, skipped, damaged, notes, ...truth },
    classes: [...classes],
    packed: (count) => data.packed(count),
    ready: () => Promise.resolve(split),
    dispose: () => data.dispose(),
  };
}

/** That of a file, of the run that wrote the checkpoint, of the data, or 7 to 3. */
async function splitOf(
  data: ListedImages,
  file: string | undefined,
  checkpoint: CompleteCheckpoint,
  notes: string[],
): Promise<Split> {
  const whole = await data.ready();
  const absent = new Set(data.skipped.map((bad) => bad.file));
  if (file !== undefined) return splitFromFile(file, data.files, absent);
  const beside = path.join(path.dirname(checkpoint.file), 'split.json');
  if (await stat(beside).catch(() => undefined)) {
    try {
      return await splitFromFile(beside, data.files, absent);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      notes.push(`${beside} is of other images; it was not used`);
    }
  }
  if (whole.val.length + whole.test.length > 0) return whole;
  notes.push('the images were split 7 to 3; those judged on may have been trained on (name a split.json with --split)');
  try {
    return await data.splitBy({ valSplit: 0.3 });
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    return whole;
  }
}

async function run(a: Given): Promise<void> {
  const checkpoint = completeCheckpoint(await loadCheckpoint(a.checkpoint));
  const { dir, name } = path.parse(checkpoint.file);
  const file = a.o ?? path.join(dir, `${name}.int8.safetensors`);
  if (path.resolve(file) === path.resolve(checkpoint.file))
    throw new UsageError(`-o ${file}: this is the checkpoint itself; choose another name`);
  const progress = new Progress();
  const material = await materialFor(a, checkpoint, progress);
  const bar = (label: string): ((done: number, total: number) => void) => {
    const since = performance.now();
    return (done, total) => {
      if (!a.quiet) progress.draw(label, done, total, (performance.now() - since) / 1000);
    };
  };
  try {
    const { store, rows, judged } = material;
    const { method, perTensor, equalize, biasCorrect, device } = a;
    const judge = (of: CompleteCheckpoint, label: string): Promise<AnyEvaluation> =>
      evaluateAny(
        { checkpoint: of, store, indices: judged!.indices, device, onProgress: bar(`evaluate ${label}`) },
        judged!.truth,
      );
    if (a.qat !== undefined && !material.data)
      throw new UsageError(`--qat: expected labelled images to train and to validate on; ${material.notes.join('; ')}`);
    const before = judged && (await judge(checkpoint, 'float'));
    const int8 = await quantize(checkpoint, {
      ...{ store, rows, method, perTensor, equalize, biasCorrect, device },
      onProgress: bar('quantize'),
      ...(a.qat !== undefined && {
        qat: { epochs: a.qat, data: material.data!, onEvent: epochLine(progress, a.quiet) },
      }),
    });
    await int8.save(file);
    const after = judged && (await judge(int8.checkpoint, 'int8'));
    const [from, to] = [await stat(checkpoint.file), await stat(file)];
    const report: QuantisationReport = {
      file,
      bytes: to.size,
      from: { file: checkpoint.file, bytes: from.size },
      calibratedOn: rows.length,
      ...{ method, perTensor, equalize, biasCorrect, qatEpochs: a.qat ?? 0 },
      ...(before && after && { judgedOn: judged.on, before, after }),
      layers: int8.layers,
      notes: material.notes,
    };
    process.stdout.write(a.json ? `${JSON.stringify(jsonOf(report))}\n` : quantisationText(report));
  } finally {
    material.dispose();
  }
}

/** A line an epoch. */
const epochLine =
  (progress: Progress, quiet: boolean) =>
  (event: TrainEvent): void => {
    if (quiet || event.event !== 'epoch') return;
    const { epoch, epochs, train, valid } = event;
    progress.line(`epoch ${epoch}/${epochs}: loss ${train.loss.toFixed(4)}, in validation ${valid.loss.toFixed(4)}`);
  };

/** Without what was said of each single image. */
function jsonOf({ before, after, ...report }: QuantisationReport): unknown {
  const figures = (evaluation: AnyEvaluation): unknown => ({ ...evaluation, judged: undefined });
  return { ...report, ...(before && after && { before: figures(before), after: figures(after) }) };
}

export const command = define({
  usage: 'quantize <checkpoint> <data>',
  describe: 'a checkpoint in int8: a quarter of the size, and what is lost',
  operands: {
    checkpoint: pathOperand({ describe: 'a float .safetensors with its classes, or the folder of a run' }),
    data: pathOperand({ describe: 'images to calibrate on, as train takes them; without labels any folder' }),
  },
  options,
  run,
});
