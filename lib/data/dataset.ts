// Dataset: packed images with labels. Where they come from is sources/, how they are packed is pack.ts.
import type { ImageStore } from '../engine/images.js';
import type { Split } from './split.js';

/** A file that is not what it should be, relative to the root, and why. */
export interface BadFile {
  file: string;
  reason: string;
}

/** Images as rows of one packed store. Decoding goes on after it is handed out: see `packed` and `ready`. */
export interface Dataset {
  /** sorted by code point; labels index it */
  readonly classes: string[];
  /** file of each row, relative to the root, with '/' */
  readonly files: string[];
  readonly labels: Int32Array;
  /** side of the square, pixels */
  readonly size: number;
  readonly store: ImageStore;
  /** unreadable and damaged files that were left out, with why (known once `ready`) */
  readonly skipped: readonly BadFile[];
  /** damaged files that are in the data all the same, as far as they could be decoded (known once `ready`) */
  readonly damaged: readonly BadFile[];
  /** what a user should know of how the data was understood, a sentence each (known once `ready`) */
  readonly notes: readonly string[];
  /** seconds that decoding took, other work beside it; absent where nothing was decoded (known once `ready`) */
  readonly decodeSeconds?: number | undefined;
  /** resolves when rows 0 .. count - 1 hold their pixels */
  packed(count: number): Promise<void>;
  /** resolves when every row does, with the split; rejects with a DataError that lists all bad files */
  ready(): Promise<Split>;
  /** for each row the first usable row with the same pixels, mostly itself; resolves when all are packed */
  duplicates?(): Promise<Int32Array>;
  /** Stops decoding and frees the pixels. Idempotent. */
  dispose(): void;
}
