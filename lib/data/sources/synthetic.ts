// The built-in data set: procedural aerial scenes packed like any other images. The drawings are scenes.ts.
import os from 'node:os';
import { UsageError } from '../../errors.js';
import { ImageStore } from '../../engine/images.js';
import { stratifiedSplit, type Dataset, type Split } from '../dataset.js';
import { decodeBytes } from '../decode.js';
import { Random } from '../../random.js';
import { SCENES, sceneSvg } from './scenes.js';

/** Which pictures are drawn. */
export interface SyntheticOptions {
  /** side of the pictures, pixels (default 64) */
  size?: number;
  /** pictures of each of the 21 classes (default 60) */
  perClass?: number;
  /** of pictures and split (default 0) */
  seed?: number;
  /** share held back to validate on (default 0.3) */
  valSplit?: number;
  /** hears how many pictures are drawn */
  onProgress?: (progress: { done: number; total: number }) => void;
}

/**
 * Draws 21 classes of aerial scenes. A picture depends on (seed, class, number) alone.
 * @example
 * import { syntheticScenes } from 'mnv2-torch';
 * const data = await syntheticScenes({ size: 32, perClass: 2, seed: 1 });
 * console.log(data.classes.length, data.files[0], data.store.get(0).length); // 21 agricultural/0 3072
 * data.dispose();
 */
export async function syntheticScenes(options: SyntheticOptions = {}): Promise<Dataset> {
  const { size = 64, perClass = 60, seed = 0, valSplit = 0.3, onProgress } = options;
  if (!Number.isInteger(size) || size < 8)
    throw new UsageError(`size: expected a whole number of at least 8 pixels, got ${size}`);
  if (!Number.isInteger(perClass) || perClass < 2)
    throw new UsageError(`perClass: expected a whole number of at least 2, got ${perClass}`);
  const classes = Object.keys(SCENES).sort();
  const total = classes.length * perClass;
  const labels = Int32Array.from({ length: total }, (_, i) => Math.floor(i / perClass));
  const files = Array.from(labels, (label, i) => `${classes[label]}/${i % perClass}`);
  const store = new ImageStore({ count: total, height: size, width: size, channels: 3 });
  let next = 0;
  let done = 0;
  // Drawn larger and shrunk: edges as soft as a camera's.
  const lane = async (): Promise<void> => {
    while (next < total) {
      const row = next++;
      const name = classes[labels[row]!]!;
      const svg = sceneSvg(name, new Random(seed, name, row % perClass), Math.round(1.5 * size));
      store.put(row, await decodeBytes(Buffer.from(svg), size));
      onProgress?.({ done: ++done, total });
    }
  };
  (await import('sharp')).default.concurrency(1);
  await Promise.all(Array.from({ length: os.availableParallelism() + 1 }, lane));
  const split: Split = stratifiedSplit([...labels.keys()], labels, (row) => row, valSplit, seed);
  return {
    classes,
    files,
    labels,
    size,
    store,
    skipped: [],
    packed: () => Promise.resolve(),
    ready: () => Promise.resolve(split),
    dispose: () => store.dispose(),
  };
}
