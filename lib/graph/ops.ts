// Every op: its name, its attributes and the rule for its output's shape and dtype. Executed by native/ops.cc under
// the same name; test/graph/ops.test.ts holds the two name sets equal. Feature maps are [N, C, H, W].
import { record, refuse, elements, shapeText, type DType, type Tensor } from './tensor.js';
import {
  axis,
  broadcast,
  explicitPads,
  isFloat,
  needDim,
  needFloat,
  needRank,
  pair,
  sameDType,
  slide,
  type Pads,
  type Padding,
  type Pair,
} from './shape.js';

export type { Padding, Pair } from './shape.js';

export interface Conv2dOptions {
  bias?: Tensor;
  stride?: Pair;
  padding?: Padding;
  dilation?: Pair;
  groups?: number;
}

interface Window {
  pads: Pads;
  stride: [number, number];
  dilation: [number, number];
  out: [number, number];
}

function convWindow(op: string, x: Tensor, weight: Tensor, options: Conv2dOptions): Window {
  const stride = pair(op, 'stride', options.stride ?? 1, 1);
  const dilation = pair(op, 'dilation', options.dilation ?? 1, 1);
  const kernel = [0, 1].map((i) => dilation[i]! * (weight.shape[2 + i]! - 1) + 1);
  const pads = explicitPads(op, options.padding ?? 0, x.shape.slice(2), kernel, stride);
  const out: [number, number] = [
    slide(op, x.shape[2]!, kernel[0]!, stride[0], pads[0], pads[1]),
    slide(op, x.shape[3]!, kernel[1]!, stride[1], pads[2], pads[3]),
  ];
  return { pads, stride, dilation, out };
}

function checkConv(op: string, x: Tensor, weight: Tensor, bias: Tensor | undefined): DType {
  needRank(op, 'an input [N, C, H, W]', x, 4);
  needRank(op, 'a weight [out, in / groups, kH, kW]', weight, 4);
  needFloat(op, x, weight);
  if (bias) {
    needRank(op, 'a bias [out]', bias, 1);
    needDim(op, 'a bias of length', bias.shape[0]!, weight.shape[0]!);
  }
  return sameDType(op, x, weight, ...(bias ? [bias] : []));
}

/**
 * 2-D convolution (cross-correlation).
 * @param x [N, C, H, W]
 * @param weight [O, C / groups, kH, kW]
 * @returns [N, O, H', W']
 * @throws ShapeError when channels, groups or the window do not fit
 * @example
 * import { constant, conv2d } from 'mnv2-torch';
 * const y = await conv2d(constant([1, 2, 3, 4], [1, 1, 2, 2]), constant([1, 1, 1, 1], [1, 1, 2, 2])).data();
 * console.log([...y.data]); // [10]
 */
export function conv2d(x: Tensor, weight: Tensor, options: Conv2dOptions = {}): Tensor {
  const dtype = checkConv('conv2d', x, weight, options.bias);
  const groups = options.groups ?? 1;
  const [outChannels, perGroup] = [weight.shape[0]!, weight.shape[1]!];
  if (!Number.isInteger(groups) || groups < 1 || outChannels % groups !== 0) {
    refuse('conv2d', `groups that divide the ${outChannels} output channels`, `${groups}`);
  }
  if (x.shape[1] !== perGroup * groups) {
    refuse(
      'conv2d',
      `${perGroup * groups} input channels (weight [${shapeText(weight.shape)}], groups ${groups})`,
      `${x.shape[1]}`,
    );
  }
  const { pads, stride, dilation, out } = convWindow('conv2d', x, weight, options);
  const inputs = options.bias ? [x, weight, options.bias] : [x, weight];
  return record(
    'conv2d',
    inputs,
    { stride, padding: pads, dilation, groups },
    [x.shape[0]!, outChannels, ...out],
    dtype,
  );
}

/** Which implementation runs a depthwise convolution on CUDA; the CPU has one and takes any. */
export type DepthwiseRoute = 'auto' | 'cudnn' | 'native' | 'fused';

