// Waiting that an AbortSignal ends. Owns no work: what nobody waits for any more is for its owner to drop.

/**
 * What `work` gives; when the signal is aborted first, its reason is thrown at once and `drop` called.
 * One listener a call, however much is done in it.
 */
export async function untilAborted<T>(
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
  drop: () => void = () => {},
): Promise<T> {
  if (!signal) return work();
  signal.throwIfAborted();
  let abort!: () => void;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => {
      drop();
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([work(), aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
