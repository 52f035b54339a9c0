// How much of each value is left after rounding: signal to quantisation noise, layer by layer.
import { mul, sub, sum } from '../graph/ops.js';
import type { Tensor } from '../graph/tensor.js';
import { floatGraph, roundedGraph, type FoldedNetwork, type Rounding } from './folded.js';
import type { Measuring } from './measuring.js';

/** A value of the network, rounded and not. */
export interface LayerNoise {
  /** the module that gives it; 'logits' the network itself */
  readonly layer: string;
  /** decibels: ten times the logarithm of the mean square of the value over that of its error, everything before it rounded too; Infinity where nothing is lost */
  readonly sqnr: number;
}

const power = (t: Tensor): Tensor => sum(mul(t, t));

/** From the noisiest to the cleanest, over these images. */
export async function noiseOf(
  net: FoldedNetwork,
  rounding: Rounding,
  measuring: Measuring,
  rows: Int32Array,
): Promise<LayerNoise[]> {
  const values = new Map<string, Tensor>();
  const outputs: Record<string, Tensor> = {};
  const compare = (name: string, rounded: Tensor): void => {
    const value = values.get(name)!;
    outputs[`${name} signal`] = power(value);
    outputs[`${name} noise`] = power(sub(rounded, value));
  };
  values.set('logits', floatGraph(net, { seen: (value, name) => values.set(name, value) }));
  const logits = roundedGraph(net, rounding, { seen: (value, name) => compare(name, value) });
  compare('logits', logits);
  const { stack } = await measuring.run({ outputs, stack: Object.keys(outputs) }, rows);
  const total = (name: string): number => stack[name]!.reduce((a, b) => a + b, 0);
  return [...values.keys()]
    .map((name) => ({
      layer: name.replace(/\.out\d*$/, ''),
      sqnr: 10 * Math.log10(total(`${name} signal`) / total(`${name} noise`)),
    }))
    .filter(({ sqnr }) => !Number.isNaN(sqnr))
    .sort((a, b) => a.sqnr - b.sqnr);
}
