// The weight files that libraries publish and these architectures take: where they lie, how to tell that they came
// whole, and what their networks are built with, which the files themselves do not say. Owns facts; gets nothing.
import { UsageError } from '../errors.js';
import type { Arch, ModelOptions } from '../models/registry.js';
import { nearest } from '../nearest.js';
import { PUBLISHED_PREPROCESS, type Preprocess } from './preprocess.js';

/**
 * How a file is known again, and who says so:
 * - `name`: its publisher put the first eight digits of its SHA-256 into its name
 * - `library`: the library's source has it
 * - `third party`: others who took the file wrote it down
 */
export interface PublishedHash {
  readonly algorithm: 'sha256' | 'md5';
  /** lower case; a beginning of the hash or all of it */
  readonly hex: string;
  readonly from: 'name' | 'library' | 'third party';
}

/** A file of weights trained on ImageNet, as its library publishes it. */
export interface PublishedWeights {
  /** what `--weights` takes: the library, a colon, the library's own name */
  readonly name: string;
  readonly arch: Arch;
  readonly widthMult: number;
  /** what its classifier tells apart; 0: a backbone alone */
  readonly classes: number;
  /** percent of ImageNet's validation images, at 224 pixels, as the library states it */
  readonly top1: number;
  /** of the library; ImageNet's own terms are for research */
  readonly license: string;
  readonly url: string;
  /** 2^20 bytes, as published */
  readonly mebibytes?: number;
  /** absent: nobody states one, and what the server sends along has to do */
  readonly hash?: PublishedHash;
  readonly padding: NonNullable<ModelOptions['padding']>;
  readonly bnEps: number;
  readonly preprocess: Preprocess;
  /** what `imagenet` means for this architecture and width */
  readonly isDefault: boolean;
}

const { imagenet: IMAGENET, 'x/127.5-1': SYMMETRIC } = PUBLISHED_PREPROCESS;

type Facts = Pick<PublishedWeights, 'arch' | 'widthMult' | 'top1'> & Partial<PublishedWeights>;

/** The hash that PyTorch's and timm's file names carry: `mobilenet_v2-b0353104.pth`. */
function inName(url: string): PublishedHash {
  return { algorithm: 'sha256', hex: /-([0-9a-f]{8})\.pth$/.exec(url)![1]!, from: 'name' };
}

// torchvision/models/mobilenetv2.py and mobilenetv3.py: URLs, accuracies, sizes.
function torchvision(name: string, file: string, facts: Facts): PublishedWeights {
  const url = `https://download.pytorch.org/models/${file}`;
  return {
    ...{ name: `torchvision:${name}`, url, hash: inName(url), license: 'BSD-3-Clause', classes: 1000 },
    ...{ padding: 'symmetric', bnEps: facts.arch === 'mobilenet_v2' ? 1e-5 : 1e-3, preprocess: IMAGENET },
    isDefault: false,
    ...facts,
  };
}

// keras/src/applications/mobilenet*.py: URLs, V3's MD5s and accuracies. The accuracies of V1 and V2 are those of
// TF-slim's checkpoints, which Keras' files were made of, as its documentation gives them.
function keras(name: string, file: string, facts: Facts): PublishedWeights {
  const url = `https://storage.googleapis.com/tensorflow/keras-applications/${file}`;
  return {
    ...{ name: `keras:${name}`, url, license: 'Apache-2.0', classes: name.endsWith('_no_top') ? 0 : 1000 },
    ...{ padding: 'tf-same', bnEps: 1e-3, preprocess: SYMMETRIC },
    isDefault: false,
    ...facts,
  };
}

const kerasV1 = (width: string, top: '' | '_no_top', facts: Omit<Facts, 'arch' | 'widthMult'>): PublishedWeights =>
  keras(`mobilenet_${width}_224${top}`, `mobilenet/mobilenet_${v1Width(width)}_224_tf${top}.h5`, {
    ...{ arch: 'mobilenet_v1', widthMult: Number(width), ...facts },
  });
/** 1.0 -> 1_0, but 0.75 -> 7_5 and 0.25 -> 2_5. */
const v1Width = (width: string): string => (Number(width) === 1 ? '1_0' : [...String(Number(width) * 100)].join('_'));