/**
 * Depthwise 2-D convolution: each channel has its own filters (MobileNet V1, section 3.1).
 * On CUDA, `route` picks libtorch's cuDNN path, its native depthwise kernels, or this package's fused kernel; on the
 * CPU, 'native' is libtorch's convolution and every other route this package's kernel.
 * @param x [N, C, H, W]
 * @param weight [C * m, 1, kH, kW] for a channel multiplier m
 * @returns [N, C * m, H', W']
 * @throws ShapeError when the weight does not have a multiple of C filters of depth 1
 * @example
 * import { constant, depthwiseConv2d } from 'mnv2-torch';
 * const x = constant([1, 2, 3, 4], [1, 2, 1, 2]); // two channels of 1 x 2
 * const y = await depthwiseConv2d(x, constant([10, 100], [2, 1, 1, 1])).data();
 * console.log([...y.data]); // [10, 20, 300, 400]
 */
export function depthwiseConv2d(
  x: Tensor,
  weight: Tensor,
  options: Omit<Conv2dOptions, 'groups'> & { route?: DepthwiseRoute } = {},
): Tensor {
  const op = 'depthwiseConv2d';
  const dtype = checkConv(op, x, weight, options.bias);
  const channels = x.shape[1]!;
  if (weight.shape[1] !== 1 || channels < 1 || weight.shape[0]! % channels !== 0) {
    refuse(
      op,
      `a weight [${channels} * multiplier, 1, kH, kW] for an input of ${channels} channels`,
      `[${shapeText(weight.shape)}]`,
    );
  }
  const route = options.route ?? 'auto';
  const routes = ['auto', 'cudnn', 'native', 'fused'];
  if (!routes.includes(route)) refuse(op, `a route out of ${routes.join(', ')}`, `'${route}'`);
  const { pads, stride, dilation, out } = convWindow(op, x, weight, options);
  const inputs = options.bias ? [x, weight, options.bias] : [x, weight];
  return record(op, inputs, { stride, padding: pads, dilation, route }, [x.shape[0]!, weight.shape[0]!, ...out], dtype);
}

export interface BatchNormState {
  weight: Tensor;
  bias: Tensor;
  runningMean: Tensor;
  runningVar: Tensor;
}

/**
 * Batch normalisation over N, H, W (Ioffe and Szegedy 2015). Training uses the batch's biased variance and moves the
 * running statistics by `momentum` (PyTorch's sense: new = (1 - momentum) * old + momentum * batch, unbiased variance);
 * evaluation uses the running statistics.
 * @param x [N, C, H, W]; every state tensor is [C]
 * @example
 * import { batchNorm2d, constant } from 'mnv2-torch';
 * const one = constant([1]), zero = constant([0]);
 * const y = await batchNorm2d(constant([2, 4], [1, 1, 1, 2]),
 *   { weight: one, bias: zero, runningMean: constant([3]), runningVar: one }, { training: false, eps: 0 }).data();
 * console.log([...y.data]); // [-1, 1]
 */
export function batchNorm2d(
  x: Tensor,
  state: BatchNormState,
  options: { training: boolean; momentum?: number; eps?: number },
): Tensor {
  const op = 'batchNorm2d';
  needRank(op, 'an input [N, C, H, W]', x, 4);
  const { weight, bias, runningMean, runningVar } = state;
  const all = [weight, bias, runningMean, runningVar];
  needFloat(op, x, ...all);
  for (const t of all) {
    needRank(op, 'weight, bias and running statistics [C]', t, 1);
    needDim(op, 'per-channel tensors of length', t.shape[0]!, x.shape[1]!);
  }
  const { training, momentum = 0.1, eps = 1e-5 } = options;
  if (!(eps >= 0)) refuse(op, 'eps >= 0', `${eps}`);
  if (!(momentum >= 0 && momentum <= 1)) refuse(op, 'momentum in [0, 1]', `${momentum}`);
  return record(op, [x, ...all], { training, momentum, eps }, x.shape, x.dtype);
}

