// Weights as whole numbers: symmetric, by the largest of each output channel or of the whole tensor.
import type { TensorData } from '../native/wire.js';
import { WEIGHTS } from '../nn/quantised.js';
import { largest, ranges, roundEven } from '../nn/whole-numbers.js';
import { weightOf, type FoldedNetwork } from './folded.js';

/** The scale of each output channel, or of all of them; a channel of zeros has a scale too. */
export function weightScales(net: FoldedNetwork, perChannel: boolean): Map<string, Float32Array> {
  const scales = new Map<string, Float32Array>();
  for (const layer of net.sites.layers.values()) {
    const channels = ranges(weightOf(net, layer), layer.op.inputs[1]!.shape[0]!);
    const most = perChannel ? channels : [largest(channels)];
    scales.set(
      layer.name,
      Float32Array.from(most, (range) => (range > 0 ? range : 1) / WEIGHTS.qmax),
    );
  }
  return scales;
}

/** A weight in int8, as fakeQuantize rounds it: in single precision, halves to even. */
export function wholeWeight({ data, shape }: TensorData, scales: Float32Array): TensorData {
  const each = data.length / scales.length;
  const rounded = Int8Array.from(data as Float32Array, (w, i) => {
    const q = roundEven(Math.fround(w / scales[Math.floor(i / each)]!));
    return Math.min(Math.max(q, WEIGHTS.qmin), WEIGHTS.qmax);
  });
  return { data: rounded, shape: [...shape], dtype: 'int8' };
}
