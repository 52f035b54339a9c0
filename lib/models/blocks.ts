// The blocks MobileNets are stacked from: convolution + BatchNorm + activation, depthwise separable (V1), inverted
// residual (V2), squeeze and excitation (V3). Parameter names are torchvision's.
import { add, hardsigmoid, mean, mul, relu, type Padding } from '../graph/ops.js';
import type { Tensor } from '../graph/tensor.js';
import { Hardswish, ReLU, ReLU6 } from '../nn/activations.js';
import { BatchNorm2d, Conv2d, DepthwiseConv2d } from '../nn/layers.js';
import { Module, Sequential } from '../nn/module.js';

/** What every convolution of a network shares. */
export interface BlockStyle {
  /** 'symmetric' pads half the kernel on every side, as PyTorch's models; 'tf-same' as TensorFlow's */
  padding: 'symmetric' | 'tf-same';
  bnEps: number;
  bnMomentum: number;
  activation: Activation;
}

const ACTIVATIONS = { relu: ReLU, relu6: ReLU6, hardswish: Hardswish };
/** A name of an activation that blocks are built with. */
export type Activation = keyof typeof ACTIVATIONS;

/**
 * The nearest multiple of `divisor`, at least `divisor`, never more than a tenth below (V2's reference code).
 * @example
 * import { makeDivisible } from 'mnv2-torch';
 * console.log(makeDivisible(32 * 0.35, 8)); // 16
 */
export function makeDivisible(channels: number, divisor: number): number {
  const rounded = Math.max(divisor, Math.floor((channels + divisor / 2) / divisor) * divisor);
  return rounded < 0.9 * channels ? rounded + divisor : rounded;
}

const pads = (style: BlockStyle, kernel: number): Padding =>
  kernel === 1 ? 0 : style.padding === 'tf-same' ? 'tf-same' : (kernel - 1) / 2;
const norm = (channels: number, style: BlockStyle): BatchNorm2d =>
  new BatchNorm2d(channels, { eps: style.bnEps, momentum: style.bnMomentum });
const activation = (style: BlockStyle): Module => new ACTIVATIONS[style.activation]();

/** A convolution (0) without bias, BatchNorm (1) and, unless `linear`, the style's activation (2). */
export class ConvBNActivation extends Sequential {
  constructor(
    inChannels: number,
    outChannels: number,
    kernel: number,
    stride: number,
    style: BlockStyle,
    linear = false,
  ) {
    super(
      new Conv2d(inChannels, outChannels, kernel, { stride, padding: pads(style, kernel) }),
      norm(outChannels, style),
      ...(linear ? [] : [activation(style)]),
    );
  }
}

/** The same of a depthwise convolution: [N, C, H, W] -> [N, C, H / stride, W / stride]. */
export class DepthwiseBNActivation extends Sequential {
  constructor(channels: number, kernel: number, stride: number, style: BlockStyle) {
    super(
      new DepthwiseConv2d(channels, kernel, { stride, padding: pads(style, kernel) }),
      norm(channels, style),
      activation(style),
    );
  }
}

/**
 * Convolution (0), BatchNorm (1), activation (2): [N, in, H, W] -> [N, out, H / stride, W / stride].
 * @example
 * import { ConvBNReLU6, input } from 'mnv2-torch';
 * const style = { padding: 'symmetric', bnEps: 1e-5, bnMomentum: 0.1, activation: 'relu6' };
 * console.log(new ConvBNReLU6(3, 32, 3, 2, style).call(input('x', [-1, 3, 224, 224])).shape); // [-1, 32, 112, 112]
 */
export class ConvBNReLU6 extends ConvBNActivation {
  constructor(inChannels: number, outChannels: number, kernel: number, stride: number, style: BlockStyle) {
    super(inChannels, outChannels, kernel, stride, style);
  }
}

