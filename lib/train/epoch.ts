// One pass over a part of the data, as loops on the engine with a pause now and then. Owns the sums, not the weights.
import type { LoopOptions, Program } from '../engine/program.js';
import type { Phase } from './events.js';

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
  firstStep?: number;
  /** batched outputs to return, of all steps */
  rows?: string[];
  /** seconds after which the pass is interrupted between two steps, for `onPause` */
  pauseEvery: number;
  onPause: (steps: number) => Promise<void>;
  onProgress: (steps: number, loss: number, accuracy: number) => void;
}

export interface PassResult {
  /** over the images visited */
  phase: Phase;
  steps: number;
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
  const sums = { loss: 0, correct: 0, seconds: 0 };
  const seen = { steps: 0, images: 0 };
  const parts = wanted.map((): Float32Array[] => []);
  let diverged = -1;
  while (seen.steps < steps && diverged < 0 && !stop.aborted) {
    const pause = new AbortController();
    const timer = setTimeout(() => pause.abort(), Math.min(1000 * Math.max(pass.pauseEvery, 0.001), 2 ** 31 - 1));
    const before = { ...seen, ...sums };
    try {
      const result = await program.loop({
        order: order.subarray(seen.steps * batchSize),
        batchSize,
        bind: pass.bind,
        stack: ['loss', 'correct'],
        rows: wanted,
        seed: pass.seed,
        signal: AbortSignal.any([stop, pause.signal]),
        firstStep: firstStep + seen.steps,
        ...(lr && { lr: lr.subarray(seen.steps), finite: 'loss' }),
        onProgress: (done, now) => {
          const images = (before.steps + done) * batchSize;
          const loss = before.loss / batchSize + now['loss']!;
          pass.onProgress(
            before.steps + done,
            loss / (before.steps + done),
            (before.correct + now['correct']!) / images,
          );
        },
      });
      const loss = result.stack['loss']!;
      // A last, smaller batch counts by its images.
      loss.forEach((v, i) => (sums.loss += v * Math.min(batchSize, result.examples - i * batchSize)));
      sums.correct += result.stack['correct']!.reduce((a, v) => a + v, 0);
      sums.seconds += result.seconds;
      wanted.forEach((name, i) => {
        if (result.examples > 0) parts[i]!.push(result.rows[name]!.data as Float32Array);
      });
      if (result.diverged >= 0) diverged = seen.steps + result.diverged;
      seen.steps += result.steps;
      seen.images += result.examples;
    } finally {
      clearTimeout(timer);
    }
    const moved = seen.steps > before.steps;
    if (pause.signal.aborted && moved && seen.steps < steps && diverged < 0) await pass.onPause(seen.steps);
  }
  const { images } = seen;
  const phase = {
    loss: sums.loss / images,
    accuracy: sums.correct / images,
    seconds: sums.seconds,
    steps: seen.steps,
    imagesPerSecond: images / sums.seconds,
  };
  const rows = Object.fromEntries(wanted.map((name, i) => [name, joined(parts[i]!)]));
  return { phase, steps: seen.steps, stopped: seen.steps < steps && diverged < 0, diverged, rows };
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
