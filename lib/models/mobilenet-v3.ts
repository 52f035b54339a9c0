// MobileNet V3: Howard et al. 2019, "Searching for MobileNetV3", tables 1 (Large) and 2 (Small). Parameter names are
// torchvision's, byte for byte: features.0 is the stem, features.i.block the bottlenecks, then a last 1x1 convolution;
// classifier.0 and classifier.3 are the linear layers. Like torchvision, and unlike table 2, Small's last convolution
// has no squeeze and excitation.
import { add } from '../graph/ops.js';
import type { Tensor } from '../graph/tensor.js';
import { Hardswish } from '../nn/activations.js';
import { Dropout, Linear } from '../nn/layers.js';
import { Module, Sequential } from '../nn/module.js';
import type { Architecture } from './architecture.js';
import {
  ConvBNActivation,
  DepthwiseBNActivation,
  makeDivisible,
  SqueezeExcitation,
  type BlockStyle,
} from './blocks.js';
import { MobileNet, SHARED_OPTIONS, type MobileNetOptions } from './classifier-network.js';
import type { Head } from './head.js';
import { timmBlocks, type LayerNames } from './layer-names.js';
import { resolveOptions, type OptionTable } from './options.js';

/** One line of the tables: kernel, expansion size, channels out, squeeze and excitation, nonlinearity, stride. */
type Bottleneck = readonly [k: 3 | 5, exp: number, out: number, se: 'SE' | '-', nl: 'RE' | 'HS', s: 1 | 2];

interface Table {
  bottlenecks: readonly Bottleneck[];
  /** of the layer between the pooled features and the classes */
  hidden: number;
}

const LARGE: Table = {
  bottlenecks: [
    // k, exp, out, SE, NL, s
    [3, 16, 16, '-', 'RE', 1],
    [3, 64, 24, '-', 'RE', 2],
    [3, 72, 24, '-', 'RE', 1],
    [5, 72, 40, 'SE', 'RE', 2],
    [5, 120, 40, 'SE', 'RE', 1],
    [5, 120, 40, 'SE', 'RE', 1],
    [3, 240, 80, '-', 'HS', 2],
    [3, 200, 80, '-', 'HS', 1],
    [3, 184, 80, '-', 'HS', 1],
    [3, 184, 80, '-', 'HS', 1],
    [3, 480, 112, 'SE', 'HS', 1],
    [3, 672, 112, 'SE', 'HS', 1],
    [5, 672, 160, 'SE', 'HS', 2],
    [5, 960, 160, 'SE', 'HS', 1],
    [5, 960, 160, 'SE', 'HS', 1],
  ],
  hidden: 1280,
};

const SMALL: Table = {
  bottlenecks: [
    // k, exp, out, SE, NL, s
    [3, 16, 16, 'SE', 'RE', 2],
    [3, 72, 24, '-', 'RE', 2],
    [3, 88, 24, '-', 'RE', 1],
    [5, 96, 40, 'SE', 'HS', 2],
    [5, 240, 40, 'SE', 'HS', 1],
    [5, 240, 40, 'SE', 'HS', 1],
    [5, 120, 48, 'SE', 'HS', 1],
    [5, 144, 48, 'SE', 'HS', 1],
    [5, 288, 96, 'SE', 'HS', 2],
    [5, 576, 96, 'SE', 'HS', 1],
    [5, 576, 96, 'SE', 'HS', 1],
  ],
  hidden: 1024,
};

/** V3's own defaults of BatchNorm: those it was trained with. */
const OPTIONS: OptionTable<MobileNetOptions> = {
  ...SHARED_OPTIONS,
  bnEps: { ...SHARED_OPTIONS.bnEps, default: 1e-3 },
  bnMomentum: { ...SHARED_OPTIONS.bnMomentum, default: 0.01 },
};
const HEAD: Head = { module: 'classifier', classes: 'classifier.3.weight' };

export const mobilenetV3Small: Architecture<'mobilenet_v3_small', MobileNetOptions> = {
  name: 'mobilenet_v3_small',
  options: OPTIONS,
  create: MobileNetV3Small,
  head: HEAD,
  layers: (options) => layers(SMALL, options),
};
export const mobilenetV3Large: Architecture<'mobilenet_v3_large', MobileNetOptions> = {
  name: 'mobilenet_v3_large',
  options: OPTIONS,
  create: MobileNetV3Large,
  head: HEAD,
  layers: (options) => layers(LARGE, options),
};

/**
 * MobileNet V3 Small: [N, inChannels, H, W] -> logits [N, numClasses]. BatchNorm's defaults are eps 1e-3 and momentum
 * 0.01.
 * @throws UsageError when an option is out of range
 * @example
 * import { input, MobileNetV3Small } from 'mnv2-torch';
 * const model = MobileNetV3Small({ numClasses: 21 });
 * console.log(model.call(input('image', [-1, 3, 224, 224])).shape); // [ -1, 21 ]
 */
export function MobileNetV3Small(options: MobileNetOptions = {}): MobileNet {
  return build('mobilenet_v3_small', SMALL, options);
}

