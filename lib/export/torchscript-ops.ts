// How each of our ops is written in TorchScript: a table over all of them. What libtorch calls them is stable from 1.13 on.
import { UsageError } from '../errors.js';
import type { OpName } from '../graph/op-names.js';
import type { DType, Tensor } from '../graph/tensor.js';

/** The expression that computes `t` from its inputs, which are expressions themselves. */
type Lowering = (t: Tensor, inputs: readonly string[]) => string;

/** c10's numbers of the types, which is what TorchScript's dtypes are. */
const SCALAR_TYPES: Record<DType, number> = {
  uint8: 0,
  int8: 1,
  int32: 3,
  int64: 4,
  float32: 6,
  float64: 7,
  bool: 11,
  bfloat16: 15,
};

/** A Python float: with a point or an exponent, or it would be an int. */
function float(value: number): string {
  if (!Number.isFinite(value)) return `float("${Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf'}")`;
  const text = Object.is(value, -0) ? '-0' : String(value);
  return /[.e]/.test(text) ? text : `${text}.0`;
}

const number = (t: Tensor, name: string): number => t.attrs[name] as number;
const numbers = (t: Tensor, name: string): number[] => [...(t.attrs[name] as readonly number[])];
const listed = (items: readonly (number | string)[]): string => `[${items.join(', ')}]`;
const flagged = (value: unknown): string => (value === true ? 'True' : 'False');
const call = (name: string, ...given: readonly (string | number)[]): string => `torch.${name}(${given.join(', ')})`;

const same =
  (name: string): Lowering =>
  (_t, inputs) =>
    call(name, ...inputs);
const alongDim =
  (name: string): Lowering =>
  (t, inputs) =>
    call(name, inputs[0]!, number(t, 'dim'));

/** Pads are [top, bottom, left, right]; libtorch's are of the last dimension first. */
const padded = (x: string, [top, bottom, left, right]: readonly number[], value: number): string =>
  call('constant_pad_nd', x, listed([left!, right!, top!, bottom!]), float(value));

/** libtorch's convolution pads alike on opposite sides: other pads are a step of their own. */
const convolution =
  (groups: (t: Tensor) => number): Lowering =>
  (t, [x, weight, bias = 'None']) => {
    const pads = numbers(t, 'padding');
    const even = pads[0] === pads[1] && pads[2] === pads[3];
    return call(
      'conv2d',
      even ? x! : padded(x!, pads, 0),
      weight!,
      bias,
      listed(numbers(t, 'stride')),
      listed(even ? [pads[0]!, pads[2]!] : [0, 0]),
      listed(numbers(t, 'dilation')),
      groups(t),
    );
  };

const pooling =
  (name: string): Lowering =>
  (t, inputs) =>
    call(name, inputs[0]!, ...['kernel', 'stride', 'padding'].map((a) => listed(numbers(t, a))));

/** libtorch reads an empty list of dimensions as all of them; the graph means none. */
const reduction =
  (name: string): Lowering =>
  (t, inputs) => {
    const dims = numbers(t, 'dims');
    const none = dims.length === 0 && t.inputs[0]!.shape.length > 0;
    return none ? inputs[0]! : call(name, inputs[0]!, listed(dims), flagged(t.attrs['keepDims']));
  };

const batchNorm: Lowering = (t, inputs) => {
  if (t.attrs['training'] === true)
    throw new UsageError(
      `batchNorm2d in '${t.path}' takes the statistics of its batch, for training: export the network in eval()`,
    );
  return call('batch_norm', ...inputs, 'False', float(number(t, 'momentum')), float(number(t, 'eps')), 'True');
};

const layerNorm: Lowering = (t, [x, weight = 'None', bias = 'None']) =>
  call('layer_norm', x!, listed(numbers(t, 'shape')), weight, bias, float(number(t, 'eps')));

/** Scales as they broadcast over what they scale. */
const along = (t: Tensor, scale: string): string => {
  const axis = t.attrs['axis'] as number | undefined;
  if (axis === undefined) return scale;
  return call('reshape', scale, listed(t.shape.map((_, i) => (i === axis ? -1 : 1))));
};

/** Its definition, step by step: libtorch's own op multiplies by 1 / scale, which rounds some ties the other way. */
const fakeQuantize: Lowering = (t, [x, scale, zeroPoint]) => {
  const [s, z] = [along(t, scale!), along(t, zeroPoint!)];
  const step = call('add', call('round', call('div', x!, s)), z);
  const clamped = call('clamp', step, float(number(t, 'qmin')), float(number(t, 'qmax')));
  return call('mul', call('sub', clamped, z), s);
};

const loss: Lowering = (t) => {
  throw new UsageError(
    `a graph with '${t.op}' cannot be exported: losses are for training; export what gives the logits`,
  );
};

export const LOWERINGS: Record<OpName, Lowering> = {
  add: same('add'),
  argmax: alongDim('argmax'),
  avgPool2d: pooling('avg_pool2d'),
  batchNorm2d: batchNorm,
  binaryCrossEntropyWithLogits: loss,
  cast: (t, inputs) => call('to', inputs[0]!, SCALAR_TYPES[t.dtype]),
  concat: (t, inputs) => call('cat', listed(inputs), number(t, 'dim')),
  conv2d: convolution((t) => number(t, 'groups')),
  crossEntropy: loss,
  depthwiseConv2d: convolution((t) => t.inputs[0]!.shape[1]!),
  dequantize: (t, [q, scale]) => call('mul', call('to', q!, SCALAR_TYPES[t.dtype]), along(t, scale!)),
  div: same('div'),
  // Random while training; in use it passes on what it gets.
  dropout: (_t, inputs) => inputs[0]!,
  equal: same('eq'),
  exp: same('exp'),
  fakeQuantize,
  globalAveragePool: (_t, inputs) => call('mean', inputs[0]!, '[2, 3]'),
  hardsigmoid: same('hardsigmoid'),
  hardswish: same('hardswish'),
  hardtanh: (t, inputs) => call('hardtanh', inputs[0]!, float(number(t, 'min')), float(number(t, 'max'))),
  layerNorm,
  linear: same('linear'),
  log: same('log'),
  logSoftmax: alongDim('log_softmax'),
  matmul: same('matmul'),
  max: reduction('amax'),
  maxPool2d: pooling('max_pool2d'),
  mean: reduction('mean'),
  meanSquaredError: loss,
  min: reduction('amin'),
  mul: same('mul'),
  pad2d: (t, inputs) => padded(inputs[0]!, numbers(t, 'pads'), number(t, 'value')),
  permute: (t, inputs) => call('permute', inputs[0]!, listed(numbers(t, 'dims'))),
  relu: same('relu'),
  relu6: (_t, inputs) => call('hardtanh', inputs[0]!, '0.0', '6.0'),
  reshape: (t, inputs) => call('reshape', inputs[0]!, listed(numbers(t, 'shape'))),
  sigmoid: same('sigmoid'),
  silu: same('silu'),
  slice: (t, inputs) => call('slice', inputs[0]!, ...['dim', 'start', 'end', 'step'].map((a) => number(t, a))),
  softmax: alongDim('softmax'),
  sub: same('sub'),
  sum: reduction('sum'),
};
