// What 8-bit rounding does to weights: the symmetric integers -127..127 of a convolution whose BatchNorm is folded in, with
// one scale for the tensor or one an output channel. Owns no activations and no file.
import { WEIGHTS } from '../nn/quantised.js';
import { largest, ranges, roundEven } from '../nn/whole-numbers.js';
import { normValues, type ConvLayer, type Values } from './layers.js';

/** One scale for all of a tensor, or one for each output channel. */
export type Scales = 'perTensor' | 'perChannel';
export const SCALES: readonly Scales[] = ['perTensor', 'perChannel'];

/** Each of as many rows as there are factors times its own, into `out`. Plain loops: these are all weights there are. */
function scaledRows<T extends Float32Array | Float64Array>(
  values: Float32Array | Float64Array | Int8Array,
  factors: Float64Array,
  out: T,
): T {
  const each = values.length / factors.length;
  for (let c = 0, i = 0; c < factors.length; c++) {
    const factor = factors[c]!;
    for (const end = i + each; i < end; i++) out[i] = values[i]! * factor;
  }
  return out;
}

/** Weights with BatchNorm's factor in them, and that factor by output channel; undefined where numbers are missing. */
export function folded(layer: ConvLayer, values: Values): { weight: Float64Array; factor: Float64Array } | undefined {
  const weight = values(layer.weight);
  const norm = normValues(layer, values);
  if (!weight || (layer.norm && !norm)) return undefined;
  const channels = layer.conv.shape[1]!;
  const factor = Float64Array.from({ length: channels }, (_, c) =>
    norm ? norm.gamma[c]! / Math.sqrt(norm.variance[c]! + norm.eps) : 1,
  );
  return { weight: scaledRows(weight, factor, new Float64Array(weight.length)), factor };
}

/** The tensor's range over the median channel's: how much of 8 bits one scale leaves the median channel. Null: that is zero. */
export function rangeRatio(of: Float64Array): number | null {
  const sorted = Float64Array.from(of).sort();
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return median > 0 ? sorted.at(-1)! / median : null;
}

export interface Rounded {
  /** -127..127, as the layer's weights lie */
  readonly integers: Int8Array;
  /** by output channel */
  readonly scale: Float64Array;
}

/** @param weight folded, [channels, ...] */
export function rounded(weight: Float64Array, channels: number, scales: Scales): Rounded {
  const of = ranges(weight, channels);
  const most = largest(of);
  const scale = of.map((range) => (scales === 'perTensor' ? most : range) / WEIGHTS.qmax);
  const each = weight.length / channels;
  const integers = new Int8Array(weight.length);
  for (let c = 0; c < channels; c++) {
    const s = scale[c]!;
    if (s > 0) for (let i = c * each; i < (c + 1) * each; i++) integers[i] = roundEven(weight[i]! / s);
  }
  return { integers, scale };
}

/** What the integers stand for. */
export const restored = ({ integers, scale }: Rounded): Float64Array =>
  scaledRows(integers, scale, new Float64Array(integers.length));

/**
 * The layer's weights as 8 bits leave them, before BatchNorm's factor: the network as it was recorded computes with them
 * what the rounded one does. Undefined where numbers are missing.
 */
export function roundedWeights(layer: ConvLayer, values: Values, scales: Scales): Float32Array | undefined {
  const own = folded(layer, values);
  if (!own) return undefined;
  const { integers, scale } = rounded(own.weight, own.factor.length, scales);
  const back = scale.map((s, c) => (own.factor[c] === 0 ? 0 : s / own.factor[c]!));
  return scaledRows(integers, back, new Float32Array(integers.length));
}
