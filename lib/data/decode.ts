// One encoded image -> RGB bytes at the model's size, by sharp. Owns the rules for odd formats, for damage, and how much
// memory decoding may take; no folders, no stores.
import type { Sharp } from 'sharp';
import { DataError } from '../errors.js';
import { native } from '../native/load.js';
import { Budget } from './budget.js';
import { readRegularFile } from './regular-file.js';

/** Changes whenever the same file would give other pixels: cached packs of another version are not used. */
export const DECODE_VERSION = 2;

/** Pixels a picture may have where nothing else is said: 100 megapixels. */
export const DEFAULT_MAX_PIXELS = 100e6;

/** File names taken for images; what is inside decides how they are read. */
export const IMAGE_EXTENSIONS: ReadonlySet<string> = new Set([
  '.jpg',
  '.jpeg',
  '.jpe',
  '.jfif',
  '.png',
  '.webp',
  '.gif',
  '.tif',
  '.tiff',
  '.avif',
  '.svg',
]);

/** What decoding takes and what it refuses. */
export interface DecodeOptions {
  /** pixels (width times height) a picture may have; larger ones are refused before they take memory (default 1e8) */
  maxPixels?: number;
  /** decode what is left of a damaged picture instead of refusing it */
  allowDamaged?: boolean;
}

export interface Decoded {
  /** [size, size, 3] */
  pixels: Uint8Array;
  /** what is wrong with the file, where some pixels are not what was saved */
  damage?: string;
}

/** Pictures of up to this many pixels are decoded without a look at their size and without waiting for memory. */
const SMALL = 2 ** 20;
/** Files of up to this many bytes are read without waiting for memory. */
const SHORT = 2 ** 20;
/** What large files and large pictures under way take, bytes. Always held in this order: nobody waits in a circle. */
const encoded = new Budget(256 * 2 ** 20);
const decoded = new Budget(512 * 2 ** 20);

// Loaded on first use: programs that never decode do not pay for it.
const loadSharp = async (): Promise<(typeof import('sharp'))['default']> => (await import('sharp')).default;

/** For many images at a time: several in parallel, not parts of one, which would wait on each other. */
export async function decodeInParallel(): Promise<void> {
  (await loadSharp()).concurrency(1);
}

/** Why a file could not be decoded, on one line. */
export function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'no such file';
  if (code === 'EACCES') return 'no permission to read it';
  if (code === 'ELOOP') return 'symbolic links in a circle';
  return [...new Set(message.trim().split(/\s*\n\s*/))].join('; ').replace(/^Input buffer /, 'it ');
}

/** Decodes a file; large ones wait for their turn. Sizes are limits of `decodeImage`. */
export const decodeFile = (file: string, size: number, maxPixels: number): Promise<Decoded> =>
  readRegularFile(file, (bytes, read) => decodeRead(bytes, read, size, maxPixels));

/** Decodes what `read` brings, so many bytes; where they are many they wait for their turn. */
export async function decodeRead(
  bytes: number,
  read: () => Promise<Uint8Array>,
  size: number,
  maxPixels: number,
): Promise<Decoded> {
  // Sixteen bits for each of four channels is the most that a sane encoder writes.
  const most = 8 * maxPixels + 2 ** 26;
  if (bytes > most)
    throw new DataError(`it has ${bytes} bytes, more than a picture of ${maxPixels} pixels (maxPixels) takes`);
  const decode = async (): Promise<Decoded> => decodeBytes(await read(), size, maxPixels);
  return bytes <= SHORT ? decode() : encoded.hold(bytes, decode);
}

/** Width and height a picture was saved with, pixels, as far as its head says; of a file that was decoded before. */
export async function pictureSize(file: string): Promise<{ width: number; height: number }> {
  const sharp = await loadSharp();
  const { width, height } = await sharp(file, { limitInputPixels: false }).metadata();
  return { width, height };
}

