// Which range of a value eight bits are spent on: from what it is on pictures, by one of three rules.
import { max, min, reshape, slice } from '../graph/ops.js';
import type { Tensor } from '../graph/tensor.js';
import { ACTIVATIONS } from '../nn/quantised.js';
import { floatGraph, type FoldedNetwork, type Range } from './folded.js';
import type { Measuring } from './measuring.js';

/** The rules by which a value's range is chosen. */
export const METHODS = ['minmax', 'percentile', 'mse'] as const;
/**
 * - `minmax`: all that was seen.
 * - `percentile`: all but a ten-thousandth at either end.
 * - `mse`: the range with the least mean square error; a few large values are clamped where that makes the rest finer.
 */
export type Method = (typeof METHODS)[number];

const BINS = 2048;
const TAIL = 1e-4;
/** Positions a side of a feature map that are looked at: neighbours say the same. */
const SIDE = 4;
/** Images whose values are held at a time. */
const CHUNK = 32;

interface Extent {
  low: number;
  high: number;
}

/** Counts of values by bins of equal width from `low` to `high`. */
export class Histogram {
  readonly counts = new Float64Array(BINS);
  readonly #perUnit: number;

  constructor(
    readonly low: number,
    readonly high: number,
  ) {
    this.#perUnit = high > low ? BINS / (high - low) : 0;
  }
  add(values: Float32Array): void {
    const { low, counts } = this;
    for (let i = 0; i < values.length; i++) {
      const bin = Math.floor((values[i]! - low) * this.#perUnit);
      counts[bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin]!++;
    }
  }
  /** The middle of a bin. */
  middle(bin: number): number {
    return this.low + (bin + 0.5) * ((this.high - this.low) / BINS);
  }
}

/** Scale and zero point for values of `low` to `high`; 0 is always among them, and exact. */
export function rangeFor({ low, high }: Extent): Range {
  const [from, to] = [Math.min(low, 0), Math.max(high, 0)];
  const steps = ACTIVATIONS.qmax - ACTIVATIONS.qmin;
  // A value that is 0 on every picture still has to have a scale.
  const scale = Math.fround(to > from ? (to - from) / steps : 1 / steps);
  return { scale, zeroPoint: Math.min(Math.max(Math.round(-from / scale), ACTIVATIONS.qmin), ACTIVATIONS.qmax) };
}

/** All but a share of the values at either end. */
export function percentiles(histogram: Histogram, tail = TAIL): Extent {
  const { counts, low, high } = histogram;
  const least = counts.reduce((a, b) => a + b, 0) * tail;
  const beyond = (order: readonly number[]): number | undefined => {
    let seen = 0;
    return order.find((bin) => (seen += counts[bin]!) > least);
  };
  const bins = [...counts.keys()];
  const [first, last] = [beyond(bins), beyond(bins.reverse())];
  return first === undefined || last === undefined
    ? { low, high }
    : { low: histogram.middle(first), high: histogram.middle(last) };
}

/** Mean square error of rounding these values to a range, times their number. */
function roundingError(histogram: Histogram, extent: Extent): number {
  const { scale, zeroPoint } = rangeFor(extent);
  const { qmin, qmax } = ACTIVATIONS;
  let sum = 0;
  for (let bin = 0; bin < BINS; bin++) {
    const count = histogram.counts[bin]!;
    if (count === 0) continue;
    const value = histogram.middle(bin);
    const q = Math.min(Math.max(Math.round(value / scale) + zeroPoint, qmin), qmax);
    sum += count * (value - (q - zeroPoint) * scale) ** 2;
  }
  return sum;
}

/** The range with the least error: each end is moved towards 0 as long as that helps. */
export function leastError(histogram: Histogram): Extent {
  const shares = Array.from({ length: 40 }, (_, i) => 1 - i / 50);
  let best: Extent = { low: Math.min(histogram.low, 0), high: Math.max(histogram.high, 0) };
  const [low, high] = [best.low, best.high];
  // Ends in turn, twice: what is best for one hardly depends on the other.
  for (let round = 0; round < 2; round++) {
    for (const end of ['high', 'low'] as const) {
      if ((end === 'high' ? high : low) === 0) continue;
      const candidates = shares.map((share) => ({ ...best, [end]: (end === 'high' ? high : low) * share }));
      const errors = candidates.map((extent) => roundingError(histogram, extent));
      best = candidates[errors.indexOf(Math.min(...errors))]!;
    }
  }
  return best;
}

/** How every value of the network is rounded, as the pictures ask for. */
export async function rangesOf(net: FoldedNetwork, measuring: Measuring, method: Method): Promise<Map<string, Range>> {
  const extents = await extentsOf(net, measuring);
  if (method !== 'minmax') {
    const choose = method === 'mse' ? leastError : percentiles;
    for (const [name, histogram] of await histogramsOf(net, measuring, extents)) extents.set(name, choose(histogram));
  }
  return new Map([...extents].map(([name, extent]) => [name, rangeFor(extent)]));
}

/** Least and largest of each value, over all pictures. */
async function extentsOf(net: FoldedNetwork, measuring: Measuring): Promise<Map<string, Extent>> {
  const outputs: Record<string, Tensor> = {};
  const names: string[] = [];
  floatGraph(net, {
    seen: (value, name) => {
      names.push(name);
      outputs[`${name} low`] = min(value);
      outputs[`${name} high`] = max(value);
    },
  });
  const { stack } = await measuring.run({ outputs, stack: Object.keys(outputs) });
  return new Map(
    names.map((name) => [name, { low: Math.min(...stack[`${name} low`]!), high: Math.max(...stack[`${name} high`]!) }]),
  );
}

async function histogramsOf(
  net: FoldedNetwork,
  measuring: Measuring,
  extents: ReadonlyMap<string, Extent>,
): Promise<Map<string, Histogram>> {
  const histograms = new Map([...extents].map(([name, { low, high }]) => [name, new Histogram(low, high)]));
  const { rows } = measuring.pictures;
  for (let chunk = 0; chunk * CHUNK < rows.length; chunk++) {
    const outputs: Record<string, Tensor> = {};
    floatGraph(net, { seen: (value, name) => (outputs[name] = sampled(value, chunk)) });
    const some = rows.subarray(chunk * CHUNK, (chunk + 1) * CHUNK);
    const seen = await measuring.run({ outputs, rows: Object.keys(outputs) }, some);
    for (const [name, histogram] of histograms) histogram.add(seen.rows[name]!.data as Float32Array);
  }
  return histograms;
}

/**
 * Some positions of a feature map, evenly spread, all channels: [N, values]. Other positions in each chunk: what padding
 * makes of the edges has to be among them.
 */
function sampled(value: Tensor, chunk: number): Tensor {
  let some = value;
  for (const dim of value.shape.length === 4 ? [2, 3] : []) {
    const step = Math.max(1, Math.floor(value.shape[dim]! / SIDE));
    some = slice(some, { dim, start: (chunk * (dim * 2 + 1)) % step, step });
  }
  return reshape(some, [-1, some.shape.slice(1).reduce((a, b) => a * b, 1)]);
}