const unary =
  (op: string, attrs: Record<string, number> = {}) =>
  (x: Tensor): Tensor => {
    needFloat(op, x);
    return record(op, [x], attrs, x.shape, x.dtype);
  };

/**
 * max(x, 0), elementwise.
 * @example
 * import { constant, relu } from 'mnv2-torch';
 * console.log([...(await relu(constant([-1, 2])).data()).data]); // [0, 2]
 */
export const relu = unary('relu');

/**
 * min(max(x, 0), 6), elementwise: robust at low precision (MobileNet V2, section 4).
 * @example
 * import { constant, relu6 } from 'mnv2-torch';
 * console.log([...(await relu6(constant([-1, 2, 7])).data()).data]); // [0, 2, 6]
 */
export const relu6 = unary('relu6');

/**
 * Clamp to [min, max]; the gradient passes strictly inside.
 * @example
 * import { constant, hardtanh } from 'mnv2-torch';
 * console.log([...(await hardtanh(constant([-2, 0.5, 2]), { min: -1, max: 1 }).data()).data]); // [-1, 0.5, 1]
 */
export function hardtanh(x: Tensor, { min = -1, max = 1 }: { min?: number; max?: number } = {}): Tensor {
  if (!(min < max)) refuse('hardtanh', 'min < max', `${min} and ${max}`);
  return unary('hardtanh', { min, max })(x);
}

const binary =
  (op: string) =>
  (a: Tensor, b: Tensor): Tensor => {
    const dtype = sameDType(op, a, b);
    return record(op, [a, b], {}, broadcast(op, a.shape, b.shape), dtype);
  };

/**
 * a + b with broadcasting; both of one dtype.
 * @example
 * import { add, constant } from 'mnv2-torch';
 * console.log([...(await add(constant([1, 2]), constant(10)).data()).data]); // [11, 12]
 */
export const add = binary('add');

/**
 * a - b with broadcasting; both of one dtype.
 * @example
 * import { constant, sub } from 'mnv2-torch';
 * console.log([...(await sub(constant([1, 2]), constant(10)).data()).data]); // [-9, -8]
 */
export const sub = binary('sub');

/**
 * a * b with broadcasting; both of one dtype.
 * @example
 * import { constant, mul } from 'mnv2-torch';
 * console.log([...(await mul(constant([1, 2]), constant(10)).data()).data]); // [10, 20]
 */
export const mul = binary('mul');

/**
 * a / b with broadcasting; both of one floating-point dtype.
 * @example
 * import { constant, div } from 'mnv2-torch';
 * console.log([...(await div(constant([1, 2]), constant(2)).data()).data]); // [0.5, 1]
 */
export function div(a: Tensor, b: Tensor): Tensor {
  needFloat('div', a, b);
  return binary('div')(a, b);
}

/**
 * a == b with broadcasting, as `bool`; not differentiable.
 * @example
 * import { constant, equal } from 'mnv2-torch';
 * console.log([...(await equal(constant([1, 2]), constant([1, 3])).data()).data]); // [1, 0]
 */
export function equal(a: Tensor, b: Tensor): Tensor {
  sameDType('equal', a, b);
  return record('equal', [a, b], {}, broadcast('equal', a.shape, b.shape), 'bool');
}

/**
 * Mean over H and W: [N, C, H, W] -> [N, C].
 * @example
 * import { constant, globalAveragePool } from 'mnv2-torch';
 * console.log([...(await globalAveragePool(constant([1, 2, 3, 6], [1, 1, 2, 2])).data()).data]); // [3]
 */
export function globalAveragePool(x: Tensor): Tensor {
  needRank('globalAveragePool', 'an input [N, C, H, W]', x, 4);
  needFloat('globalAveragePool', x);
  return record('globalAveragePool', [x], {}, x.shape.slice(0, 2), x.dtype);
}

