// Leakage by a backbone's own features: how much of what is validated on has been seen in training, nearly, under one
// split and under another.
import type { SplitKind } from '../data/split-options.js';
import type { Split } from '../data/split.js';
import { augmentWith } from '../data/augment.js';
import { Engine } from '../engine/engine.js';
import type { ImageStore } from '../engine/images.js';
import { Backbone } from '../infer/embed.js';
import type { Checkpoint } from '../weights/checkpoint.js';
import { nearest, orderShare, pick, unitVectors, type OrderShare, type Vectors } from './neighbours.js';

/** What is "almost the same": as alike as a picture and a window of three quarters of its side somewhere in it. */
const WINDOW = augmentWith({ scaleMin: 0.75, scaleMax: 0.75, translate: 0.125 });
/** Images that this likeness is measured on. */
const SAMPLE = 256;

/** What a split lets through. */
export interface SplitLeakage {
  /** absent for the folder's own val/ */
  kind?: SplitKind;
  /** images validated on */
  images: number;
  /** share of them whose nearest training image is almost the same */
  alike: number;
  /** share of them whose nearest training image is of their class: accuracy without any training */
  agreeing: number;
}

/** Neighbours by features, in a folder and across its splits. */
export interface Leakage {
  /** file of the backbone */
  weights: string;
  /**
   * cosine from which two images are almost the same: the median over images of that between an image and a window of
   * three quarters of its side, at a place drawn by chance
   */
  threshold: number;
  /** the split asked for, then the random and the blocked one of the same seed where it is neither */
  splits: SplitLeakage[];
  /** how often the nearest image of the same class lies within 3 file numbers, of all images */
  order: OrderShare;
  /** the same class by class */
  classes: { label: string; order: OrderShare }[];
}

export interface LeakageOptions {
  checkpoint: Checkpoint;
  data: { classes: readonly string[]; files: readonly string[]; labels: Int32Array; store: ImageStore };
  /** usable rows */
  rows: readonly number[];
  splits: readonly Split[];
  device?: string;
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

/** @throws DataError when the checkpoint lacks tensors of its backbone */
export async function measureLeakage(options: LeakageOptions): Promise<Leakage> {
  const { checkpoint, data, rows, splits, device = 'cpu', onProgress, signal } = options;
  const { store, labels, classes } = data;
  using backbone = await Backbone.load({ checkpoint, store, device, ...(signal && { signal }) });
  const total = rows.length + Math.min(rows.length, SAMPLE);
  const { data: features, width } = await backbone.of(Int32Array.from(rows), {
    onProgress: (done) => onProgress?.(done, total),
  });
  const all = unitVectors(rows, features, width);
  const threshold = await windowLikeness(backbone, all, (done) => onProgress?.(rows.length + done, total));
  onProgress?.(total, total);

  using engine = new Engine({ device });
  const { own } = await nearest(engine, all, all, labels, signal);
  const index = new Map(rows.map((row, i) => [row, i]));
  const part = (of: Int32Array): Vectors =>
    pick(
      all,
      Array.from(of, (row) => index.get(row)!),
    );
  const measured: SplitLeakage[] = [];
  for (const { kind, train, val } of splits) {
    const found = await nearest(engine, part(val), part(train), labels, signal);
    const share = (counts: (i: number) => boolean): number => val.filter((_, i) => counts(i)).length / val.length;
    measured.push({
      ...(kind && { kind }),
      images: val.length,
      alike: share((i) => found.cosine[i]! >= threshold),
      agreeing: share((i) => labels[found.any[i]!] === labels[val[i]!]),
    });
  }
  const order = (label?: number): OrderShare =>
    orderShare(data, rows, own, rows, label === undefined ? undefined : (row) => labels[row] === label);
  return {
    weights: checkpoint.file,
    threshold,
    splits: measured,
    order: order(),
    classes: classes.map((label, c) => ({ label, order: order(c) })),
  };
}

/** Median cosine of an image and a window of it. */
async function windowLikeness(backbone: Backbone, all: Vectors, onProgress: (done: number) => void): Promise<number> {
  const { rows, width } = all;
  const step = Math.max(1, rows.length / SAMPLE);
  const chosen = Array.from({ length: Math.min(rows.length, SAMPLE) }, (_, i) => Math.floor(i * step));
  const sample = Int32Array.from(chosen, (i) => rows[i]!);
  const { data } = await backbone.of(sample, { augment: WINDOW, onProgress });
  const windows = unitVectors(sample, data, width);
  const cosines = chosen.map((i, n) => {
    let sum = 0;
    for (let k = 0; k < width; k++) sum += all.data[i * width + k]! * windows.data[n * width + k]!;
    return sum;
  });
  return cosines.sort((a, b) => a - b)[Math.floor(cosines.length / 2)] ?? 1;
}
