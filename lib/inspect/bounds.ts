// Interval arithmetic: between which two numbers each channel of each value of a graph lies, whatever the images show.
// Sound, not tight: no image can leave the bounds, none may come near them. An op it does not know is unbounded.
import { topological } from '../graph/order.js';
import type { Tensor } from '../graph/tensor.js';
import { core } from '../graph/fold.js';
import type { Values } from './layers.js';

/** By channel: of [N, C, ...] the second dimension, of a constant or parameter all of its numbers. */
export interface Bounds {
  readonly low: Float64Array;
  readonly high: Float64Array;
}

const unbounded = (channels: number): Bounds => ({
  low: new Float64Array(channels).fill(-Infinity),
  high: new Float64Array(channels).fill(Infinity),
});
const exactly = (values: ArrayLike<number>): Bounds => ({
  low: new Float64Array(values),
  high: new Float64Array(values),
});
const channelsOf = (t: Tensor): number => Math.max(t.shape[1] ?? t.shape[0] ?? 1, 1);

/** 0 times anything is 0, as in the network, where all numbers are finite. */
const times = (a: number, b: number): number => (a === 0 || b === 0 ? 0 : a * b);
const clamp = (x: number, least: number, most: number): number => Math.min(Math.max(x, least), most);

const rising =
  (f: (x: number) => number) =>
  ({ low, high }: Bounds): Bounds => ({ low: low.map(f), high: high.map(f) });

/** Of a function that falls to its one minimum and rises from there. */
const valley =
  (f: (x: number) => number, at: number) =>
  ({ low, high }: Bounds): Bounds => ({
    low: low.map((l, c) => (l <= at && high[c]! >= at ? f(at) : Math.min(f(l), f(high[c]!)))),
    high: high.map((h, c) => Math.max(f(low[c]!), f(h))),
  });

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const hardsigmoid = (x: number): number => clamp(x + 3, 0, 6) / 6;
/** Where x * sigmoid(x) is least. */
const SILU_LEAST = -1.278464542761074;

const ACTIVATIONS: Readonly<Record<string, (x: Bounds) => Bounds>> = {
  relu: rising((x) => Math.max(x, 0)),
  relu6: rising((x) => clamp(x, 0, 6)),
  sigmoid: rising(sigmoid),
  hardsigmoid: rising(hardsigmoid),
  hardswish: valley((x) => times(x, hardsigmoid(x)), -1.5),
  silu: valley((x) => times(x, sigmoid(x)), SILU_LEAST),
};

/** Weighted sums: `weight` is [out, inputs of a group, taps]; zeros around the image are values too. */
function weighted(t: Tensor, x: Bounds, weight: Float32Array, padded: boolean): Bounds {
  const out = channelsOf(t);
  const shape = t.inputs[1]!.shape;
  const perGroup = shape[1]!;
  const taps = shape.slice(2).reduce((a, b) => a * b, 1);
  const inputs = x.low.length;
  const depthwise = t.op === 'depthwiseConv2d';
  const outPerGroup = depthwise ? out / inputs : out / (inputs / perGroup);
  const low = new Float64Array(out);
  const high = new Float64Array(out);
  let at = 0;
  for (let o = 0; o < out; o++) {
    const first = Math.floor(o / outPerGroup) * perGroup;
    let [least, most] = [0, 0];
    for (let i = first; i < first + perGroup; i++) {
      for (let k = 0; k < taps; k++) {
        const w = weight[at++]!;
        const [a, b] = [times(w, x.low[i]!), times(w, x.high[i]!)];
        least += padded ? Math.min(a, b, 0) : Math.min(a, b);
        most += padded ? Math.max(a, b, 0) : Math.max(a, b);
      }
    }
    low[o] = least;
    high[o] = most;
  }
  return { low, high };
}

/** What `t`, broadcast to `out`, has in each channel of it; or in all of them, where its own dimensions lie otherwise. */
function perChannel(t: Tensor, { low, high }: Bounds, out: Tensor): Bounds {
  const channels = channelsOf(out);
  // Places of t's dimensions in out, which broadcasting lines up at the end.
  const shift = out.shape.length - t.shape.length;
  const elsewhere = shift > 0 && t.shape.some((n, i) => n !== 1 && i + shift !== 1);
  if (low.length === channels && !elsewhere) return { low, high };
  const [least, most] = [
    low.reduce((a, b) => Math.min(a, b), Infinity),
    high.reduce((a, b) => Math.max(a, b), -Infinity),
  ];
  return { low: new Float64Array(channels).fill(least), high: new Float64Array(channels).fill(most) };
}

