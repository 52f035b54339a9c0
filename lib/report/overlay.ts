// A map laid over a picture: places that speak for a class glow, the rest stays as it is, a little darker. Owns the
// colours and the enlarging; maps are infer/cam.ts.
import type { Explanation } from '../infer/answer.js';

/** Values over a picture, row-major; each covers the same share of it. */
export type PlaceMap = Pick<Explanation, 'values' | 'height' | 'width'>;

/** matplotlib's inferno at equal steps: brightness rises evenly from black, also for eyes that tell fewer hues apart. */
const INFERNO = [
  [0, 0, 4],
  [31, 12, 72],
  [85, 15, 109],
  [136, 34, 106],
  [188, 55, 84],
  [227, 89, 51],
  [249, 142, 9],
  [249, 201, 50],
  [252, 255, 164],
] as const;

/** Share of the colour where a map is lowest and where it is highest: what is under it must still be seen. */
const [LEAST, MOST] = [0.25, 0.6];

/** The colour of a value from 0 to 1, RGB. */
export function colourOf(value: number): [number, number, number] {
  const at = Math.min(Math.max(value, 0), 1) * (INFERNO.length - 1);
  const i = Math.min(Math.floor(at), INFERNO.length - 2);
  const [low, high] = [INFERNO[i]!, INFERNO[i + 1]!];
  return [0, 1, 2].map((c) => low[c]! + (at - i) * (high[c]! - low[c]!)) as [number, number, number];
}

/** The value at a place given as shares of width and height, between the four cells around it; edges go on outwards. */
export function valueAt({ values, height, width }: PlaceMap, x: number, y: number): number {
  const within = (v: number, cells: number): [number, number] => {
    const at = Math.min(Math.max(v * cells - 0.5, 0), cells - 1);
    const low = Math.min(Math.floor(at), cells - 1);
    return [low, at - low];
  };
  const [column, dx] = within(x, width);
  const [row, dy] = within(y, height);
  const [right, below] = [Math.min(column + 1, width - 1), Math.min(row + 1, height - 1)];
  const along = (r: number): number => values[r * width + column]! * (1 - dx) + values[r * width + right]! * dx;
  return along(row) * (1 - dy) + along(below) * dy;
}

/**
 * Colours a picture by a map. What speaks against the class counts as nothing; the highest place gets the brightest
 * colour, whatever its value.
 * @param pixels RGB, [height, width, 3]
 * @returns as many pixels
 */
export function overlay(pixels: Uint8Array, width: number, height: number, map: PlaceMap): Uint8Array {
  const highest = Math.max(1e-12, ...map.values);
  const out = new Uint8Array(pixels.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const share = Math.max(0, valueAt(map, (x + 0.5) / width, (y + 0.5) / height)) / highest;
      const colour = colourOf(share);
      const covers = LEAST + (MOST - LEAST) * share;
      const at = 3 * (y * width + x);
      for (let c = 0; c < 3; c++) out[at + c] = Math.round(pixels[at + c]! * (1 - covers) + colour[c]! * covers);
    }
  }
  return out;
}

/** Longest side of an overlay that is written, pixels. */
const LONGEST = 1024;

/**
 * A picture file with a map over it, as a PNG in the picture's own proportions.
 * @param image a path, or the encoded bytes; one that could be classified
 */
export async function overlayPicture(
  image: string | Uint8Array,
  map: PlaceMap,
  options: { maxPixels: number },
): Promise<Uint8Array> {
  const { default: sharp } = await import('sharp');
  const { data, info } = await sharp(image, { failOn: 'none', limitInputPixels: options.maxPixels })
    .autoOrient()
    .flatten({ background: '#000000' })
    .toColourspace('srgb')
    .resize({ width: LONGEST, height: LONGEST, fit: 'inside', withoutEnlargement: true })
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const { width, height } = info;
  return sharp(overlay(data, width, height, map), { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}
