// Nearest neighbours among images by their features, and whether they lie side by side by their file names as well.
import { naturalOrder } from '../data/natural-order.js';
import type { Engine } from '../engine/engine.js';
import { compile } from '../engine/program.js';
import { matmul, permute } from '../graph/ops.js';
import { input } from '../graph/tensor.js';

/** Neighbours in number lie at most this many places apart. */
export const PLACES = 3;

/** A vector for each of some rows of the store. */
export interface Vectors {
  /** rows of the store */
  rows: ArrayLike<number>;
  /** [rows, width], each of length 1 */
  data: Float32Array;
  width: number;
}

/** Vectors [rows, width] of length 1. */
export function unitVectors(rows: ArrayLike<number>, data: Float32Array, width: number): Vectors {
  const unit = new Float32Array(data.length);
  for (let at = 0; at < data.length; at += width) {
    let square = 0;
    for (let k = at; k < at + width; k++) square += data[k]! ** 2;
    const scale = square > 0 ? 1 / Math.sqrt(square) : 0;
    for (let k = at; k < at + width; k++) unit[k] = data[k]! * scale;
  }
  return { rows, data: unit, width };
}

/** Some of the vectors. `indices` count them, not rows of the store. */
export function pick({ rows, data, width }: Vectors, indices: readonly number[]): Vectors {
  const picked = new Float32Array(indices.length * width);
  indices.forEach((i, n) => picked.set(data.subarray(i * width, (i + 1) * width), n * width));
  return { rows: indices.map((i) => rows[i]!), data: picked, width };
}

/** Of each query. */
export interface Nearest {
  /** row of the nearest other candidate, -1 where there is none */
  any: Int32Array;
  /** its cosine */
  cosine: Float32Array;
  /** row of the nearest other candidate of the query's class, -1 where there is none */
  own: Int32Array;
}

/** Cosines computed at a time. */
const AT_ONCE = 2 ** 22;

/** The nearest candidates of each query by cosine, itself left out. */
export async function nearest(
  engine: Engine,
  queries: Vectors,
  candidates: Vectors,
  labels: ArrayLike<number>,
  signal?: AbortSignal,
): Promise<Nearest> {
  const { width } = queries;
  const [n, m] = [queries.rows.length, candidates.rows.length];
  const found = { any: new Int32Array(n).fill(-1), cosine: new Float32Array(n), own: new Int32Array(n).fill(-1) };
  if (m === 0) return found;
  const [query, candidate] = [input('query', [-1, width]), input('candidate', [-1, width])];
  using program = compile({ cosine: matmul(query, permute(candidate, [1, 0])) }, { engine });
  const step = Math.max(1, Math.floor(AT_ONCE / m));
  for (let at = 0; at < n; at += step) {
    signal?.throwIfAborted();
    const end = Math.min(at + step, n);
    const some = queries.data.subarray(at * width, end * width);
    const { cosine } = await program.run({
      query: { data: some, shape: [end - at, width], dtype: 'float32' },
      candidate: { data: candidates.data, shape: [m, width], dtype: 'float32' },
    });
    for (let q = at; q < end; q++)
      choose(
        found,
        q,
        queries.rows[q]!,
        candidates.rows,
        (cosine!.data as Float32Array).subarray((q - at) * m),
        labels,
      );
  }
  return found;
}

function choose(
  found: Nearest,
  query: number,
  row: number,
  rows: ArrayLike<number>,
  cosines: Float32Array,
  labels: ArrayLike<number>,
): void {
  let [any, own] = [-Infinity, -Infinity];
  for (let c = 0; c < rows.length; c++) {
    const other = rows[c]!;
    const cosine = cosines[c]!;
    if (other === row) continue;
    if (cosine > any) [any, found.any[query], found.cosine[query]] = [cosine, other, cosine];
    if (cosine > own && labels[other] === labels[row]) [own, found.own[query]] = [cosine, other];
  }
}

/** How often neighbours by features are neighbours by number. */
export interface OrderShare {
  /** queries that have a candidate of their class */
  images: number;
  /** share of them whose nearest one lies within PLACES */
  share: number;
  /** the share that would if numbers meant nothing */
  chance: number;
}

/**
 * How often the nearest of the same class lies within {@link PLACES} of an image in natural order of file name, and how
 * often that would be by chance.
 * @param own the nearest of each query, as {@link nearest} found it
 * @param only counts these queries alone
 */
export function orderShare(
  data: { files: readonly string[]; labels: ArrayLike<number> },
  queries: ArrayLike<number>,
  own: Int32Array,
  candidates: ArrayLike<number>,
  only: (row: number) => boolean = () => true,
): OrderShare {
  const place = placesInClass(data);
  const taken = new Map<number, Set<number>>();
  for (let c = 0; c < candidates.length; c++) {
    const label = data.labels[candidates[c]!]!;
    if (!taken.has(label)) taken.set(label, new Set());
    taken.get(label)!.add(place[candidates[c]!]!);
  }
  let [images, near, chance] = [0, 0, 0];
  for (let q = 0; q < queries.length; q++) {
    const row = queries[q]!;
    if (own[q]! < 0 || !only(row)) continue;
    const [mine, others] = [place[row]!, taken.get(data.labels[row]!)!];
    let within = 0;
    for (let p = mine - PLACES; p <= mine + PLACES; p++) if (p !== mine && others.has(p)) within++;
    images++;
    if (Math.abs(place[own[q]!]! - mine) <= PLACES) near++;
    chance += within / (others.size - (others.has(mine) ? 1 : 0));
  }
  return { images, share: near / Math.max(1, images), chance: chance / Math.max(1, images) };
}

/** Each row's place in natural order within its class. */
function placesInClass({ files, labels }: { files: readonly string[]; labels: ArrayLike<number> }): Int32Array {
  const next = new Map<number, number>();
  const place = new Int32Array(files.length);
  for (const row of naturalOrder(files)) {
    const label = labels[row]!;
    place[row] = next.get(label) ?? 0;
    next.set(label, place[row]! + 1);
  }
  return place;
}

/** Whether numbers tell so much more than chance, by four standard errors and twice as much, that a random split flatters. */
export function flatters({ images, share, chance }: OrderShare): boolean {
  const error = Math.sqrt((chance * (1 - chance)) / Math.max(1, images));
  return share > 2 * chance && share > chance + 4 * error;
}