export interface PoolOptions {
  kernel: Pair;
  /** defaults to the kernel */
  stride?: Pair;
  /** at most half the kernel on each side */
  padding?: Pair;
}

const pool =
  (op: string) =>
  (x: Tensor, options: PoolOptions): Tensor => {
    needRank(op, 'an input [N, C, H, W]', x, 4);
    needFloat(op, x);
    const kernel = pair(op, 'kernel', options.kernel, 1);
    const stride = pair(op, 'stride', options.stride ?? kernel, 1);
    const padding = pair(op, 'padding', options.padding ?? 0, 0);
    if (padding.some((p, i) => 2 * p > kernel[i]!))
      refuse(op, 'padding of at most half the kernel', JSON.stringify(padding));
    const out = [0, 1].map((i) => slide(op, x.shape[2 + i]!, kernel[i]!, stride[i]!, padding[i]!, padding[i]!));
    return record(op, [x], { kernel, stride, padding }, [...x.shape.slice(0, 2), ...out], x.dtype);
  };

/**
 * Average pooling; padded zeros count.
 * @example
 * import { avgPool2d, constant } from 'mnv2-torch';
 * console.log([...(await avgPool2d(constant([1, 2, 3, 6], [1, 1, 2, 2]), { kernel: 2 }).data()).data]); // [3]
 */
export const avgPool2d = pool('avgPool2d');

/**
 * Maximum pooling.
 * @example
 * import { constant, maxPool2d } from 'mnv2-torch';
 * console.log([...(await maxPool2d(constant([1, 2, 3, 6], [1, 1, 2, 2]), { kernel: 2 }).data()).data]); // [6]
 */
export const maxPool2d = pool('maxPool2d');

/**
 * x W^T + b.
 * @param x [..., in]
 * @param weight [out, in]
 * @param bias [out]
 * @returns [..., out]
 * @example
 * import { constant, linear } from 'mnv2-torch';
 * const y = await linear(constant([1, 2], [1, 2]), constant([3, 4], [1, 2]), constant([100])).data();
 * console.log([...y.data]); // [111]
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  needRank('linear', 'a weight [out, in]', weight, 2);
  if (x.shape.length < 1) refuse('linear', 'an input [..., in]', '[]');
  needDim('linear', 'a last input dimension of', x.shape.at(-1)!, weight.shape[1]!);
  if (bias) {
    needRank('linear', 'a bias [out]', bias, 1);
    needDim('linear', 'a bias of length', bias.shape[0]!, weight.shape[0]!);
  }
  const inputs = bias ? [x, weight, bias] : [x, weight];
  needFloat('linear', ...inputs);
  return record('linear', inputs, {}, [...x.shape.slice(0, -1), weight.shape[0]!], sameDType('linear', ...inputs));
}

/**
 * Zeroes each value with probability p and scales the rest by 1 / (1 - p). The mask depends on the run's seed, the
 * step and the position in the graph alone. Record it only for training; modules do.
 * @example
 * import { constant, dropout } from 'mnv2-torch';
 * const y = await dropout(constant([1, 1, 1, 1]), 0.5).data();
 * console.log([...y.data].every((v) => v === 0 || v === 2)); // true
 */
export function dropout(x: Tensor, p: number): Tensor {
  if (!(p >= 0 && p < 1)) refuse('dropout', 'a probability in [0, 1)', `${p}`);
  needFloat('dropout', x);
  return record('dropout', [x], { p }, x.shape, x.dtype);
}

const alongDim =
  (op: string) =>
  (x: Tensor, dim = -1): Tensor => {
    needFloat(op, x);
    return record(op, [x], { dim: axis(op, dim, x.shape.length) }, x.shape, x.dtype);
  };

/**
 * exp(x) normalised to sum 1 along `dim`.
 * @example
 * import { constant, softmax } from 'mnv2-torch';
 * console.log([...(await softmax(constant([1, 1])).data()).data]); // [0.5, 0.5]
 */
