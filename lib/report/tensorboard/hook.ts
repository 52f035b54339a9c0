// tensorboard: a training as TensorBoard's event files, as a hook. What is in them is records.ts.
import { appendFile, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { UsageError } from '../../errors.js';
import { isMulticlass, type AnyEvaluation } from '../../infer/evaluation.js';
import { mistakes } from '../../infer/judged.js';
import { labelMistakes } from '../../infer/multilabel.js';
import { furthestOff } from '../../infer/regression.js';
import type { EpochEvent, ValidPhase } from '../../train/events.js';
import type { Beginning, Hook, Outputs } from '../../train/hooks/hook.js';
import { MEASURES } from '../../train/measures.js';
import type { TrainingState } from '../../train/state.js';
import type { Task } from '../../weights/task.js';
import { Answers } from '../answers.js';
import { settingLines } from '../html/facts.js';
import { LARGE } from '../html/pictures.js';
import { event, fileVersion, type Value } from './records.js';

/** Where event files go. */
export interface TensorBoardOptions {
  /** a folder that is there (default: the run folder) */
  folder?: string;
  /** hears that a file cannot be written, after which nothing more is (default: a warning of the process) */
  warn?: (message: string) => void;
}

/** Mistakes shown as images. */
const MOST_IMAGES = 8;

/**
 * Writes what TensorBoard shows: loss, accuracy, macro F1, calibration error and learning rate of each epoch, the
 * settings as text, and at the end the worst mistakes of the best epoch with what spoke for them. Steps are epochs. A
 * file that cannot be written is warned of once; the training goes on.
 * @param options without `folder`, the training needs `out`
 * @example
 * import { MobileNetV2, syntheticScenes, tensorboard, Trainer } from 'mnv2-torch';
 * import { mkdtempSync, readdirSync } from 'node:fs';
 * const folder = mkdtempSync('/tmp/mnv2-');
 * const data = await syntheticScenes({ size: 32, perClass: 2 });
 * const model = MobileNetV2({ numClasses: 21, widthMult: 0.25 });
 * await new Trainer(model, data, { epochs: 1, hooks: [tensorboard({ folder })] }).fit();
 * console.log(readdirSync(folder)[0].startsWith('events.out.tfevents.')); // true
 */
export function tensorboard(options: TensorBoardOptions = {}): Hook {
  return new TensorBoard(options.folder, options.warn);
}

const now = (): number => Date.now() / 1000;

class TensorBoard implements Hook {
  #file = '';
  #answers: Answers | undefined;
  #side = 0;
  #task: Task = 'multiclass';
  #broken = false;

  constructor(
    private readonly asked: string | undefined,
    private readonly warn = (message: string): void => process.emitWarning(message),
  ) {}

  async began(_state: TrainingState, beginning: Beginning): Promise<void> {
    const folder = this.asked ?? beginning.out;
    if (folder === undefined)
      throw new UsageError('tensorboard: expected `folder`, or a training with `out` to write events to; got neither');
    // A training that goes on in the same folder adds a file; TensorBoard reads them as one, in the order of their names.
    const stamp = `${Math.floor(now())}`.padStart(10, '0');
    this.#file = path.join(folder, `events.out.tfevents.${stamp}.${os.hostname()}.${process.pid}.mnv2`);
    this.#answers = new Answers(beginning);
    this.#task = beginning.task.kind;
    this.#side = Math.min(LARGE, beginning.data.size);
    const table = settingLines(beginning.settings).map(([name, value]) => `| ${cell(name)} | ${cell(value)} |`);
    const text = ['| setting | value |', '| --- | --- |', ...table].join('\n');
    await this.#guarded(() => writeFile(this.#file, fileVersion(now())));
    await this.#add(0, [{ tag: 'settings', text }]);
  }

  async epochEnded(state: TrainingState, epoch: EpochEvent, outputs: Outputs): Promise<void> {
    this.#answers!.hear(state, epoch, outputs);
    const { train, valid, lr, deadKernels } = epoch;
    const scalars: Record<string, number> = {
      'loss/train': train.loss,
      'loss/valid': valid.loss,
      ...Object.fromEntries(
        MEASURES[this.#task].flatMap(({ key, name, running }) => [
          ...(running ? [[`${name}/train`, (train as ValidPhase)[key]!] as const] : []),
          [`${name}/valid`, valid[key]!] as const,
        ]),
      ),
      'learning rate': lr,
      ...(deadKernels !== undefined && { 'dead kernels': deadKernels }),
      'images per second/train': train.imagesPerSecond,
    };
    const values = Object.entries(scalars).map(([tag, scalar]) => ({ tag, scalar }));
    await this.#add(epoch.epoch, values);
  }

  async ended(state: TrainingState): Promise<void> {
    const answers = this.#answers;
    const evaluation = answers?.evaluation();
    if (!answers || !evaluation) return;
    await this.#guarded(async () => {
      const { large } = await answers.pictures(state, evaluation);
      const images = worst(evaluation)
        .slice(0, MOST_IMAGES)
        .flatMap(({ row, said }, i): Value[] => {
          const { plain, explained } = large.get(row)!;
          const tag = `mistakes/${i + 1} ${said}`;
          const image = (url: string) => ({ width: this.#side, height: this.#side, encoded: decoded(url) });
          return [
            { tag, image: image(plain) },
            ...(explained === undefined ? [] : [{ tag: `${tag}, what spoke for it`, image: image(explained) }]),
          ];
        });
      const said = `Of the best epoch, ${answers.epoch}: ${summed(evaluation)}.`;
      await appendFile(this.#file, event(now(), answers.epoch!, [...images, { tag: 'result', text: said }]));
    });
  }

  #add(step: number, values: readonly Value[]): Promise<void> {
    return this.#guarded(() => appendFile(this.#file, event(now(), step, values)));
  }

  /** After the first failure nothing more is written: half a record would spoil what follows. */
  async #guarded(write: () => Promise<void>): Promise<void> {
    if (this.#broken) return;
    try {
      await write();
    } catch (error) {
      this.#broken = true;
      this.warn(`no more is written for TensorBoard: ${(error as Error).message}`);
    }
  }
}

