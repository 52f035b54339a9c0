// Whose names the tensors of a file have, and which network they are: every library and architecture is tried, the
// best reading comes first. Owns what is known of each library; changes no tensor but its axes.
import type { HostArray, TensorData } from '../native/wire.js';
import { inHead } from '../models/head.js';
import type { LayerNames } from '../models/layer-names.js';
import { resolveOptions } from '../models/options.js';
import { ARCHITECTURES, architectureOf, createModel, type Arch, type ModelOptions } from '../models/registry.js';
import { KERAS_ARRAYS, kerasOrder } from './formats/keras-arrays.js';
import type { WeightFile } from './formats/weight-file.js';
import { gathered } from './formats/strided.js';
import { PUBLISHED_PREPROCESS, type Preprocess } from './preprocess.js';

/** A library whose names are known, and what its networks are built with where nobody says otherwise. */
interface Library {
  readonly name: string;
  /** its column in LayerNames */
  readonly column: 0 | 1 | 2;
  readonly options: (arch: Arch) => Pick<ModelOptions, 'padding' | 'bnEps'>;
  readonly preprocess: (arch: Arch) => Preprocess;
}
const { imagenet: IMAGENET, 'x/127.5-1': SYMMETRIC } = PUBLISHED_PREPROCESS;
const LIBRARIES: readonly Library[] = [
  { name: 'torchvision', column: 0, options: () => ({ padding: 'symmetric' }), preprocess: () => IMAGENET },
  {
    // timm's own V3 has PyTorch's eps, unlike torchvision's; its V1 was trained on pixels in -1..1.
    name: 'timm',
    column: 1,
    options: () => ({ padding: 'symmetric', bnEps: 1e-5 }),
    preprocess: (arch) => (arch === 'mobilenet_v1' ? SYMMETRIC : IMAGENET),
  },
  {
    name: 'Keras',
    column: 2,
    options: () => ({ padding: 'tf-same', bnEps: 1e-3 }),
    preprocess: () => SYMMETRIC,
  },
];

/** A tensor of the file: the layer it belongs to there, and PyTorch's name of the array. */
export interface Found {
  /** as the file has it */
  readonly name: string;
  readonly layer: string;
  readonly array: string;
  /** with PyTorch's axes */
  readonly tensor: () => TensorData;
  /** of that, without making it */
  readonly shape: readonly number[];
}