export const softmax = alongDim('softmax');

/**
 * log(softmax(x)) along `dim`, computed stably.
 * @example
 * import { constant, logSoftmax } from 'mnv2-torch';
 * console.log((await logSoftmax(constant([1, 1])).data()).data[0].toFixed(4)); // -0.6931
 */
export const logSoftmax = alongDim('logSoftmax');

/**
 * Mean (or sum) over examples of the cross entropy between softmax(logits) and labels. With class weights the mean is
 * weighted, as PyTorch's. Label smoothing e replaces the target by (1 - e) * onehot + e / K (Szegedy et al. 2016).
 * @param logits [N, K]
 * @param labels [N], int64
 * @returns [] or, with reduction 'none', [N]
 * @example
 * import { constant, crossEntropy } from 'mnv2-torch';
 * const loss = await crossEntropy(constant([0, 0], [1, 2]), constant(BigInt64Array.of(1n))).data();
 * console.log(loss.data[0].toFixed(4)); // 0.6931
 */
export function crossEntropy(
  logits: Tensor,
  labels: Tensor,
  options: { labelSmoothing?: number; weight?: Tensor; reduction?: 'mean' | 'sum' | 'none' } = {},
): Tensor {
  const op = 'crossEntropy';
  const { labelSmoothing = 0, weight, reduction = 'mean' } = options;
  needRank(op, 'logits [N, K]', logits, 2);
  needRank(op, 'labels [N]', labels, 1);
  needFloat(op, logits);
  if (labels.dtype !== 'int64') refuse(op, 'int64 labels', `${labels.dtype}; use cast()`);
  needDim(op, 'as many labels as rows of logits:', labels.shape[0]!, logits.shape[0]!);
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) refuse(op, 'labelSmoothing in [0, 1]', `${labelSmoothing}`);
  if (weight) {
    needRank(op, 'class weights [K]', weight, 1);
    needDim(op, 'class weights of length', weight.shape[0]!, logits.shape[1]!);
  }
  const shape = reduction === 'none' ? [logits.shape[0]!] : [];
  return record(
    op,
    weight ? [logits, labels, weight] : [logits, labels],
    { labelSmoothing, reduction },
    shape,
    logits.dtype,
  );
}

/**
 * Index of the largest value along `dim`, int64; not differentiable.
 * @example
 * import { argmax, constant } from 'mnv2-torch';
 * console.log((await argmax(constant([1, 5, 2])).data()).data[0]); // 1n
 */
export function argmax(x: Tensor, dim = -1): Tensor {
  const d = axis('argmax', dim, x.shape.length);
  return record('argmax', [x], { dim: d }, x.shape.toSpliced(d, 1), 'int64');
}

export interface ReduceOptions {
  /** default: all dimensions */
  dims?: readonly number[];
  keepDims?: boolean;
}

const reduction =
  (op: string) =>
  (x: Tensor, { dims, keepDims = false }: ReduceOptions = {}): Tensor => {
    const rank = x.shape.length;
    const over = (dims ?? x.shape.map((_, i) => i)).map((d) => axis(op, d, rank));
    if (new Set(over).size !== over.length) refuse(op, 'distinct dimensions', `[${over.join(', ')}]`);
    if (op === 'mean') needFloat(op, x);
    const kept = x.shape.map((d, i) => (over.includes(i) ? 1 : d));
    const shape = keepDims ? kept : kept.filter((_, i) => !over.includes(i));
    const dtype = op === 'sum' && !isFloat(x.dtype) ? 'int64' : x.dtype;
    return record(op, [x], { dims: over, keepDims }, shape, dtype);
  };

/**
 * Sum over `dims` (default all); integers and bools sum to int64.
 * @example
 * import { constant, sum } from 'mnv2-torch';
 * console.log([...(await sum(constant([1, 2, 3, 4], [2, 2]), { dims: [0] }).data()).data]); // [4, 6]
 */
export const sum = reduction('sum');

