// One pass over a part of the data, as loops on the engine with a pause now and then. Owns the sums, not the weights.
import type { LoopOptions, Program } from '../engine/program.js';
import type { Phase } from './events.js';

/** How far a pass has come, and its sums: with them another process takes the rest. */
export interface Sums {
  readonly steps: number;
  readonly images: number;
  /** over images; what the task counts: images that are right, or absolute errors */
  readonly loss: number;
  readonly correct: number;
  readonly seconds: number;
}
const NOTHING: Sums = { steps: 0, images: 0, loss: 0, correct: 0, seconds: 0 };

export interface Pass {
  program: Program;
  order: Int32Array;
  batchSize: number;
  bind: LoopOptions['bind'];
  seed: number;
  /** aborts between two steps */
  stop: AbortSignal;
  /** training: the rate of each step of the pass, and the number of steps taken before it */
  lr?: Float64Array;
  /** 0 where a step's gradients wait for a later one's update */
  updates?: Uint8Array | undefined;
  firstStep?: number;
  mix?: LoopOptions['mix'] | undefined;
  /** batched outputs to return, of all steps */
  rows?: string[];
  /** where an earlier process left the pass; default: its start */
  from?: Sums | undefined;
  /** when the pass is interrupted between two steps, for `onPause`: after so many seconds, and at multiples of so many steps */
  pause: { seconds: number; steps: number };
  onPause: (sums: Sums) => Promise<void>;
  /** the running figure as the task has it, of a mean over images */
  figure: (value: number) => Pick<Phase, 'accuracy' | 'mae'>;
  onProgress: (steps: number, figures: Pick<Phase, 'loss' | 'accuracy' | 'mae'>) => void;
}

export interface PassResult {
  /** over the images visited */
  phase: Phase;
  sums: Sums;
  /** the signal aborted before the end */
  stopped: boolean;
  /** step whose loss was not finite, or -1 */
  diverged: number;
  /** the batched float outputs asked for, concatenated in visiting order */
  rows: Record<string, Float32Array>;
}

/** Visits `order` once. Interrupted or not, the steps and their numbers are the same: each depends on its number alone. */
export async function runPass(pass: Pass): Promise<PassResult> {
  const { program, order, batchSize, stop, lr, firstStep = 0, rows: wanted = [] } = pass;
  const steps = Math.ceil(order.length / batchSize);
  const parts = wanted.map((): Float32Array[] => []);
  let sums = pass.from ?? NOTHING;
  let diverged = -1;
  while (sums.steps < steps && diverged < 0 && !stop.aborted) {
    const before = sums;
    const pause = new AbortController();
    const timer = setTimeout(() => pause.abort(), Math.min(1000 * Math.max(pass.pause.seconds, 0.001), 2 ** 31 - 1));
    const end = Math.min(steps, before.steps + pass.pause.steps - ((firstStep + before.steps) % pass.pause.steps));
    try {
      const result = await program.loop({
        order: order.subarray(before.steps * batchSize, end * batchSize),
        batchSize,
        bind: pass.bind,
        stack: ['loss', 'correct'],
        rows: wanted,
        seed: pass.seed,
        signal: AbortSignal.any([stop, pause.signal]),
        firstStep: firstStep + before.steps,
        ...(pass.mix && { mix: pass.mix }),
        ...(lr && { lr: lr.subarray(before.steps, end), finite: 'loss' }),
        ...(pass.updates && { updates: pass.updates.slice(before.steps, end) }),
        onProgress: (done, now) => {
          const images = (before.steps + done) * batchSize;
          const loss = before.loss / batchSize + now['loss']!;
          const correct = before.correct + now['correct']!;
          pass.onProgress(before.steps + done, {
            loss: loss / (before.steps + done),
            ...pass.figure(correct / images),
          });
        },
      });
      wanted.forEach((name, i) => {
        if (result.examples > 0) parts[i]!.push(result.rows[name]!.data as Float32Array);
      });
      sums = added(before, result, batchSize);
      if (result.diverged >= 0) diverged = before.steps + result.diverged;
    } finally {
      clearTimeout(timer);
    }
    const moved = sums.steps > before.steps;
    if (moved && sums.steps < steps && diverged < 0) {
      if (pause.signal.aborted || sums.steps === end) await pass.onPause(sums);
    }
  }
  const { loss, correct, seconds, images } = sums;
  const phase = {
    loss: loss / images,
    ...pass.figure(correct / images),
    seconds,
    steps: sums.steps,
    imagesPerSecond: images / seconds,
  };
  const rows = Object.fromEntries(wanted.map((name, i) => [name, joined(parts[i]!)]));
  return { phase, sums, stopped: sums.steps < steps && diverged < 0, diverged, rows };
}

/** In the order of the steps, so that interruptions change no digit. */
function added(sums: Sums, result: Awaited<ReturnType<Program['loop']>>, batchSize: number): Sums {
  let { loss, correct } = sums;
  // A last, smaller batch counts by its images.
  result.stack['loss']!.forEach((v, i) => (loss += v * Math.min(batchSize, result.examples - i * batchSize)));
  result.stack['correct']!.forEach((v) => (correct += v));
  return {
    steps: sums.steps + result.steps,
    images: sums.images + result.examples,
    loss,
    correct,
    seconds: sums.seconds + result.seconds,
  };
}

function joined(parts: readonly Float32Array[]): Float32Array {
  if (parts.length === 1) return parts[0]!;
  const all = new Float32Array(parts.reduce((a, part) => a + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
