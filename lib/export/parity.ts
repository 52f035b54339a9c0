// Whether an export computes what its checkpoint does: both answer the same pictures. Knows no format.
import { ParityError } from '../errors.js';
import type { CompleteCheckpoint } from '../weights/checkpoint.js';
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
  /** what it may be; Infinity where the first answers alone count (fp16), which JSON has as null */
  tolerance: number;
  /** where the export resizes pictures itself: how far its bytes are from ours, levels; both then judge its bytes */
  resized?: { largestDifference: number; most: number };
  /** pictures to which both give the same first answer; a tie nobody can tell apart counts */
  top1: { agree: number; of: number; least: number };
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
  /** of logits: times the largest, where that is above 1 */
  tolerance: number;
  /** share of the pictures */
  top1: number;
  /** answers this near to each other are one answer, which of them comes first is chance; times the largest, as above */
  tie: number;
}
/** Sums in another order differ in the last bits; half precision has three digits, bfloat16 two. */
export const DEMANDS: Readonly<Record<'fp32' | 'fp16' | 'bf16', Demand>> = {
  fp32: { tolerance: 1e-4, top1: 1, tie: 1e-6 },
  fp16: { tolerance: Infinity, top1: 0.99, tie: 5e-3 },
  bf16: { tolerance: Infinity, top1: 0.95, tie: 4e-2 },
};

/** Another program rounds what lies between two levels the other way: across, and a few times in a million down as well. */
const MOST_LEVELS = 2;

const furthest = (a: Uint8Array, b: Uint8Array): number =>
  a.reduce((most, v, i) => Math.max(most, Math.abs(v - b[i]!)), 0);
const largestOf = (row: Float32Array): number => row.reduce((best, v, i) => (v > row[best]! ? i : best), 0);

/** Runs the export and its checkpoint on the pictures. */
export async function compare(
  checkpoint: CompleteCheckpoint,
  runner: Runner,
  samples: Samples,
  demand: Demand,
): Promise<Parity> {
  const { compared, batch, whole } = runner;
  const classes = checkpoint.classes.length;
  const count = samples.names.length;
  let [largest, scale, agree] = [0, 1, 0];
  let levels: number | undefined;
  const reference = await Reference.of(checkpoint);
  try {
    for (let at = 0; at < count; at += batch) {
      const indices = Array.from({ length: Math.min(batch, count - at) }, (_, i) => at + i);
      const pictures = await Promise.all(indices.map((i) => samples.sample(i, checkpoint.preprocess.size, whole)));
      const { answers: theirs, resized } = await runner.run(pictures);
      const own = pictures.map((p) => p.pixels);
      if (resized) levels = Math.max(levels ?? 0, ...own.map((pixels, i) => furthest(pixels, resized[i]!)));
      const ours = await reference.answers(resized ?? own, compared);
      if (theirs.length !== ours.length)
        throw new ParityError(`the export gives ${theirs.length} numbers for ${ours.length} of the checkpoint's`);
      for (let i = 0; i < pictures.length; i++) {
        const [mine, its] = [ours, theirs].map((all) => all.subarray(i * classes, (i + 1) * classes)) as [
          Float32Array,
          Float32Array,
        ];
        for (let c = 0; c < classes; c++) {
          const apart = Math.abs(mine[c]! - its[c]!);
          // Neither NaN nor an infinity is ever close.
          largest = apart <= largest ? largest : Number.isNaN(apart) ? Infinity : apart;
          if (compared === 'logits') scale = Math.max(scale, Math.abs(mine[c]!));
        }
        const [first, second] = [mine[largestOf(mine)]!, mine[largestOf(its)]!];
        if (first - second <= demand.tie * scale) agree++;
      }
    }
  } finally {
    reference.dispose();
  }
  const tolerance = demand.tolerance * scale;
  const least = Math.ceil(demand.top1 * count);
  const close = largest <= tolerance && Number.isFinite(largest) && (levels ?? 0) <= MOST_LEVELS;
  return {
    runtime: runner.runtime,
    images: { from: samples.from, names: samples.names },
    compared,
    largestDifference: largest,
    tolerance,
    top1: { agree, of: count, least },
    ...(levels !== undefined && { resized: { largestDifference: levels, most: MOST_LEVELS } }),
    agrees: close && agree >= least,
  };
}

/** One line of what came out. */
export function parityText(parity: Parity): string {
  const { runtime, images, compared, largestDifference, tolerance, top1 } = parity;
  const most = Number.isFinite(tolerance) ? ` (at most ${tolerance.toPrecision(1)})` : '';
  const what = images.from === 'noise' ? 'pictures of noise (name real ones with --images)' : 'images';
  const from = images.from === 'validation split' ? ' of the validation split' : '';
  const levels = parity.resized ? `; pictures resized within ${parity.resized.largestDifference} of 255 levels` : '';
  return (
    `${runtime} and the checkpoint on ${top1.of} ${what}${from}: ${compared} differ by up to ` +
    `${largestDifference.toPrecision(2)}${most}, the same first answer to ${top1.agree} of ${top1.of}` +
    (top1.agree < top1.least ? ` (at least ${top1.least})` : '') +
    levels
  );
}

/** @throws ParityError when they disagree */
export function demandParity(parity: Parity): void {
  if (!parity.agrees)
    throw new ParityError(`the export computes something else, it was not written: ${parityText(parity)}`);
}
