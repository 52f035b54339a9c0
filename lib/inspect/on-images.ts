// What images show of depthwise channels: those whose activation stays zero on all of them, and how many values lie at 6.
import { compile, type Program } from '../engine/program.js';
import type { ImageStore } from '../engine/images.js';
import { inferenceBatch } from '../engine/batch-size.js';
import type { Weights } from '../engine/weights.js';
import { cast, equal, max, mean, min } from '../graph/ops.js';
import { constant, type Tensor } from '../graph/tensor.js';
import { indices } from './dead.js';
import { shutBelow, type ConvLayer } from './layers.js';

/** Of one depthwise layer. */
export interface Seen {
  /** channels that are zero behind the activation on all images; absent where the activation is never zero for good */
  readonly silent?: readonly number[];
  /** share of all values that are at 6; of ReLU6 alone */
  readonly saturation?: number;
}

/** Largest and smallest value of each channel, and the sum over images of its share at 6. */
class Tally {
  readonly high: Float64Array;
  readonly low: Float64Array;
  readonly full: Float64Array;
  images = 0;

  constructor(
    readonly layer: ConvLayer,
    channels: number,
  ) {
    this.high = new Float64Array(channels).fill(-Infinity);
    this.low = new Float64Array(channels).fill(Infinity);
    this.full = new Float64Array(channels);
  }

  /** @param rows [images, channels] of each output */
  take(images: number, rows: (output: string) => Float32Array | undefined): void {
    const { name } = this.layer;
    const channels = this.high.length;
    const each = (values: Float32Array | undefined, by: (value: number, channel: number) => void): void =>
      values?.forEach((v, i) => by(v, i % channels));
    each(rows(`${name} high`), (v, c) => (this.high[c] = Math.max(this.high[c]!, v)));
    each(rows(`${name} low`), (v, c) => (this.low[c] = Math.min(this.low[c]!, v)));
    each(rows(`${name} full`), (v, c) => (this.full[c]! += v));
    this.images += images;
  }

  result(): Seen {
    const { layer, high, low, full, images } = this;
    const channels = high.length;
    if (layer.activation === undefined) return {};
    const silent = indices(channels, (c) => high[c]! === 0 && low[c]! === 0);
    const saturation = full.reduce((a, b) => a + b, 0) / (channels * images);
    return { silent, ...(layer.activation.op === 'relu6' && { saturation }) };
  }
}

/** Outputs [N, C] that tell what a layer's activation gives. */
function outputsOf(layers: readonly ConvLayer[]): Record<string, Tensor> {
  const dims = [2, 3];
  return Object.fromEntries(
    layers.flatMap(({ name, activation: y }): [string, Tensor][] => {
      if (!y) return [];
      const full = y.op === 'relu6' ? mean(cast(equal(y, constant(6)), 'float32'), { dims }) : undefined;
      return [
        [`${name} high`, max(y, { dims })],
        [`${name} low`, min(y, { dims })],
        ...(full ? ([[`${name} full`, full]] as [string, Tensor][]) : []),
      ];
    }),
  );
}

/** Decoded images, a store at a time: rows 0 to `count` - 1 are there. */
export interface ImageBatch {
  readonly store: ImageStore;
  readonly count: number;
}

/** The network of some layers with weights on an engine. Images may come in any number of stores. */
export class Watch {
  readonly #program: Program;
  readonly #outputs: readonly string[];
  readonly #tallies: Tally[];

  /** @param scaling of pixels, as `pixelScaling` gives it */
  constructor(
    layers: readonly ConvLayer[],
    private readonly weights: Weights,
    private readonly scaling: { scale: number[]; shift: number[] },
  ) {
    const watched = layers.filter((layer) => shutBelow(layer) !== undefined);
    this.#tallies = watched.map((layer) => new Tally(layer, layer.conv.shape[1]!));
    const outputs = outputsOf(watched);
    this.#outputs = Object.keys(outputs);
    this.#program = compile(outputs, { weights });
  }

  async take({ store, count }: ImageBatch, signal?: AbortSignal): Promise<void> {
    const batch = inferenceBatch(this.weights.engine.device);
    for (let from = 0; from < count; from += batch) {
      signal?.throwIfAborted();
      const order = Int32Array.from({ length: Math.min(batch, count - from) }, (_, i) => from + i);
      const { rows } = await this.#program.loop({
        order,
        batchSize: order.length,
        bind: { image: { images: store, ...this.scaling } },
        rows: [...this.#outputs],
      });
      for (const tally of this.#tallies)
        tally.take(order.length, (output) => rows[output]?.data as Float32Array | undefined);
    }
  }

  /** By layer name. */
  results(): Map<string, Seen> {
    return new Map(this.#tallies.map((tally) => [tally.layer.name, tally.result()]));
  }

  dispose(): void {
    this.#program.dispose();
  }
}
