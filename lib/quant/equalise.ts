// Cross-layer equalisation (Nagel et al. 2019, section 4.1): a channel between two layers may be made smaller in the first
// and larger in the second without changing what they compute, until both use their eight bits alike.
import { core } from '../graph/fold.js';
import { topological } from '../graph/order.js';
import type { Layer, Sites } from '../graph/quantised.js';
import type { Tensor } from '../graph/tensor.js';
import { ranges } from '../nn/whole-numbers.js';
import { biasOf, weightOf, type FoldedNetwork } from './folded.js';

/** Let a factor through: f(s x) = s f(x) for s > 0, channel by channel. */
const HOMOGENEOUS = new Set<string>(['relu', 'relu6', 'globalAveragePool', 'dropout']);
const SWEEPS = 20;
/** Sweeps end when no channel moves by more than this share. */
const SETTLED = 1e-2;

/** Two layers, the second of which alone reads the first, through nothing but what lets a factor through. */
export interface Pair {
  readonly first: Layer;
  readonly second: Layer;
  /** names of the limits of ReLU6s between them */
  readonly limits: readonly string[];
}

/** All pairs of a network, in its order. */
export function pairsOf({ output, layers, sixes }: Sites): Pair[] {
  const readers = new Map<Tensor, Tensor[]>([[core(output), [output]]]);
  for (const t of topological([output]))
    if (t.op !== 'module') for (const i of t.inputs.map(core)) readers.set(i, [...(readers.get(i) ?? []), t]);
  return [...layers.values()].flatMap((first): Pair[] => {
    let value = first.norm ?? first.op;
    const limits: string[] = [];
    for (;;) {
      const [reader, ...others] = readers.get(value) ?? [];
      if (!reader || others.length > 0) return [];
      const second = layers.get(reader);
      if (second) return takesFactors(second) ? [{ first, second, limits }] : [];
      if (!HOMOGENEOUS.has(reader.op)) return [];
      if (reader.op === 'relu6' && !sixes.has(reader)) return [];
      limits.push(...(sixes.has(reader) ? [sixes.get(reader)!] : []));
      value = reader;
    }
  });
}

/** Whether each input channel has weights of its own. */
function takesFactors({ op }: Layer): boolean {
  if (op.op === 'conv2d') return op.attrs['groups'] === 1;
  if (op.op === 'linear') return op.inputs[0]!.shape.length === 2;
  return op.inputs[1]!.shape[0] === op.inputs[0]!.shape[1];
}

/** Calls back with runs of weights that read one input channel: where each begins, and how long it is. */
function reading({ op }: Layer, each: (channel: number, from: number, count: number) => void): void {
  const [out, inputs, ...kernel] = op.inputs[1]!.shape as [number, number, ...number[]];
  const taps = kernel.reduce((a, b) => a * b, 1);
  if (op.op === 'depthwiseConv2d') for (let c = 0; c < out; c++) each(c, c * taps, taps);
  else for (let run = 0; run < out * inputs; run++) each(run % inputs, run * taps, taps);
}

/**
 * How far a channel may move, over all sweeps: more makes values out of what eight bits of a tensor can hold. Channels that
 * are constant have weights near 0, and would move without end.
 */
const MOST = 8;

/** One pair, as far as its channels may still move; how far the one moved that moved most, 0 where none did. */
function balance(net: FoldedNetwork, { first, second, limits }: Pair, moved: Float64Array): number {
  const [from, to, bias] = [weightOf(net, first), weightOf(net, second), biasOf(net, first)];
  const before = ranges(from, moved.length);
  const after = new Float64Array(moved.length);
  reading(second, (c, at, count) => {
    for (let i = at; i < at + count; i++) after[c] = Math.max(after[c]!, Math.abs(to[i]!));
  });
  // A channel that says nothing, or that nobody hears, has nothing to be made even.
  const factors = before.map((most, c) => {
    if (most === 0 || after[c] === 0) return 1;
    const whole = moved[c]! * Math.sqrt(most / after[c]!);
    return Math.min(Math.max(whole, 1 / MOST), MOST) / moved[c]!;
  });
  const divided = [from, bias, ...limits.map((name) => net.numbers.get(name)!.data as Float32Array)];
  for (const values of divided) {
    const each = (values?.length ?? 0) / factors.length;
    for (let i = 0; i < each * factors.length; i++) values![i]! /= factors[Math.floor(i / each)]!;
  }
  reading(second, (c, at, count) => {
    for (let i = at; i < at + count; i++) to[i]! *= factors[c]!;
  });
  factors.forEach((factor, c) => (moved[c]! *= factor));
  return factors.reduce((most, factor) => Math.max(most, Math.abs(factor - 1)), 0);
}

/**
 * Equalises all pairs, again and again until they stay. The network computes the same: where a ReLU6 lies between two
 * layers, each of its channels gets the limit that six has become. (The paper puts ReLU in its place.)
 */
export function equalise(net: FoldedNetwork): void {
  for (const [six, name] of net.sites.sixes) {
    const channels = six.shape[1]!;
    net.numbers.set(name, { data: new Float32Array(channels).fill(6), shape: [channels], dtype: 'float32' });
  }
  net.limits = true;
  const pairs = pairsOf(net.sites);
  const moved = pairs.map(({ first }) => new Float64Array(first.op.inputs[1]!.shape[0]!).fill(1));
  for (let sweep = 0; sweep < SWEEPS; sweep++)
    if (Math.max(0, ...pairs.map((pair, i) => balance(net, pair, moved[i]!))) < SETTLED) break;
}
