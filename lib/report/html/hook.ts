// htmlReport: the report of a training, as a hook that writes it again while the training goes on.
import path from 'node:path';
import { UsageError } from '../../errors.js';
import { architectureOf } from '../../models/registry.js';
import type { EpochEvent } from '../../train/events.js';
import type { Beginning, Ending, Hook, Outputs } from '../../train/hooks/hook.js';
import type { TrainingState } from '../../train/state.js';
import { taskOfData } from '../../train/task.js';
import { Answers } from '../answers.js';
import type { Pictures, Report } from './data.js';
import { fingerprint, notesOf, partsOf, settingLines } from './facts.js';
import { renderPage } from './page.js';
import { writeWhole } from '../../weights/formats/whole-file.js';

/** What a report hook may be told. */
export interface HtmlReportOptions {
  /** default: report.html in the run folder */
  file?: string;
  /** hears, once, that it cannot be written and why (default: a warning of the process) */
  warn?: (message: string) => void;
}

/** Seconds between two writings at least, and the share of a training's time that writing may take. */
const [EVERY, SHARE] = [5, 0.05];
const NONE: Pictures = { thumbnails: new Map(), large: new Map(), exact: undefined };

/**
 * Writes a page about the training beside its checkpoints: curves, confusion with the pictures behind it, the worst
 * mistakes and what spoke for them, calibration, settings. One file that loads nothing. It is written as epochs end, at
 * most every 5 s and for at most a twentieth of the time, and at the end; when that fails, a warning says so and the
 * training goes on.
 * @param options without `file`, the training needs `out`
 * @example
 * import { htmlReport, MobileNetV2, syntheticScenes, Trainer } from 'mnv2-torch';
 * import { mkdtempSync, readFileSync } from 'node:fs';
 * const file = mkdtempSync('/tmp/mnv2-') + '/report.html';
 * const data = await syntheticScenes({ size: 32, perClass: 2 });
 * const model = MobileNetV2({ numClasses: 21, widthMult: 0.25 });
 * await new Trainer(model, data, { epochs: 1, hooks: [htmlReport({ file })] }).fit();
 * console.log(readFileSync(file, 'utf8').includes('id="confusion"')); // true
 */
export function htmlReport(options: HtmlReportOptions = {}): Hook {
  return new HtmlReport(options.file, options.warn);
}

class HtmlReport implements Hook {
  #file = '';
  #beginning: Beginning | undefined;
  #answers: Answers | undefined;
  #fingerprint = '';
  #next = 0;
  #warned = false;

  constructor(
    private readonly asked: string | undefined,
    private readonly warn = (message: string): void => process.emitWarning(message),
  ) {}

  async began(_state: TrainingState, beginning: Beginning): Promise<void> {
    const file = this.asked ?? (beginning.out === undefined ? undefined : path.join(beginning.out, 'report.html'));
    if (file === undefined)
      throw new UsageError(
        'htmlReport: expected `file`, or a training with `out` to write report.html to; got neither',
      );
    this.#file = file;
    this.#beginning = beginning;
    this.#answers = new Answers(beginning);
    this.#fingerprint = await fingerprint(beginning.data);
    this.#next = performance.now() + 1000 * EVERY;
  }

  async epochEnded(state: TrainingState, event: EpochEvent, outputs: Outputs): Promise<void> {
    this.#answers!.hear(state, event, outputs);
    if (performance.now() >= this.#next) await this.#write(state, 'running');
  }

  async ended(state: TrainingState, ending: Ending): Promise<void> {
    if (this.#beginning) await this.#write(state, ending.how);
  }

  async #write(state: TrainingState, how: NonNullable<Report['training']>['state']): Promise<void> {
    const since = performance.now();
    try {
      await writeWhole(this.#file, renderPage(await this.#report(state, how)));
    } catch (error) {
      if (!this.#warned) this.warn(`the report was not written: ${(error as Error).message}`);
      this.#warned = true;
    }
    const took = performance.now() - since;
    this.#next = performance.now() + Math.max(1000 * EVERY, took / SHARE);
  }

  async #report(state: TrainingState, how: NonNullable<Report['training']>['state']): Promise<Report> {
    const { data, split, settings, model, out } = this.#beginning!;
    const { classes, files } = data;
    const answers = this.#answers!;
    const evaluation = answers.evaluation();
    const arch = architectureOf(model)?.name ?? model.constructor.name;
    const from = typeof settings['data'] === 'string' ? ` on ${path.basename(settings['data'])}` : '';
    return {
      title: path.basename(path.resolve(out ?? path.dirname(this.#file))),
      subtitle: `${arch}${from}`,
      task: taskOfData(data),
      classes,
      files,
      training: {
        history: state.history,
        epochs: Number(settings['epochs']),
        best: state.best?.epoch,
        state: how,
      },
      parts: partsOf(split, data, classes.length),
      ...(evaluation && { evaluation }),
      judgedOn: `the validation images, after epoch ${answers.epoch}`,
      pictures: evaluation ? await answers.pictures(state, evaluation) : NONE,
      timings: [...preparation(this.#beginning!), ...timingsOf(state.history)],
      settings: settingLines(settings),
      fingerprint: this.#fingerprint,
      notes: notesOf(data),
      written: new Date(),
    };
  }
}

/** What came before the first epoch; the frozen part follows the decoder, both at once. */
function preparation({ seconds: { decode, prefix }, data }: Beginning): Report['timings'] {
  const note = `${data.files.length} images`;
  return [
    ...(decode === undefined ? [] : [{ what: 'decoding', seconds: decode, note }]),
    ...(prefix === undefined ? [] : [{ what: 'frozen part', seconds: prefix, note: 'its outputs are kept' }]),
  ];
}

/** Means over epochs. */
function timingsOf(history: readonly EpochEvent[]): Report['timings'] {
  if (history.length === 0) return [];
  const sum = (of: (e: EpochEvent) => number): number => history.reduce((a, e) => a + of(e), 0);
  const steps = sum((e) => e.train.steps);
  const images = sum((e) => e.train.imagesPerSecond * e.train.seconds);
  const [training, validating] = [sum((e) => e.train.seconds), sum((e) => e.valid.seconds)];
  return [
    {
      what: 'training, an epoch',
      seconds: training / history.length,
      note: `${(images / training).toFixed(0)} images a second`,
    },
    { what: 'training, a step', seconds: training / steps, note: `${steps} steps` },
    { what: 'validation, an epoch', seconds: validating / history.length },
  ];
}
