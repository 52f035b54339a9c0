// Which of our networks an ONNX graph is, and its weights by our names: layer by layer beside the recorded graph of each.
import { DataError } from '../errors.js';
import { topological } from '../graph/order.js';
import { input, type Tensor } from '../graph/tensor.js';
import { optionsFromMetadata, resolveOptions } from '../models/options.js';
import { ARCHITECTURES, architectureOf, createModel, type Arch, type ModelOptions } from '../models/registry.js';
import type { TensorData } from '../native/wire.js';
import { WIDTHS, type Adopted, type Wishes } from './adopt.js';
import type { OnnxFile } from './formats/onnx.js';
import { layersOf, type Layer, type LayerPads } from './onnx-layers.js';
import { IMAGENET_MEAN, IMAGENET_STD, parsePreprocess, type Preprocess } from './preprocess.js';

/** Options that change a graph, besides the width: as other libraries build the network, the likeliest first. */
const VARIANTS: Readonly<Record<Arch, readonly ModelOptions[]>> = {
  mobilenet_v1: [{}, { activation: 'relu' } as ModelOptions],
  mobilenet_v2: [{}, { linearBottleneck: false } as ModelOptions],
  mobilenet_v3_small: [{}],
  mobilenet_v3_large: [{}],
};

interface Match {
  arch: Arch;
  options: ModelOptions;
  tensors: Map<string, TensorData>;
  /** batch normalisations that are in the convolutions before them */
  folded: number;
}
/** How far a reading went, and why no further. */
interface Miss {
  at: number;
  why: string;
}

/**
 * A graph of one of our architectures as a checkpoint of ours. BatchNorm that an exporter folded into its convolution
 * becomes one that changes nothing.
 * @param path named in errors
 * @throws DataError that says at which layer the graph is none of ours
 */
export function fromOnnx(file: OnnxFile, path: string, wishes: Wishes = {}): Adopted {
  const { layers, before } = layersOf(file, path);
  const size = sizeOf(file);
  let furthest: Miss = { at: -1, why: 'it has no layers' };
  for (const arch of wishes.arch ? [wishes.arch] : ARCHITECTURES) {
    for (const options of candidates(arch, file, path, wishes, layers)) {
      const match = matched(arch, options, layers, size);
      if ('tensors' in match) return adopted(match, file, path, wishes, before, size);
      if (match.at > furthest.at) furthest = { at: match.at, why: `${arch}: ${match.why}` };
    }
  }
  throw new DataError(`${path}: its graph is none of ${ARCHITECTURES.join(', ')}. Nearest is ${furthest.why}`, [path]);
}

/** Side of the pictures it takes, pixels; 224 where any will do. */
function sizeOf({ graph }: OnnxFile): number {
  const dims = graph.input.map((i) => i.type?.tensorType?.shape?.dim ?? []).find((d) => d.length === 4) ?? [];
  const sides = dims.slice(1).map((d) => Number(d.dimValue ?? 0));
  return sides.find((side, i) => side > 3 && side === sides[i + 1]) ?? 224;
}

/** What the network may have been built with: as the file says, else as tried. */
function* candidates(
  arch: Arch,
  file: OnnxFile,
  path: string,
  wishes: Wishes,
  layers: readonly Layer[],
): Iterable<ModelOptions> {
  const stated =
    file.metadata['arch'] === arch
      ? optionsFromMetadata<ModelOptions>(architectureOf(arch)!.options, file.metadata, path)
      : {};
  const norm = layers.find((l) => l.kind === 'norm');
  const eps = wishes.bnEps ?? (norm ? Number(norm.eps.toPrecision(6)) : stated.bnEps);
  const last = layers.findLast((l) => l.kind === 'linear' || l.kind === 'conv');
  const numClasses = last?.weight.shape[0];
  const widths = [wishes.widthMult ?? stated.widthMult ?? WIDTHS].flat();
  for (const padding of [wishes.padding ?? (['symmetric', 'tf-same'] as const)].flat())
    for (const variant of VARIANTS[arch])
      for (const widthMult of widths)
        yield {
          ...variant,
          ...stated,
          padding,
          widthMult,
          ...(numClasses && { numClasses }),
          ...(eps && { bnEps: eps }),
        };
}

/** The file's layers beside those of one network. */
function matched(arch: Arch, options: ModelOptions, layers: readonly Layer[], size: number): Match | Miss {
  const model = createModel(arch, options).eval();
  const nodes = topological([model.call(input('image', [-1, 3, size, size]))]).filter(
    (t) => !/^(module|input|parameter|dropout)$/.test(t.op),
  );
  const { padding } = model.options;
  const tensors = new Map<string, TensorData>();
  let [at, folded] = [0, 0];
  let bare: Tensor | undefined; // a convolution whose bias may be a folded batch normalisation's
  for (const node of nodes) {
    const layer = layers[at];
    if (node.op === 'batchNorm2d' && layer?.kind !== 'norm' && bare) {
      identity(node, biasOf(layers[at - 1]!), tensors);
      folded++;
      continue;
    }
    const why = layer ? take(node, layer, padding, tensors) : `it ends before '${node.path}'`;
    if (why !== undefined) return { at, why };
    bare = /conv2d/i.test(node.op) && node.inputs.length === 2 ? node : undefined;
    at++;
  }
  if (at < layers.length) return { at, why: `it goes on after the classifier, with a ${layers[at]!.kind}` };
  for (const { name, ...zero } of model.state(0))
    if (name.endsWith('.num_batches_tracked')) tensors.set(name, { ...zero, data: BigInt64Array.of(0n) });
  const ordered = new Map([...model.namedParameters()].map(([name]) => [name, tensors.get(name)!]));
  return { arch, options, tensors: ordered, folded };
}