/**
 * Mean over `dims` (default all).
 * @example
 * import { constant, mean } from 'mnv2-torch';
 * console.log((await mean(constant([1, 2, 6])).data()).data[0]); // 3
 */
export const mean = reduction('mean');

/**
 * Maximum over `dims` (default all); equal maxima share the gradient.
 * @example
 * import { constant, max } from 'mnv2-torch';
 * console.log((await max(constant([1, 6, 2])).data()).data[0]); // 6
 */
export const max = reduction('max');

/**
 * Minimum over `dims` (default all); equal minima share the gradient.
 * @example
 * import { constant, min } from 'mnv2-torch';
 * console.log((await min(constant([3, 1, 2])).data()).data[0]); // 1
 */
export const min = reduction('min');

/**
 * The same values in another shape; one dimension may be -1 and is worked out.
 * @example
 * import { constant, reshape } from 'mnv2-torch';
 * console.log((await reshape(constant([1, 2, 3, 4]), [2, -1]).data()).shape); // [2, 2]
 */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  const op = 'reshape';
  const open = shape.filter((d) => d === -1).length;
  if (open > 1 || shape.some((d) => !Number.isInteger(d) || d < -1))
    refuse(op, 'at most one -1', `[${shape.join(', ')}]`);
  const total = elements(x.shape);
  const known = shape.reduce((a, d) => (d === -1 ? a : a * d), 1);
  if (total !== -1 && (open ? known === 0 || total % known !== 0 : known !== total)) {
    refuse(op, `a shape of ${total} elements`, `[${shape.join(', ')}] for [${shapeText(x.shape)}]`);
  }
  const out = total === -1 ? shape : shape.map((d) => (d === -1 ? total / known : d));
  return record(op, [x], { shape: [...shape] }, [...out], x.dtype);
}

/**
 * Dimensions in another order.
 * @example
 * import { constant, permute } from 'mnv2-torch';
 * console.log([...(await permute(constant([1, 2, 3, 4], [2, 2]), [1, 0]).data()).data]); // [1, 3, 2, 4]
 */
export function permute(x: Tensor, dims: readonly number[]): Tensor {
  const rank = x.shape.length;
  const order = dims.map((d) => axis('permute', d, rank));
  if (order.length !== rank || new Set(order).size !== rank)
    refuse('permute', `all ${rank} dimensions once`, `[${dims.join(', ')}]`);
  return record(
    'permute',
    [x],
    { dims: order },
    order.map((d) => x.shape[d]!),
    x.dtype,
  );
}

/**
 * Elements start, start + step, ... below end along one dimension; negative positions count from the end.
 * @example
 * import { constant, slice } from 'mnv2-torch';
 * console.log([...(await slice(constant([1, 2, 3, 4]), { dim: 0, start: 1, end: 3 }).data()).data]); // [2, 3]
 */
export function slice(
  x: Tensor,
  { dim, start = 0, end, step = 1 }: { dim: number; start?: number; end?: number; step?: number },
): Tensor {
  const d = axis('slice', dim, x.shape.length);
  if (!Number.isInteger(step) || step < 1) refuse('slice', 'a step of at least 1', `${step}`);
  const size = x.shape[d]!;
  const negative = start < 0 || (end ?? 0) < 0;
  if (size === -1) {
    if (negative || end !== undefined)
      refuse('slice', 'a known size, or only a start, along a None dimension', `start ${start}, end ${end}`);
    return record('slice', [x], { dim: d, start, end: Number.MAX_SAFE_INTEGER, step }, x.shape, x.dtype);
  }
  const at = (p: number): number => Math.min(Math.max(p < 0 ? p + size : p, 0), size);
  const [from, to] = [at(start), at(end ?? size)];
  const length = Math.max(0, Math.ceil((to - from) / step));
  return record('slice', [x], { dim: d, start: from, end: to, step }, x.shape.with(d, length), x.dtype);
}

