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
  top: whole({ least: 1, default: 5, describe: 'most probable classes shown' }),
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

/** What is said of an image. */
interface Answer {
  image: string;
  predictions: Prediction[];
  /** the overlay that was written */
  explained?: string | undefined;
  /** the copy that was made */
  copied?: string | undefined;
}

const percent = (v: number): string => `${(100 * v).toFixed(1).padStart(5)}%`;

function table({ image, predictions }: Answer, threshold: number): string {
  if (predictions.length === 0) return `${image}\n  none at or above ${percent(threshold).trim()}\n`;
  const width = Math.max(...predictions.map((p) => p.label.length));
  const rows = predictions.map(
    (p) => `  ${p.label.padEnd(width)}  ${percent(p.probability)}${p.tta === undefined ? '' : `  ${percent(p.tta)}`}\n`,
  );
  const head = predictions[0]!.tta === undefined ? '' : `  ${''.padEnd(width)}   plain     tta\n`;
  return `${image}\n${head}${rows.join('')}`;
}

/** An image without a class at or above the threshold has one line all the same. */
function csvOf({ image, predictions }: Answer, tta: boolean): string {
  const lines = predictions.map((p, i) => [image, i + 1, p.label, p.probability, ...(tta ? [p.tta] : [])]);
  const none = [image, undefined, undefined, undefined, ...(tta ? [undefined] : [])];
  return (lines.length > 0 ? lines : [none]).map(csvLine).join('');
}

async function run(a: Values<typeof operands> & Values<typeof options>): Promise<number> {
  const stdin = a.images.filter((image) => image === STDIN).length;
  if (stdin > 1) throw new UsageError("<images>: '-' was given more than once; standard input holds one image");
  if (stdin > 0 && a.copyTo !== undefined)
    throw new UsageError("--copy-to copies files; standard input ('-') is none: write it to a file first");
  if (a.csv && a.json) throw new UsageError('--csv and --json are two forms of one answer; leave one of them out');
  using classifier = await Classifier.load(a.checkpoint, { device: a.device, precision: a.precision });
  const reading = { allowDamaged: a.allowDamaged, maxPixels: a.maxPixels };
  const overlays = a.explain === undefined ? undefined : await Overlays.into(a.explain);
  const copies = a.copyTo === undefined ? undefined : await SortedCopies.into(a.copyTo);
  const threshold = a.threshold ?? 0;
  const pictures = new Pictures(a.images, { what: 'predict', except: a.copyTo, quiet: a.quiet });
  let without = 0;
  let code: number = EXIT.ok;
  if (a.csv) await written(csvLine(['image', 'rank', 'label', 'probability', ...(a.tta ? ['tta'] : [])]));
  try {
    const asked = { topK: a.top, ...reading, ...(a.tta && { tta: a.tta }) };
    for await (const { item, ...answer } of classifier.stream(pictures, asked)) {
      pictures.advance();
      if (!answer.ok) {
        pictures.failed(answer.error, item.name);
        continue;
      }
      const predictions = answer.predictions.filter((p) => p.probability >= threshold);
      const [first] = predictions;
      if (!first) without++;
      const stem = item.name === STDIN ? 'stdin' : path.parse(item.name).name;
      const said: Answer = {
        image: item.name,
        predictions,
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
    if (copies && !a.quiet) process.stderr.write(`${copies.summary(without, percent(threshold).trim())}\n`);
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