const biasOf = (layer: Layer): TensorData | undefined => (layer.kind === 'conv' ? layer.bias : undefined);
const nameOf = (t: Tensor): string => t.attrs['name'] as string;

/** BatchNorm that passes on what it gets, and adds the bias that the convolution had. */
function identity(node: Tensor, bias: TensorData | undefined, tensors: Map<string, TensorData>): void {
  const [, weight, shift, mean, variance] = node.inputs.map(nameOf) as [string, string, string, string, string];
  const shape = [...node.inputs[1]!.shape];
  const filled = (value: number): TensorData => ({
    data: new Float32Array(shape[0]!).fill(value),
    shape: [...shape],
    dtype: 'float32',
  });
  tensors.set(weight, filled(Math.sqrt(1 + (node.attrs['eps'] as number))));
  tensors.set(shift, bias ?? filled(0));
  tensors.set(mean, filled(0));
  tensors.set(variance, filled(1));
}

/** Takes a layer's numbers for a node of ours; what differs where it is another. */
function take(node: Tensor, layer: Layer, padding: string, tensors: Map<string, TensorData>): string | undefined {
  const kinds: Readonly<Record<string, string>> = {
    conv2d: 'conv',
    depthwiseConv2d: 'conv',
    batchNorm2d: 'norm',
    mean: 'pool',
    globalAveragePool: 'pool',
  };
  const kind = kinds[node.op] ?? node.op;
  const here = `'${node.path}'`;
  // Over pooled features a convolution of one pixel is a linear layer, and some write it so.
  const pointwise = (layer.kind === 'conv' && isPoint(layer.weight.shape)) || layer.kind === 'linear';
  const either = pointwise && /^(conv|linear)$/.test(kind) && isPoint(node.inputs[1]!.shape);
  if (layer.kind !== kind && !either) return `${here} is a ${kind}, the file has a ${layer.kind}`;
  if (layer.kind === 'norm') {
    for (const [i, value] of [layer.weight, layer.bias, layer.mean, layer.variance].entries()) {
      const parameter = node.inputs[i + 1]!;
      if (value.shape.join() !== parameter.shape.join()) return sizes(nameOf(parameter), parameter.shape, value.shape);
      tensors.set(nameOf(parameter), value);
    }
    return undefined;
  }
  if (layer.kind !== 'conv' && layer.kind !== 'linear') return undefined;
  const [, weight, bias] = node.inputs;
  if (flat(weight!.shape) !== flat(layer.weight.shape))
    return sizes(nameOf(weight!), weight!.shape, layer.weight.shape);
  if (layer.kind === 'conv' && kind === 'conv') {
    const groups = node.op === 'depthwiseConv2d' ? node.inputs[0]!.shape[1]! : (node.attrs['groups'] as number);
    const differs = [
      [layer.stride, node.attrs['stride'], 'stride'],
      [layer.dilation, node.attrs['dilation'], 'dilation'],
      [layer.groups, groups, 'groups'],
      ...(samePads(layer.pads, padding, node) ? [] : [[layer.pads, node.attrs['padding'], 'padding'] as const]),
    ].find(([theirs, ours]) => String(theirs) !== String(ours));
    if (differs) return `${here} has the ${differs[2] as string} ${String(differs[1])}, the file ${String(differs[0])}`;
  }
  tensors.set(nameOf(weight!), { ...layer.weight, shape: [...weight!.shape] });
  if (bias)
    tensors.set(
      nameOf(bias),
      layer.bias ?? { data: new Float32Array(bias.shape[0]!), shape: [...bias.shape], dtype: 'float32' },
    );
  return undefined;
}

const isPoint = (shape: readonly number[]): boolean => shape.slice(2).every((n) => n === 1);
const flat = (shape: readonly number[]): string => (isPoint(shape) ? shape.slice(0, 2) : shape).join();
const samePads = (pads: LayerPads, padding: string, node: Tensor): boolean =>
  pads === 'tf-same' ? padding === 'tf-same' : pads.join() === String(node.attrs['padding']);
const sizes = (name: string, ours: readonly number[], theirs: readonly number[]): string =>
  `'${name}' is [${ours.join(', ')}], the file has [${theirs.join(', ')}]`;

function adopted(match: Match, file: OnnxFile, path: string, wishes: Wishes, before: string[], size: number): Adopted {
  const { arch, options, tensors, folded } = match;
  const { padding, widthMult } = resolveOptions<ModelOptions>(architectureOf(arch)!.options, options);
  const stated = file.metadata['preprocess'];
  const usual: Preprocess =
    padding === 'tf-same' ? { size, scale: 'x/127.5-1' } : { size, mean: [...IMAGENET_MEAN], std: [...IMAGENET_STD] };
  const preprocess =
    wishes.preprocess ?? (stated === undefined ? usual : parsePreprocess(stated, `${path}: metadata 'preprocess'`));
  return {
    arch,
    options,
    preprocess,
    tensors,
    notes: [
      `an ONNX graph of ${arch}, width ${widthMult}`,
      ...(before.length > 0
        ? [`left out what it does before the first convolution (${[...new Set(before)].join(', ')})`]
        : []),
      ...(folded > 0
        ? [
            `${folded} BatchNorms were folded into their convolutions: they are read as ones that change nothing. To train more ` +
              'than the head, measure their statistics again: mnv2-torch import --calibrate <images>',
          ]
        : []),
    ],
  };
}
