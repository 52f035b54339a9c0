// Fingerprints of pictures: 63 signs of a small grey copy's cosine transform, which survive re-encoding, resizing and
// changes of light, and what tells how alike two pictures with alike signs really are.
import os from 'node:os';
import type { ImageStore } from '../engine/images.js';
import { native } from '../native/load.js';
import { inLanes } from '../data/pack.js';

/** Side of the small copies, pixels. */
export const SMALL = 32;
/** Frequencies in each direction; the constant one is left out, which makes 63 signs. */
const FREQUENCIES = 8;
/** Channels of a pixel of the small copy may differ this much before the picture counts as one in colour. */
const GREY = 4;

const COSINES = Array.from({ length: FREQUENCIES }, (_, f) =>
  Float64Array.from({ length: SMALL }, (_, x) => Math.cos(((2 * x + 1) * f * Math.PI) / (2 * SMALL))),
);

/** Turned and mirrored: the eight ways a square can lie, as they are named where two pictures differ by them. */
export const POSES = [
  'as it is',
  'turned by 90°',
  'turned by 180°',
  'turned by 270°',
  'mirrored',
  'mirrored and turned by 90°',
  'mirrored and turned by 180°',
  'mirrored and turned by 270°',
] as const;
/** How a picture lies beside another one; turned clockwise. */
export type Pose = (typeof POSES)[number];

/** A picture in one pose. */
function posed(grey: Float32Array, pose: number): Float32Array {
  const last = SMALL - 1;
  const out = new Float32Array(grey.length);
  for (let y = 0; y < SMALL; y++)
    for (let x = 0; x < SMALL; x++) {
      let [u, v] = [x, y];
      for (let turn = 0; turn < pose % 4; turn++) [u, v] = [v, last - u];
      if (pose >= 4) u = last - u;
      out[y * SMALL + x] = grey[v * SMALL + u]!;
    }
  return out;
}

/** Cosine transform, lowest frequencies: [FREQUENCIES (y), FREQUENCIES (x)]. */
function transformed(grey: Float32Array): Float64Array {
  const rows = new Float64Array(SMALL * FREQUENCIES);
  for (let y = 0; y < SMALL; y++)
    for (let f = 0; f < FREQUENCIES; f++) {
      let sum = 0;
      for (let x = 0; x < SMALL; x++) sum += grey[y * SMALL + x]! * COSINES[f]![x]!;
      rows[y * FREQUENCIES + f] = sum;
    }
  return transform((fy, fx) => {
    let sum = 0;
    for (let y = 0; y < SMALL; y++) sum += rows[y * FREQUENCIES + fx]! * COSINES[fy]![y]!;
    return sum;
  });
}
const transform = (of: (fy: number, fx: number) => number): Float64Array =>
  Float64Array.from({ length: FREQUENCIES ** 2 }, (_, i) => of(Math.floor(i / FREQUENCIES), i % FREQUENCIES));

/** Of the picture in each pose: mirroring negates the odd frequencies, turning also exchanges the directions. */
function posedTransforms(plain: Float64Array): Float64Array[] {
  const sign = (f: number): number => (f % 2 === 1 ? -1 : 1);
  const turned = (c: Float64Array): Float64Array => transform((fy, fx) => sign(fx) * c[fx * FREQUENCIES + fy]!);
  const mirrored = transform((fy, fx) => sign(fx) * plain[fy * FREQUENCIES + fx]!);
  return [plain, mirrored].flatMap((c) => [c, turned(c), turned(turned(c)), turned(turned(turned(c)))]);
}

/** The signs of a transform but for the constant, as two words of 32 bits. */
function signs(coefficients: Float64Array): [number, number] {
  const words: [number, number] = [0, 0];
  for (let i = 1; i < coefficients.length; i++) if (coefficients[i]! > 0) words[i >> 5]! |= 1 << (i & 31);
  return words;
}

/** Without its mean, and of length 1: products of two are their correlation. A picture of one colour is all zeros. */
function standardised(grey: Float32Array): Float32Array {
  const mean = grey.reduce((a, v) => a + v, 0) / grey.length;
  const centred = grey.map((v) => v - mean);
  const length = Math.sqrt(centred.reduce((a, v) => a + v * v, 0));
  return length < 1e-3 ? centred.fill(0) : centred.map((v) => v / length);
}

/** Fingerprints of a store's images. */
export class Fingerprints {
  /** [images, poses, 2]: signs */
  readonly #signs: Int32Array;
  /** [images, SMALL, SMALL], standardised */
  readonly #small: Float32Array;
  /** 1 where a picture has no colours */
  readonly grey: Uint8Array;

  private constructor(images: number) {
    this.#signs = new Int32Array(images * POSES.length * 2);
    this.#small = new Float32Array(images * SMALL * SMALL);
    this.grey = new Uint8Array(images);
  }

  /** Takes the fingerprints of these rows; the others stay empty. */
  static async take(store: ImageStore, rows: readonly number[], signal?: AbortSignal): Promise<Fingerprints> {
    const { count, height } = store;
    const prints = new Fingerprints(count);
    await inLanes(rows.length, os.availableParallelism() + 1, async (n) => {
      signal?.throwIfAborted();
      const row = rows[n]!;
      prints.#add(row, await native().resample(store.get(row), height, height, SMALL));
    });
    return prints;
  }

  #add(row: number, rgb: Uint8Array): void {
    const grey = new Float32Array(SMALL * SMALL);
    let colour = 0;
    for (let i = 0; i < grey.length; i++) {
      const [r, g, b] = [rgb[3 * i]!, rgb[3 * i + 1]!, rgb[3 * i + 2]!];
      grey[i] = 0.299 * r + 0.587 * g + 0.114 * b;
      colour = Math.max(colour, Math.max(r, g, b) - Math.min(r, g, b));
    }
    if (colour <= GREY) this.grey[row] = 1;
    for (const [pose, coefficients] of posedTransforms(transformed(grey)).entries())
      this.#signs.set(signs(coefficients), (row * POSES.length + pose) * 2);
    this.#small.set(standardised(grey), row * grey.length);
  }

  /** Signs of 63 in which picture `a` and picture `b` in a pose differ. */
  distance(a: number, b: number, pose: number): number {
    const [i, j] = [a * POSES.length * 2, (b * POSES.length + pose) * 2];
    const signs = this.#signs;
    return bits(signs[i]! ^ signs[j]!) + bits(signs[i + 1]! ^ signs[j + 1]!);
  }

  /** Correlation of their pixels, -1 to 1: whatever the light, 1 for the same picture. */
  likeness(a: number, b: number, pose: number): number {
    const pixels = SMALL * SMALL;
    const small = (row: number): Float32Array => this.#small.subarray(row * pixels, (row + 1) * pixels);
    const [mine, theirs] = [small(a), posed(small(b), pose)];
    let sum = 0;
    for (let i = 0; i < pixels; i++) sum += mine[i]! * theirs[i]!;
    return sum;
  }
}

/** Bits set in a word of 32. */
function bits(word: number): number {
  word -= (word >>> 1) & 0x55555555;
  word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
  return Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
