// The built-in data set: procedural aerial scenes packed like any other images. The drawings are scenes.ts.
import { Random } from '../../random.js';
import { checkShare, checkWhole, MOST_PIXELS, MOST_SIZE } from '../checks.js';
import type { Dataset } from '../dataset.js';
import { decodeBytes } from '../decode.js';
import { checkPackOptions, inMemory, PackedImages, type PackOptions } from '../pack.js';
import { stratifiedSplit } from '../split.js';
import { SCENES, sceneSvg } from './scenes.js';

/** Which pictures are drawn. */
export interface SyntheticOptions extends Pick<PackOptions, 'onProgress' | 'signal' | 'concurrency'> {
  /** side of the pictures, 8 to 8192 pixels (default 64) */
  size?: number;
  /** pictures of each of the 21 classes, 2 to 100,000 (default 60) */
  perClass?: number;
  /** of pictures and split, 0 to 2^53 - 1 (default 0) */
  seed?: number;
  /** share held back to validate on (default 0.3) */
  valSplit?: number;
}

/**
 * Draws 21 classes of aerial scenes. A picture depends on (seed, class, number) alone.
 * @throws UsageError for options out of range; what `onProgress` throws
 * @example
 * import { syntheticScenes } from 'mnv2-torch';
 * const data = await syntheticScenes({ size: 32, perClass: 2, seed: 1 });
 * console.log(data.classes.length, data.files[0], data.store.get(0).length); // 21 agricultural/0 3072
 * data.dispose();
 */
export async function syntheticScenes(options: SyntheticOptions = {}): Promise<Dataset> {
  const { size = 64, perClass = 60, seed = 0, valSplit = 0.3, ...rest } = options;
  checkPackOptions({ size, ...rest });
  checkWhole('size', size, 8, MOST_SIZE);
  checkWhole('perClass', perClass, 2, 100_000);
  checkWhole('seed', seed, 0, Number.MAX_SAFE_INTEGER);
  checkShare('valSplit', valSplit);
  const classes = Object.keys(SCENES).sort();
  const total = classes.length * perClass;
  const labels = Int32Array.from({ length: total }, (_, i) => Math.floor(i / perClass));
  const source = {
    classes,
    files: Array.from(labels, (label, i) => `${classes[label]}/${i % perClass}`),
    labels,
    decode: (row: number) => {
      const name = classes[labels[row]!]!;
      // Drawn larger and shrunk: edges as soft as a camera's.
      const svg = sceneSvg(name, new Random(seed, name, row % perClass), Math.round(1.5 * size));
      return decodeBytes(Buffer.from(svg), size, MOST_PIXELS);
    },
    split: (rows: readonly number[]) => stratifiedSplit(rows, labels, (row) => row, valSplit, seed),
  };
  const data = new PackedImages(source, { size, ...rest }, inMemory(total, size));
  try {
    await data.ready();
  } catch (error) {
    data.dispose();
    throw error;
  }
  return data;
}
