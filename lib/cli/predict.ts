// `mnv2-torch predict`: photos to labels. The work is infer/classifier.ts.
import path from 'node:path';
import { EXIT, UsageError } from '../errors.js';
import type { Prediction } from '../infer/answer.js';
import { Classifier } from '../infer/classifier.js';
import { csvLine } from '../report/csv.js';
import { define } from './command.js';
import { badImageFlags, deviceFlag, precisionFlag, ttaFlag } from './flags.js';
import { flag, number, optionalPath, path as pathOperand, paths, whole, type Values } from './options.js';
import { Overlays } from './overlays.js';
import { Pictures, STDIN, written } from './pictures.js';
import { SortedCopies } from './sorted-copies.js';

const operands = {
  checkpoint: pathOperand({ describe: 'a .safetensors with its classes, or the folder of a run' }),
  images: paths({
    describe: "files sharp can read, folders of them, globs in quotes; '-' reads one from standard input",
  }),
};
const options = {
  top: whole({ least: 1, describe: 'most probable classes shown (default 5; of several labels all)' }),
  threshold: number({ least: 0, most: 1, describe: 'only classes at least as probable; an image may then have none' }),
  device: deviceFlag({ default: 'cpu' }),
  precision: precisionFlag(),
  ...badImageFlags({ skipBad: 'unreadable images are named, but no failure' }),
  tta: ttaFlag(),
  copyTo: optionalPath({ describe: 'folder to copy the images to, a folder for each class; nothing is overwritten' }),
  explain: optionalPath({ describe: 'folder for the pictures with what speaks for the first class laid over them' }),
  csv: flag({ describe: 'a line a class of an image: image,rank,label,probability' }),
  json: flag({ describe: 'one NDJSON line an image' }),
  quiet: flag({ describe: 'no progress' }),
};

/** What is said of an image: its classes, or its numbers. */
interface Answer {
  image: string;
  predictions?: Prediction[];
  numbers?: Record<string, number>;
  /** of the numbers */
  tta?: Record<string, number> | undefined;
  /** the overlay that was written */
  explained?: string | undefined;
  /** the copy that was made */
  copied?: string | undefined;
}

const percent = (v: number): string => `${(100 * v).toFixed(1).padStart(5)}%`;
const plain = (v: number): string => String(Number(v.toPrecision(5)));

/** What is told, a row each: name, value, and its mean over views. */
function rowsOf({ predictions, numbers = {}, tta }: Answer): [name: string, value: number, mean: number | undefined][] {
  return predictions
    ? predictions.map((p) => [p.label, p.probability, p.tta])
    : Object.entries(numbers).map(([name, value]) => [name, value, tta?.[name]]);
}

function table(answer: Answer, threshold: string): string {
  const { image, predictions } = answer;
  const rows = rowsOf(answer);
  if (rows.length === 0) return `${image}\n  none at or above ${threshold}\n`;
  const width = Math.max(...rows.map(([name]) => name.length));
  const value = predictions ? percent : (v: number): string => plain(v).padStart(10);
  const lines = rows.map(
    ([name, v, mean]) => `  ${name.padEnd(width)}  ${value(v)}${mean === undefined ? '' : `  ${value(mean)}`}\n`,
  );
  const column = value(0).length;
  const heads = `  ${''.padEnd(width)}  ${'plain'.padStart(column)}  ${'tta'.padStart(column)}\n`;
  return `${image}\n${rows[0]![2] === undefined ? '' : heads}${lines.join('')}`;
}

/** An image without a class at or above the threshold has one line all the same. */
function csvOf(answer: Answer, tta: boolean): string {
  const { image, predictions } = answer;
  const lines = rowsOf(answer).map(([name, value, mean], i) => [
    ...[image, ...(predictions ? [i + 1] : []), name, value],
    ...(tta ? [mean] : []),
  ]);
  const none = [image, undefined, undefined, undefined, ...(tta ? [undefined] : [])];
  return (lines.length > 0 ? lines : [none]).map(csvLine).join('');
}