const kerasV2 = (width: string, top: '' | '_no_top', facts: Omit<Facts, 'arch' | 'widthMult'>): PublishedWeights =>
  keras(
    `mobilenet_v2_${width}_224${top}`,
    `mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_${width}_224${top}.h5`,
    { arch: 'mobilenet_v2', widthMult: Number(width), ...facts },
  );

const kerasV3 = (
  size: 'small' | 'large',
  top: '' | '_no_top',
  hex: string,
  facts: Omit<Facts, 'arch' | 'widthMult'>,
): PublishedWeights => {
  const file = `mobilenet_v3/weights_mobilenet_v3_${size}_224_1.0_float${top && '_no_top_v2'}.h5`;
  const hash = { algorithm: 'md5', hex, from: 'library' } as const;
  return keras(`mobilenet_v3_${size}_1.0_224${top}`, file, {
    ...{ arch: `mobilenet_v3_${size}`, widthMult: 1, hash, ...facts },
  });
};

// timm/models/efficientnet.py and mobilenetv3.py: URLs, licence, pixels; results/results-imagenet.csv and the release
// notes: accuracies.
function timm(name: string, url: string, facts: Facts): PublishedWeights {
  return {
    ...{ name: `timm:${name}`, url, license: 'Apache-2.0', classes: 1000 },
    ...{ padding: 'symmetric', bnEps: 1e-5, preprocess: IMAGENET },
    isDefault: false,
    ...facts,
  };
}
function timmRelease(name: string, file: string, facts: Facts): PublishedWeights {
  const url = `https://github.com/rwightman/pytorch-image-models/releases/download/${file}`;
  return timm(name, url, { hash: inName(url), ...facts });
}
/** Files of the Hugging Face hub have no hash in their name: the revision is pinned, and the hash others found there. */
function timmHub(name: string, revision: string, hex: string, facts: Facts): PublishedWeights {
  const url = `https://huggingface.co/timm/${name}/resolve/${revision}/model.safetensors`;
  return timm(name, url, { hash: listed('sha256', hex), preprocess: SYMMETRIC, ...facts });
}

const listed = (algorithm: PublishedHash['algorithm'], hex: string): PublishedHash => ({
  ...{ algorithm, hex, from: 'third party' },
});

const V1 = { arch: 'mobilenet_v1', widthMult: 1 } as const;
const V2 = { arch: 'mobilenet_v2', widthMult: 1 } as const;
const V3_SMALL = { arch: 'mobilenet_v3_small', widthMult: 1 } as const;
const V3_LARGE = { arch: 'mobilenet_v3_large', widthMult: 1 } as const;
/** TensorFlow's weights under timm's names. */
const TENSORFLOW = { padding: 'tf-same', bnEps: 1e-3, preprocess: SYMMETRIC } as const;

