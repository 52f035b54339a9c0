// What a network's backbone makes of images: its features' means over the picture, before any classifier.
import { inferenceBatch } from '../engine/batch-size.js';
import type { ImageStore } from '../engine/images.js';
import { compile } from '../engine/program.js';
import type { Weights } from '../engine/weights.js';
import { input } from '../graph/tensor.js';
import type { NativeAugment } from '../native/wire.js';
import type { Checkpoint } from '../weights/checkpoint.js';
import { pixelScaling } from '../weights/preprocess.js';
import { backboneOnEngine, evaluating } from './trained.js';

/** The module of every network here whose output is looked at; what comes after it is not computed. */
const POOLED = 'pool';

/** Vectors of images, one after the other. */
export interface Embedding {
  /** [rows, width] */
  data: Float32Array;
  rows: number;
  width: number;
}

export interface EmbedOptions {
  /** of one of the package's architectures, with or without a classifier, and with its preprocessing */
  checkpoint: Checkpoint;
  store: ImageStore;
  /** 'cpu' (default), 'cuda', 'cuda:n' or 'auto' */
  device?: string;
  signal?: AbortSignal;
}

/** A backbone on an engine of its own: `of` images gives their pooled features. */
export class Backbone {
  private constructor(
    private readonly options: EmbedOptions,
    private readonly weights: Weights,
    private readonly program: ReturnType<typeof compile>,
    private readonly scaling: { scale: number[]; shift: number[] },
  ) {}

  /**
   * @throws DataError when the checkpoint lacks tensors of the backbone; UsageError when it does not say what it is of
   */
  static async load(options: EmbedOptions): Promise<Backbone> {
    const { checkpoint, store, device = 'cpu' } = options;
    const { model, weights, preprocess } = await backboneOnEngine(checkpoint, { device });
    try {
      const image = input('image', [-1, 3, store.height, store.width]);
      const logits = evaluating(model, () => model.call(image));
      return new Backbone(options, weights, compile({ logits }, { weights }), pixelScaling(preprocess));
    } catch (error) {
      weights.engine.dispose();
      throw error;
    }
  }

  /** Features of these rows of the store, in their order; `augment` draws by row, as epoch 1 of seed 0. */
  async of(
    rows: Int32Array,
    options: { augment?: NativeAugment; onProgress?: (done: number) => void } = {},
  ): Promise<Embedding> {
    const { augment, onProgress } = options;
    const { store, signal } = this.options;
    const batchSize = inferenceBatch(this.weights.engine.device);
    const result = await this.program.loop({
      order: rows,
      batchSize,
      bind: { image: { images: store, ...this.scaling, epoch: 1, ...(augment && { augment }) } },
      rows: [POOLED],
      ...(signal && { signal }),
      ...(onProgress && { onProgress: (step) => onProgress(Math.min(step * batchSize, rows.length)) }),
    });
    signal?.throwIfAborted();
    const { data, shape } = result.rows[POOLED]!;
    return { data: data as Float32Array, rows: rows.length, width: shape[1]! };
  }

  /** Frees weights, program and engine. Idempotent. */
  dispose(): void {
    this.program.dispose();
    this.weights.dispose();
    this.weights.engine.dispose();
  }
  /** `using` calls dispose(). */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
