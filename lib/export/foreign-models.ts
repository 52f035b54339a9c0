// The models of torchvision and timm that are networks of ours: how Python makes them, and what cannot be had there.
import { UsageError } from '../errors.js';
import type { MobileNetOptions } from '../models/classifier-network.js';
import type { MobileNetV1Options } from '../models/mobilenet-v1.js';
import { mobilenetV2, type MobileNetV2Options } from '../models/mobilenet-v2.js';
import type { Arch } from '../models/registry.js';

export const LIBRARIES = ['torchvision', 'timm'] as const;
/** A library of models for PyTorch. */
export type Library = (typeof LIBRARIES)[number];

/** A model of another library. */
export interface Target {
  /** the Python that makes it: `torchvision.models.mobilenet_v2(num_classes=21)` */
  readonly call: string;
  /** of its BatchNorm */
  readonly bnEps: number;
}

/** What a network is built with; the last four where its architecture has them. */
export type Built = Required<MobileNetOptions> &
  Pick<MobileNetV1Options, 'activation'> &
  Pick<MobileNetV2Options, 'linearBottleneck' | 'residual' | 'invertedResidualSetting'>;

const ANY_FORMAT = 'or export as onnx or torchscript (--format), which take any network';

/** timm's models by width. Its narrow V3 keep a wide last layer, ours and torchvision's do not. */
const TIMM: Record<Arch, { name: string; widths: Readonly<Record<number, string>> }> = {
  mobilenet_v1: { name: 'mobilenetv1', widths: { 1: '100', 1.25: '125' } },
  mobilenet_v2: { name: 'mobilenetv2', widths: { 0.35: '035', 0.5: '050', 0.75: '075', 1: '100', 1.4: '140' } },
  mobilenet_v3_small: { name: 'mobilenetv3_small', widths: { 1: '100' } },
  mobilenet_v3_large: { name: 'mobilenetv3_large', widths: { 1: '100' } },
};

/**
 * The model of a library that loads a network's tensors and computes its function.
 * @throws UsageError that says what the library lacks, and what to use
 */
export function targetOf(library: Library, arch: Arch, options: Built): Target {
  const refuse = (what: string, use: string): never => {
    throw new UsageError(`${library} has no ${arch} ${what}: ${use} ${ANY_FORMAT}`);
  };
  if (options.linearBottleneck === false) refuse('with an activation after the bottlenecks', 'train another network,');
  if (options.residual === false) refuse('without residual connections', 'train another network,');
  if (arch === 'mobilenet_v2' && options.activation !== 'relu6') refuse('with ReLU', 'train another network,');
  return library === 'timm' ? ofTimm(arch, options, refuse) : ofTorchvision(arch, options, refuse);
}

type Refuse = (what: string, use: string) => never;
const called = (name: string, given: Record<string, string | number | undefined>): string =>
  `${name}(${Object.entries(given)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${value}`)
    .join(', ')})`;
/** What differs from the library's own default has to be said. */
const unless = <T>(value: T, byDefault: T): T | undefined => (value === byDefault ? undefined : value);

function ofTorchvision(arch: Arch, o: Built, refuse: Refuse): Target {
  if (arch === 'mobilenet_v1') throw new UsageError(`torchvision has no ${arch}: use names timm (--names timm)`);
  const timm = 'use names timm (--names timm),';
  if (o.padding === 'tf-same') {
    const tf = arch === 'mobilenet_v2' ? "pad_type='same'" : 'its tf_ variants';
    refuse("with TensorFlow's padding (tf-same)", `${timm} whose models can have it (${tf}),`);
  }
  if (o.inChannels !== 3) refuse(`of ${o.inChannels} channels`, timm);
  const v2 = arch === 'mobilenet_v2';
  if (!v2 && o.roundNearest !== 8) refuse(`of channels in multiples of ${o.roundNearest}`, 'train another network,');
  const call = called(`torchvision.models.${arch}`, {
    num_classes: o.numClasses,
    width_mult: unless(o.widthMult, 1),
    round_nearest: unless(o.roundNearest, 8),
    inverted_residual_setting: ownRows(o),
  });
  return { call, bnEps: v2 ? 1e-5 : 1e-3 };
}

function ofTimm(arch: Arch, o: Built, refuse: Refuse): Target {
  const torchvision = arch === 'mobilenet_v1' ? 'train another width,' : 'use names torchvision (--names torchvision),';
  const { name, widths } = TIMM[arch];
  const width = widths[o.widthMult];
  if (width === undefined)
    return refuse(`of width ${o.widthMult} (it has ${Object.keys(widths).sort().join(', ')})`, torchvision);
  if (o.roundNearest !== 8) refuse(`of channels in multiples of ${o.roundNearest}`, torchvision);
  if (ownRows(o) !== undefined) refuse('of other rows than the paper’s', torchvision);
  const same = o.padding === 'tf-same';
  const v3 = name.startsWith('mobilenetv3');
  const call = called('timm.create_model', {
    '': `'${same && v3 ? 'tf_' : ''}${name}_${width}'`,
    num_classes: o.numClasses,
    in_chans: unless(o.inChannels, 3),
    pad_type: same && !v3 ? "'same'" : undefined,
    act_layer: o.activation === 'relu' ? "'relu'" : undefined,
  }).replace('(=', '(');
  return { call, bnEps: same && v3 ? 1e-3 : 1e-5 };
}

/** The rows of a V2 as JSON, where they are not the paper's, which torchvision and timm have too. */
function ownRows({ invertedResidualSetting: rows }: Built): string | undefined {
  const text = JSON.stringify(rows);
  return text === JSON.stringify(mobilenetV2.options.invertedResidualSetting.default) ? undefined : text;
}
