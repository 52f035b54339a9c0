// The float network that is quantised: BatchNorm in its convolutions, its numbers by the names they will have in the file.
import { UsageError } from '../errors.js';
import { core, fold } from '../graph/fold.js';
import { fakeQuantize } from '../graph/ops.js';
import { topological } from '../graph/order.js';
import { sitesOf, standingIn, type Layer, type Sites } from '../graph/quantised.js';
import { constant, input, parameter, type Tensor } from '../graph/tensor.js';
import { evaluating } from '../infer/trained.js';
import type { TensorData } from '../native/wire.js';
import { ACTIVATIONS, WEIGHTS } from '../nn/quantised.js';
import type { CompleteCheckpoint } from '../weights/checkpoint.js';
import { QUANTISED } from '../weights/quantised.js';

/** A network before it is rounded. Equalisation and bias correction change its numbers. */
export interface FoldedNetwork {
  readonly sites: Sites;
  /** float32, by the names of parameters: weights and biases of layers, and what else the graph reads */
  readonly numbers: Map<string, TensorData>;
  /** whether `numbers` has limits for the channels of ReLU6 */
  limits: boolean;
}

/** What a value is rounded to. */
export interface Range {
  readonly scale: number;
  readonly zeroPoint: number;
}

/** How values and weights of a network are rounded: ranges by point, scales by weight. */
export interface Rounding {
  readonly ranges: ReadonlyMap<string, Range>;
  readonly scales: ReadonlyMap<string, Float32Array>;
}

/** @throws UsageError for a network in which nothing can be quantised, or that is quantised already */
export function foldedNetwork({
  model,
  preprocess,
  options,
  tensors,
  file,
  metadata,
}: CompleteCheckpoint): FoldedNetwork {
  if (QUANTISED in metadata) throw new UsageError(`${file} is quantised already; expected a float checkpoint`);
  const { size } = preprocess;
  const image = input('image', [-1, options.inChannels ?? 3, size, size]);
  const sites = sitesOf(evaluating(model, (m) => m.call(image)));
  if (sites.layers.size === 0)
    throw new UsageError(`${file}: expected a network of convolutions or linear layers, found none to quantise`);
  const valueOf = (t: Tensor): TensorData => tensors.get(core(t).attrs['name'] as string)!;
  const numbers = new Map<string, TensorData>();
  const inside = new Set<Tensor>();
  for (const { op, norm, name, bias } of sites.layers.values()) {
    for (const t of [...op.inputs.slice(1), ...(norm?.inputs.slice(1) ?? [])]) inside.add(core(t));
    const folded = norm && fold(op, norm, valueOf);
    numbers.set(name, folded?.weight ?? valueOf(op.inputs[1]!));
    if (bias !== undefined) numbers.set(bias, folded?.bias ?? valueOf(op.inputs[2]!));
  }
  for (const t of topological([sites.output]))
    if (t.op === 'parameter' && !inside.has(t)) numbers.set(t.attrs['name'] as string, valueOf(t));
  return { sites, numbers: new Map([...numbers].map(([name, value]) => [name, asFloat(value)])), limits: false };
}

/** A copy of its own, which may be changed. */
function asFloat(value: TensorData): TensorData {
  if (value.dtype !== 'float32' && value.dtype !== 'float64') return value;
  return { data: Float32Array.from(value.data as Float32Array), shape: value.shape, dtype: 'float32' };
}

export const weightOf = (net: FoldedNetwork, { name }: Layer): Float32Array =>
  net.numbers.get(name)!.data as Float32Array;
export const biasOf = (net: FoldedNetwork, { bias }: Layer): Float32Array | undefined =>
  bias === undefined ? undefined : (net.numbers.get(bias)!.data as Float32Array);

const stored = ({ numbers }: FoldedNetwork, name: string): Tensor => parameter(name, numbers.get(name)!.shape);

const limitsOf = (net: FoldedNetwork): { limit?: (name: string) => Tensor } =>
  net.limits ? { limit: (name) => stored(net, name) } : {};

/** What a graph is looked at by: both see it layer by layer, value by value. */
export interface Looks {
  /** hears of every point's value, as its readers get it */
  readonly seen?: (value: Tensor, name: string) => void;
  /** what takes the place of a layer's output, before any activation */
  readonly output?: (layer: Layer, made: Tensor) => Tensor;
}

/** The float network, BatchNorm folded. */
export function floatGraph(net: FoldedNetwork, { seen, output }: Looks = {}): Tensor {
  return standingIn(net.sites, {
    weight: ({ name }) => stored(net, name),
    bias: ({ bias }) => stored(net, bias!),
    point: (value, name) => (seen?.(value, name), value),
    ...(output && { output }),
    ...limitsOf(net),
  });
}

/** fakeQuantize of a weight. */
export function roundedWeight(weight: Tensor, scales: Tensor): Tensor {
  const count = scales.shape[0]!;
  return fakeQuantize(weight, scales, constant(new Float32Array(count)), {
    ...WEIGHTS,
    ...(count > 1 && { axis: 0 }),
  });
}

/** The network as int8 will compute it, on float weights. */
export function roundedGraph(net: FoldedNetwork, { ranges, scales }: Rounding, { seen, output }: Looks = {}): Tensor {
  return standingIn(net.sites, {
    weight: ({ name }) => roundedWeight(stored(net, name), constant(scales.get(name)!)),
    bias: ({ bias }) => stored(net, bias!),
    point: (value, name) => {
      const { scale, zeroPoint } = ranges.get(name)!;
      const rounded = fakeQuantize(value, constant([scale]), constant([zeroPoint]), ACTIVATIONS);
      seen?.(rounded, name);
      return rounded;
    },
    ...(output && { output }),
    ...limitsOf(net),
  });
}
