// The layers networks are made of, but activations. Each is an op with its parameters.
import {
  batchNorm2d,
  conv2d,
  depthwiseConv2d,
  dropout,
  globalAveragePool,
  layerNorm,
  linear,
  reshape,
  type DepthwiseRoute,
  type Padding,
} from '../graph/ops.js';
import type { Tensor } from '../graph/tensor.js';
import { kaimingFanOut, normalInit, ones, zeros } from './init.js';
import { Module, Parameter } from './module.js';

/** Without `padding`: half the kernel on every side, so that stride 1 keeps the size. */
export interface ConvOptions {
  stride?: number;
  padding?: Padding;
  dilation?: number;
  bias?: boolean;
}

const halfKernel = (kernel: number, dilation: number): number => (dilation * (kernel - 1)) / 2;

/**
 * 2-D convolution: [N, in, H, W] -> [N, out, H', W'].
 * @example
 * import { Conv2d, input } from 'mnv2-torch';
 * console.log(new Conv2d(3, 8, 3, { stride: 2 }).call(input('x', [-1, 3, 32, 32])).shape); // [ -1, 8, 16, 16 ]
 */
export class Conv2d extends Module {
  readonly weight: Parameter;
  readonly bias?: Parameter;

  constructor(
    readonly inChannels: number,
    readonly outChannels: number,
    readonly kernel: number,
    readonly options: ConvOptions & { groups?: number } = {},
  ) {
    super();
    this.weight = new Parameter([outChannels, inChannels / (options.groups ?? 1), kernel, kernel], kaimingFanOut);
    if (options.bias) this.bias = new Parameter([outChannels], zeros);
  }
  forward(x: Tensor): Tensor {
    const { stride = 1, dilation = 1, groups = 1, padding = halfKernel(this.kernel, dilation) } = this.options;
    return conv2d(x, this.weight.tensor, {
      stride,
      padding,
      dilation,
      groups,
      ...(this.bias && { bias: this.bias.tensor }),
    });
  }
}

/**
 * Depthwise 2-D convolution, one filter a channel (V1, section 3.1): [N, C, H, W] -> [N, C * multiplier, H', W'].
 * @example
 * import { DepthwiseConv2d, input } from 'mnv2-torch';
 * console.log(new DepthwiseConv2d(8, 3).call(input('x', [-1, 8, 32, 32])).shape); // [ -1, 8, 32, 32 ]
 */
export class DepthwiseConv2d extends Module {
  readonly weight: Parameter;
  readonly bias?: Parameter;

  constructor(
    readonly channels: number,
    readonly kernel: number,
    readonly options: ConvOptions & { multiplier?: number; route?: DepthwiseRoute } = {},
  ) {
    super();
    const out = channels * (options.multiplier ?? 1);
    this.weight = new Parameter([out, 1, kernel, kernel], kaimingFanOut);
    if (options.bias) this.bias = new Parameter([out], zeros);
  }
  forward(x: Tensor): Tensor {
    const { stride = 1, dilation = 1, padding = halfKernel(this.kernel, dilation), route = 'auto' } = this.options;
    return depthwiseConv2d(x, this.weight.tensor, {
      stride,
      padding,
      dilation,
      route,
      ...(this.bias && { bias: this.bias.tensor }),
    });
  }
}

/**
 * Batch normalisation over N, H, W of [N, C, H, W] (Ioffe and Szegedy 2015). `momentum` in PyTorch's sense.
 * `num_batches_tracked` is carried for torchvision's checkpoints and not counted.
 * @example
 * import { BatchNorm2d } from 'mnv2-torch';
 * console.log(new BatchNorm2d(8, { eps: 1e-3 }).trainable().join(' ')); // weight bias
 */