/** Images to show, the worst first, with what is wrong about them. */
function worst(evaluation: AnyEvaluation): { row: number; said: string }[] {
  if (isMulticlass(evaluation)) {
    const { classes, judged } = evaluation;
    return mistakes(judged).map(({ row, label, predicted }) => ({
      row,
      said: `${classes[label]!.label} taken for ${classes[predicted]!.label}`,
    }));
  }
  if (evaluation.task === 'multilabel') {
    const named = (list: readonly number[]): string => list.map((c) => evaluation.classes[c]!.label).join(', ');
    return labelMistakes(evaluation.judged).map(({ row, missed, wrong }) => ({
      row,
      said: [
        ...(wrong.length > 0 ? [`not there: ${named(wrong)}`] : []),
        ...(missed.length > 0 ? [`missed: ${named(missed)}`] : []),
      ].join('; '),
    }));
  }
  const { numbers, judged } = evaluation;
  return furthestOff(judged).map(({ row, truth, predicted }) => ({
    row,
    said: numbers
      .map(({ name }, c) => `${name} ${truth[c]!.toPrecision(4)}, given ${predicted[c]!.toPrecision(4)}`)
      .join('; '),
  }));
}

function summed(evaluation: AnyEvaluation): string {
  if (isMulticlass(evaluation))
    return `accuracy ${evaluation.accuracy}, expected calibration error ${evaluation.calibration.ece}`;
  return evaluation.task === 'multilabel'
    ? `mAP ${evaluation.mAP}, macro F1 ${evaluation.macroF1}`
    : `mean absolute error ${evaluation.mae}, R² ${evaluation.r2}`;
}

/** Text within a table of markdown. */
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
const decoded = (url: string): Buffer => Buffer.from(url.slice(url.indexOf(',') + 1), 'base64');