// Defaults are those trained with plain cross entropy where there is a choice: label smoothing, mixup and cutmix, as in
// torchvision's v2 files, raise ImageNet's figures and lower what a classifier on the frozen features reaches elsewhere
// (Kornblith et al. 2021, "Why Do Better Loss Functions Lead to Less Transferable Features?"). Keras' widths have
// timm's file instead where that one has a hash and theirs has none.
const PUBLISHED: readonly PublishedWeights[] = [
  torchvision('mobilenet_v2.v1', 'mobilenet_v2-b0353104.pth', {
    ...{ ...V2, top1: 71.878, mebibytes: 13.555, isDefault: true },
  }),
  torchvision('mobilenet_v2.v2', 'mobilenet_v2-7ebf99e0.pth', { ...V2, top1: 72.154, mebibytes: 13.598 }),
  torchvision('mobilenet_v3_small.v1', 'mobilenet_v3_small-047dcff4.pth', {
    ...{ ...V3_SMALL, top1: 67.668, mebibytes: 9.829, isDefault: true },
  }),
  torchvision('mobilenet_v3_large.v1', 'mobilenet_v3_large-8738ca79.pth', {
    ...{ ...V3_LARGE, top1: 74.042, mebibytes: 21.114, isDefault: true },
  }),
  torchvision('mobilenet_v3_large.v2', 'mobilenet_v3_large-5c1a4163.pth', {
    ...{ ...V3_LARGE, top1: 75.274, mebibytes: 21.107 },
  }),

  kerasV1('1.0', '_no_top', {
    ...{ top1: 70.6, mebibytes: 16.428, isDefault: true },
    hash: listed('md5', '725ccbd03d61d7ced5b5c4cd17e7d527'),
  }),
  kerasV1('1.0', '', { top1: 70.6, hash: listed('md5', '03394917f9a9ea3362f46332a5b6a215') }),
  kerasV1('0.75', '_no_top', { top1: 68.4, isDefault: true }),
  kerasV1('0.5', '_no_top', { top1: 63.7, isDefault: true }),
  kerasV1('0.25', '_no_top', { top1: 50.6, isDefault: true }),
  kerasV2('1.4', '_no_top', { top1: 75.0 }),
  kerasV2('1.3', '_no_top', { top1: 74.4, isDefault: true }),
  kerasV2('1.0', '_no_top', {
    ...{ top1: 71.8, mebibytes: 8.971, hash: listed('md5', 'f1a68526548f7541cda07e19ba6c85f4') },
  }),
  kerasV2('1.0', '', { top1: 71.8, hash: listed('md5', '321911b381f6fd09b744356f6796ee18') }),
  kerasV2('0.75', '_no_top', { top1: 69.8, isDefault: true }),
  kerasV2('0.5', '_no_top', { top1: 65.4 }),
  kerasV2('0.35', '_no_top', {
    ...{ top1: 60.3, mebibytes: 1.926, isDefault: true },
    hash: listed('sha256', 'df1c3db1d0d9193719c4c70f707c56f7021f999f825bdc57454c275cf6def19f'),
  }),
  kerasV3('small', '_no_top', 'd3e8ec802a04aa4fc771ee12a9a9b836', { top1: 68.1, mebibytes: 4.134 }),
  kerasV3('small', '', '8768d4c2e7dee89b9d02b2d03d65d862', { top1: 68.1 }),
  kerasV3('large', '_no_top', '07fb09a5933dd0c8eaafa16978110389', { top1: 75.6, mebibytes: 12.095 }),
  kerasV3('large', '', '59e551e166be033d707958cf9e29a6a7', { top1: 75.6 }),

  timmHub(
    'mobilenetv1_100.ra4_e3600_r224_in1k',
    '6e88b523abded44469eafcd52f7832d5e0300b1b',
    '15c2f1411deb8e0533acbb41fe9523062f80d444d0393e7ad2b429f41378efc3',
    { ...V1, top1: 75.382, mebibytes: 16.241 },
  ),
  timmHub(
    'mobilenetv1_125.ra4_e3600_r224_in1k',
    '9e2b4f9a089f39eaf59cb38fb5d595f4d78c8064',
    '5616b1d4d774ac5bdf3fb254a72da78a5f27b19aa13bcceac03a743077c6acd8',
    { arch: 'mobilenet_v1', widthMult: 1.25, top1: 76.924, mebibytes: 24.04, isDefault: true },
  ),
  timmRelease('mobilenetv2_050.lamb_in1k', 'v0.1-weights/mobilenetv2_050-3d30d450.pth', {
    ...{ arch: 'mobilenet_v2', widthMult: 0.5, top1: 65.95, isDefault: true },
  }),
  timmRelease('mobilenetv2_100.ra_in1k', 'v0.1-weights/mobilenetv2_100_ra-b33bc2c4.pth', { ...V2, top1: 72.976 }),
  timmRelease('mobilenetv2_140.ra_in1k', 'v0.1-weights/mobilenetv2_140_ra-21a4e913.pth', {
    ...{ arch: 'mobilenet_v2', widthMult: 1.4, top1: 76.52, isDefault: true },
  }),
  timmRelease('mobilenetv3_small_100.lamb_in1k', 'v0.1-weights/mobilenetv3_small_100_lamb-266a294c.pth', {
    ...{ ...V3_SMALL, top1: 67.656 },
  }),
  timmRelease('tf_mobilenetv3_small_100.in1k', 'v0.1-weights/tf_mobilenetv3_small_100-37f49e2b.pth', {
    ...{ ...V3_SMALL, ...TENSORFLOW, top1: 67.918 },
  }),
  timmRelease('mobilenetv3_large_100.ra_in1k', 'v0.1-weights/mobilenetv3_large_100_ra-f55367f5.pth', {
    ...{ ...V3_LARGE, top1: 75.766 },
  }),
  timmRelease('tf_mobilenetv3_large_100.in1k', 'v0.1-weights/tf_mobilenetv3_large_100-427764d5.pth', {
    ...{ ...V3_LARGE, ...TENSORFLOW, top1: 75.516 },
  }),
  // Pretrained on ImageNet-21k; its pixels are in 0..1.
  timmRelease(
    'mobilenetv3_large_100.miil_in21k_ft_in1k',
    'v0.1-tresnet/mobilenetv3_large_100_1k_miil_78_0-66471c13.pth',
    { ...V3_LARGE, top1: 77.918, preprocess: { size: 224, mean: [0, 0, 0], std: [1, 1, 1] } },
  ),
  timmHub(
    'mobilenetv3_large_100.ra4_e3600_r224_in1k',
    '26a545b7c557e54fa13caff7e76da391f6bcbc1a',
    'bd595a2d59301fc6264c4aabb203f93ec17b0aa7bdd7532c8d9e1cf07dfc9bdc',
    { ...V3_LARGE, top1: 76.31, mebibytes: 21.036 },
  ),
];

