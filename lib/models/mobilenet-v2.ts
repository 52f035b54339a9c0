// MobileNet V2: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 2.
// Parameter names are torchvision's, byte for byte.
import type { Module } from '../nn/module.js';
import type { Architecture } from './architecture.js';
import { ConvBNReLU6, InvertedResidual, makeDivisible, type BlockStyle } from './blocks.js';
import {
  LINEAR_HEAD,
  linearClassifier,
  MobileNet,
  SHARED_OPTIONS,
  type MobileNetOptions,
} from './classifier-network.js';
import { timmBlocks, type LayerNames } from './layer-names.js';
import { choice, flag, json, resolveOptions } from './options.js';

/** One line of table 2: expansion t, channels c, repeats n, stride s of the first. */
export type InvertedResidualSetting = readonly (readonly [t: number, c: number, n: number, s: number])[];

export interface MobileNetV2Options extends MobileNetOptions {
  /** the paper's ReLU6 (default), or ReLU */
  activation?: 'relu' | 'relu6';
  /** false puts the activation after the projection too: the paper's ablation (section 6.2) */
  linearBottleneck?: boolean;
  /** false adds no block's input to its output: the paper's ablation (section 6.2) */
  residual?: boolean;
  /** rows [t, c, n, s]; up to 1000 blocks of at most 8192 channels, expanded up to 64 times (default: table 2) */
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

/** The largest t, c, n and s: beyond them no machine holds or crosses the network a row describes. */
const MOST = [64, 8192, 1000, 8] as const;
const MOST_BLOCKS = 1000;

function refuseSetting(value: unknown): string | undefined {
  const row = (r: unknown): boolean =>
    Array.isArray(r) && r.length === 4 && r.every((v, i) => Number.isInteger(v) && v >= 1 && v <= MOST[i]!);
  if (!Array.isArray(value) || value.length === 0 || !value.every(row))
    return `rows of four whole numbers [t, c, n, s] of at least 1, at most [${MOST.join(', ')}]`;
  const blocks = (value as number[][]).reduce((sum, [, , n]) => sum + n!, 0);
  return blocks > MOST_BLOCKS ? `rows [t, c, n, s] of at most ${MOST_BLOCKS} blocks` : undefined;
}

export const mobilenetV2: Architecture<'mobilenet_v2', MobileNetV2Options> = {
  name: 'mobilenet_v2',
  options: {
    ...SHARED_OPTIONS,
    activation: choice('activation', 'relu6', ['relu', 'relu6']),
    linearBottleneck: flag('linear_bottleneck', true),
    residual: flag('residual', true),
    invertedResidualSetting: json('inverted_residual_setting', TABLE_2, refuseSetting),
  },
  create: MobileNetV2,
  head: LINEAR_HEAD,
  layers,
};

function layers({ invertedResidualSetting }: Required<MobileNetV2Options>): LayerNames[] {
  // A stage of timm's is a row of the table.
  const rows = invertedResidualSetting.flatMap(([t, , n], row) => Array.from({ length: n }, () => ({ t, row })));
  const stages = timmBlocks(rows.map(({ row }) => row));
  const blocks = rows.flatMap(({ t }, i): LayerNames[] => {
    const [conv, timm, keras] = [`features.${i + 1}.conv`, stages[i]!, i === 0 ? 'expanded_conv' : `block_${i}`];
    if (t === 1)
      return [
        [`${conv}.0.0`, `${timm}.conv_dw`, `${keras}_depthwise`],
        [`${conv}.0.1`, `${timm}.bn1`, `${keras}_depthwise_BN`],
        [`${conv}.1`, `${timm}.conv_pw`, `${keras}_project`],
        [`${conv}.2`, `${timm}.bn2`, `${keras}_project_BN`],
      ];
    return [
      [`${conv}.0.0`, `${timm}.conv_pw`, `${keras}_expand`],
      [`${conv}.0.1`, `${timm}.bn1`, `${keras}_expand_BN`],
      [`${conv}.1.0`, `${timm}.conv_dw`, `${keras}_depthwise`],
      [`${conv}.1.1`, `${timm}.bn2`, `${keras}_depthwise_BN`],
      [`${conv}.2`, `${timm}.conv_pwl`, `${keras}_project`],
      [`${conv}.3`, `${timm}.bn3`, `${keras}_project_BN`],
    ];
  });
  const last = `features.${rows.length + 1}`;
  return [
    ['features.0.0', 'conv_stem', 'Conv1'],
    ['features.0.1', 'bn1', 'bn_Conv1'],
    ...blocks,
    [`${last}.0`, 'conv_head', 'Conv_1'],
    [`${last}.1`, 'bn2', 'Conv_1_bn'],
    ['classifier.1', 'classifier', 'predictions'],
  ];
}

/**
 * MobileNet V2: [N, inChannels, H, W] -> logits [N, numClasses].
 * @throws UsageError when an option is out of range
 * @example
 * import { input, MobileNetV2 } from 'mnv2-torch';
 * const model = MobileNetV2({ numClasses: 21 });
 * console.log(model.call(input('image', [-1, 3, 224, 224])).shape); // [ -1, 21 ]
 */
export function MobileNetV2(options: MobileNetV2Options = {}): MobileNet<MobileNetV2Options> {
  const o = resolveOptions(mobilenetV2.options, options);
  const style: BlockStyle = {
    padding: o.padding,
    bnEps: o.bnEps,
    bnMomentum: o.bnMomentum,
    activation: o.activation,
  };
  const width = (c: number): number => makeDivisible(c * o.widthMult, o.roundNearest);
  // The last layer does not shrink below the paper's 1280 (section 6.1).
  const last = makeDivisible(1280 * Math.max(1, o.widthMult), o.roundNearest);

  let channels = width(32);
  const features: Module[] = [new ConvBNReLU6(o.inChannels, channels, 3, 2, style)];
  for (const [t, c, n, s] of o.invertedResidualSetting) {
    for (let i = 0; i < n; i++) {
      features.push(
        new InvertedResidual(channels, width(c), i === 0 ? s : 1, t, style, o.linearBottleneck, o.residual),
      );
      channels = width(c);
    }
  }
  features.push(new ConvBNReLU6(channels, last, 1, 1, style));
  return new MobileNet(mobilenetV2.name, o, features, linearClassifier(last, o));
}
