// An iterable answered item by item, some ahead of the reader. Owns the order, the bound and the end, whichever it is.
import { untilAborted } from '../abort.js';

type Source<T> = AsyncIterable<T> | Iterable<T>;
/** Something changed: whoever waits looks again. */
class Bell {
  #waiting: (() => void)[] = [];
  wait(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
  ring(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

type Step<R> = { readonly done: false; readonly value: R } | { readonly done: true };

export interface InOrderOptions {
  /** items taken from the source and not yet handed to the reader, at most */
  ahead: number;
  signal?: AbortSignal | undefined;
}

/**
 * Answers in the order of the items. An answer is there as soon as it and those before it are, however long the source
 * takes for its next item. What an item's work throws comes in its place, what the source throws after its last answer.
 * When the reader leaves early, or anything is thrown, the source is told (`return`) and `work`'s signal aborted.
 */
export async function* inOrder<T, R>(
  items: Source<T>,
  work: (item: T, index: number, signal: AbortSignal) => Promise<R>,
  { ahead, signal }: InOrderOptions,
): AsyncGenerator<R, void, undefined> {
  signal?.throwIfAborted();
  const source =
    Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : (items as Iterable<T>)[Symbol.iterator]();
  const left = new AbortController();
  const steps: Promise<Step<R>>[] = [];
  const bell = new Bell();
  let [pulling, over, held] = [false, false, 0];
  const put = (step: Promise<Step<R>>): void => {
    step.catch(() => {}); // it is heard when its turn comes, or nobody listens any more
    steps.push(step);
    bell.ring();
  };
  const pull = async (): Promise<void> => {
    try {
      for (let index = 0; ; index++) {
        while (held >= ahead && !left.signal.aborted) await bell.wait();
        if (left.signal.aborted) return;
        pulling = true;
        const { done, value } = await source.next();
        pulling = false;
        if (left.signal.aborted) return;
        if (done) break;
        held++;
        put(work(value as T, index, left.signal).then((answer) => ({ done: false, value: answer })));
      }
      over = true;
      put(Promise.resolve({ done: true }));
    } catch (error) {
      [pulling, over] = [false, true];
      put(Promise.reject(error as Error));
    }
  };
  void pull();
  const next = async (): Promise<Step<R>> => {
    while (steps.length === 0) await bell.wait();
    return steps.shift()!;
  };
  try {
    for (;;) {
      const step = await untilAborted(signal, next);
      if (step.done) return;
      yield step.value;
      held--;
      bell.ring();
    }
  } finally {
    left.abort(signal?.reason);
    bell.ring();
    if (!over) {
      const told = source.return?.();
      // One that is busy with an item nobody wants may take for ever.
      if (pulling) void Promise.resolve(told).catch(() => {});
      else await told;
    }
  }
}