/** Decodes bytes nobody changes meanwhile. */
export async function decodeBytes(bytes: Uint8Array, size: number, maxPixels: number): Promise<Decoded> {
  if (bytes.length === 0) throw new DataError('the file is empty');
  const sharp = await loadSharp();
  // JPEG and WebP are shrunk while they are decoded, which for large pictures is most of the work. For small ones setting
  // libvips's resize up takes longer than decoding them whole and resampling here; even a look at their size is worth saving.
  const short = bytes.length <= 2 * size * size;
  if (short) {
    try {
      return await decodeAs(bytes, size, false, Math.min(SMALL, maxPixels));
    } catch (error) {
      if (!beyondLimit(error)) throw error;
    }
  }
  const { format, width, height, isProgressive } = await sharp(bytes, { limitInputPixels: false }).metadata();
  const area = width * height;
  if (area > maxPixels) {
    throw new DataError(
      `it is ${width} x ${height}, more than ${maxPixels} pixels; make it smaller, or raise maxPixels (--max-pixels)`,
    );
  }
  const shrinks = !short && /^(jpeg|webp)$/.test(format) && Math.min(width, height) >= 2 * size;
  const decode = (): Promise<Decoded> => decodeAs(bytes, size, shrinks, maxPixels);
  if (area <= SMALL) return decode();
  // Measured: JPEG that is shrunk while it is decoded passes in strips, unless all of its scans have to be read first;
  // libwebp keeps several copies of the whole.
  const bytesPerPixel = format === 'webp' ? 11 : shrinks && !isProgressive ? 1 : 8;
  return decoded.hold(area * bytesPerPixel, decode);
}

const beyondLimit = (error: unknown): boolean => /pixel limit/.test((error as Error).message);
const startsWith = (bytes: Uint8Array, ...first: number[]): boolean => first.every((b, i) => bytes[i] === b);

/** Decodes, and says what is wrong where not all of it can be. */
async function decodeAs(bytes: Uint8Array, size: number, shrinks: boolean, limit: number): Promise<Decoded> {
  const isGif = startsWith(bytes, 0x47, 0x49, 0x46);
  const isJpeg = startsWith(bytes, 0xff, 0xd8);
  try {
    // 'error' refuses cut files and corrupt pixels, but not odd metadata as 'warning' would; GIF only warns of both.
    const pixels = await pixelsOf(bytes, size, shrinks, limit, isGif ? 'warning' : 'error');
    const damage = isJpeg ? await native().jpegDamage(bytes) : '';
    return damage === '' ? { pixels } : { pixels, damage };
  } catch (error) {
    if (beyondLimit(error)) throw error;
    const pixels = await pixelsOf(bytes, size, shrinks, limit, 'none').catch(() => {
      throw error;
    });
    return { pixels, damage: `damaged: ${reasonOf(error)}` };
  }
}

/** The picture as colours are understood everywhere here. */
async function rgbOf(
  bytes: Uint8Array,
  failOn: 'none' | 'error' | 'warning',
  limitInputPixels: number,
): Promise<Sharp> {
  const sharp = await loadSharp();
  return sharp(bytes, { failOn, limitInputPixels })
    .autoOrient()
    .flatten({ background: '#000000' })
    .toColourspace('srgb');
}

/** Pixels of other kinds, bytes each, as RGB of the same size: [height, width, 3]. */
export async function rgbOfPixels(
  pixels: Uint8Array,
  raw: { width: number; height: number; channels: number },
): Promise<Uint8Array> {
  const sharp = await loadSharp();
  const { width, height } = raw;
  const channels = raw.channels as 1 | 2 | 3 | 4;
  const image = sharp(pixels, { raw: { width, height, channels }, limitInputPixels: false });
  return (await rawOf(image.flatten({ background: '#000000' }).toColourspace('srgb'))).pixels;
}

/** Its bytes, [height, width, 3]. */
async function rawOf(image: Sharp): Promise<{ pixels: Uint8Array; height: number; width: number }> {
  const { data, info } = await image.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  if (info.channels !== 3)
    throw new DataError(`it has ${info.channels} channels after conversion to RGB, which is not understood`);
  return { pixels: data, height: info.height, width: info.width };
}

/**
 * A picture at the size it has, RGB, [height, width, 3]; by the rules of `decodeImage`.
 * @throws DataError when it cannot be read
 */
export async function decodeWhole(file: string): Promise<{ pixels: Uint8Array; height: number; width: number }> {
  try {
    const bytes = await readRegularFile(file, (_size, read) => read());
    return await rawOf(await rgbOf(bytes, 'error', DEFAULT_MAX_PIXELS));
  } catch (cause) {
    throw new DataError(`${file}: ${reasonOf(cause)}`, [file], { cause });
  }
}

async function pixelsOf(
  bytes: Uint8Array,
  size: number,
  shrinks: boolean,
  limitInputPixels: number,
  failOn: 'none' | 'error' | 'warning',
): Promise<Uint8Array> {
  const image = await rgbOf(bytes, failOn, limitInputPixels);
  if (shrinks) image.resize(size, size, { fit: 'fill', kernel: 'linear' });
  const { pixels, height, width } = await rawOf(image);
  return width === size && height === size ? pixels : native().resample(pixels, height, width, size);
}
