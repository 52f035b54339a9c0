// BatchNorm in evaluation is a factor and an offset a channel: which of a graph's go into the convolution before them,
// and what the convolution's numbers are then.
import { topological } from './order.js';
import type { Tensor } from './tensor.js';
import type { TensorData } from '../native/wire.js';

/** The node itself: module marks compute nothing. */
export function core(t: Tensor): Tensor {
  return t.op === 'module' ? core(t.inputs[0]!) : t;
}

/**
 * The convolution that each batch normalisation of a graph can go into: nothing else looks at its output, and its numbers
 * are parameters.
 */
export function foldable(output: Tensor): Map<Tensor, Tensor> {
  const users = new Map<Tensor, number>([[core(output), 1]]);
  const nodes = topological([output]).filter((t) => t.op !== 'module');
  for (const t of nodes) for (const i of t.inputs.map(core)) users.set(i, (users.get(i) ?? 0) + 1);
  const folded = new Map<Tensor, Tensor>();
  for (const norm of nodes) {
    if (norm.op !== 'batchNorm2d' || norm.attrs['training'] === true) continue;
    const conv = core(norm.inputs[0]!);
    const numbers = [...conv.inputs.slice(1), ...norm.inputs.slice(1)].map(core);
    const known = numbers.every((t) => t.op === 'parameter' && t.dtype === 'float32');
    if (/^(conv2d|depthwiseConv2d)$/.test(conv.op) && users.get(conv) === 1 && known) folded.set(norm, conv);
  }
  return folded;
}

/** Weight and bias of a convolution that does its batch normalisation's work too; computed in double precision. */
export function fold(
  conv: Tensor,
  norm: Tensor,
  valueOf: (parameter: Tensor) => TensorData,
): { weight: TensorData; bias: TensorData } {
  const numbers = (t: Tensor): Float32Array => valueOf(core(t)).data as Float32Array;
  const [, weight, bias] = conv.inputs;
  const [, scale, shift, mean, variance] = norm.inputs.map((t, i) => (i === 0 ? undefined : numbers(t)));
  const eps = norm.attrs['eps'] as number;
  const factor = Float64Array.from(scale!, (s, c) => s / Math.sqrt(variance![c]! + eps));
  const own = bias && numbers(bias);
  const channels = factor.length;
  const from = valueOf(core(weight!));
  const each = from.data.length / channels;
  const scaled = (from.data as Float32Array).map((w, i) => w * factor[Math.floor(i / each)]!);
  const offset = Float32Array.from(factor, (f, c) => ((own?.[c] ?? 0) - mean![c]!) * f + shift![c]!);
  return {
    weight: { data: scaled, shape: from.shape, dtype: 'float32' },
    bias: { data: offset, shape: [channels], dtype: 'float32' },
  };
}