/** Depthwise 3x3 convolution (0), BatchNorm (1), activation (2): [N, C, H, W] -> [N, C, H / stride, W / stride]. */
export class DepthwiseBNReLU6 extends DepthwiseBNActivation {
  constructor(channels: number, stride: number, style: BlockStyle) {
    super(channels, 3, stride, style);
  }
}

/**
 * Squeeze and excitation (Hu et al. 2018; V3, section 5.3): each channel times a number in [0, 1] that two 1x1
 * convolutions make of the means of all: [N, C, H, W] -> the same.
 * @example
 * import { input, SqueezeExcitation } from 'mnv2-torch';
 * const block = new SqueezeExcitation(72, 24);
 * console.log(block.call(input('x', [-1, 72, 28, 28])).shape); // [ -1, 72, 28, 28 ]
 */
export class SqueezeExcitation extends Module {
  readonly fc1: Conv2d;
  readonly fc2: Conv2d;

  constructor(channels: number, squeezed: number) {
    super();
    this.fc1 = new Conv2d(channels, squeezed, 1, { bias: true });
    this.fc2 = new Conv2d(squeezed, channels, 1, { bias: true });
  }
  forward(x: Tensor): Tensor {
    const means = mean(x, { dims: [2, 3], keepDims: true }); // [N, C, 1, 1]
    return mul(x, hardsigmoid(this.fc2.call(relu(this.fc1.call(means)))));
  }
}

/**
 * V1's block (section 3.1, figure 3): depthwise 3x3 (0), then pointwise 1x1 (1), each with BatchNorm and activation.
 * @example
 * import { DepthwiseSeparable, input } from 'mnv2-torch';
 * const style = { padding: 'symmetric', bnEps: 1e-5, bnMomentum: 0.1, activation: 'relu6' };
 * console.log(new DepthwiseSeparable(32, 64, 1, style).call(input('x', [-1, 32, 112, 112])).shape); // [-1, 64, 112, 112]
 */
export class DepthwiseSeparable extends Sequential {
  constructor(inChannels: number, outChannels: number, stride: number, style: BlockStyle) {
    super(new DepthwiseBNReLU6(inChannels, stride, style), new ConvBNReLU6(inChannels, outChannels, 1, 1, style));
  }
}

/**
 * V2's block (section 3.3, table 1): expand by t with a 1x1 (left out at t = 1), depthwise 3x3, project with a linear
 * 1x1; input added where stride and channels allow. `linearBottleneck: false` puts the activation after the
 * projection too, `residual: false` adds nothing: the ablations of section 6.2.
 * @example
 * import { InvertedResidual, input } from 'mnv2-torch';
 * const style = { padding: 'symmetric', bnEps: 1e-5, bnMomentum: 0.1, activation: 'relu6' };
 * const block = new InvertedResidual(24, 24, 1, 6, style);
 * console.log(block.residual, block.call(input('x', [-1, 24, 56, 56])).shape); // true [-1, 24, 56, 56]
 */
export class InvertedResidual extends Module {
  readonly conv: Sequential;
  readonly residual: boolean;

  constructor(
    inChannels: number,
    outChannels: number,
    stride: number,
    expandRatio: number,
    style: BlockStyle,
    linearBottleneck = true,
    residual = true,
  ) {
    super();
    const hidden = Math.round(inChannels * expandRatio);
    const expand = expandRatio === 1 ? [] : [new ConvBNReLU6(inChannels, hidden, 1, 1, style)];
    const project = [new Conv2d(hidden, outChannels, 1, { padding: 0 }), norm(outChannels, style)];
    this.conv = new Sequential(
      ...expand,
      new DepthwiseBNReLU6(hidden, stride, style),
      ...project,
      ...(linearBottleneck ? [] : [activation(style)]),
    );
    this.residual = residual && stride === 1 && inChannels === outChannels;
  }
  forward(x: Tensor): Tensor {
    const y = this.conv.call(x);
    return this.residual ? add(x, y) : y;
  }
}