export class BatchNorm2d extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly running_mean: Parameter;
  readonly running_var: Parameter;
  readonly num_batches_tracked: Parameter;

  constructor(
    readonly channels: number,
    readonly options: { eps?: number; momentum?: number } = {},
  ) {
    super();
    this.weight = new Parameter([channels], ones);
    this.bias = new Parameter([channels], zeros);
    this.running_mean = new Parameter([channels], zeros, 'buffer');
    this.running_var = new Parameter([channels], ones, 'buffer');
    this.num_batches_tracked = new Parameter([], zeros, 'buffer', 'int64');
  }
  forward(x: Tensor): Tensor {
    const state = {
      weight: this.weight.tensor,
      bias: this.bias.tensor,
      runningMean: this.running_mean.tensor,
      runningVar: this.running_var.tensor,
    };
    return batchNorm2d(x, state, { training: this.training, ...this.options });
  }
}

/**
 * x W^T + b: [..., in] -> [..., out].
 * @example
 * import { input, Linear } from 'mnv2-torch';
 * console.log(new Linear(1280, 21).call(input('x', [-1, 1280])).shape); // [ -1, 21 ]
 */
export class Linear extends Module {
  readonly weight: Parameter;
  readonly bias?: Parameter;

  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    options: { bias?: boolean } = {},
  ) {
    super();
    this.weight = new Parameter([outFeatures, inFeatures], normalInit(0.01));
    if (options.bias ?? true) this.bias = new Parameter([outFeatures], zeros);
  }
  forward(x: Tensor): Tensor {
    return linear(x, this.weight.tensor, this.bias?.tensor);
  }
}

/**
 * Layer normalisation over the last dimensions of each example (Ba et al. 2016): [..., *shape] -> the same.
 * @example
 * import { constant, LayerNorm, Weights, compile } from 'mnv2-torch';
 * const model = new LayerNorm(2, { eps: 0 });
 * const y = model.call(constant([2, 4], [1, 2]));
 * const program = compile({ y }, { weights: await Weights.init(model) });
 * console.log([...(await program.run()).y.data]); // [ -1, 1 ]
 */
export class LayerNorm extends Module {
  readonly shape: readonly number[];
  readonly weight?: Parameter;
  readonly bias?: Parameter;

  /**
   * @param shape sizes of the dimensions normalised over; one number for the last alone
   * @param options.affine whether a weight scales and a bias shifts each value (default true)
   */
  constructor(
    shape: number | readonly number[],
    readonly options: { eps?: number; affine?: boolean } = {},
  ) {
    super();
    this.shape = typeof shape === 'number' ? [shape] : shape;
    if (options.affine ?? true) {
      this.weight = new Parameter(this.shape, ones);
      this.bias = new Parameter(this.shape, zeros);
    }
  }
  forward(x: Tensor): Tensor {
    return layerNorm(x, this.shape, {
      ...(this.weight && { weight: this.weight.tensor }),
      ...(this.bias && { bias: this.bias.tensor }),
      ...(this.options.eps !== undefined && { eps: this.options.eps }),
    });
  }
}

/**
 * Zeroes values with probability p while training.
 * @example
 * import { constant, Dropout } from 'mnv2-torch';
 * console.log([...(await new Dropout(0.2).eval().call(constant([1, 2])).data()).data]); // [ 1, 2 ]
 */
export class Dropout extends Module {
  constructor(readonly p: number) {
    super();
  }
  forward(x: Tensor): Tensor {
    return this.training && this.p > 0 ? dropout(x, this.p) : x;
  }
}

/**
 * Mean over H and W: [N, C, H, W] -> [N, C].
 * @example
 * import { GlobalAveragePool, input } from 'mnv2-torch';
 * console.log(new GlobalAveragePool().call(input('x', [-1, 8, 7, 7])).shape); // [ -1, 8 ]
 */
export class GlobalAveragePool extends Module {
  forward(x: Tensor): Tensor {
    return globalAveragePool(x);
  }
}

/**
 * All dimensions but the first as one: [N, ...] -> [N, elements].
 * @example
 * import { Flatten, input } from 'mnv2-torch';
 * console.log(new Flatten().call(input('x', [-1, 8, 7, 7])).shape); // [ -1, 392 ]
 */
export class Flatten extends Module {
  forward(x: Tensor): Tensor {
    return reshape(x, [-1, x.shape.slice(1).reduce((a, b) => a * b, 1)]);
  }
}
