// The built-in data set: procedural aerial scenes packed like any other images. The drawings are scenes.ts.
import { Random } from '../../random.js';
import { checkWhole, MOST_PIXELS, MOST_SIZE } from '../checks.js';
import type { Dataset } from '../dataset.js';
import { decodeBytes } from '../decode.js';
import { checkPackOptions, inMemory, PackedImages, type PackOptions, type PackSource } from '../pack.js';
import { checkSplitOptions, type SplitOptions } from '../split-options.js';
import { splitImages } from '../split.js';
import { SCENES, sceneSvg } from './scenes.js';

/** Which pictures are drawn. */
export interface SyntheticOptions extends Pick<PackOptions, 'onProgress' | 'signal' | 'concurrency'>, SplitOptions {
  /** side of the pictures, 8 to 8192 pixels (default 64) */
  size?: number;
  /** pictures of each of the 21 classes, 2 to 100,000 (default 60) */
  perClass?: number;
  /** of pictures and split, 0 to 2^53 - 1 (default 0) */
  seed?: number;
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
  const { size = 64, perClass = 60, seed = 0, ...rest } = options;
  checkPackOptions({ size, ...rest });
  checkSplitOptions(options);
  checkWhole('size', size, 8, MOST_SIZE);
  checkWhole('perClass', perClass, 2, 100_000);
  const classes = Object.keys(SCENES).sort();
  const total = classes.length * perClass;
  const labels = Int32Array.from({ length: total }, (_, i) => Math.floor(i / perClass));
  const files = Array.from(labels, (label, i) => `${classes[label]}/${i % perClass}`);
  const source: PackSource = {
    classes,
    files,
    labels,
    decode: (row) => {
      const name = classes[labels[row]!]!;
      // Drawn larger and shrunk: edges as soft as a camera's.
      const svg = sceneSvg(name, new Random(seed, name, row % perClass), Math.round(1.5 * size));
      return decodeBytes(Buffer.from(svg), size, MOST_PIXELS);
    },
    // No two pictures are alike.
    split: ({ rows, note }) => splitImages({ classes, files, labels, rows, sameAs: [...files.keys()] }, options, note),
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
