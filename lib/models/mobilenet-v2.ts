// MobileNet V2: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 2.
// Parameter names are torchvision's, byte for byte.
import { UsageError } from '../errors.js';
import { ConvBNReLU6, InvertedResidual, makeDivisible, type BlockStyle } from './blocks.js';
import { MobileNet, resolveOptions, type MobileNetOptions } from './classifier-network.js';

/** One line of table 2: expansion t, channels c, repeats n, stride s of the first. */
export type InvertedResidualSetting = readonly (readonly [t: number, c: number, n: number, s: number])[];

export interface MobileNetV2Options extends MobileNetOptions {
  /** false puts ReLU6 after the projection too: the paper's ablation (section 6.2) */
  linearBottleneck?: boolean;
  invertedResidualSetting?: InvertedResidualSetting;
}

const TABLE_2: InvertedResidualSetting = [
  // t, c, n, s
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
];

/**
 * MobileNet V2: [N, inChannels, H, W] -> logits [N, numClasses].
 * @throws UsageError when an option is out of range
 * @example
 * import { input, MobileNetV2 } from 'mnv2-torch';
 * const model = MobileNetV2({ numClasses: 21 });
 * console.log(model.call(input('image', [-1, 3, 224, 224])).shape); // [ -1, 21 ]
 */
export function MobileNetV2(options: MobileNetV2Options = {}): MobileNet<MobileNetV2Options> {
  const { linearBottleneck = true, invertedResidualSetting = TABLE_2 } = options;
  const o = { ...resolveOptions(options), linearBottleneck, invertedResidualSetting };
  if (
    invertedResidualSetting.length === 0 ||
    invertedResidualSetting.some((row) => row.length !== 4 || row.some((v) => !Number.isInteger(v) || v < 1))
  ) {
    throw new UsageError('invertedResidualSetting: expected rows of four whole numbers [t, c, n, s] of at least 1');
  }
  const style: BlockStyle = { padding: o.padding, bnEps: o.bnEps, bnMomentum: o.bnMomentum, activation: 'relu6' };
  const width = (c: number): number => makeDivisible(c * o.widthMult, o.roundNearest);
  // The last layer does not shrink below the paper's 1280 (section 6.1).
  const last = makeDivisible(1280 * Math.max(1, o.widthMult), o.roundNearest);

  let channels = width(32);
  const features = [new ConvBNReLU6(o.inChannels, channels, 3, 2, style)] as ConstructorParameters<typeof MobileNet>[2];
  for (const [t, c, n, s] of invertedResidualSetting) {
    for (let i = 0; i < n; i++) {
      features.push(new InvertedResidual(channels, width(c), i === 0 ? s : 1, t, style, linearBottleneck));
      channels = width(c);
    }
  }
  features.push(new ConvBNReLU6(channels, last, 1, 1, style));
  return new MobileNet('mobilenet_v2', o, features, last);
}
