// What the MobileNets share: features, pooling, a classifier, and the options all of them take.
import { UsageError } from '../errors.js';
import { Dropout, GlobalAveragePool, Linear } from '../nn/layers.js';
import { Module, Sequential } from '../nn/module.js';
import type { Tensor } from '../graph/tensor.js';
import type { Head } from './head.js';
import { choice, number, wholeNumber, type OptionTable } from './options.js';

/** Options of every network; defaults are torchvision's. */
export interface MobileNetOptions {
  /** classes to tell apart, up to a million (default 1000) */
  numClasses?: number;
  /** multiplies every layer's channels: the papers' alpha, up to 32 (default 1) */
  widthMult?: number;
  /** channels are rounded to a multiple of this, up to 1024 (default 8) */
  roundNearest?: number;
  /** probability before the last layer (default 0.2) */
  dropout?: number;
  /** 'symmetric' (PyTorch) or 'tf-same' (TensorFlow and Keras): must be what the weights were trained with */
  padding?: 'symmetric' | 'tf-same';
  /** BatchNorm's epsilon, up to 1 (default 1e-5; TensorFlow's weights want 1e-3) */
  bnEps?: number;
  /** BatchNorm's momentum, PyTorch's sense (default 0.1) */
  bnMomentum?: number;
  /** channels of the images, up to 4096 (default 3) */
  inChannels?: number;
}

/** Bounds: beyond them a network fits into no machine, and finding that out would take minutes. */
export const MOST_CLASSES = 1_000_000;
export const MOST_WIDTH = 32;

export const SHARED_OPTIONS: OptionTable<MobileNetOptions> = {
  numClasses: wholeNumber('num_classes', 1000, MOST_CLASSES),
  widthMult: number('width_mult', 1, { above: 0, most: MOST_WIDTH }),
  roundNearest: wholeNumber('round_nearest', 8, 1024),
  dropout: number('dropout', 0.2, { least: 0, below: 1 }),
  padding: choice('padding', 'symmetric', ['symmetric', 'tf-same'], { tf_same: 'tf-same' }),
  bnEps: number('bn_eps', 1e-5, { above: 0, most: 1 }),
  bnMomentum: number('bn_momentum', 0.1, { least: 0, most: 1 }),
  inChannels: wholeNumber('in_channels', 3, 4096),
};

/** Dropout (0) and a linear layer (1): [N, features] -> [N, numClasses]. */
export const linearClassifier = (features: number, options: Required<MobileNetOptions>): Module[] => [
  new Dropout(options.dropout),
  new Linear(features, options.numClasses),
];
/** The head of a network that ends with {@link linearClassifier}. */
export const LINEAR_HEAD: Head = { module: 'classifier', classes: 'classifier.1.weight' };

/**
 * features -> mean over H, W -> classifier: [N, inChannels, H, W] -> [N, numClasses].
 * @example
 * import { MobileNet, MobileNetV2 } from 'mnv2-torch';
 * const model = MobileNetV2({ numClasses: 21 }).freezeBackbone('features');
 * console.log(model instanceof MobileNet, model.trainable()); // true ['classifier.1.weight', 'classifier.1.bias']
 */
export class MobileNet<O extends MobileNetOptions = MobileNetOptions> extends Module {
  readonly features: Sequential;
  readonly pool = new GlobalAveragePool();
  readonly classifier: Sequential;

  constructor(
    /** name of its architecture */
    readonly arch: string,
    readonly options: Required<O>,
    features: readonly Module[],
    classifier: readonly Module[],
  ) {
    super();
    this.features = new Sequential(...features);
    this.classifier = new Sequential(...classifier);
  }
  forward(x: Tensor): Tensor {
    return this.classifier.call(this.pool.call(this.features.call(x)));
  }

  /**
   * Freezes the backbone: 'features' all of it, a number the first n blocks, 'none' nothing.
   * @throws UsageError when n is not within the number of blocks
   */
  freezeBackbone(what: 'features' | 'none' | number): this {
    const blocks = this.features.layers;
    this.unfreeze();
    if (what === 'none') return this;
    const count = what === 'features' ? blocks.length : what;
    if (!Number.isInteger(count) || count < 0 || count > blocks.length) {
      throw new UsageError(
        `freeze: expected 'features', 'none' or a number of blocks from 0 to ${blocks.length}, got ${what}`,
      );
    }
    for (const block of blocks.slice(0, count)) block.freeze();
    return this;
  }
}
