// What a training says while it runs. Owns the shapes of events and the queue between callbacks and `for await`.
import type { Task } from '../weights/task.js';

/** Figures of one pass over a part of the data. */
export interface Phase {
  /** mean over images of what is made smaller: in training with smoothing, class weights and mixtures */
  loss: number;
  /**
   * share of images classified right (of a mixture, as the heavier label), or with all of their labels right (at a
   * probability of 0.5); of numbers NaN, null in JSON: see `mae`
   */
  accuracy: number;
  /** of numbers: mean absolute error in their own units, mean over the numbers */
  mae?: number;
  seconds: number;
  steps: number;
  imagesPerSecond: number;
}

/** Figures of a pass over the validation images. */
export interface ValidPhase extends Phase {
  /** mean of the classes' F1: see `Evaluation.macroF1`; of several labels at a probability of 0.5; of numbers NaN */
  macroF1: number;
  /** of several labels: see `MultilabelFigures.mAP` */
  mAP?: number;
  /** of numbers: see `RegressionFigures.r2` */
  r2?: number;
}

/** What an epoch may be the best by, as far as its task has it. */
export type BestFigures = Pick<ValidPhase, 'accuracy' | 'mAP' | 'mae' | 'r2'>;

/** Those of them that there are. */
export function bestFigures({ accuracy, mAP, mae, r2 }: BestFigures): BestFigures {
  return {
    accuracy,
    ...(mAP !== undefined && { mAP }),
    ...(mae !== undefined && { mae }),
    ...(r2 !== undefined && { r2 }),
  };
}

/** The same as a checkpoint's metadata says them; what is no number (null, where a resumed run reads it back) is left out. */
export const bestMetadata = (best: BestFigures): Record<string, string> =>
  Object.fromEntries(
    Object.entries(bestFigures(best)).flatMap(([key, v]: [string, number]) =>
      Number.isFinite(v) ? [[key, String(v)]] : [],
    ),
  );

/** An epoch that ended; `lr` is the rate of its first step. */
export interface EpochEvent {
  event: 'epoch';
  epoch: number;
  epochs: number;
  lr: number;
  train: Phase;
  valid: ValidPhase;
  /** share of the depthwise kernels that are dead: see the setting of this name; absent where it is not told */
  deadKernels?: number;
}

/** What a training says, in order; `done` or `stopped` is the last, unless it throws. */
export type TrainEvent =
  | {
      event: 'start';
      device: string;
      precision: string;
      parameters: number;
      trainable: number;
      out: string | null;
      notes: string[];
    }
  | {
      event: 'data';
      /** absent: one class of several */
      task?: Task;
      classes: number;
      images: { train: number; valid: number; test: number };
      /** files left out, and files kept though damaged */
      skipped: string[];
      damaged: string[];
      notes: string[];
    }
  | {
      event: 'progress';
      phase: 'pack' | 'cache';
      done: number;
      total: number;
      seconds: number;
      /** what should be known before it goes on, a sentence */
      note?: string;
    }
  | {
      event: 'progress';
      phase: 'train' | 'valid';
      epoch: number;
      epochs: number;
      done: number;
      total: number;
      seconds: number;
      loss: number;
      accuracy: number;
      mae?: number;
    }
  | { event: 'cached'; images: number; views: number; bytes: number; seconds: number }
  | EpochEvent
  /** the signal aborted; `epoch` counts whole epochs, `checkpoint` is the last one, null where none was written */
  | { event: 'stopped'; epoch: number; checkpoint: string | null }
  /** `why`: it ended before its last epoch */
  | {
      event: 'done';
      best: { epoch: number } & BestFigures;
      checkpoint: string | null;
      seconds: number;
      why?: string;
    };

/**
 * Lets callbacks speak into an async iteration: what `work` emits, in order, then its result, or its failure. An
 * iteration that is left early (`break`, `return`, a throw in its body) aborts `work` and waits for its end.
 */
export async function* during<E, R>(
  work: (emit: (event: E) => void, left: AbortSignal) => Promise<R>,
): AsyncGenerator<E, R> {
  const waiting: E[] = [];
  const leaving = new AbortController();
  let wake: () => void = () => {};
  let over = false;
  const finished = work((event) => {
    waiting.push(event);
    wake();
  }, leaving.signal).finally(() => {
    over = true;
    wake();
  });
  finished.catch(() => {}); // observed below, after what it said is delivered
  try {
    while (!over || waiting.length > 0) {
      if (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      while (waiting.length > 0) yield waiting.shift()!;
    }
  } finally {
    if (!over) {
      leaving.abort();
      await finished;
    }
  }
  return finished;
}
