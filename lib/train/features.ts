// The frozen prefix's outputs, computed once per image and view and kept on the device. Owns the stores.
import os from 'node:os';
import { UsageError } from '../errors.js';
import { inferenceBatch } from '../engine/batch-size.js';
import type { ImageStore } from '../engine/images.js';
import type { NativeAugment } from '../native/wire.js';
import { RowStore } from '../engine/rows.js';
import type { Weights } from '../engine/weights.js';
import { compile, type Binding } from '../engine/program.js';
import { elements, type Tensor } from '../graph/tensor.js';

export interface FeatureOptions {
  prefix: Record<string, Tensor>;
  weights: Weights;
  precision: 'fp32' | 'bf16';
  images: { store: ImageStore; scale: number[]; shift: number[] };
  count: number;
  /** augmented views kept beside the plain one */
  views: number;
  seed: number;
}

/** Batches a chunk: few, to follow the decoder closely. */
const CHUNK = 4;

/** Features read back for a look at them may take, bytes. */
const MOST_READ = 128 * 2 ** 20;

/** Bytes the features of `count` images in `views` + 1 versions take. */
export function featureBytes(
  prefix: Record<string, Tensor>,
  count: number,
  views: number,
  precision: 'fp32' | 'bf16',
): number {
  const row = Object.values(prefix).reduce((a, t) => a + elements(t.shape.slice(1)), 0);
  return row * count * (views + 1) * (precision === 'bf16' ? 2 : 4);
}

/** Bytes a cache may take: half of what is free. */
export function cacheLimit(): number {
  return os.freemem() / 2;
}

export class FrozenFeatures {
  readonly #stores: Record<string, RowStore> = {};
  readonly #program;
  readonly #batch: number;
  /** spent computing so far */
  seconds = 0;

  constructor(private readonly options: FeatureOptions) {
    const { prefix, weights, precision, count, views } = options;
    const dtype = precision === 'bf16' ? 'bfloat16' : 'float32';
    for (const [name, t] of Object.entries(prefix)) {
      if (t.shape.includes(-1, 1)) throw new UsageError(`cannot cache '${name}': its shape is not known`);
      this.#stores[name] = new RowStore(weights.engine, { rows: count * (views + 1), shape: t.shape.slice(1), dtype });
    }
    this.#program = compile(prefix, { weights, precision });
    this.#batch = inferenceBatch(weights.engine.device);
  }

  get bytes(): number {
    return Object.values(this.#stores).reduce((a, s) => a + s.bytes, 0);
  }

  /**
   * Computes the features of these images, plain (view 0) or augmented (view v draws as epoch v).
   * @returns false when stopped by the signal
   */
  async compute(
    order: Int32Array,
    view: number,
    augment: NativeAugment | undefined,
    signal: AbortSignal | undefined,
    onChunk: (images: number) => void,
  ): Promise<boolean> {
    const { images, seed, count } = this.options;
    const into = Object.fromEntries(
      Object.entries(this.#stores).map(([name, store]) => [name, { store, offset: view * count }]),
    );
    const bind: Binding = {
      images: images.store,
      scale: images.scale,
      shift: images.shift,
      seed,
      epoch: view,
      ...(augment && { augment }),
    };
    const size = CHUNK * this.#batch;
    for (let at = 0; at < order.length; at += size) {
      const chunk = order.subarray(at, at + size);
      if (signal?.aborted) return false;
      const { stopped, seconds } = await this.#program.loop({
        order: chunk,
        batchSize: this.#batch,
        bind: { image: bind },
        into,
        ...(signal && { signal }),
      });
      this.seconds += seconds;
      if (stopped) return false;
      onChunk(chunk.length);
    }
    return true;
  }

  /** The same for images first .. last of the store as the decoder delivers them, so that both work at once. */
  async follow(
    packed: (count: number) => Promise<void>,
    signal: AbortSignal | undefined,
    onChunk: (images: number) => void,
  ): Promise<boolean> {
    const { count } = this.options;
    const size = CHUNK * this.#batch;
    for (let at = 0; at < count; at += size) {
      const end = Math.min(at + size, count);
      await packed(end);
      if (signal?.aborted) return false;
      const order = Int32Array.from({ length: end - at }, (_, i) => at + i);
      if (!(await this.compute(order, 0, undefined, signal, onChunk))) return false;
    }
    return true;
  }

  /**
   * Features of these rows in a view, averaged over the picture: [rows, channels]. Undefined where that is no single
   * float32 tensor, or so much that reading it back takes long.
   */
  async pooled(rows: Int32Array, view: number): Promise<{ data: Float32Array; width: number } | undefined> {
    const { count, precision } = this.options;
    const [store, ...others] = Object.values(this.#stores);
    if (!store || others.length > 0 || precision !== 'fp32') return undefined;
    const [width = 1, ...map] = store.options.shape;
    const pixels = map.reduce((a, b) => a * b, 1);
    if (count * width * pixels * 4 > MOST_READ) return undefined;
    const all = (await store.get(view * count, count)).data as Float32Array;
    const data = new Float32Array(rows.length * width);
    for (let out = 0; out < data.length; out++) {
      const from = (rows[Math.floor(out / width)]! * width + (out % width)) * pixels;
      let sum = 0;
      for (let i = from; i < from + pixels; i++) sum += all[i]!;
      data[out] = sum / pixels;
    }
    return { data, width };
  }

  /** Inputs of the trained part for a view. */
  bindings(view: number): Record<string, Binding> {
    return Object.fromEntries(
      Object.entries(this.#stores).map(([name, rows]) => [name, { rows, offset: view * this.options.count }]),
    );
  }

  /** Folded weights and buffers of the prefix are not needed once everything is computed. */
  finish(): void {
    this.#program.dispose();
  }
  dispose(): void {
    this.finish();
    for (const store of Object.values(this.#stores)) store.dispose();
  }
}
