// Which depthwise kernels are dead, told by their numbers alone: empty ones, and channels that are always zero behind
// their activation. Cheap enough for every epoch of a training.
import { convolutionsOf, isDepthwise, normValues, shutBelow, type ConvLayer, type Values } from './layers.js';
import type { Tensor } from '../graph/tensor.js';

/** A kernel whose Euclidean norm is below this is empty. */
export const EMPTY = 0.01;
/** A BatchNorm whose running variance is below this has lost its channel: epsilon is of that size. */
export const VANISHED = 1e-4;
/** Standard deviations a channel may reach above its mean. BatchNorm makes them |gamma|, and the mean beta. */
export const SIGMAS = 3;

/** Indices at which `is` holds. */
export function indices(count: number, is: (channel: number) => boolean): number[] {
  const found: number[] = [];
  for (let c = 0; c < count; c++) if (is(c)) found.push(c);
  return found;
}

/** Euclidean norm of each of a layer's kernels. */
export function kernelNorms(weight: Float32Array, channels: number): Float64Array {
  const each = weight.length / channels;
  return Float64Array.from({ length: channels }, (_, c) => {
    let sum = 0;
    for (let i = c * each; i < (c + 1) * each; i++) sum += weight[i]! * weight[i]!;
    return Math.sqrt(sum);
  });
}

/** Channels whose kernel is empty. */
export function emptyKernels(weight: Float32Array, channels: number): number[] {
  const norms = kernelNorms(weight, channels);
  return indices(channels, (c) => norms[c]! < EMPTY);
}

/** Channels whose running variance vanished; undefined without a BatchNorm. */
export function vanishedChannels(layer: ConvLayer, values: Values): number[] | undefined {
  const norm = normValues(layer, values);
  return norm && indices(norm.variance.length, (c) => norm.variance[c]! < VANISHED);
}

/**
 * Channels that the activation never opens, as far as BatchNorm tells: beta + 3 |gamma| at most what it makes zero (0 of
 * ReLU and ReLU6, -3 of hard swish). Undefined without a BatchNorm or such an activation.
 */
export function neverOpened(layer: ConvLayer, values: Values): number[] | undefined {
  const norm = normValues(layer, values);
  const shut = shutBelow(layer);
  if (!norm || shut === undefined) return undefined;
  return indices(norm.beta.length, (c) => norm.beta[c]! + SIGMAS * Math.abs(norm.gamma[c]!) <= shut);
}

/**
 * Share of a network's depthwise kernels that are dead: empty, or of a channel its activation never opens.
 * @param output recorded in evaluation mode
 * @returns a function of the weights; undefined for a network without depthwise convolutions
 */
export function deadShareOf(output: Tensor): ((values: Values) => number) | undefined {
  const layers = convolutionsOf(output).filter(isDepthwise);
  if (layers.length === 0) return undefined;
  return (values) => {
    let [dead, all] = [0, 0];
    for (const layer of layers) {
      const channels = layer.conv.shape[1]!;
      const empty = emptyKernels(values(layer.weight)!, channels);
      dead += new Set([...empty, ...(neverOpened(layer, values) ?? [])]).size;
      all += channels;
    }
    return dead / all;
  };
}
