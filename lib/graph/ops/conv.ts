// Convolutions. Feature maps are [N, C, H, W].
import { record, refuse, shapeText, type DType, type Tensor } from '../tensor.js';
import {
  explicitPads,
  needDim,
  needFloat,
  needRank,
  pair,
  sameDType,
  slide,
  type Pads,
  type Padding,
  type Pair,
} from '../shape.js';

/** How a filter moves over its input, as in PyTorch. */
export interface Conv2dOptions {
  /** [out], added to every pixel */
  bias?: Tensor;
  /** step of the filter, pixels (default 1) */
  stride?: Pair;
  /** zeros around the input (default 0) */
  padding?: Padding;
  /** distance of the filter's taps, pixels (default 1) */
  dilation?: Pair;
  /** input channels are split into so many groups that do not meet (default 1) */
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

const ROUTES = ['auto', 'cudnn', 'native', 'fused'] as const;
/** Which implementation runs a depthwise convolution on CUDA; the CPU has one and takes any. */
export type DepthwiseRoute = (typeof ROUTES)[number];

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
  if (!ROUTES.includes(route)) refuse(op, `a route out of ${ROUTES.join(', ')}`, `'${route}'`);
  const { pads, stride, dilation, out } = convWindow(op, x, weight, options);
  const inputs = options.bias ? [x, weight, options.bias] : [x, weight];
  return record(op, inputs, { stride, padding: pads, dilation, route }, [x.shape[0]!, weight.shape[0]!, ...out], dtype);
}
