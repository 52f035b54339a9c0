// Labelled images for a checkpoint, what they say of themselves in the words of its classes, and the checkpoint judged by it.
import { DataError } from '../errors.js';
import type { Dataset } from '../data/dataset.js';
import type { ListedImages } from '../data/listed-images.js';
import { openImages } from '../data/sources/open-images.js';
import type { Split } from '../data/split.js';
import type { ManifestOptions } from '../data/sources/image-manifest.js';
import type { JudgeOptions } from '../infer/answers-on.js';
import { evaluate } from '../infer/evaluate.js';
import type { AnyEvaluation } from '../infer/evaluation.js';
import { evaluateMultilabel } from '../infer/multilabel.js';
import { evaluateRegression } from '../infer/regression.js';
import type { Progress } from '../report/progress.js';
import type { CompleteCheckpoint } from '../weights/checkpoint.js';
import { manifestOptions } from './run-settings.js';

/** How images are asked for on the command line. */
export type AskedImages = Parameters<typeof manifestOptions>[0] & {
  readonly skipBad: boolean;
  readonly allowDamaged: boolean;
  readonly maxPixels: number;
  readonly quiet: boolean;
};

/** Images, as train takes them, at the size of a checkpoint; a bar tells of the decoding. */
export function imagesFor(
  checkpoint: CompleteCheckpoint,
  data: string,
  a: AskedImages,
  progress: Progress,
  more: { splitFile?: string } = {},
): Promise<ListedImages> {
  const { skipBad, allowDamaged, maxPixels, quiet } = a;
  const { size } = checkpoint.preprocess;
  const since = performance.now();
  return openImages(data, {
    ...manifestFor(checkpoint, a),
    ...{ size, skipBad, allowDamaged, maxPixels, allowOneClass: true, ...more },
    onProgress: ({ done, total, note }) => {
      if (quiet) return;
      if (note !== undefined) progress.line(note);
      progress.draw('decode images', done, total, (performance.now() - since) / 1000);
    },
  });
}

/** Without a split file every image counts; with one, what was held back from training. */
export function judgedPart({ train, val, test }: Split, held: boolean): { indices: Int32Array; judgedOn: string } {
  if (!held) return { indices: Int32Array.from([...train, ...val, ...test]).sort(), judgedOn: 'all images' };
  return test.length > 0
    ? { indices: test, judgedOn: 'the test images' }
    : { indices: val, judgedOn: 'the validation images' };
}

/** How a manifest is read for what a checkpoint has learned: numbers are in columns of their names. */
function manifestFor({ task, classes }: CompleteCheckpoint, a: Parameters<typeof manifestOptions>[0]): ManifestOptions {
  const asked = manifestOptions({ ...a, ...(task.kind !== 'multiclass' && { task: task.kind }) });
  return task.kind === 'regression' ? { ...asked, columns: { label: [...classes], ...asked.columns } } : asked;
}

export type Truth = Pick<Dataset, 'labels' | 'targets' | 'task'>;

/**
 * What the data says of each image, by the checkpoint's classes.
 * @throws DataError for classes that the checkpoint does not know, or another task than it has learned
 */
export function truthOf(data: Dataset, { classes, task }: CompleteCheckpoint, named: string): Truth {
  const { task: asked = 'multiclass', labels, targets } = data;
  if (asked !== task.kind)
    throw new DataError(
      `${named}: expected images for what the checkpoint has learned, ${task.kind}; got ones for ${asked}`,
    );
  const unknown = data.classes.filter((c) => !classes.includes(c));
  if (unknown.length > 0) {
    throw new DataError(
      `${named} has classes the checkpoint does not know: ${unknown.join(', ')}. It knows ${classes.join(', ')}`,
    );
  }
  const own = data.classes.map((c) => classes.indexOf(c));
  if (asked === 'multiclass') return { labels: labels.map((l) => own[l]!) };
  const missing = classes.filter((c) => !data.classes.includes(c));
  if (asked === 'regression' && missing.length > 0)
    throw new DataError(
      `${named} has no ${missing.join(', ')}, which the checkpoint tells; expected a column for each number`,
    );
  const [from, to] = [own.length, classes.length];
  const ordered = new Float32Array(labels.length * to);
  targets!.forEach((v, at) => (ordered[Math.floor(at / from) * to + own[at % from]!] = v));
  return { labels, targets: ordered, task: asked };
}

export function evaluateAny(options: JudgeOptions, { labels, targets, task }: Truth): Promise<AnyEvaluation> {
  if (task === 'multilabel') return evaluateMultilabel({ ...options, targets: targets! });
  if (task === 'regression') return evaluateRegression({ ...options, targets: targets! });
  return evaluate({ ...options, labels });
}
