// `mnv2-torch eval`: a checkpoint's figures on a folder of images. The counting is infer/evaluate.ts.
import { DataError } from '../errors.js';
import { ImageFolder } from '../data/sources/image-folder.js';
import { Progress } from '../report/progress.js';
import { completeCheckpoint, loadCheckpoint } from '../weights/checkpoint.js';
import { evaluate, type Evaluation } from '../infer/evaluate.js';
import { define } from './command.js';
import { badImageFlags, deviceFlag, precisionFlag } from './flags.js';
import { flag, optionalPath, path, type Values } from './options.js';

const operands = {
  checkpoint: path({ describe: 'a .safetensors with its classes, or the folder of a run' }),
  data: path({ describe: 'folder of images, one subfolder a class' }),
};
const options = {
  split: optionalPath({ describe: "a run's split.json: only what was held back from training" }),
  device: deviceFlag({ default: 'auto' }),
  precision: precisionFlag(),
  ...badImageFlags({ skipBad: 'leave unreadable images out instead of stopping' }),
  json: flag({ describe: 'one JSON line' }),
  quiet: flag({ describe: 'no progress' }),
};

const percent = (v: number): string => (100 * v).toFixed(1).padStart(6);

/** A table for people: per-class figures, then the pairs confused most. */
function table({ accuracy, loss, images, classes, confusion }: Evaluation): string {
  const width = Math.max(5, ...classes.map((c) => c.label.length));
  const rows = classes.map(
    (c) => `${c.label.padEnd(width)} ${percent(c.precision)} ${percent(c.recall)} ${String(c.support).padStart(8)}`,
  );
  const pairs = confusion.flatMap((row, i) =>
    row.map((n, j) => ({ n, from: classes[i]!.label, to: classes[j]!.label, wrong: i !== j })),
  );
  const worst = pairs
    .filter((p) => p.wrong && p.n > 0)
    .sort((a, b) => b.n - a.n)
    .slice(0, 5);
  return [
    `${'class'.padEnd(width)} precision recall  support`,
    ...rows,
    '',
    `accuracy ${(100 * accuracy).toFixed(2)}% of ${images} images, loss ${loss.toFixed(4)}`,
    ...(worst.length > 0 ? ['most confused:', ...worst.map((p) => `  ${p.n} ${p.from} taken for ${p.to}`)] : []),
    '',
  ].join('\n');
}

async function run(a: Values<typeof operands> & Values<typeof options>): Promise<void> {
  const checkpoint = completeCheckpoint(await loadCheckpoint(a.checkpoint));
  const progress = new Progress();
  const since = performance.now();
  const show = (label: string, done: number, total: number): void => {
    if (!a.quiet) progress.draw(label, done, total, (performance.now() - since) / 1000);
  };
  const data = await ImageFolder.open(a.data, {
    size: checkpoint.preprocess.size,
    skipBad: a.skipBad,
    allowDamaged: a.allowDamaged,
    maxPixels: a.maxPixels,
    allowOneClass: true,
    onProgress: ({ done, total }) => show('decode images', done, total),
    ...(a.split !== undefined && { splitFile: a.split }),
  });
  try {
    const unknown = data.classes.filter((c) => !checkpoint.classes.includes(c));
    if (unknown.length > 0) {
      throw new DataError(
        `${a.data} has classes the checkpoint does not know: ${unknown.join(', ')}. It knows ${checkpoint.classes.join(', ')}`,
      );
    }
    const split = await data.ready();
    // Without a split file every image counts; with one, what was held back from training.
    const indices =
      a.split !== undefined
        ? split.test.length > 0
          ? split.test
          : split.val
        : Int32Array.from([...split.train, ...split.val, ...split.test]).sort();
    const own = data.classes.map((c) => checkpoint.classes.indexOf(c));
    const result = await evaluate({
      checkpoint,
      store: data.store,
      indices,
      labels: data.labels.map((l) => own[l]!),
      device: a.device,
      precision: a.precision,
      onProgress: (done, total) => show('evaluate', done, total),
    });
    process.stdout.write(a.json ? `${JSON.stringify(result)}\n` : table(result));
  } finally {
    data.dispose();
  }
}

export const command = define({
  usage: 'eval <checkpoint> <data>',
  describe: 'accuracy, per-class figures and confusion of a checkpoint',
  operands,
  options,
  run,
});
