// The figures of each layer, of the weights as they are and rounded, and their sums.
import type { Tensor } from '../graph/tensor.js';
import type { Bounds } from './bounds.js';
import { emptyKernels, indices, kernelNorms, neverOpened, vanishedChannels } from './dead.js';
import { shutBelow, type ConvLayer, type Values } from './layers.js';
import type { Seen } from './on-images.js';
import { effectiveRank } from './rank.js';
import type { DepthwiseLayer, DepthwiseState, Inspection, PointwiseLayer, Totals } from './result.js';
import { ranges } from '../nn/whole-numbers.js';
import { folded, rangeRatio, restored, rounded, type Scales } from './rounding.js';

/** The weights as they are, or rounded. */
export type Variant = Scales | 'float';

/** What is known of a network's values under one variant of its weights. */
export interface Known {
  readonly bounds: (t: Tensor) => Bounds;
  /** by layer name */
  readonly seen: ReadonlyMap<string, Seen> | undefined;
}

export function depthwiseOf(layer: ConvLayer, values: Values, known: (of: Variant) => Known): DepthwiseLayer {
  const kernels = values(layer.weight)!;
  const channels = layer.conv.shape[1]!;
  const own = folded(layer, values);
  const [height, width] = layer.conv.inputs[1]!.shape.slice(2);
  const state = (of: Variant): DepthwiseState => stateOf(layer, of, values, known(of));
  return {
    layer: layer.name,
    channels,
    kernel: [height!, width!],
    activation: layer.activation?.op ?? null,
    smallestNorm: kernelNorms(kernels, channels).reduce((a, b) => Math.min(a, b), Infinity),
    vanished: vanishedChannels(layer, values) ?? null,
    neverOpened: neverOpened(layer, values) ?? null,
    ...state('float'),
    rangeRatio: own ? rangeRatio(ranges(own.weight, channels)) : null,
    int8: { perTensor: state('perTensor'), perChannel: state('perChannel') },
    kernels,
  };
}

function stateOf(layer: ConvLayer, of: Variant, values: Values, known: Known): DepthwiseState {
  const seen = known.seen?.get(layer.name);
  const channels = layer.conv.shape[1]!;
  const shut = shutBelow(layer);
  const { high } = known.bounds(layer.before);
  return {
    empty: of === 'float' ? emptyKernels(values(layer.weight)!, channels) : emptied(layer, values, of),
    closed: shut === undefined ? null : indices(channels, (c) => high[c]! <= shut),
    silent: seen?.silent ?? null,
    saturation: seen?.saturation ?? null,
  };
}

/** Channels whose kernel is all zeros in 8 bits. */
function emptied(layer: ConvLayer, values: Values, scales: Scales): number[] {
  const own = folded(layer, values);
  if (!own) return [];
  const channels = own.factor.length;
  const { integers } = rounded(own.weight, channels, scales);
  return indices(channels, (c) => {
    const each = integers.length / channels;
    return integers.subarray(c * each, (c + 1) * each).every((q) => q === 0);
  });
}

export function pointwiseOf(layer: ConvLayer, values: Values): PointwiseLayer | undefined {
  const own = folded(layer, values);
  if (!own) return undefined;
  const outputs = own.factor.length;
  const inputs = own.weight.length / outputs;
  const ranked = (scales: Scales): { effectiveRank: number } => ({
    effectiveRank: effectiveRank(restored(rounded(own.weight, outputs, scales)), outputs, inputs),
  });
  return {
    layer: layer.name,
    inputs,
    outputs,
    effectiveRank: effectiveRank(own.weight, outputs, inputs),
    rangeRatio: rangeRatio(ranges(own.weight, outputs)),
    int8: { perTensor: ranked('perTensor'), perChannel: ranked('perChannel') },
  };
}

export function totalsOf(layers: readonly DepthwiseLayer[]): Inspection['totals'] {
  const counted = (lists: readonly (readonly number[] | null)[]): number | null => {
    const known = lists.filter((list) => list !== null);
    return known.length > 0 ? known.reduce((a, list) => a + list.length, 0) : null;
  };
  const sums = (of: (layer: DepthwiseLayer) => DepthwiseState): Totals => {
    const states = layers.map(of);
    const full = states.flatMap(({ saturation }, i) =>
      saturation === null ? [] : [{ saturation, channels: layers[i]!.channels }],
    );
    const channels = full.reduce((a, f) => a + f.channels, 0);
    return {
      empty: states.reduce((a, s) => a + s.empty.length, 0),
      closed: counted(states.map((s) => s.closed)),
      silent: counted(states.map((s) => s.silent)),
      saturation: channels > 0 ? full.reduce((a, f) => a + f.saturation * f.channels, 0) / channels : null,
    };
  };
  return {
    ...sums((layer) => layer),
    vanished: counted(layers.map((l) => l.vanished)),
    neverOpened: counted(layers.map((l) => l.neverOpened)),
    dead: layers.reduce((a, l) => a + new Set([...l.empty, ...(l.neverOpened ?? [])]).size, 0),
    int8: { perTensor: sums((l) => l.int8.perTensor), perChannel: sums((l) => l.int8.perChannel) },
  };
}
