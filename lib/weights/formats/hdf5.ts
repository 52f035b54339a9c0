// HDF5 files as plain values: arrays and texts by their paths. Owns the thread that reads them and how long it may take;
// which of them are weights is keras.ts's.
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { DataError } from '../../errors.js';

export interface Hdf5Array {
  /** as in safetensors: F32, BF16, ... */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** its numbers, little endian, the last axis running fastest */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What a file holds, by absolute paths ('/Conv1/Conv1/kernel:0'), in the order of its groups. */
export interface Hdf5 {
  /** the attributes that are texts, of groups and arrays; one that is not an array has one text */
  readonly attributes: Map<string, ReadonlyMap<string, readonly string[]>>;
  /** the arrays of numbers */
  readonly arrays: Map<string, Hdf5Array>;
}

/** What the thread is asked and answers; its first word, once the library is loaded, is `Ready`. */
export type Ready = 'ready';
export interface Hdf5Question {
  readonly bytes: Uint8Array<ArrayBuffer>;
}
export interface Hdf5Answer {
  readonly found?: Hdf5;
  readonly refused?: string;
  /** whether the thread may read another file */
  readonly reusable: boolean;
}

/** Milliseconds for any file, and more for each of its bytes: a hundred times what reading takes. */
const PATIENCE = 30_000;
const PATIENCE_PER_BYTE = 1e-3;
/** Reads after which a thread is replaced: what HDF5 allocates outside of its memory is small, not nothing. */
const MOST_READS = 1000;

interface Reader {
  readonly worker: Worker;
  ready: boolean;
  reads: number;
}
/** Loading the library takes some 0.3 s: one thread waits for the next file. It keeps no process alive. */
let waiting: Reader | undefined;

function startReader(): Reader {
  const worker = new Worker(fileURLToPath(new URL('./hdf5-worker.js', import.meta.url)), {
    name: 'mnv2-torch hdf5',
    execArgv: [],
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: 512 },
  });
  const reader: Reader = { worker, ready: false, reads: 0 };
  worker.on('error', () => undefined); // nobody may be asking it anything
  worker.on('exit', () => {
    if (waiting === reader) waiting = undefined;
  });
  return reader;
}

/** The thread's answer, or why there is none. The patience is with the file: a busy machine loads the library slowly. */
function askReader(reader: Reader, bytes: Uint8Array, patience: number): Promise<Hdf5Answer> {
  const { worker } = reader;
  worker.ref();
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    const wait = (longest: number): void => {
      clearTimeout(timer);
      timer = setTimeout(() => giveUp('the HDF5 library does not come to an end with it'), longest);
    };
    const end = (answer: Hdf5Answer): void => {
      clearTimeout(timer);
      worker.off('message', said).off('error', failed).off('exit', exited);
      resolve(answer);
    };
    const reading = patience + bytes.length * PATIENCE_PER_BYTE;
    const said = (message: Hdf5Answer | Ready): void => {
      if (message !== 'ready') return end(message);
      reader.ready = true;
      wait(reading);
    };
    const giveUp = (refused: string): void => end({ refused, reusable: false });
    const failed = (error: Error): void => giveUp(`the HDF5 library broke down (${error.message})`);
    const exited = (): void => giveUp('the HDF5 library broke down');
    wait(reader.ready ? reading : PATIENCE);
    worker.on('message', said).on('error', failed).on('exit', exited);
    const copy = new Uint8Array(bytes); // what lies in a larger buffer cannot be handed over alone
    worker.postMessage({ bytes: copy } satisfies Hdf5Question, [copy.buffer]);
  });
}

/**
 * Reads an HDF5 file, all of it, by the HDF5 library as WebAssembly: it sees the given bytes and no file of the disk,
 * in a thread with bounds on memory and time, which is replaced when the library fails.
 * @param bytes the file, whole
 * @param file what messages call it
 * @param patience milliseconds
 * @throws DataError for what is broken, and for links and virtual datasets: those lead to other places
 */
export async function readHdf5(bytes: Uint8Array, file: string, patience = PATIENCE): Promise<Hdf5> {
  const reader = waiting ?? startReader();
  waiting = undefined;
  const { found, refused, reusable } = await askReader(reader, bytes, patience);
  if (reusable && ++reader.reads < MOST_READS && !waiting) {
    waiting = reader;
    reader.worker.unref();
  } else {
    void reader.worker.terminate();
  }
  if (found) return found;
  throw new DataError(`${file} is not a usable HDF5 file: ${refused}`, [file]);
}
