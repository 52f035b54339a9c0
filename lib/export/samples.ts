// The pictures an export is tried on: files, those a run held back, or noise where there are none.
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { decodeWhole } from '../data/decode.js';
import { decodeImage } from '../data/image-input.js';
import { imagesIn, spread } from '../data/image-files.js';
import { native } from '../native/load.js';
import { Random } from '../random.js';

/** A picture, decoded. */
export interface Sample {
  name: string;
  /** [size, size, 3] */
  pixels: Uint8Array;
  /** as it was before it was resized, [height, width, 3]; where asked for */
  whole?: { pixels: Uint8Array; height: number; width: number };
}

/** Pictures, to be decoded one at a time. */
export interface Samples {
  from: 'images' | 'validation split' | 'noise';
  names: readonly string[];
  /** @param whole keep them as they were too */
  sample(index: number, size: number, whole: boolean): Promise<Sample>;
}

/** Pictures tried at most, spread evenly over those there are. */
const MOST = 100;
/** Pictures of noise: an untrained eye tells little from more. */
const NOISE = 16;

/**
 * Pictures for a checkpoint's export.
 * @param images files, or folders for all images below; none: what the run of the checkpoint held back, else noise
 * @throws DataError where there are no images in what was named
 */
export async function samplesFor(checkpointFile: string, images: readonly string[] = []): Promise<Samples> {
  if (images.length > 0) return files('images', (await Promise.all(images.map(imagesIn))).flat());
  const held = await heldBack(checkpointFile);
  return held.length > 0 ? files('validation split', held) : noise();
}

/** Validation images of the run that wrote a checkpoint, as far as its folder says and they are still there. */
async function heldBack(checkpointFile: string): Promise<string[]> {
  const beside = async (name: string): Promise<Record<string, unknown>> =>
    JSON.parse(await readFile(path.join(path.dirname(checkpointFile), name), 'utf8')) as Record<string, unknown>;
  try {
    const [{ data }, { val }] = [await beside('config.json'), await beside('split.json')];
    if (typeof data !== 'string' || !Array.isArray(val)) return [];
    const found = val.map((name) => path.join(data, String(name)));
    await Promise.all(spread(found, MOST).map((file) => stat(file)));
    return found;
  } catch {
    return []; // no run's folder, or its images have gone
  }
}

function files(from: Samples['from'], all: readonly string[]): Samples {
  const names = spread(all, MOST);
  return {
    from,
    names,
    async sample(index, size, keep) {
      const name = names[index]!;
      if (!keep) return { name, pixels: await decodeImage(name, size) };
      const whole = await decodeWhole(name);
      return { name, whole, pixels: await native().resample(whole.pixels, whole.height, whole.width, size) };
    },
  };
}

/** Coloured noise, from broad blotches to single pixels; the same on every machine. */
function noise(): Samples {
  return {
    from: 'noise',
    names: Array.from({ length: NOISE }, (_, i) => `noise ${i}`),
    async sample(index, size, keep) {
      const random = new Random(0, 'export', index);
      const coarse = 2 + (index % 8) ** 2;
      const dots = Uint8Array.from({ length: coarse * coarse * 3 }, () => random.whole(0, 255));
      const side = keep ? Math.ceil(size * random.between(0.6, 2.4)) : size;
      const pixels = await native().resample(dots, coarse, coarse, side);
      const name = `noise ${index}`;
      if (!keep) return { name, pixels };
      return {
        name,
        whole: { pixels, height: side, width: side },
        pixels: await native().resample(pixels, side, side, size),
      };
    },
  };
}