const plus = (a: Bounds, b: Bounds): Bounds => ({
  low: a.low.map((v, c) => v + b.low[c]!),
  high: a.high.map((v, c) => v + b.high[c]!),
});
const minus = ({ low, high }: Bounds): Bounds => ({ low: high.map((v) => -v), high: low.map((v) => -v) });
function product(a: Bounds, b: Bounds): Bounds {
  const ends = Array.from(a.low, (_, c) =>
    [a.low[c]!, a.high[c]!].flatMap((v) => [times(v, b.low[c]!), times(v, b.high[c]!)]),
  );
  return {
    low: Float64Array.from(ends, (of) => Math.min(...of)),
    high: Float64Array.from(ends, (of) => Math.max(...of)),
  };
}

/**
 * Bounds of every value of a graph.
 * @param given bounds of its inputs, by name; an input without is unbounded
 * @param values of its parameters; what is computed with one that is missing is unbounded
 */
export function boundsOf(output: Tensor, given: ReadonlyMap<string, Bounds>, values: Values): (t: Tensor) => Bounds {
  const made = new Map<Tensor, Bounds>();
  const numbers = (t: Tensor | undefined): Float32Array | undefined => {
    const node = t && core(t);
    return node?.op === 'parameter' ? values(node.attrs['name'] as string) : undefined;
  };
  const ofNode = (t: Tensor): Bounds => {
    const channels = channelsOf(t);
    const x = t.inputs[0] && made.get(t.inputs[0]);
    const side = (n: number): Bounds => {
      const own = numbers(t.inputs[n]);
      return perChannel(t.inputs[n]!, own ? exactly(own) : made.get(t.inputs[n]!)!, t);
    };
    const activation = ACTIVATIONS[t.op];
    if (activation) return activation(x!);
    switch (t.op) {
      case 'input':
        return given.get(t.attrs['name'] as string) ?? unbounded(channels);
      case 'constant':
        return exactly(Float64Array.from(t.attrs['data'] as ArrayLike<number | bigint>, Number));
      case 'module':
      case 'dropout':
      case 'globalAveragePool':
      case 'maxPool2d':
        return x!;
      case 'mean':
        return (t.attrs['dims'] as number[]).every((d) => d >= 2) ? x! : unbounded(channels);
      case 'conv2d':
      case 'depthwiseConv2d':
      case 'linear': {
        const weight = numbers(t.inputs[1]);
        const bias = t.inputs[2] && numbers(t.inputs[2]);
        if (
          !weight ||
          (t.inputs[2] && !bias) ||
          x!.low.length !== t.inputs[0]!.shape.at(t.op === 'linear' ? -1 : 1) ||
          t.shape.length !== (t.op === 'linear' ? 2 : 4)
        )
          return unbounded(channels);
        const padded = t.op !== 'linear' && (t.attrs['padding'] as number[]).some((n) => n > 0);
        const sums = weighted(t, x!, weight, padded);
        return bias ? plus(sums, exactly(bias)) : sums;
      }
      case 'batchNorm2d': {
        const [gamma, beta, mean, variance] = t.inputs.slice(1).map(numbers);
        if (t.attrs['training'] === true || !gamma || !beta || !mean || !variance) return unbounded(channels);
        const factor = Float64Array.from(gamma, (g, c) => g / Math.sqrt(variance[c]! + (t.attrs['eps'] as number)));
        const shift = Float64Array.from(beta, (b, c) => b - mean[c]! * factor[c]!);
        return plus(product(x!, exactly(factor)), exactly(shift));
      }
      case 'add':
        return plus(side(0), side(1));
      case 'sub':
        return plus(side(0), minus(side(1)));
      case 'mul':
        return product(side(0), side(1));
      case 'hardtanh': {
        const [least, most] = [t.attrs['min'] as number, t.attrs['max'] as number];
        return rising((v) => clamp(v, least, most))(x!);
      }
      default:
        return unbounded(channels);
    }
  };
  for (const t of topological([output])) made.set(t, ofNode(t));
  return (t) => made.get(t)!;
}
