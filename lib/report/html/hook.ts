// htmlReport: the report of a training, as a hook that writes it again while the training goes on.
import path from 'node:path';
import { evaluationOf } from '../../infer/evaluate.js';
import { judge } from '../../infer/judged.js';
import { UsageError } from '../../errors.js';
import { architectureOf } from '../../models/registry.js';
import type { EpochEvent } from '../../train/events.js';
import type { Beginning, Ending, Hook, Outputs } from '../../train/hooks/hook.js';
import type { Snapshot, TrainingState } from '../../train/state.js';
import type { Pictures, Report } from './data.js';
import { mapsOf } from './evaluation-report.js';
import { fingerprint, notesOf, partsOf, settingLines } from './facts.js';
import { renderPage } from './page.js';
import { Album } from './pictures.js';
import { writeWhole } from '../whole-file.js';

/** What a report hook may be told. */
export interface HtmlReportOptions {
  /** default: report.html in the run folder */
  file?: string;
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
  return new HtmlReport(options.file);
}

/** The answers a report shows, and the weights that gave them. */
interface Shown {
  epoch: number;
  outputs: Outputs;
  snapshot: Snapshot | undefined;
}

class HtmlReport implements Hook {
  #file = '';
  #beginning: Beginning | undefined;
  #album: Album | undefined;
  #fingerprint = '';
  #shown: Shown | undefined;
  #pictures: { of: Shown; pictures: Pictures } | undefined;
  #next = 0;
  #warned = false;

  constructor(private readonly asked: string | undefined) {}

  async began(_state: TrainingState, beginning: Beginning): Promise<void> {
    const file = this.asked ?? (beginning.out === undefined ? undefined : path.join(beginning.out, 'report.html'));
    if (file === undefined)
      throw new UsageError(
        'htmlReport: expected `file`, or a training with `out` to write report.html to; got neither',
      );
    this.#file = file;
    this.#beginning = beginning;
    this.#album = new Album(beginning.data.store);
    this.#fingerprint = await fingerprint(beginning.data);
    this.#next = performance.now() + 1000 * EVERY;
  }

  async epochEnded(state: TrainingState, event: EpochEvent, outputs: Outputs): Promise<void> {
    // The best epoch's answers; where its answers are not known, those of the newest.
    const isBest = state.best?.epoch === event.epoch;
    if (isBest || this.#shown === undefined || this.#shown.epoch !== state.best?.epoch)
      this.#shown = { epoch: event.epoch, outputs, snapshot: isBest ? state.best : state.last };
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
      if (!this.#warned) process.emitWarning(`the report was not written: ${(error as Error).message}`);
      this.#warned = true;
    }
    const took = performance.now() - since;
    this.#next = performance.now() + Math.max(1000 * EVERY, took / SHARE);
  }

  async #report(state: TrainingState, how: NonNullable<Report['training']>['state']): Promise<Report> {
    const { data, split, settings, model, out } = this.#beginning!;
    const { classes, files, labels } = data;
    const shown = this.#shown;
    const evaluation = shown && evaluationOf(classes, judge(shown.outputs, labels, classes.length));
    const arch = architectureOf(model)?.name ?? model.constructor.name;
    const from = typeof settings['data'] === 'string' ? ` on ${path.basename(settings['data'])}` : '';
    return {
      title: path.basename(path.resolve(out ?? path.dirname(this.#file))),
      subtitle: `${arch}${from}`,
      classes,
      files,
      training: {
        history: state.history,
        epochs: Number(settings['epochs']),
        best: state.best?.epoch,
        state: how,
      },
      parts: partsOf(split, labels, classes.length),
      ...(evaluation && { evaluation }),
      judgedOn: shown ? `the validation images, after epoch ${shown.epoch}` : '',
      pictures: shown && evaluation ? await this.#picturesOf(state, shown, evaluation) : NONE,
      timings: timingsOf(state.history),
      settings: settingLines(settings),
      fingerprint: this.#fingerprint,
      notes: notesOf(data),
      written: new Date(),
    };
  }

  /** Made once for the answers they belong to. The maps are those of the weights that gave the answers. */
  async #picturesOf(
    state: TrainingState,
    shown: Shown,
    evaluation: NonNullable<Report['evaluation']>,
  ): Promise<Pictures> {
    if (this.#pictures?.of === shown) return this.#pictures.pictures;
    const { model, preprocess } = this.#beginning!;
    using weights = await state.weights.copy();
    if (shown.snapshot) await weights.set([...shown.snapshot.tensors].map(([name, value]) => ({ name, ...value })));
    const maps = mapsOf(model, preprocess, weights);
    try {
      const pictures = await this.#album!.of(evaluation, maps);
      this.#pictures = { of: shown, pictures };
      return pictures;
    } finally {
      maps?.dispose();
    }
  }
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