/**
 * Joins tensors along a dimension.
 * @example
 * import { concat, constant } from 'mnv2-torch';
 * console.log([...(await concat([constant([1]), constant([2, 3])], 0).data()).data]); // [1, 2, 3]
 */
export function concat(tensors: readonly Tensor[], dim = 0): Tensor {
  const [first, ...rest] = tensors;
  if (!first) return refuse('concat', 'at least one tensor', 'none');
  const d = axis('concat', dim, first.shape.length);
  for (const t of rest) {
    needRank('concat', 'tensors', t, first.shape.length);
    t.shape.forEach((size, i) => i !== d && needDim('concat', `dimension ${i} of size`, size, first.shape[i]!));
  }
  const sizes = tensors.map((t) => t.shape[d]!);
  const total = sizes.includes(-1) ? -1 : sizes.reduce((a, b) => a + b, 0);
  return record('concat', tensors, { dim: d }, first.shape.with(d, total), sameDType('concat', ...tensors));
}

/**
 * Zero (or `value`) padding of H and W.
 * @param pads [top, bottom, left, right]
 * @example
 * import { constant, pad2d } from 'mnv2-torch';
 * console.log((await pad2d(constant([1], [1, 1, 1, 1]), [0, 1, 0, 2]).data()).shape); // [1, 1, 2, 3]
 */
export function pad2d(x: Tensor, pads: readonly [number, number, number, number], value = 0): Tensor {
  needRank('pad2d', 'an input [N, C, H, W]', x, 4);
  const [top, bottom, left, right] = explicitPads('pad2d', pads, [], [], []);
  const grow = (n: number, by: number): number => (n === -1 ? -1 : n + by);
  const shape = [x.shape[0]!, x.shape[1]!, grow(x.shape[2]!, top + bottom), grow(x.shape[3]!, left + right)];
  return record('pad2d', [x], { pads: [top, bottom, left, right], value }, shape, x.dtype);
}

/**
 * Converts to another dtype; floats to integers truncate.
 * @example
 * import { cast, constant } from 'mnv2-torch';
 * console.log([...(await cast(constant([1.5]), 'int64').data()).data]); // [1n]
 */
export function cast(x: Tensor, dtype: DType): Tensor {
  return record('cast', [x], { dtype }, x.shape, dtype);
}

/**
 * d loss / d w for each w, as tensors of their shapes. `loss` is a scalar; gradients of gradients are not supported.
 * @example
 * import { constant, gradients, mul, sum } from 'mnv2-torch';
 * const x = constant([1, 2, 3]);
 * const [dx] = gradients(sum(mul(x, x)), [x]);
 * console.log([...(await dx.data()).data]); // [2, 4, 6]
 */
export function gradients(loss: Tensor, wrt: readonly Tensor[]): Tensor[] {
  if (loss.shape.length !== 0) refuse('gradients', 'a scalar loss', `[${shapeText(loss.shape)}]`);
  needFloat('gradients', loss, ...wrt);
  return wrt.map((w) => record('gradient', [loss, w], {}, w.shape, w.dtype));
}

/** Marks the output of a module; the engine never sees it, `fetch` finds it by name. Used by Module.call. */
export function moduleOutput(x: Tensor, module: string, type: string): Tensor {
  return record('module', [x], { module, type }, x.shape, x.dtype);
}

/** Ops the engine executes by name; what is missing here it must not have, and the other way round. */
export const ENGINE_OPS = [
  'add',
  'argmax',
  'avgPool2d',
  'batchNorm2d',
  'cast',
  'concat',
  'conv2d',
  'crossEntropy',
  'depthwiseConv2d',
  'div',
  'dropout',
  'equal',
  'globalAveragePool',
  'hardtanh',
  'linear',
  'logSoftmax',
  'max',
  'maxPool2d',
  'mean',
  'min',
  'mul',
  'pad2d',
  'permute',
  'relu',
  'relu6',
  'reshape',
  'slice',
  'softmax',
  'sub',
  'sum',
] as const;
