// Keras' files, written by the HDF5 library in this process: layers of one's own, in either layout.
import type { Group } from 'h5wasm';

const { File, ready } = await import('h5wasm');
const { FS } = await ready;

export interface KerasArray {
  data: Float32Array | Float64Array | Int32Array;
  shape: number[];
}
/** Arrays by name, in order; of a layer that is a model, by the names of its layers: `inner/kernel`. Names of layers may hold slashes. */
export type KerasLayers = Record<string, Record<string, KerasArray>>;

/** `count` numbers, no two files' alike by their `seed`. */
export const array = (shape: number[], seed = 0): KerasArray => ({
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => seed + i / 8),
  shape,
});

let made = 0;
/** An HDF5 file made by `write`, as bytes; like h5py's, without checksums. */
export function hdf5(write: (root: Group) => void): Buffer {
  const name = `/made-${made++}.h5`;
  const file = new File(name, 'w', { libver: ['earliest', 'latest'] });
  try {
    write(file);
  } finally {
    file.close();
  }
  const bytes = Buffer.from(FS!.readFile(name));
  FS!.unlink(name);
  return bytes;
}

/** The group of this path, and those on the way to it, made where there are none. */
function groupAt(group: Group, path: string): Group {
  let into = group;
  for (const part of path.split('/'))
    into = into.keys().includes(part) ? (into.get(part) as Group) : into.create_group(part);
  return into;
}

export interface LegacyOptions {
  /** the attributes as bytes of fixed length, as h5py writes numpy's; by default texts of variable length */
  fixed?: boolean;
  /** appended to each array's name: TensorFlow's ':0' */
  suffix?: string;
  /** the parts `layer_names` is split into */
  parts?: number;
}

/** Writes the layout of Keras 1 and 2 into a group; `weightName` makes an array's name from layer and array. */
export function writeLegacy(group: Group, layers: KerasLayers, options: LegacyOptions = {}): void {
  const { fixed = false, suffix = ':0', parts = 1 } = options;
  const texts = (into: Group, name: string, list: string[]): void => {
    const dtype = fixed ? `S${Math.max(1, ...list.map((t) => t.length))}` : 'S';
    if (list.length > 0) into.create_attribute(name, list, [list.length], dtype);
  };
  const names = Object.keys(layers);
  const length = Math.ceil(names.length / parts);
  if (parts === 1) texts(group, 'layer_names', names);
  else for (let i = 0; i < parts; i++) texts(group, `layer_names${i}`, names.slice(i * length, (i + 1) * length));
  for (const [layer, arrays] of Object.entries(layers)) {
    const into = groupAt(group, layer);
    const paths = Object.keys(arrays).map((a) => `${a.includes('/') ? '' : `${layer}/`}${a}${suffix}`);
    texts(into, 'weight_names', paths);
    for (const [i, { data, shape }] of Object.values(arrays).entries()) {
      const slash = paths[i]!.lastIndexOf('/');
      groupAt(into, paths[i]!.slice(0, slash)).create_dataset({ name: paths[i]!.slice(slash + 1), data, shape });
    }
  }
}

/** Writes Keras 3's layout: groups by `path` (`layers/conv2d_1`), each with its own name and its arrays in order. */
export function writeNumbered(root: Group, layers: Record<string, { name?: string; arrays: KerasArray[] }>): void {
  for (const [path, { name, arrays }] of Object.entries(layers)) {
    const into = groupAt(root, `${path}/vars`);
    if (name !== undefined) into.create_attribute('name', name, null, 'S');
    for (const [i, { data, shape }] of arrays.entries()) into.create_dataset({ name: String(i), data, shape });
  }
}
