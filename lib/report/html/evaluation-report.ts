// The report of a checkpoint on images: what `eval --report` writes.
import path from 'node:path';
import type { Dataset } from '../../data/dataset.js';
import type { Split } from '../../data/split.js';
import type { AnyEvaluation } from '../../infer/evaluation.js';
import { onEngine } from '../../infer/trained.js';
import type { CompleteCheckpoint } from '../../weights/checkpoint.js';
import { mapsOf } from '../answers.js';
import { fingerprint, notesOf, partsOf, settingLines } from './facts.js';
import { renderPage } from './page.js';
import { Album } from './pictures.js';
import { writeWhole } from '../../weights/formats/whole-file.js';

export interface EvaluationReport {
  readonly checkpoint: CompleteCheckpoint;
  readonly data: Dataset;
  /** rows judged are in one of its parts or in none */
  readonly split: Split;
  readonly evaluation: AnyEvaluation;
  /** of each row of the store, by the checkpoint's classes */
  readonly truth: Pick<Dataset, 'labels' | 'targets' | 'task'>;
  /** the images judged, in words */
  readonly judgedOn: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly timings: readonly { readonly what: string; readonly seconds: number }[];
  readonly device: string;
}

/**
 * Writes the page.
 * @throws DataError when the file cannot be written
 */
export async function writeEvaluationReport(file: string, of: EvaluationReport): Promise<void> {
  const { checkpoint, data, split, evaluation, truth, judgedOn, settings, timings, device } = of;
  const { classes, arch, model, preprocess } = checkpoint;
  using weights = await onEngine(checkpoint, { device });
  using _engine = weights.engine;
  const maps = mapsOf(model, preprocess, weights);
  try {
    const pictures = await new Album(data.store).of(evaluation, maps);
    const page = renderPage({
      title: path.basename(checkpoint.file),
      subtitle: `${arch} judged on ${judgedOn}`,
      task: checkpoint.task.kind,
      classes,
      files: data.files,
      parts: partsOf(split, truth, classes.length),
      evaluation,
      judgedOn,
      pictures,
      timings,
      settings: settingLines(settings),
      fingerprint: await fingerprint(data),
      notes: notesOf(data),
      written: new Date(),
    });
    await writeWhole(file, page);
  } finally {
    maps?.dispose();
  }
}
