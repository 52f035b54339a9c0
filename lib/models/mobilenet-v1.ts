// MobileNet V1: Howard et al. 2017, "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
// Applications", table 1. A straight pipe of depthwise separable convolutions.
//
// Parameter names: features.0 is the stem (.0 convolution, .1 BatchNorm); features.i, i = 1..13, are the depthwise
// separable blocks (.0.0 depthwise, .0.1 its BatchNorm, .1.0 pointwise, .1.1 its BatchNorm); classifier.1 as in V2.
import type { Module } from '../nn/module.js';
import type { Architecture } from './architecture.js';
import { ConvBNReLU6, DepthwiseSeparable, makeDivisible, type BlockStyle } from './blocks.js';
import {
  LINEAR_HEAD,
  linearClassifier,
  MobileNet,
  SHARED_OPTIONS,
  type MobileNetOptions,
} from './classifier-network.js';
import { timmBlocks, type LayerNames } from './layer-names.js';
import { choice, resolveOptions } from './options.js';

export interface MobileNetV1Options extends MobileNetOptions {
  /** the paper says ReLU; TensorFlow's and Keras' models use ReLU6 (default) */
  activation?: 'relu' | 'relu6';
}

export const mobilenetV1: Architecture<'mobilenet_v1', MobileNetV1Options> = {
  name: 'mobilenet_v1',
  options: { ...SHARED_OPTIONS, activation: choice('activation', 'relu6', ['relu', 'relu6']) },
  create: MobileNetV1,
  head: LINEAR_HEAD,
  layers,
};

const TABLE_1 = [
  // channels, stride of the depthwise convolution
  [64, 1],
  [128, 2],
  [128, 1],
  [256, 2],
  [256, 1],
  [512, 2],
  [512, 1],
  [512, 1],
  [512, 1],
  [512, 1],
  [512, 1],
  [1024, 2],
  [1024, 1],
] as const;

function layers(): LayerNames[] {
  const stages = timmBlocks(TABLE_1.map(([channels]) => channels));
  const blocks = stages.flatMap((timm, i): LayerNames[] => {
    const [block, k] = [`features.${i + 1}`, i + 1];
    return [
      [`${block}.0.0`, `${timm}.conv_dw`, `conv_dw_${k}`],
      [`${block}.0.1`, `${timm}.bn1`, `conv_dw_${k}_bn`],
      [`${block}.1.0`, `${timm}.conv_pw`, `conv_pw_${k}`],
      [`${block}.1.1`, `${timm}.bn2`, `conv_pw_${k}_bn`],
    ];
  });
  return [
    ['features.0.0', 'conv_stem', 'conv1'],
    ['features.0.1', 'bn1', 'conv1_bn'],
    ...blocks,
    ['classifier.1', 'classifier', 'conv_preds'],
  ];
}

/**
 * MobileNet V1: [N, inChannels, H, W] -> logits [N, numClasses].
 * @throws UsageError when an option is out of range
 * @example
 * import { input, MobileNetV1 } from 'mnv2-torch';
 * const model = MobileNetV1({ numClasses: 21, widthMult: 0.5 });
 * console.log(model.call(input('image', [-1, 3, 224, 224])).shape); // [ -1, 21 ]
 */
export function MobileNetV1(options: MobileNetV1Options = {}): MobileNet<MobileNetV1Options> {
  const o = resolveOptions(mobilenetV1.options, options);
  const style: BlockStyle = {
    padding: o.padding,
    bnEps: o.bnEps,
    bnMomentum: o.bnMomentum,
    activation: o.activation,
  };
  const width = (c: number): number => makeDivisible(c * o.widthMult, o.roundNearest);

  let channels = width(32);
  const features: Module[] = [new ConvBNReLU6(o.inChannels, channels, 3, 2, style)];
  for (const [c, stride] of TABLE_1) {
    features.push(new DepthwiseSeparable(channels, width(c), stride, style));
    channels = width(c);
  }
  return new MobileNet(mobilenetV1.name, o, features, linearClassifier(channels, o));
}
