// What a training says while it runs. Owns the shapes of events and the queue between callbacks and `for await`.

/** Figures of one pass over a part of the data. */
export interface Phase {
  loss: number;
  accuracy: number;
  seconds: number;
  steps: number;
  imagesPerSecond: number;
}

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
  | { event: 'data'; classes: number; images: { train: number; valid: number; test: number }; skipped: string[] }
  | { event: 'progress'; phase: 'pack' | 'cache'; done: number; total: number; seconds: number }
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
    }
  | { event: 'cached'; images: number; views: number; bytes: number; seconds: number }
  | { event: 'epoch'; epoch: number; epochs: number; lr: number; train: Phase; valid: Phase }
  | { event: 'stopped'; epoch: number; checkpoint: string | null }
  | { event: 'done'; best: { epoch: number; accuracy: number }; checkpoint: string | null; seconds: number };

/** Lets callbacks speak into an async iteration: `push` while `work` runs, in order, then its failure if it failed. */
export async function* during<E>(work: (push: (event: E) => void) => Promise<void>): AsyncGenerator<E> {
  const waiting: E[] = [];
  let wake: () => void = () => {};
  let over = false;
  const finished = work((event) => {
    waiting.push(event);
    wake();
  }).finally(() => {
    over = true;
    wake();
  });
  finished.catch(() => {}); // observed below, after what it said is delivered
  while (!over || waiting.length > 0) {
    if (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    while (waiting.length > 0) yield waiting.shift()!;
  }
  await finished;
}
