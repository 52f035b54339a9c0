// `mnv2-torch eval`: a checkpoint's figures on a folder of images. The counting is infer/evaluate.ts.
import { DataError, UsageError } from '../errors.js';
import type { Split } from '../data/split.js';
import { openImages } from '../data/sources/open-images.js';
import { csvLine } from '../report/csv.js';
import { Progress } from '../report/progress.js';
import { completeCheckpoint, loadCheckpoint } from '../weights/checkpoint.js';
import { evaluate, type Evaluation } from '../infer/evaluate.js';
import { mistakes, type Judged } from '../infer/judged.js';
import { define } from './command.js';
import { badImageFlags, deviceFlag, precisionFlag, ttaFlag } from './flags.js';
import { flag, ofSettings, optionalPath, path, type Values } from './options.js';
import { IMAGES, manifestOptions, runSchema } from './run-settings.js';

const operands = {
  checkpoint: path({ describe: 'a .safetensors with its classes, or the folder of a run' }),
  data: path({ describe: IMAGES }),
};
const options = {
  split: optionalPath({ describe: "a run's split.json: only what was held back from training" }),
  ...ofSettings(runSchema.pick({ columns: true, separator: true, root: true })),
  device: deviceFlag({ default: 'auto' }),
  precision: precisionFlag(),
  ...badImageFlags({ skipBad: 'leave unreadable images out instead of stopping' }),
  tta: ttaFlag(),
  mistakes: flag({ describe: 'list the files that are classified wrong, highest loss first' }),
  csv: flag({ describe: 'a line an image instead: file,label,predicted,probability,loss' }),
  report: optionalPath({ describe: 'a page to write, with the pictures behind every figure' }),
  json: flag({ describe: 'one JSON line' }),
  quiet: flag({ describe: 'no progress' }),
};

const percent = (v: number): string => (100 * v).toFixed(1).padStart(6);

/** A table for people: per-class figures, then the pairs confused most. */
function table({ accuracy, macroF1, loss, images, classes, confusion, calibration, tta }: Evaluation): string {
  const width = Math.max(5, ...classes.map((c) => c.label.length));
  const rows = classes.map(
    (c) =>
      `${c.label.padEnd(width)} ${[c.precision, c.recall, c.f1].map((v) => percent(v).padStart(9)).join(' ')} ${String(c.support).padStart(8)}`,
  );
  const pairs = confusion.flatMap((row, i) =>
    row.map((n, j) => ({ n, from: classes[i]!.label, to: classes[j]!.label, wrong: i !== j })),
  );
  const worst = pairs
    .filter((p) => p.wrong && p.n > 0)
    .sort((a, b) => b.n - a.n)
    .slice(0, 5);
  return [
    `${'class'.padEnd(width)} precision    recall        F1  support`,
    ...rows,
    '',
    `accuracy ${(100 * accuracy).toFixed(2)}% of ${images} images, loss ${loss.toFixed(4)}, macro F1 ${(100 * macroF1).toFixed(2)}%, ` +
      `calibration error ${(100 * calibration.ece).toFixed(1)}%`,
    ...(tta
      ? [`mean of ${tta.views} views: accuracy ${(100 * tta.accuracy).toFixed(2)}%, loss ${tta.loss.toFixed(4)}`]
      : []),
    ...(worst.length > 0 ? ['most confused:', ...worst.map((p) => `  ${p.n} ${p.from} taken for ${p.to}`)] : []),
    '',
  ].join('\n');
}

/** One image for people and scripts. */
function named(
  { row, label, predicted, probability, loss }: Judged,
  files: readonly string[],
  classes: readonly string[],
) {
  return { file: files[row]!, label: classes[label]!, predicted: classes[predicted]!, probability, loss };
}
type Named = ReturnType<typeof named>;

function mistakeTable(wrong: readonly Named[]): string {
  const width = Math.max(...wrong.map((w) => w.predicted.length), 5);
  const rows = wrong.map(
    (w) => `${w.loss.toFixed(3).padStart(8)}  ${w.predicted.padEnd(width)} ${percent(w.probability)}%  ${w.file}`,
  );
  return wrong.length === 0 ? 'no mistakes\n' : `    loss  ${'taken for'.padEnd(width + 9)} file\n${rows.join('\n')}\n`;
}

const csvOf = (images: readonly Named[]): string =>
  csvLine(['file', 'label', 'predicted', 'probability', 'loss']) +
  images.map((i) => csvLine([i.file, i.label, i.predicted, i.probability, i.loss])).join('');

/** Without a split file every image counts; with one, what was held back from training. */
function judgedPart({ train, val, test }: Split, held: boolean): { indices: Int32Array; judgedOn: string } {
  if (!held) return { indices: Int32Array.from([...train, ...val, ...test]).sort(), judgedOn: 'all images' };
  return test.length > 0
    ? { indices: test, judgedOn: 'the test images' }
    : { indices: val, judgedOn: 'the validation images' };
}

async function run(a: Values<typeof operands> & Values<typeof options>): Promise<void> {
  if (a.csv && (a.json || a.mistakes))
    throw new UsageError('--csv lists every image; leave --json and --mistakes out, or --csv');
  const checkpoint = completeCheckpoint(await loadCheckpoint(a.checkpoint));
  const progress = new Progress();
  const since = performance.now();
  const show = (label: string, done: number, total: number): void => {
    if (!a.quiet) progress.draw(label, done, total, (performance.now() - since) / 1000);
  };
  const data = await openImages(a.data, {
    ...manifestOptions(a),
    size: checkpoint.preprocess.size,
    skipBad: a.skipBad,
    allowDamaged: a.allowDamaged,
    maxPixels: a.maxPixels,
    allowOneClass: true,
    onProgress: ({ done, total, note }) => {
      if (note !== undefined && !a.quiet) progress.line(note);
      show('decode images', done, total);
    },
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
    const part = judgedPart(split, a.split !== undefined);
    const { indices } = part;
    const own = data.classes.map((c) => checkpoint.classes.indexOf(c));
    const labels = data.labels.map((l) => own[l]!);
    const began = performance.now();
    const result = await evaluate({
      checkpoint,
      store: data.store,
      indices,
      labels,
      device: a.device,
      precision: a.precision,
      ...(a.tta && { tta: a.tta }),
      onProgress: (done, total) => show('evaluate', done, total),
    });
    const evaluated = performance.now() - began;
    if (a.report !== undefined) {
      const { judgedOn } = part;
      const { writeEvaluationReport } = await import('../report/html/evaluation-report.js');
      const timings = [{ what: `evaluating ${indices.length} images`, seconds: evaluated / 1000 }];
      const settings = { checkpoint: checkpoint.file, data: a.data, split: a.split, precision: a.precision };
      const { device } = a;
      await writeEvaluationReport(a.report, {
        checkpoint,
        data,
        split,
        evaluation: result,
        labels,
        judgedOn,
        settings,
        timings,
        device,
      });
    }
    const { judged, ...figures } = result;
    const listed = (images: readonly Judged[]): Named[] => images.map((j) => named(j, data.files, checkpoint.classes));
    const wrong = a.mistakes ? listed(mistakes(judged)) : undefined;
    process.stdout.write(
      a.csv
        ? csvOf(listed(judged))
        : a.json
          ? `${JSON.stringify({ ...figures, mistakes: wrong })}\n`
          : table(result) + (wrong ? `\n${mistakeTable(wrong)}` : ''),
    );
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
