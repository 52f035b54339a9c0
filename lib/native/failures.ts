// What the addon throws, as this package's error classes.
import { DataError, DistributedError, EnvironmentError, Mnv2Error, TorchError, UsageError } from '../errors.js';

interface NativeFailure {
  nativeCode?: string;
  nativePath?: string;
}

/** Turns what the addon threw (a plain Error carrying `nativeCode` and `nativePath`) into this package's classes. */
export function fromNative(error: unknown): Error {
  if (error instanceof Mnv2Error || typeof error !== 'object' || error === null) return error as Error;
  const { message } = error as Error;
  const { nativeCode: code, nativePath: path } = error as NativeFailure;
  if (!code) return error as Error;
  if (code === 'USAGE') return new UsageError(message);
  if (code === 'DATA') return new DataError(message);
  if (code === 'DISTRIBUTED') return new DistributedError(message);
  if (code === 'ENVIRONMENT') return new EnvironmentError(message);
  return new TorchError(message, code, path ?? '');
}

/** Awaits a native promise and turns its failure into this package's error classes. */
export async function settled<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fromNative(error);
  }
}

/** The same for a synchronous call. */
export function checked<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw fromNative(error);
  }
}
