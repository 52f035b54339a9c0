// Weights as Keras saves them: which arrays of an HDF5 file belong to which layer, and what each of them is called.
import { DataError, shown } from '../../errors.js';
import type { TensorData } from '../../native/wire.js';
import { BATCH_NORM, isDepthwise, KERAS_ARRAYS } from './keras-arrays.js';
import { readHdf5, type Hdf5, type Hdf5Array } from './hdf5.js';
import type { OpenFile } from './open-file.js';
import { decodeNumbers } from './safetensors.js';
import type { WeightFile } from './weight-file.js';

/** `conv2d_2` before `conv2d_10`. */
const NUMERIC = new Intl.Collator('en', { numeric: true });

type Names = ReadonlyMap<string, string>;

/** One array of one layer. */
interface Row {
  readonly layer: string;
  readonly array: string;
  readonly held: Hdf5Array;
}

/** A `.h5` of Keras 1 to 3: weights alone or a whole model, or Keras 3's `.weights.h5`. */
export async function readKerasHdf5({ path, size, read }: OpenFile): Promise<WeightFile> {
  return weightsOf(await readHdf5(await read(0, size), path), path);
}

/**
 * The weights in an HDF5 file, in either of Keras' layouts.
 * @param names of layers by their groups, for files of Keras 3's layout that do not say them
 * @throws DataError when it has neither, or contradicts itself
 */
export function weightsOf(hdf5: Hdf5, file: string, names: Names = new Map()): WeightFile {
  const bad = (what: string): DataError => new DataError(`${file} is not a usable Keras file: ${what}`, [file]);
  const root = ['', '/model_weights'].find((group) => textsOf(hdf5, group, 'layer_names') !== undefined);
  const rows = root === undefined ? numberedRows(hdf5, names) : legacyRows(hdf5, root, bad);
  const tensors = new Map<string, TensorData>();
  for (const { layer, array, held } of rows) {
    // Seeds and counters: Keras keeps them beside weights.
    if (!/^B?F\d+$/.test(held.dtype)) continue;
    const name = `${layer}/${array}`;
    if (tensors.has(name)) throw bad(`it holds ${shown(name)} twice`);
    tensors.set(name, { ...decodeNumbers(held.dtype, held.bytes), shape: [...held.shape] });
  }
  if (tensors.size === 0)
    throw bad(
      root === undefined
        ? "it holds no layers, neither listed in 'layer_names' nor with arrays in 'vars'"
        : 'none of its layers has weights',
    );
  const about = [...(hdf5.attributes.get(root || '/') ?? []), ...(hdf5.attributes.get('/') ?? [])];
  const metadata = Object.fromEntries(
    about.flatMap(([key, [text]]) => (['keras_version', 'backend'].includes(key) && text ? [[key, text]] : [])),
  );
  return { format: 'keras', tensors, metadata, notes: [] };
}

/** An attribute that lists texts. A long one is split: `layer_names0`, `layer_names1`, ... */
function textsOf(hdf5: Hdf5, group: string, name: string): readonly string[] | undefined {
  const attributes = hdf5.attributes.get(group || '/');
  const whole = attributes?.get(name);
  if (whole || !attributes?.has(`${name}0`)) return whole;
  const parts: string[] = [];
  for (let i = 0, part; (part = attributes.get(`${name}${i}`)); i++) parts.push(...part);
  return parts;
}

/** The old layout: groups named in `layer_names`, each with its arrays named in `weight_names`, both in the model's order. */
function* legacyRows(hdf5: Hdf5, root: string, bad: (what: string) => DataError): Generator<Row> {
  for (const layer of textsOf(hdf5, root, 'layer_names')!) {
    const names = textsOf(hdf5, `${root}/${layer}`, 'weight_names') ?? []; // none for layers without weights
    const found = names.map((name) => {
      const held = hdf5.arrays.get(`${root}/${layer}/${name}`);
      if (!held)
        throw bad(`layer ${shown(layer)} lists ${shown(name)}, which is no array of floating-point numbers in it`);
      const slash = name.lastIndexOf('/'); // names of layers may hold some: expanded_conv/depthwise
      return { owner: slash < 0 ? layer : name.slice(0, slash), array: arrayName(name.slice(slash + 1), held), held };
    });
    // A layer that is a model holds the arrays of many layers, which only their own names tell apart.
    const nested = new Set(found.map(({ owner }) => owner)).size > 1;
    for (const { owner, array, held } of found) yield { layer: nested ? owner : layer, array, held };
  }
}

/** `depthwise_kernel_1:0` without what TensorFlow added to make it unique. */
function arrayName(name: string, held: Hdf5Array): string {
  const [, plain = name] = /^(.*?)(?:_\d+)?(?::\d+)?$/.exec(name) ?? [];
  const known = KERAS_ARRAYS.has(plain) ? plain : name.replace(/:\d+$/, '');
  return known === 'kernel' && isDepthwise(held.shape) ? 'depthwise_kernel' : known;
}

/**
 * Keras 3's layout: a layer is a group called after its class, `.../conv2d_7`, with its arrays numbered in `vars`, whose
 * attribute `name` is the layer's own. Models in models are groups in groups.
 */
function* numberedRows(hdf5: Hdf5, names: Names): Generator<Row> {
  const layers = new Map<string, { index: number; held: Hdf5Array }[]>();
  for (const [path, held] of hdf5.arrays) {
    const [, group, index] = /^(.*)\/vars\/(\d+)$/.exec(path) ?? [];
    if (group === undefined || path.startsWith('/optimizer/')) continue;
    if (!layers.has(group)) layers.set(group, []);
    layers.get(group)!.push({ index: Number(index), held });
  }
  for (const group of [...layers.keys()].sort((a, b) => NUMERIC.compare(a, b))) {
    const called = group.slice(group.lastIndexOf('/') + 1);
    const layer = hdf5.attributes.get(`${group}/vars`)?.get('name')?.[0] || names.get(group) || called;
    const held = layers.get(group)!.sort((a, b) => a.index - b.index);
    const arrays = numberedNames(
      called,
      held.map((h) => h.held.shape),
    );
    for (const [i, one] of held.entries()) yield { layer, array: arrays[i] ?? String(one.index), held: one.held };
  }
}

/** What the arrays of a layer are, by their number and shapes: the layer's class may be the user's own. */
function numberedNames(group: string, shapes: readonly (readonly number[])[]): readonly string[] {
  const [first = [], second = []] = shapes;
  if (shapes.length === 4 && shapes.every((s) => s.length === 1 && s[0] === first[0])) return BATCH_NORM;
  const isKernel = (first.length === 4 || first.length === 2) && shapes.length <= 2;
  if (!isKernel || (shapes.length === 2 && second.length !== 1)) return [];
  const depthwise = /^depthwise_conv2d(_\d+)?$/.test(group) || isDepthwise(first);
  return [depthwise ? 'depthwise_kernel' : 'kernel', 'bias'];
}
