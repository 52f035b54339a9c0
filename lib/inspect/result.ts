// What an inspection finds: plain values.
import type { Scales } from './rounding.js';

/** What may be told of a depthwise layer once more when its weights are rounded. */
export interface DepthwiseState {
  /** channels whose kernel is empty: its norm is below 0.01, or, of rounded weights, all of its integers are zero */
  readonly empty: readonly number[];
  /** channels whose activation stays zero whatever the image shows, by interval arithmetic; null without such an activation */
  readonly closed: readonly number[] | null;
  /** channels that are zero on all of the images; null where no image was looked at */
  readonly silent: readonly number[] | null;
  /** share of the activation's values that are at 6 on the images; null where it is not ReLU6, or without images */
  readonly saturation: number | null;
}

/** A depthwise layer, its channels by index. */
export interface DepthwiseLayer extends DepthwiseState {
  /** its path: 'features.16.conv.1.0' */
  readonly layer: string;
  readonly channels: number;
  /** of a kernel, height and width */
  readonly kernel: readonly [number, number];
  /** behind its BatchNorm; null: none that is zero anywhere */
  readonly activation: string | null;
  readonly smallestNorm: number;
  /** channels whose running variance is below 1e-4; null without a BatchNorm */
  readonly vanished: readonly number[] | null;
  /** channels with beta + 3 |gamma| <= 0 (of hard swish -3); null without a BatchNorm or such an activation */
  readonly neverOpened: readonly number[] | null;
  /** largest weight over the median channel's largest, BatchNorm folded in; null: the median channel has none */
  readonly rangeRatio: number | null;
  readonly int8: Readonly<Record<Scales, DepthwiseState>>;
  /** [channels, height, width], as they are; not in JSON */
  readonly kernels: Float32Array;
}

/** A 1x1 convolution over all channels. */
export interface PointwiseLayer {
  readonly layer: string;
  readonly inputs: number;
  readonly outputs: number;
  /** exp of the entropy of the singular values (Roy and Vetterli 2007), BatchNorm folded in */
  readonly effectiveRank: number;
  readonly rangeRatio: number | null;
  /** effective rank of the rounded weights */
  readonly int8: Readonly<Record<Scales, { readonly effectiveRank: number }>>;
}

/** Sums over the depthwise layers; null where no layer has the figure. */
export interface Totals {
  readonly empty: number;
  readonly closed: number | null;
  readonly silent: number | null;
  /** over all channels of ReLU6 */
  readonly saturation: number | null;
}

/** What {@link inspect} gives. */
export interface Inspection {
  /** the file; null for a model in memory */
  readonly file: string | null;
  readonly arch: string;
  /** images looked at */
  readonly images: number;
  /** depthwise channels */
  readonly channels: number;
  readonly totals: Totals & {
    readonly vanished: number | null;
    readonly neverOpened: number | null;
    /** empty or never opened */
    readonly dead: number;
    readonly int8: Readonly<Record<Scales, Totals>>;
  };
  readonly depthwise: readonly DepthwiseLayer[];
  readonly pointwise: readonly PointwiseLayer[];
  /** what to do, a line */
  readonly advice: string;
  /** what could not be looked at, a sentence each */
  readonly notes: readonly string[];
}
