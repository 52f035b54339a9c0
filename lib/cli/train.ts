// `mnv2-torch train`: options to Trainer, events to bars or NDJSON. The training itself is train/trainer.ts.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { EXIT } from '../errors.js';
import { htmlReport } from '../report/html/hook.js';
import { Progress, showTraining } from '../report/progress.js';
import { repeatsTable } from '../report/repeats.js';
import type { TrainEvent } from '../train/events.js';
import { RunFolder } from '../train/run-folder.js';
import { Trainer } from '../train/trainer.js';
import { define } from './command.js';
import { flag, optionalPath, type Values } from './options.js';
import { repetitions, trainAll, type Figures, type Repetition } from './repetitions.js';
import { Stopping } from './signals.js';
import { planTraining, trainingOperands, trainingOptions, type Planned, type TrainingWords } from './training.js';

const options = {
  ...trainingOptions,
  out: optionalPath({ describe: 'run folder (default runs/<date>-<arch>)' }),
  noReport: flag({ describe: 'no report.html in the run folder' }),
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

/** What a person reads at the end; `null` where nothing was trained. */
function closing(event: TrainEvent | null, report: string | undefined): string {
  if (event?.event === 'done') {
    const { best, checkpoint, seconds } = event;
    return (
      `best validation accuracy ${(100 * best.accuracy).toFixed(1)}% in epoch ${best.epoch}, ${seconds.toFixed(1)} s in all\n` +
      `saved ${checkpoint}\n${report !== undefined && existsSync(report) ? `look at ${report}\n` : ''}` +
      `classify with: mnv2-torch predict ${checkpoint} <images...>\n`
    );
  }
  const { epoch = 0, checkpoint = null } = event?.event === 'stopped' ? event : {};
  if (checkpoint === null) return 'stopped before the first step; nothing was trained\n';
  return `stopped ${epoch === 0 ? 'in the first epoch, before it was validated' : `after epoch ${epoch}`}; saved ${checkpoint}\n`;
}

/** One training, or one of several (`part`), whose figures are told together. */
async function trainOnce(
  a: TrainArguments,
  plan: Planned,
  out: string,
  { stopping, progress }: Desk,
  part?: Repetition,
): Promise<Figures | undefined> {
  const draw = a.quiet ? (): void => {} : showTraining(progress);
  const say = (text: string): void => void process.stdout.write(text);
  const show = (event: TrainEvent): void => {
    draw(event);
    // Steps are for bars; everything that stays true is an event.
    if (a.json && event.event !== 'progress') say(`${JSON.stringify(event)}\n`);
    if (!a.json && (event.event === 'stopped' || (event.event === 'done' && !part))) say(closing(event, report));
  };
  const report = a.noReport ? undefined : path.join(out, 'report.html');
  const hooks = report === undefined ? [] : [htmlReport({ file: report })];
  await RunFolder.check(out);
  try {
    const { data, model, config } = await plan.open(draw, stopping.signal, part?.other);
    try {
      const trainer = new Trainer(model, data, { ...plan.options, out, hooks, config, signal: stopping.signal });
      using result = await trainer.fit({ onEvent: show });
      const { best, history, stopped } = result;
      if (stopped || !best) return undefined;
      return { ...best, macroF1: history[best.epoch - 1]!.valid.macroF1 };
    } finally {
      data.dispose();
    }
  } catch (error) {
    // Stopped while images were still being decoded: nothing was trained, nothing is lost.
    if (stopping.code === undefined || (error as Error).name !== 'AbortError') throw error;
    if (!a.json) say(closing(null, undefined));
    return undefined;
  }
}

async function run(a: TrainArguments): Promise<number> {
  const progress = new Progress();
  using stopping = new Stopping(() => progress.line('stopping after this step; again to stop at once'));
  const desk = { progress, stopping };
  const plan = await planTraining(a);
  const list = repetitions(plan.settings);
  const out = a.out ?? freshFolder(plan.arch);
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
