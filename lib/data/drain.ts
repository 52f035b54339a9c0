// Taking what an iterable gives while several of it are worked on: with back-pressure, an end for both sides, and no wait
// for what will not come.
import { DataError } from '../errors.js';

/**
 * Works on all that `items` gives, `lanes` at a time; never is more taken from it than is worked on, and it is asked for
 * one after the other. The first failure ends it once all work rests; what can still be told to end is told so.
 * @throws what `work` throws; the signal's reason; a DataError with the cause where `items` fails
 */
export async function drain<T>(
  items: Iterable<T> | AsyncIterable<T>,
  lanes: number,
  signal: AbortSignal | undefined,
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  signal?.throwIfAborted();
  const iterator = iteratorOf(items);
  let count = 0;
  let ended = false; // by itself: there is nothing to be told
  let asking = false;
  let failure: { error: unknown } | undefined;
  let turn: Promise<unknown> = Promise.resolve();
  // Of the one question that is open. A race with one promise for the whole time would keep every item alive.
  let giveUp: ((reason: unknown) => void) | undefined;
  const hear = (): void => giveUp?.(signal!.reason);
  signal?.addEventListener('abort', hear, { once: true });

  const next = async (): Promise<IteratorResult<T> | undefined> => {
    if (ended || failure) return undefined;
    try {
      signal?.throwIfAborted();
      asking = true;
      const result = await new Promise<IteratorResult<T>>((resolve, reject) => {
        giveUp = reject;
        ask().then(resolve, reject);
      });
      asking = false;
      ended = result.done === true;
      return result;
    } catch (error) {
      failure ??= { error };
      return undefined;
    }
  };
  const ask = async (): Promise<IteratorResult<T>> => {
    try {
      return await iterator.next();
    } catch (cause) {
      ended = true;
      throw new DataError(
        `the images failed after ${count} of them: ${(cause as Error)?.message ?? String(cause)}`,
        [],
        {
          cause,
        },
      );
    }
  };
  const lane = async (): Promise<void> => {
    for (;;) {
      const taken = (turn = turn.then(next)) as ReturnType<typeof next>;
      const result = await taken;
      if (!result || result.done) return;
      try {
        await work(result.value, count++);
        signal?.throwIfAborted();
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  signal?.removeEventListener('abort', hear);
  if (!failure) return;
  if (!ended) {
    const told = Promise.resolve(iterator.return?.()).catch(() => undefined);
    if (!asking) await told; // one that does not answer would not answer to this either
  }
  throw failure.error;
}

function iteratorOf<T>(items: Iterable<T> | AsyncIterable<T>): Iterator<T> | AsyncIterator<T> {
  return Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
}
