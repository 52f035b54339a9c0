// The convolutions of a recorded graph: their weights, the BatchNorm and the activation behind each, and their numbers.
import { core, foldable } from '../graph/fold.js';
import { topological } from '../graph/order.js';
import type { Tensor } from '../graph/tensor.js';
import type { TensorData } from '../native/wire.js';

/** A convolution with what follows it. */
export interface ConvLayer {
  /** the name of its weight without `.weight`: 'features.16.conv.1.0' */
  readonly name: string;
  readonly conv: Tensor;
  /** names of its parameters */
  readonly weight: string;
  readonly bias: string | undefined;
  /** the batch normalisation that alone reads it */
  readonly norm: Tensor | undefined;
  /** what is activated: the normalised values, or the convolution's own */
  readonly before: Tensor;
  /** the activation that alone reads those */
  readonly activation: Tensor | undefined;
}

/** Below this input an activation gives zero, whatever comes; it is no lower for others, which always give something. */
const SHUT: Readonly<Record<string, number>> = { relu: 0, relu6: 0, hardswish: -3 };

/** The largest input at which the layer's activation still gives zero; undefined where nothing is ever zero for good. */
export const shutBelow = ({ activation }: ConvLayer): number | undefined => activation && SHUT[activation.op];

const nameOf = (t: Tensor | undefined): string | undefined =>
  t && core(t).op === 'parameter' ? (core(t).attrs['name'] as string) : undefined;

/** The convolutions of a graph in evaluation mode whose weights are parameters, inputs first. */
export function convolutionsOf(output: Tensor): ConvLayer[] {
  const nodes = topological([output]).filter((t) => t.op !== 'module');
  const readers = new Map<Tensor, Tensor[]>();
  for (const t of nodes) for (const i of t.inputs.map(core)) readers.set(i, [...(readers.get(i) ?? []), t]);
  const soleReader = (t: Tensor): Tensor | undefined => {
    const [first, ...others] = t === core(output) ? [] : (readers.get(t) ?? []);
    return others.length === 0 ? first : undefined;
  };
  const norms = new Map([...foldable(output)].map(([norm, conv]) => [conv, norm]));
  return nodes.flatMap((conv): ConvLayer[] => {
    const weight = conv.op === 'conv2d' || conv.op === 'depthwiseConv2d' ? nameOf(conv.inputs[1]) : undefined;
    if (weight === undefined) return [];
    const norm = norms.get(conv);
    const before = norm ?? conv;
    const reader = soleReader(before);
    const activation = reader && reader.op in SHUT ? reader : undefined;
    const name = weight.replace(/\.?weight$/, '');
    return [{ name, conv, weight, bias: nameOf(conv.inputs[2]), norm, before, activation }];
  });
}

export const isDepthwise = ({ conv }: ConvLayer): boolean => conv.op === 'depthwiseConv2d';
/** 1x1 over all channels: what mixes them. */
export const isPointwise = ({ conv }: ConvLayer): boolean =>
  conv.op === 'conv2d' && conv.attrs['groups'] === 1 && conv.inputs[1]!.shape.slice(2).every((n) => n === 1);

/** Numbers of named tensors; undefined for one that is not there. */
export type Values = (name: string) => Float32Array | undefined;

/** Named tensors as float32. */
export function valuesOf(tensors: ReadonlyMap<string, TensorData>): Values {
  return (name) => {
    const data = tensors.get(name)?.data;
    return data === undefined || data instanceof Float32Array
      ? data
      : Float32Array.from(data as ArrayLike<number | bigint>, Number);
  };
}

/** A BatchNorm's numbers, by channel. */
export interface NormValues {
  readonly gamma: Float32Array;
  readonly beta: Float32Array;
  readonly mean: Float32Array;
  readonly variance: Float32Array;
  readonly eps: number;
}

/** The numbers of the layer's BatchNorm; undefined where it has none or some are not there. */
export function normValues({ norm }: ConvLayer, values: Values): NormValues | undefined {
  if (!norm) return undefined;
  const [gamma, beta, mean, variance] = norm.inputs.slice(1).map((t) => values(nameOf(t)!));
  if (!gamma || !beta || !mean || !variance) return undefined;
  return { gamma, beta, mean, variance, eps: norm.attrs['eps'] as number };
}
