// What MobileNet V1 and V2 share: features, pooling, dropout, one linear layer. Owns option checking.
import { UsageError } from '../errors.js';
import { Dropout, GlobalAveragePool, Linear } from '../nn/layers.js';
import { Module, Sequential } from '../nn/module.js';
import type { Tensor } from '../graph/tensor.js';

/** Options of both networks; defaults are torchvision's. */
export interface MobileNetOptions {
  /** classes to tell apart (default 1000) */
  numClasses?: number;
  /** multiplies every layer's channels: the papers' alpha (default 1) */
  widthMult?: number;
  /** channels are rounded to a multiple of this (default 8) */
  roundNearest?: number;
  /** probability before the classifier (default 0.2) */
  dropout?: number;
  /** 'symmetric' (PyTorch) or 'tf-same' (TensorFlow and Keras): must be what the weights were trained with */
  padding?: 'symmetric' | 'tf-same';
  /** BatchNorm's epsilon (default 1e-5; TensorFlow's weights want 1e-3) */
  bnEps?: number;
  /** BatchNorm's momentum, PyTorch's sense (default 0.1) */
  bnMomentum?: number;
  /** channels of the images (default 3) */
  inChannels?: number;
}

export type ResolvedOptions<T> = Required<T>;

/** Checks and completes; throws a UsageError that names the option. */
export function resolveOptions(options: MobileNetOptions): ResolvedOptions<MobileNetOptions> {
  const o = {
    numClasses: 1000,
    widthMult: 1,
    roundNearest: 8,
    dropout: 0.2,
    padding: 'symmetric' as const,
    bnEps: 1e-5,
    bnMomentum: 0.1,
    inChannels: 3,
    ...options,
  };
  const check = (name: keyof typeof o, ok: boolean, expected: string): void => {
    if (!ok) throw new UsageError(`${name}: expected ${expected}, got ${JSON.stringify(o[name])}`);
  };
  const whole = (v: number): boolean => Number.isInteger(v) && v >= 1;
  check('numClasses', whole(o.numClasses), 'a whole number of at least 1');
  check('widthMult', o.widthMult > 0 && Number.isFinite(o.widthMult), 'a number above 0');
  check('roundNearest', whole(o.roundNearest), 'a whole number of at least 1');
  check('dropout', o.dropout >= 0 && o.dropout < 1, 'a probability in [0, 1)');
  check('padding', ['symmetric', 'tf-same'].includes(o.padding), "'symmetric' or 'tf-same'");
  check('bnEps', o.bnEps > 0, 'a number above 0');
  check('bnMomentum', o.bnMomentum >= 0 && o.bnMomentum <= 1, 'a number in [0, 1]');
  check('inChannels', whole(o.inChannels), 'a whole number of at least 1');
  return o;
}

/**
 * features -> mean over H, W -> dropout -> linear: [N, inChannels, H, W] -> [N, numClasses].
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
    readonly arch: 'mobilenet_v1' | 'mobilenet_v2',
    readonly options: ResolvedOptions<O>,
    features: Module[],
    readonly numFeatures: number,
  ) {
    super();
    this.features = new Sequential(...features);
    const o = options as ResolvedOptions<MobileNetOptions>;
    this.classifier = new Sequential(new Dropout(o.dropout), new Linear(numFeatures, o.numClasses));
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
