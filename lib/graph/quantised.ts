// Where a recorded network is quantised, and the network with something else in these places: fakeQuantize while it is
// calibrated and trained, int8 weights in use. The places follow from the graph alone, so that a file need not list them.
import { core, foldable } from './fold.js';
import { relu, reshape, sub } from './ops.js';
import { topological } from './order.js';
import { rebuilt, remade } from './rebuild.js';
import { withPath, type Tensor } from './tensor.js';

/** A convolution or linear layer whose weight is rounded, with the BatchNorm that goes into it. */
export interface Layer {
  /** of its weight, which is a parameter */
  readonly name: string;
  /** conv2d, depthwiseConv2d or linear, as recorded */
  readonly op: Tensor;
  /** as recorded; the layer's numbers do its work */
  readonly norm: Tensor | undefined;
  /** name of its bias; undefined where it has none and no BatchNorm to get one from */
  readonly bias: string | undefined;
}

/** Layers by their op, and the values that are rounded by the tensor that gives them: each with the name of its scale. */
export interface Sites {
  readonly output: Tensor;
  readonly layers: ReadonlyMap<Tensor, Layer>;
  readonly points: ReadonlyMap<Tensor, string>;
  /** every ReLU6, with the name of its channels' limits where they are no longer six */
  readonly sixes: ReadonlyMap<Tensor, string>;
}

const WEIGHTED = new Set<string>(['conv2d', 'depthwiseConv2d', 'linear']);
const parameterName = (t: Tensor): string => core(t).attrs['name'] as string;
const isParameter = (t: Tensor): boolean => core(t).op === 'parameter' && core(t).dtype === 'float32';

/** features.0.0.weight -> features.0.0.bias */
const biasBeside = (weight: string): string => weight.replace(/(^|\.)[^.]*$/, '$1bias');

/** The sum of two feature maps, and the mean of one: what int8 kernels do besides products. */
const isSumOfMaps = (t: Tensor): boolean =>
  t.op === 'globalAveragePool' ||
  (t.op === 'add' && t.shape.length === 4 && t.inputs.every((i) => i.shape.join() === t.shape.join()));

/**
 * The places of a network recorded in evaluation mode. Layers are the convolutions and linear layers whose weight is a
 * float32 parameter that nothing else reads; rounded is every value that a layer, a residual sum or a global mean reads.
 */
export function sitesOf(output: Tensor): Sites {
  const nodes = topological([output]).filter((t) => t.op !== 'module');
  const readers = new Map<string, number>();
  for (const t of nodes)
    for (const i of t.inputs)
      if (isParameter(i)) readers.set(parameterName(i), (readers.get(parameterName(i)) ?? 0) + 1);
  const normOf = new Map([...foldable(output)].map(([norm, conv]) => [conv, norm]));
  const layers = new Map<Tensor, Layer>();
  for (const op of nodes) {
    const [, weight, bias] = op.inputs;
    if (!WEIGHTED.has(op.op) || !isParameter(weight!) || readers.get(parameterName(weight!))! > 1) continue;
    if (bias && !(isParameter(bias) && readers.get(parameterName(bias)) === 1)) continue;
    const name = parameterName(weight!);
    const norm = normOf.get(op);
    layers.set(op, { name, op, norm, bias: bias ? parameterName(bias) : norm ? biasBeside(name) : undefined });
  }
  const pathOf = new Map<Tensor, string>(
    [...layers.values()].flatMap(({ op, norm }) => (norm ? [[norm, op.path]] : [])),
  );
  const read = new Set(
    nodes
      .filter((t) => layers.has(t) || isSumOfMaps(t))
      .flatMap((t) => (layers.has(t) ? t.inputs.slice(0, 1) : t.inputs).map(core)),
  );
  const taken = new Set<string>();
  /** A name nothing else here has: modules may record several values. */
  const nameBelow = (path: string, end: string): string => {
    const wanted = path === '' ? end : `${path}.${end}`;
    let name = wanted;
    for (let n = 2; taken.has(name); n++) name = `${wanted}${n}`;
    taken.add(name);
    return name;
  };
  const [points, sixes] = [new Map<Tensor, string>(), new Map<Tensor, string>()];
  for (const t of nodes) {
    if (t.op === 'relu6' && t.shape.length === 4) sixes.set(t, nameBelow(t.path, 'limit'));
    if (!read.has(t) || t.op === 'parameter' || t.op === 'constant') continue;
    points.set(
      t,
      t.op === 'input' ? nameBelow('', t.attrs['name'] as string) : nameBelow(pathOf.get(t) ?? t.path, 'out'),
    );
  }
  return { output, layers, points, sixes };
}

/** What stands in the places. */
export interface Stand {
  /** in place of what the network was recorded on; default: that */
  image?: Tensor;
  weight(layer: Layer): Tensor;
  /** asked only of layers that have one */
  bias(layer: Layer): Tensor;
  /** what the readers of a value get */
  point(value: Tensor, name: string): Tensor;
  /** what takes the place of a layer's output; default: the output */
  output?(layer: Layer, made: Tensor): Tensor;
  /** the limit of each channel in place of ReLU6's six, [C], as equalised networks have them */
  limit?(name: string): Tensor;
}

/** The network with other tensors in these places; BatchNorms that went into a layer are gone. */
export function standingIn(sites: Sites, stand: Stand): Tensor {
  const { output, layers, points, sixes } = sites;
  const folded = new Set([...layers.values()].flatMap(({ norm }) => norm ?? []));
  return rebuilt(output, (t, inputs) => {
    const layer = layers.get(t);
    let made = t.op === 'input' ? (stand.image ?? t) : remade(t, inputs);
    if (layer) {
      const numbers = [stand.weight(layer), ...(layer.bias === undefined ? [] : [stand.bias(layer)])];
      made = remade(t, [inputs[0]!, ...numbers]);
      made = stand.output?.(layer, made) ?? made;
    } else if (folded.has(t)) made = inputs[0]!;
    else if (stand.limit && sixes.has(t)) made = clamped(t, inputs[0]!, stand.limit(sixes.get(t)!));
    const name = points.get(t);
    return name === undefined ? made : stand.point(made, name);
  });
}

/** min(max(x, 0), limit), a limit a channel; recorded where the ReLU6 was. */
function clamped({ path }: Tensor, x: Tensor, limit: Tensor): Tensor {
  return withPath(path, () => sub(relu(x), relu(sub(x, reshape(limit, [1, -1, 1, 1])))));
}
