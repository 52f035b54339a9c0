// What an audit finds, as it is returned and as `--json` writes it.
import type { BadFile } from '../data/dataset.js';
import type { SplitKind } from '../data/split-options.js';
import type { Finding } from './finding.js';
import type { Pose } from './fingerprint.js';
import type { Leakage } from './leakage.js';

/** Usable images of a class. */
export interface ClassCount {
  label: string;
  images: number;
  train: number;
  val: number;
  test: number;
  /** images without colours */
  grey: number;
}

/** Files with the same pixels. */
export interface EqualFiles {
  files: string[];
  /** they are in different classes */
  contradiction: boolean;
  /** some are trained on, some validated or tested on */
  leak: boolean;
}

/** Two files that show nearly the same. */
export interface AlikeFiles {
  files: [string, string];
  /** how the second one has to be laid to look like the first, clockwise */
  pose: Pose;
  /** of 63 signs of their transforms, those that differ */
  distance: number;
  /** correlation of their pixels, up to 1 */
  likeness: number;
  /** they are in different classes */
  contradiction: boolean;
  /** one is trained on, the other validated or tested on */
  leak: boolean;
}

/** What a folder of images holds. Files are relative to `root`, with '/'. */
export interface Audit {
  root: string;
  /** side images are resized to, pixels */
  size: number;
  /** usable images */
  images: number;
  classes: ClassCount[];
  /** as a training with these options would make it; null where none can be made */
  split: { kind?: SplitKind; seed: number; train: number; val: number; test: number } | null;
  /** least, median and largest width and height of the pictures, pixels; null where there are none */
  pixels: { width: [number, number, number]; height: [number, number, number] } | null;
  /** files that cannot be read at all */
  unreadable: readonly BadFile[];
  /** files of which some pixels are lost */
  damaged: readonly BadFile[];
  /** files in class folders that are no images by their names */
  ignored: number;
  /** pictures that are there more than once, with the same pixels at this size */
  duplicates: EqualFiles[];
  nearDuplicates: AlikeFiles[];
  /** without colours */
  grey: string[];
  /** narrower or lower than `size` */
  small: string[];
  /** more than twice as long one way as the other */
  elongated: string[];
  /** null without weights, or without a split */
  leakage: Leakage | null;
  /** what is worth a look, most urgent first */
  findings: Finding[];
  /** how the folder was understood */
  notes: string[];
}