/**
 * MobileNet V3 Large: [N, inChannels, H, W] -> logits [N, numClasses]. BatchNorm's defaults are eps 1e-3 and momentum
 * 0.01.
 * @throws UsageError when an option is out of range
 * @example
 * import { input, MobileNetV3Large } from 'mnv2-torch';
 * const model = MobileNetV3Large({ numClasses: 21 });
 * console.log(model.call(input('image', [-1, 3, 224, 224])).shape); // [ -1, 21 ]
 */
export function MobileNetV3Large(options: MobileNetOptions = {}): MobileNet {
  return build('mobilenet_v3_large', LARGE, options);
}

const widths =
  ({ widthMult, roundNearest }: Required<MobileNetOptions>) =>
  (channels: number): number =>
    makeDivisible(channels * widthMult, roundNearest);

function layers({ bottlenecks }: Table, options: Required<MobileNetOptions>): LayerNames[] {
  const width = widths(options);
  const stages = timmBlocks(bottlenecks.map(([, , out]) => out));
  const blocks = bottlenecks.flatMap(([, exp, , se], i): LayerNames[] => {
    const [block, timm] = [`features.${i + 1}.block`, stages[i]!];
    const keras = i === 0 ? 'expanded_conv' : `expanded_conv_${i}`;
    const expands = width(exp) !== width(i === 0 ? 16 : bottlenecks[i - 1]![2]);
    let at = 0;
    const pair = (conv: string, bn: string, word: string): LayerNames[] => {
      const path = `${block}.${at++}`;
      return [
        [`${path}.0`, `${timm}.${conv}`, `${keras}_${word}`],
        [`${path}.1`, `${timm}.${bn}`, `${keras}_${word}_bn`],
      ];
    };
    const squeeze = (): LayerNames[] => {
      const path = `${block}.${at++}`;
      return [
        [`${path}.fc1`, `${timm}.se.conv_reduce`, `${keras}_squeeze_excite_conv`],
        [`${path}.fc2`, `${timm}.se.conv_expand`, `${keras}_squeeze_excite_conv_1`],
      ];
    };
    return [
      ...(expands ? pair('conv_pw', 'bn1', 'expand') : []),
      ...pair('conv_dw', expands ? 'bn2' : 'bn1', 'depthwise'),
      ...(se === 'SE' ? squeeze() : []),
      ...(expands ? pair('conv_pwl', 'bn3', 'project') : pair('conv_pw', 'bn2', 'project')),
    ];
  });
  const [last, stage] = [`features.${bottlenecks.length + 1}`, new Set(stages.map((s) => s.split('.')[1])).size];
  return [
    ['features.0.0', 'conv_stem', 'conv'],
    ['features.0.1', 'bn1', 'conv_bn'],
    ...blocks,
    [`${last}.0`, `blocks.${stage}.0.conv`, 'conv_1'],
    [`${last}.1`, `blocks.${stage}.0.bn1`, 'conv_1_bn'],
    ['classifier.0', 'conv_head', 'conv_2'],
    ['classifier.3', 'classifier', 'logits'],
  ];
}

function build(arch: string, { bottlenecks, hidden }: Table, options: MobileNetOptions): MobileNet {
  const o = resolveOptions(OPTIONS, options);
  const width = widths(o);
  const style: BlockStyle = {
    padding: o.padding,
    bnEps: o.bnEps,
    bnMomentum: o.bnMomentum,
    activation: 'hardswish',
  };

  let channels = width(16);
  const features: Module[] = [new ConvBNActivation(o.inChannels, channels, 3, 2, style)];
  for (const [k, exp, out, se, nl, s] of bottlenecks) {
    const expanded = width(exp);
    features.push(
      new BottleneckV3(channels, expanded, width(out), k, s, {
        style: { ...style, activation: nl === 'HS' ? 'hardswish' : 'relu' },
        // A quarter of the expansion (section 5.3).
        squeezed: se === 'SE' ? makeDivisible(Math.floor(expanded / 4), o.roundNearest) : undefined,
      }),
    );
    channels = width(out);
  }
  const last = 6 * channels;
  features.push(new ConvBNActivation(channels, last, 1, 1, style));
  return new MobileNet(arch, o, features, [
    new Linear(last, width(hidden)),
    new Hardswish(),
    new Dropout(o.dropout),
    new Linear(width(hidden), o.numClasses),
  ]);
}

/**
 * V3's block (figure 4): expand with a 1x1 (left out where nothing is expanded), depthwise, squeeze and excitation where
 * the table says so, project with a linear 1x1; input added where stride and channels allow.
 */
class BottleneckV3 extends Module {
  readonly block: Sequential;
  readonly residual: boolean;

  constructor(
    inChannels: number,
    expanded: number,
    outChannels: number,
    kernel: number,
    stride: number,
    { style, squeezed }: { style: BlockStyle; squeezed: number | undefined },
  ) {
    super();
    this.block = new Sequential(
      ...(expanded === inChannels ? [] : [new ConvBNActivation(inChannels, expanded, 1, 1, style)]),
      new DepthwiseBNActivation(expanded, kernel, stride, style),
      ...(squeezed === undefined ? [] : [new SqueezeExcitation(expanded, squeezed)]),
      new ConvBNActivation(expanded, outChannels, 1, 1, style, true),
    );
    this.residual = stride === 1 && inChannels === outChannels;
  }
  forward(x: Tensor): Tensor {
    const y = this.block.call(x);
    return this.residual ? add(x, y) : y;
  }
}
