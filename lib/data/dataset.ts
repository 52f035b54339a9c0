// Dataset: packed images with labels. Where they come from is sources/, how they are packed is pack.ts.
import type { ImageStore } from '../engine/images.js';
import type { Task } from '../weights/task.js';
import type { Split } from './split.js';

/** A file that is not what it should be, relative to the root, and why. */
export interface BadFile {
  file: string;
  reason: string;
}

/** Images as rows of one packed store. Decoding goes on after it is handed out: see `packed` and `ready`. */
export interface Dataset {
  /** what is learned of an image; absent: 'multiclass' */
  readonly task?: Task;
  /** sorted by code point; labels index it. Regression: a name for each number, in the order given */
  readonly classes: string[];
  /** file of each row, relative to the root, with '/' */
  readonly files: string[];
  /**
   * class of each row. Of the other tasks what a split keeps even: the image's label that is rarest in the data (the
   * number of classes where it has none), the tenth that its first number is in by rank (of fewer
   * than a hundred images fewer parts, of ten each)
   */
  readonly labels: Int32Array;
  /** [rows, classes], for the other tasks: 1 for each label an image has, else 0; or its numbers */
  readonly targets?: Float32Array;
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
