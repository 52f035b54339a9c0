// `mnv2-torch eval`: a checkpoint's figures on a folder of images. The counting is infer/evaluate.ts.
import { UsageError } from '../errors.js';
import { Progress } from '../report/progress.js';
import { completeCheckpoint, loadCheckpoint } from '../weights/checkpoint.js';
import { csvOf, evaluationTable, mistakeTable, namedImages } from '../report/evaluation-text.js';
import { define } from './command.js';
import { badImageFlags, deviceFlag, precisionFlag, ttaFlag } from './flags.js';
import { flag, ofSettings, optionalPath, path, type Values } from './options.js';
import { IMAGES, runSchema } from './run-settings.js';
import { evaluateAny, imagesFor, judgedPart, truthOf } from './truth.js';

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

async function run(a: Values<typeof operands> & Values<typeof options>): Promise<void> {
  if (a.csv && (a.json || a.mistakes))
    throw new UsageError('--csv lists every image; leave --json and --mistakes out, or --csv');
  const checkpoint = completeCheckpoint(await loadCheckpoint(a.checkpoint));
  const progress = new Progress();
  const since = performance.now();
  const show = (label: string, done: number, total: number): void => {
    if (!a.quiet) progress.draw(label, done, total, (performance.now() - since) / 1000);
  };
  const data = await imagesFor(checkpoint, a.data, a, progress, a.split === undefined ? {} : { splitFile: a.split });
  try {
    const truth = truthOf(data, checkpoint, a.data);
    const split = await data.ready();
    const { indices, judgedOn } = judgedPart(split, a.split !== undefined);
    const began = performance.now();
    const evaluation = await evaluateAny(
      {
        ...{ checkpoint, store: data.store, indices, device: a.device, precision: a.precision },
        ...(a.tta && { tta: a.tta }),
        onProgress: (done, total) => show('evaluate', done, total),
      },
      truth,
    );
    const evaluated = performance.now() - began;
    if (a.report !== undefined) {
      const { writeEvaluationReport } = await import('../report/html/evaluation-report.js');
      const timings = [{ what: `evaluating ${indices.length} images`, seconds: evaluated / 1000 }];
      const settings = { checkpoint: checkpoint.file, data: a.data, split: a.split, precision: a.precision };
      const { device } = a;
      const facts = { checkpoint, data, split, evaluation, truth, judgedOn, settings, timings, device };
      await writeEvaluationReport(a.report, facts);
    }
    const { judged: _, ...figures } = evaluation;
    const wrong = a.mistakes ? namedImages(evaluation, data.files, true) : undefined;
    process.stdout.write(
      a.csv
        ? csvOf(namedImages(evaluation, data.files, false))
        : a.json
          ? `${JSON.stringify({ ...figures, mistakes: wrong })}\n`
          : evaluationTable(evaluation) + (wrong ? `\n${mistakeTable(evaluation, wrong)}` : ''),
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
