// Whole models as Keras 3 saves them (.keras): an archive with the weights as HDF5 beside a description of the layers.
// Nothing of the description is built or run: it is asked for names.
import { DataError, shown } from '../../errors.js';
import { readHdf5 } from './hdf5.js';
import { weightsOf } from './keras.js';
import type { OpenFile } from './open-file.js';
import type { WeightFile } from './weight-file.js';
import { openZip } from './zip.js';

const WEIGHTS = 'model.weights.h5';
const DESCRIPTION = 'config.json';
/** Models in models. */
const MOST_LEVELS = 32;

/**
 * The weights of an archive, by the names of its layers.
 * @throws DataError for an archive or HDF5 that is damaged or hostile, and one without weights
 */
export async function readKerasArchive(file: OpenFile): Promise<WeightFile> {
  const zip = await openZip(file);
  const bad = (what: string): DataError =>
    new DataError(`${file.path} is not a usable Keras file: ${what}`, [file.path]);
  if (!zip.sizes.has(WEIGHTS)) throw bad(`expected its weights as ${shown(WEIGHTS)}, there are none`);
  const names = new Map<string, string>();
  if (zip.sizes.has(DESCRIPTION)) {
    try {
      collectNames(JSON.parse((await zip.read(DESCRIPTION)).toString()), '', 0, names);
    } catch (cause) {
      if (cause instanceof DataError) throw cause;
      throw bad(`its ${DESCRIPTION} is not JSON`);
    }
  }
  return weightsOf(await readHdf5(await zip.read(WEIGHTS), file.path), file.path, names);
}

const isObject = (v: unknown): v is Record<string, unknown> => typeof v === 'object' && v !== null && !Array.isArray(v);

/**
 * A layer's own name by its group in the weights: groups are called after classes, and numbered in the model's order.
 * @param description a model's: `{ class_name, config: { layers: [...] } }`
 * @param group of the model, '' for the outermost
 */
function collectNames(description: unknown, group: string, level: number, names: Map<string, string>): void {
  const layers = isObject(description) && isObject(description['config']) ? description['config']['layers'] : undefined;
  if (!Array.isArray(layers) || level > MOST_LEVELS) return;
  const seen = new Map<string, number>();
  for (const layer of layers as unknown[]) {
    if (!isObject(layer) || typeof layer['class_name'] !== 'string') continue;
    const kind = snakeCase(layer['class_name']);
    const count = seen.get(kind) ?? 0;
    seen.set(kind, count + 1);
    const path = `${group}/layers/${kind}${count === 0 ? '' : `_${count}`}`;
    const name = isObject(layer['config']) ? layer['config']['name'] : undefined;
    if (typeof name === 'string') names.set(path, name);
    collectNames(layer, path, level + 1, names);
  }
}

/** As Keras makes a group's name of a class's: `DepthwiseConv2D` is `depthwise_conv2d`. */
const snakeCase = (name: string): string =>
  name
    .replace(/\W+/g, '')
    .replace(/(.)([A-Z][a-z]+)/g, '$1_$2')
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase();