/**
 * The weights that {@link pullWeights} and {@link loadCheckpoint} know by name, library by library.
 * @example
 * import { publishedWeights } from 'mnv2-torch';
 * const meant = publishedWeights().find((w) => w.isDefault && w.arch === 'mobilenet_v2' && w.widthMult === 1);
 * console.log(meant.name, meant.license, meant.top1); // torchvision:mobilenet_v2.v1 BSD-3-Clause 71.878
 */
export function publishedWeights(): readonly PublishedWeights[] {
  return PUBLISHED;
}

/** The default weights of an architecture (mobilenet_v2) and width (1). */
export const IMAGENET_NAME = 'imagenet';

/** Whether a text is a published name, or means to be one and is not: as a file it would be `./<text>`. */
export const isPublishedName = (text: string): boolean =>
  text === IMAGENET_NAME || /^(torchvision|keras|timm):/.test(text);

/**
 * The weights of a name.
 * @param network what `imagenet` is asked for; other names say it themselves, and must not say something else
 * @throws UsageError for a name that is not there or is of another network, or where no `imagenet` is published for it
 */
export function findPublished(
  name: string,
  network: { arch?: Arch | undefined; widthMult?: number | undefined } = {},
): PublishedWeights {
  if (name !== IMAGENET_NAME) {
    const found = PUBLISHED.find((w) => w.name === name);
    if (found) {
      const { arch = found.arch, widthMult = found.widthMult } = network;
      if (arch === found.arch && widthMult === found.widthMult) return found;
      throw new UsageError(
        `'${name}' is ${found.arch} of width ${found.widthMult}, not ${arch} of width ${widthMult}; use '${IMAGENET_NAME}' for the weights that fit`,
      );
    }
    const near = nearest(name, [IMAGENET_NAME, ...PUBLISHED.map((w) => w.name)]);
    throw new UsageError(
      `no weights are published as '${name}'${near ? `. Did you mean ${near}?` : ';'} 'mnv2-torch weights' lists them all; a file of this name is './${name}'`,
    );
  }
  const { arch = 'mobilenet_v2', widthMult = 1 } = network;
  const defaults = PUBLISHED.filter((w) => w.isDefault && w.arch === arch);
  const found = defaults.find((w) => w.widthMult === widthMult);
  if (found) return found;
  const widths = defaults.map((w) => w.widthMult).sort((a, b) => a - b);
  throw new UsageError(
    `'${IMAGENET_NAME}': no weights of ${arch} are published for width ${widthMult}; there are ${widths.join(', ')}`,
  );
}
