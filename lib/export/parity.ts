// Whether an export computes what its checkpoint does: both answer the same pictures. Knows no format.
import { ParityError } from '../errors.js';
import type { CompleteCheckpoint } from '../weights/checkpoint.js';
import { quantisedForm } from '../weights/quantised.js';
import type { LearnedTask } from '../weights/task.js';
import { Reference, type Compared } from './reference.js';
import type { Sample, Samples } from './samples.js';

/** What was compared, and what came out: written beside an export as `<file>.parity.json`. */
export interface Parity {
  /** what ran the export: 'onnxruntime-web 1.30.0' */
  runtime: string;
  /** the pictures: files, a run's validation split, or noise where there was neither */
  images: { from: Samples['from']; names: readonly string[] };
  compared: Compared;
  /** of any class of any picture */
  largestDifference: number;
  /** what it may be */
  tolerance: number;
  /**
   * where it is more: how far apart the checkpoint's own answers are, its ops fused and one by one. A network that amplifies
   * rounding has no answers that another program could come closer to.
   */
  rounding?: number;
  /** where the export resizes pictures itself: how far its bytes are from ours, levels; both then judge its bytes */
  resized?: { largestDifference: number; most: number };
  /** pictures to which both give the same first answer, those where two classes tie for it among them */
  top1: { agree: number; ties: number; of: number; least: number };
  agrees: boolean;
  /** what a reader of the file must know, as sentences */
  notes?: readonly string[];
}

/** An export, ready to answer. */
export interface Runner {
  /** name and version of what runs it */
  readonly runtime: string;
  /** pictures of one call */
  readonly batch: number;
  /** whether it wants pictures as they were before they were resized */
  readonly whole: boolean;
  readonly compared: Compared;
  /** answers [pictures, classes], and where it resized pictures itself what it made of them, [size, size, 3] each */
  run(pictures: readonly Sample[]): Promise<{ answers: Float32Array; resized?: readonly Uint8Array[] }>;
  dispose(): Promise<void>;
}

/** What counts as agreement. */
export interface Demand {
  /** the largest difference; of logits and numbers times the largest of them, where that is above 1 */
  tolerance: Readonly<Record<Compared, number>>;
  /** share of the pictures with the same first answer */
  top1: number;
  /** logits this near to each other are one: which of them comes first is chance */
  tie: number;
}
/**
 * Sums in another order differ in the last bits. Half precision has three digits, bfloat16 two, and a network of fifty
 * layers adds their errors up: of a MobileNetV2 trained on 21 classes fp16 moves probabilities by up to 0.03 and logits by
 * one in a hundred of the largest, bf16 logits by fifteen.
 */
export const DEMANDS: Readonly<Record<'fp32' | 'fp16' | 'bf16' | 'int8', Demand>> = {
  fp32: { tolerance: { probabilities: 1e-4, logits: 1e-4, numbers: 1e-4 }, top1: 1, tie: 1e-5 },
  fp16: { tolerance: { probabilities: 0.1, logits: 0.05, numbers: 0.05 }, top1: 0.99, tie: 1e-2 },
  // Integer arithmetic rounds some values to the neighbouring step, and what follows from it to further ones: eight steps
  // of the 127 that the largest logit has.
  int8: { tolerance: { probabilities: 0.1, logits: 8 / 127, numbers: 8 / 127 }, top1: 0.98, tie: 0.1 },
  bf16: { tolerance: { probabilities: 0.5, logits: 0.3, numbers: 0.3 }, top1: 0.95, tie: 5e-2 },
};

/** What an export of a checkpoint has to hold, in a type of float or in the int8 it has. */
export const demandFor = ({ metadata, file }: CompleteCheckpoint, dtype: 'fp32' | 'fp16' | 'bf16' = 'fp32'): Demand =>
  DEMANDS[quantisedForm(metadata, file) ? 'int8' : dtype];

/** Levels of 255 that pictures resized by the export may be from ours. */
const MOST_LEVELS = 1;

const furthest = (a: Uint8Array, b: Uint8Array): number =>
  a.reduce((most, v, i) => Math.max(most, Math.abs(v - b[i]!)), 0);
const largestOf = (row: Float32Array): number => row.reduce((best, v, i) => (v > row[best]! ? i : best), 0);

/** The largest difference of two lists of numbers; neither NaN nor an infinity is ever close. */
function apart(a: Float32Array, b: Float32Array): number {
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    if (!(difference <= most)) most = Number.isNaN(difference) ? Infinity : difference;
  }
  return most;
}

/** Numbers as their network gives them, whatever their units. */
function inDeviations(numbers: Float32Array, task: LearnedTask): Float32Array {
  if (task.kind !== 'regression') return numbers;
  const { mean, scale } = task;
  return numbers.map((v, at) => (v - mean[at % mean.length]!) / scale[at % scale.length]!);
}