/** Refuses what is asked of classes, of a model that has none. */
function refuseOfNumbers(a: Values<typeof options>): void {
  const asked = { threshold: a.threshold !== undefined, 'copy-to': a.copyTo !== undefined };
  const senseless = Object.entries(asked).flatMap(([name, is]) => (is ? [`--${name}`] : []));
  if (senseless.length > 0)
    throw new UsageError(`${senseless.join(', ')}: expected a model of classes, this one tells numbers; leave it out`);
}

async function run(a: Values<typeof operands> & Values<typeof options>): Promise<number> {
  const stdin = a.images.filter((image) => image === STDIN).length;
  if (stdin > 1) throw new UsageError("<images>: '-' was given more than once; standard input holds one image");
  if (stdin > 0 && a.copyTo !== undefined)
    throw new UsageError("--copy-to copies files; standard input ('-') is none: write it to a file first");
  if (a.csv && a.json) throw new UsageError('--csv and --json are two forms of one answer; leave one of them out');
  using classifier = await Classifier.load(a.checkpoint, { device: a.device, precision: a.precision });
  const reading = { allowDamaged: a.allowDamaged, maxPixels: a.maxPixels };
  if (classifier.task.kind === 'regression') refuseOfNumbers(a);
  const overlays = a.explain === undefined ? undefined : await Overlays.into(a.explain);
  const copies = a.copyTo === undefined ? undefined : await SortedCopies.into(a.copyTo);
  const { kind } = classifier.task;
  // Of several labels each has a threshold of its own.
  const enough = (p: Prediction): boolean =>
    a.threshold === undefined ? p.given !== false : p.probability >= a.threshold;
  const threshold = a.threshold === undefined ? "the labels' thresholds" : percent(a.threshold).trim();
  const pictures = new Pictures(a.images, { what: 'predict', except: a.copyTo, quiet: a.quiet });
  let without = 0;
  let code: number = EXIT.ok;
  const heads = kind === 'regression' ? ['image', 'number', 'value'] : ['image', 'rank', 'label', 'probability'];
  if (a.csv) await written(csvLine([...heads, ...(a.tta ? ['tta'] : [])]));
  try {
    const asked = { ...reading, ...(a.tta && { tta: a.tta }) };
    const answers =
      kind === 'regression'
        ? classifier.streamMeasurements(pictures, asked)
        : classifier.stream(pictures, {
            topK: a.top ?? (kind === 'multilabel' ? classifier.classes.length : 5),
            ...asked,
          });
    for await (const { item, ...answer } of answers) {
      pictures.advance();
      if (!answer.ok) {
        pictures.failed(answer.error, item.name);
        continue;
      }
      const predictions = 'predictions' in answer ? answer.predictions.filter(enough) : undefined;
      const first = predictions?.[0];
      if (predictions && !first) without++;
      const stem = item.name === STDIN ? 'stdin' : path.parse(item.name).name;
      const said: Answer = {
        image: item.name,
        ...(predictions ? { predictions } : 'numbers' in answer && { numbers: answer.numbers, tta: answer.tta }),
        explained: overlays && (await overlays.write(classifier, stem, item.image, reading)),
        copied: copies && first && (await copies.copy(item.name, first.label)),
      };
      pictures.makeRoom();
      await written(
        a.csv ? csvOf(said, a.tta !== undefined) : a.json ? `${JSON.stringify(said)}\n` : table(said, threshold),
      );
    }
  } finally {
    // The readable images were answered; the exit code says that some were not.
    code = pictures.end(a.skipBad);
    if (copies && !a.quiet) process.stderr.write(`${copies.summary(without, threshold)}\n`);
  }
  return code;
}

export const command = define({
  usage: 'predict <checkpoint> <images...>',
  describe: 'classify images',
  operands,
  options,
  run,
});
