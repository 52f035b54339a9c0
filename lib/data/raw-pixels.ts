// Pixels as a program has them in memory, as RGB squares.
import { DataError, UsageError } from '../errors.js';
import { native } from '../native/load.js';
import { checkWhole, MOST_PIXELS, shown } from './checks.js';
import type { Decoded } from './decode.js';

/** Pixels as they lie in memory: rows from the top, `channels` bytes a pixel. */
export interface RawImage {
  /** height * width * channels bytes */
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
  /** 1: grey; 3: RGB; 4: RGB and opacity, laid over black */
  channels: 1 | 3 | 4;
}

/**
 * [size, size, 3], resampled as any other picture.
 * @throws UsageError for what are no such pixels; DataError for more than `maxPixels`
 */
export async function decodePixels(image: RawImage, size: number, maxPixels: number): Promise<Decoded> {
  const { data, width, height, channels } = image;
  checkWhole('image: width', width, 1, MOST_PIXELS);
  checkWhole('image: height', height, 1, MOST_PIXELS);
  if (![1, 3, 4].includes(channels))
    throw new UsageError(`image: channels: expected 1, 3 or 4, got ${shown(channels)}`);
  const bytes = height * width * channels;
  const fits = ArrayBuffer.isView(data) && data.BYTES_PER_ELEMENT === 1 && data.length === bytes;
  if (!fits)
    throw new UsageError(
      `image: data: expected ${bytes} bytes, [height ${height}, width ${width}, ${channels}], got ${ArrayBuffer.isView(data) ? `${(data as Uint8Array).byteLength} bytes` : shown(data)}`,
    );
  if (width * height > maxPixels)
    throw new DataError(`it is ${width} x ${height}, more than ${maxPixels} pixels (maxPixels)`);
  const rgb = channels === 3 ? new Uint8Array(data) : laidOverBlack(data, width * height, channels);
  return { pixels: width === size && height === size ? rgb : await native().resample(rgb, height, width, size) };
}

function laidOverBlack(data: Uint8Array | Uint8ClampedArray, pixels: number, channels: 1 | 4): Uint8Array {
  const rgb = new Uint8Array(3 * pixels);
  for (let i = 0; i < pixels; i++)
    for (let c = 0; c < 3; c++)
      rgb[3 * i + c] = channels === 1 ? data[i]! : Math.round((data[4 * i + c]! * data[4 * i + 3]!) / 255);
  return rgb;
}