/** The same numbers with their axes in another order. */
function permuted({ data, shape, dtype }: TensorData, order: readonly number[]): TensorData {
  const strides = order.map((axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const to = order.map((axis) => shape[axis]!);
  return { data: gathered<HostArray>(data, { offset: 0, shape: to, strides, count: data.length }), shape: to, dtype };
}

function kerasTensors(file: WeightFile): Found[] | undefined {
  const found: Found[] = [];
  for (const [name, tensor] of file.tensors) {
    const [, layer, last = ''] = /^(.+)\/([^/:]+)(?::\d+)?$/.exec(name) ?? [];
    const array = KERAS_ARRAYS.get(last);
    if (layer === undefined || array === undefined) {
      if (file.format === 'keras') continue; // an optimizer's, or a layer's that no network of ours has
      return undefined;
    }
    const depthwise = last === 'kernel' && /depthwise|(^|_)dw(_|$)/.test(layer.slice(layer.lastIndexOf('/') + 1));
    const order = kerasOrder(depthwise ? 'depthwise_kernel' : last, tensor.shape);
    const shape = order ? order.map((axis) => tensor.shape[axis]!) : tensor.shape;
    found.push({ name, layer, array, shape, tensor: () => (order ? permuted(tensor, order) : tensor) });
  }
  return found;
}

function torchTensors(file: WeightFile): Found[] {
  return [...file.tensors].map(([name, tensor]) => {
    const dot = name.lastIndexOf('.');
    return {
      name,
      layer: name.slice(0, Math.max(0, dot)),
      array: name.slice(dot + 1),
      shape: tensor.shape,
      tensor: () => tensor,
    };
  });
}

/**
 * Names of layers in files of Keras' past as today's are: `mobl5_conv_5_expand` and `bn5_conv_5_bn_expand` of V2,
 * `expanded_conv/depthwise/BatchNorm` and `Conv_1` of V3. Other slashes lead from a model to its layers.
 */
function todaysKeras(found: readonly Found[]): Found[] {
  // V2 has a Conv_1 to this day: what V3 calls so is told by the others.
  const slashed = found.some((f) => f.layer.endsWith('/BatchNorm'));
  const renamed = (path: string): string => {
    const [, v3] = /(?:^|\/)(expanded_conv(?:_\d+)?\/.+|Conv(?:_\d)?(?:\/BatchNorm)?|Logits)$/.exec(path) ?? [];
    if (slashed && v3 !== undefined) return v3.replace('BatchNorm', 'bn').replaceAll('/', '_').toLowerCase();
    const layer = path.slice(path.lastIndexOf('/') + 1);
    const v2 = /^(?:mobl|bn)(\d+)_conv_\d+_(bn_)?(expand|depthwise|project)$/.exec(layer);
    if (!v2) return layer;
    const block = v2[1] === '0' ? 'expanded_conv' : `block_${v2[1]}`;
    return `${block}_${v2[3]}${v2[2] ? '_BN' : ''}`;
  };
  return found.map((f) => ({ ...f, layer: renamed(f.layer) }));
}

/** A prefix that all names have, such as a wrapper's `backbone.`, is none of the network's. */
function withoutPrefix(found: readonly Found[]): { found: readonly Found[]; prefix: string } {
  const prefix = /^[^.]+\./.exec(found[0]?.layer ?? '')?.[0] ?? '';
  const shared = prefix !== '' && found.every((f) => f.layer.startsWith(prefix));
  return shared
    ? { found: found.map((f) => ({ ...f, layer: f.layer.slice(prefix.length) })), prefix }
    : { found, prefix: '' };
}

/** One way to read the file. */
export interface Reading {
  readonly library: Library;
  readonly arch: Arch;
  readonly found: readonly Found[];
  readonly prefix: string;
  /** our path of a layer of theirs */
  readonly paths: ReadonlyMap<string, string>;
  /** layers of the network that the file has, less what is too many or too few */
  readonly score: number;
  readonly matched: number;
}

const resolved = (arch: Arch): Required<ModelOptions> =>
  resolveOptions<ModelOptions>(architectureOf(arch)!.options, {}) as Required<ModelOptions>;
export const rowsOf = (arch: Arch): readonly LayerNames[] => architectureOf(arch)!.layers(resolved(arch));

function read(library: Library, arch: Arch, all: readonly Found[]): Reading {
  const rows = rowsOf(arch);
  const judge = (found: readonly Found[], prefix: string): Reading => {
    const paths = new Map(rows.map((row) => [row[library.column], row[0]]));
    const layers = new Set(found.map((f) => f.layer));
    const matched = [...layers].filter((layer) => paths.has(layer)).length;
    return { library, arch, found, prefix, paths, matched, score: 2 * matched - layers.size - 0.5 * rows.length };
  };
  const plain = judge(all, '');
  if (plain.matched > rows.length / 4) return plain;
  const { found, prefix } = withoutPrefix(all);
  return prefix === '' ? plain : judge(found, prefix);
}

/** Layers of a Keras file go by their order where their names are not known, as Keras itself reads them. */
function inOrder(library: Library, arch: Arch, found: readonly Found[]): Reading | undefined {
  const rows = rowsOf(arch);
  const { head } = architectureOf(arch)!;
  const layers = [...new Set(found.map((f) => f.layer))];
  const backbone = rows.filter(([ours]) => !inHead(head, `${ours}.`));
  if (layers.length !== rows.length && layers.length !== backbone.length) return undefined;
  const kinds = (path: string): string =>
    found
      .filter((f) => f.layer === path)
      .map((f) => f.array)
      .sort()
      .join();
  const norm = 'bias,running_mean,running_var,weight';
  const model = new Set([...createModel(arch).namedParameters()].map(([name]) => name));
  const fits = layers.every((layer, i) => (kinds(layer) === norm) === model.has(`${rows[i]![0]}.running_var`));
  if (!fits) return undefined;
  const paths = new Map(layers.map((layer, i) => [layer, rows[i]![0]]));
  return { library, arch, found, prefix: '', paths, matched: layers.length, score: layers.length / 2 };
}

/** Every way the file may be read, the best first. */
export function readings(file: WeightFile, only: Arch | undefined): Reading[] {
  const archs = ARCHITECTURES.filter((a) => only === undefined || a === only);
  const keras = kerasTensors(file);
  const torch = file.format === 'keras' ? [] : torchTensors(file);
  const all = LIBRARIES.flatMap((library) => {
    if (library.name !== 'Keras') return torch.length > 0 ? archs.map((arch) => read(library, arch, torch)) : [];
    if (!keras || keras.length === 0) return [];
    const named = todaysKeras(keras);
    const byName = archs.map((arch) => read(library, arch, named));
    const known = byName.some((r) => r.matched >= rowsOf(r.arch).length / 2);
    return known ? byName : [...byName, ...archs.flatMap((arch) => inOrder(library, arch, keras) ?? [])];
  });
  return all.sort((a, b) => b.score - a.score);
}