/** Calls back with the pictures, a batch at a time. */
async function inBatches(
  { samples, size, whole, batch }: { samples: Samples; size: number; whole: boolean; batch: number },
  each: (pictures: Sample[]) => Promise<void>,
): Promise<void> {
  const count = samples.names.length;
  for (let at = 0; at < count; at += batch) {
    const indices = Array.from({ length: Math.min(batch, count - at) }, (_, i) => at + i);
    await each(await Promise.all(indices.map((i) => samples.sample(i, size, whole))));
  }
}

/** Runs the export and its checkpoint on the pictures. */
export async function compare(
  checkpoint: CompleteCheckpoint,
  runner: Runner,
  samples: Samples,
  demand: Demand,
): Promise<Parity> {
  const { compared, batch, whole } = runner;
  const { size } = checkpoint.preprocess;
  const classes = checkpoint.classes.length;
  const count = samples.names.length;
  let [largest, scale] = [0, 1];
  let levels: number | undefined;
  /** where they give another first answer: how far apart the checkpoint's logits of the two are */
  const others: number[] = [];
  const reference = await Reference.of(checkpoint);
  try {
    await inBatches({ samples, size, whole, batch }, async (pictures) => {
      const { answers, resized } = await runner.run(pictures);
      const theirs = compared === 'numbers' ? inDeviations(answers, checkpoint.task) : answers;
      const own = pictures.map((p) => p.pixels);
      if (resized) levels = Math.max(levels ?? 0, ...own.map((pixels, i) => furthest(pixels, resized[i]!)));
      const ours = await reference.answers(resized ?? own);
      const { length } = ours[compared];
      if (theirs.length !== length)
        throw new ParityError(`the export gives ${theirs.length} numbers for ${length} of the checkpoint's`);
      largest = Math.max(largest, apart(ours[compared], theirs));
      scale = ours.logits.reduce((most, v) => Math.max(most, Math.abs(v)), scale);
      for (let at = 0; at < length; at += classes) {
        const [first, its] = [ours.logits, theirs].map((all) => largestOf(all.subarray(at, at + classes)));
        // Numbers have no order among each other.
        if (compared !== 'numbers' && first !== its) others.push(ours.logits[at + first!]! - ours.logits[at + its!]!);
      }
    });
  } finally {
    reference.dispose();
  }
  const tolerance = demand.tolerance[compared] * (compared === 'probabilities' ? 1 : scale);
  const least = Math.ceil(demand.top1 * count);
  const ties = others.filter((gap) => gap <= demand.tie).length;
  const agree = count - others.length + ties;
  const close = largest <= tolerance;
  return {
    runtime: runner.runtime,
    images: { from: samples.from, names: samples.names },
    compared,
    largestDifference: largest,
    tolerance,
    ...(!close && { rounding: await rounding(checkpoint, samples, compared) }),
    top1: { agree, ties, of: count, least },
    ...(levels !== undefined && { resized: { largestDifference: levels, most: MOST_LEVELS } }),
    agrees: close && (levels ?? 0) <= MOST_LEVELS && agree >= least,
  };
}

/** How far the checkpoint's own answers move when nothing but the order of its sums is another. */
async function rounding(checkpoint: CompleteCheckpoint, samples: Samples, compared: Compared): Promise<number> {
  const { size } = checkpoint.preprocess;
  const both: Reference[] = [];
  let most = 0;
  try {
    for (const fuse of [true, false]) both.push(await Reference.of(checkpoint, fuse));
    await inBatches({ samples, size, whole: false, batch: 8 }, async (pictures) => {
      const pixels = pictures.map((p) => p.pixels);
      const [fused, plain] = [await both[0]!.answers(pixels), await both[1]!.answers(pixels)];
      most = Math.max(most, apart(fused[compared], plain[compared]));
    });
  } finally {
    for (const one of both) one.dispose();
  }
  return most;
}

/** One line of what came out. */
export function parityText(parity: Parity): string {
  const { runtime, images, compared, largestDifference, tolerance, rounding, top1, resized } = parity;
  const unit = compared === 'numbers' ? ' standard deviations' : '';
  const what = images.from === 'noise' ? 'pictures of noise (name real ones with --images)' : 'images';
  const from = images.from === 'validation split' ? ' of the validation split' : '';
  const ties = top1.ties > 0 ? `, ties at ${top1.ties}` : '';
  return (
    `${runtime} and the checkpoint on ${top1.of} ${what}${from}: ${compared} differ by up to ` +
    `${largestDifference.toPrecision(2)}${unit} (at most ${Number(tolerance.toPrecision(2))}), the same first answer to ${top1.agree} of ` +
    `${top1.of}${ties}` +
    (top1.agree < top1.least ? ` (at least ${top1.least})` : '') +
    (resized ? `; pictures resized within ${resized.largestDifference} of 255 levels` : '') +
    (rounding === undefined
      ? ''
      : `; its ops run one by one, the checkpoint differs from itself by ${rounding.toPrecision(2)}`)
  );
}

/** @throws ParityError when they disagree */
export function demandParity(parity: Parity): void {
  if (!parity.agrees)
    throw new ParityError(`the export computes something else, it was not written: ${parityText(parity)}`);
}
