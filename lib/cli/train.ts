// `mnv2-torch train`: options to Trainer, events to bars or NDJSON. The training itself is train/trainer.ts.
import { statSync } from 'node:fs';
import path from 'node:path';
import { EXIT } from '../errors.js';
import { closingText, LastAnswers, type Closing } from '../report/closing.js';
import { colourful } from '../report/colours.js';
import { htmlReport } from '../report/html/hook.js';
import { tensorboard } from '../report/tensorboard/hook.js';
import { Progress, showTraining } from '../report/progress.js';
import { repeatsTable } from '../report/repeats.js';
import type { TrainEvent } from '../train/events.js';
import { MEASURES } from '../train/measures.js';
import { RunFolder } from '../train/run-folder.js';
import { readState } from '../train/state-file.js';
import { Trainer } from '../train/trainer.js';
import { define } from './command.js';
import { flag, optionalPath, type Values } from './options.js';
import { repetitions, trainAll, type Repeated, type Repetition } from './repetitions.js';
import { Stopping } from './signals.js';
import { planTraining, trainingOperands, trainingOptions, type Planned, type TrainingWords } from './training.js';

const options = {
  ...trainingOptions,
  resume: optionalPath({
    describe: 'run folder of an interrupted run to go on with, under the settings it began with',
  }),
  out: optionalPath({ describe: 'run folder (default runs/<date>-<arch>)' }),
  noReport: flag({ describe: 'no report.html in the run folder' }),
  tensorboard: flag({ describe: "TensorBoard's event files in the run folder" }),
  json: flag({ describe: 'events as NDJSON on stdout' }),
  quiet: flag({ describe: 'no progress' }),
};

type TrainArguments = TrainingWords & Values<typeof options>;
/** What trainings of one command line share. */
interface Desk {
  progress: Progress;
  stopping: Stopping;
}

/** A fresh folder below runs/. */
function freshFolder(arch: string): string {
  const stamp = new Date().toISOString().slice(0, 19).replace('T', '-').replaceAll(':', '');
  return path.join('runs', `${stamp}-${arch}`);
}

/** One training, or one of several (`part`), whose figures are told together. */
async function trainOnce(
  a: TrainArguments,
  plan: Planned,
  out: string,
  { stopping, progress }: Desk,
  part?: Repetition,
): Promise<Repeated | undefined> {
  const draw = a.quiet ? (): void => {} : showTraining(progress);
  const say = (text: string): void => void process.stdout.write(text);
  const answers = new LastAnswers();
  const close = (event: Closing['event']): void => {
    if (a.json) return;
    const written = report !== undefined && statSync(report, { throwIfNoEntry: false })?.isFile() ? report : undefined;
    const { history } = answers;
    const colours = colourful(process.stdout);
    const evaluation = answers.evaluation();
    say(closingText({ event, history, evaluation, task: answers.task, report: written, colours }));
  };
  const show = (event: TrainEvent): void => {
    draw(event);
    // Steps are for bars; everything that stays true is an event.
    if (a.json && event.event !== 'progress') say(`${JSON.stringify(event)}\n`);
    if (event.event === 'stopped' || (event.event === 'done' && !part)) close(event);
  };
  const report = a.noReport ? undefined : path.join(out, 'report.html');
  const warn = (message: string): void => progress.line(message);
  const hooks = [
    answers,
    ...(report === undefined ? [] : [htmlReport({ file: report, warn })]),
    ...(a.tensorboard ? [tensorboard({ warn })] : []),
  ];
  if (a.resume === undefined) await RunFolder.check(out);
  try {
    const { data, model, config } = await plan.open(draw, stopping.signal, part?.other);
    try {
      const { seed = plan.seed } = part?.other ?? {};
      const trainer = new Trainer(model, data, {
        ...plan.options,
        seed,
        out,
        ...(a.resume !== undefined && { resume: a.resume }),
        hooks,
        config,
        signal: stopping.signal,
      });
      using result = await trainer.fit({ onEvent: show });
      const { best, history, stopped } = result;
      if (stopped || !best) return undefined;
      const { valid } = history[best.epoch - 1]!;
      const task = result.task.kind;
      const figures = Object.fromEntries(MEASURES[task].map(({ key }) => [key, valid[key]!]));
      return { task, figures: { epoch: best.epoch, loss: best.loss, ...figures } };
    } finally {
      data.dispose();
    }
  } catch (error) {
    // Stopped while images were still being decoded: nothing was trained, nothing is lost.
    if (stopping.code === undefined || (error as Error).name !== 'AbortError') throw error;
    close(null);
    return undefined;
  }
}

async function run(a: TrainArguments): Promise<number> {
  const saved = a.resume === undefined ? undefined : await readState(a.resume);
  // A signal while weights are downloaded ends the process: what came of them is kept for the next one.
  const plan = await planTraining(a, a.quiet, saved);
  const progress = new Progress();
  using stopping = new Stopping(() => progress.line('stopping after this step; again to stop at once'));
  const desk = { progress, stopping };
  // What goes on is one run, whatever it was one of.
  const list = saved ? [] : repetitions(plan.settings);
  const out = a.out ?? a.resume ?? freshFolder(plan.arch);
  if (list.length === 0) {
    await trainOnce(a, plan, out, desk);
    return stopping.code ?? EXIT.ok;
  }
  const all = await trainAll({
    list,
    out,
    stopped: () => stopping.code !== undefined,
    next: ({ name }, folder) => {
      if (a.json) process.stdout.write(`${JSON.stringify({ event: 'repetition', name, out: folder })}\n`);
      if (!a.quiet) progress.line(`${name} of ${list.length}: ${folder}`);
    },
    train: (part, folder) => trainOnce(a, plan, folder, desk, part),
  });
  if (all) process.stdout.write(a.json ? `${JSON.stringify(all)}\n` : repeatsTable(all));
  return stopping.code ?? EXIT.ok;
}

export const command = define({
  usage: 'train [data]',
  describe: 'fine-tune or train a classifier',
  operands: trainingOperands,
  options,
  outlivesReader: true,
  run,
});
