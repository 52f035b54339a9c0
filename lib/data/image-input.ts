// What a picture may be handed over as: a path, encoded bytes, pixels, another library's object. Owns telling these
// apart and making RGB squares of them; how files and bytes are decoded is decode.ts.
import { fileURLToPath } from 'node:url';
import { DataError, UsageError } from '../errors.js';
import { native } from '../native/load.js';
import { checkFlag, checkWhole, MOST_PIXELS, MOST_SIZE, shown } from './checks.js';
import {
  decodeBytes,
  decodeFile,
  decodeRead,
  DEFAULT_MAX_PIXELS,
  reasonOf,
  rgbOfPixels,
  type Decoded,
  type DecodeOptions,
} from './decode.js';

/** Pixels as they lie in memory: rows from the top, `channels` bytes a pixel. */
export interface RawPixels {
  /** height * width * channels bytes; they must not change before the answer is there */
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
  /** 1: grey; 3: RGB; 4: RGB and opacity, laid over black */
  channels: 1 | 3 | 4;
}

/**
 * A sharp instance, of whatever version is installed: known by these methods. It is cloned, so that it can be used on;
 * what it was told to do to the picture is done, its limits hold; output options (`jpeg`, `png`) are passed over.
 */
export interface SharpInstance {
  /** another with the same input and steps */
  clone(): SharpInstance;
  /** its output becomes pixels */
  raw(options?: { depth: 'uchar' }): SharpInstance;
  /** does the work */
  toBuffer(options: {
    resolveWithObject: true;
  }): Promise<{ data: Uint8Array; info: { width: number; height: number; channels: number } }>;
}

/** A picture: a path, a URL object of a file, the encoded bytes (whatever sharp reads), a Blob of them, raw pixels, a sharp instance. */
export type ImageInput = string | URL | Uint8Array | Blob | RawPixels | SharpInstance;

const EXPECTED =
  'a path, a file: URL object, the encoded bytes (Buffer, Uint8Array or Blob), raw pixels { data, width, height, channels } or a sharp instance';

const has = (value: object, ...methods: string[]): boolean =>
  methods.every((m) => typeof (value as Record<string, unknown>)[m] === 'function');

// By what they do: a Blob of another realm, a URL of a polyfill or a sharp of another copy will do.
const isSharp = (value: object): value is SharpInstance => has(value, 'clone', 'raw', 'toBuffer', 'metadata');
const isBlob = (value: object): value is Blob => has(value, 'arrayBuffer', 'slice') && 'size' in value;
const isUrl = (value: object): value is URL => 'href' in value && 'protocol' in value;
const isBytes = (value: unknown): value is Uint8Array | Uint8ClampedArray =>
  ArrayBuffer.isView(value) && /^\[object Uint8(Clamped)?Array\]$/.test(Object.prototype.toString.call(value));

/** The path of a file: URL. @throws UsageError for other schemes, and for hosts */
function pathOf(url: URL): string {
  if (url.protocol !== 'file:')
    throw new UsageError(
      `image: expected a file: URL, got ${url.protocol} (${shown(url.href)}); fetch it yourself and pass its bytes`,
    );
  try {
    return fileURLToPath(url.href);
  } catch (cause) {
    throw new UsageError(`image: ${url.href} names no file here: ${(cause as Error).message}`, { cause });
  }
}

function checkPixels({ data, width, height, channels }: RawPixels, maxPixels: number): void {
  checkWhole('image: width', width, 1, MOST_PIXELS);
  checkWhole('image: height', height, 1, MOST_PIXELS);
  if (channels !== 1 && channels !== 3 && channels !== 4)
    throw new UsageError(`image: channels: expected 1, 3 or 4, got ${shown(channels)}`);
  const bytes = height * width * channels;
  if (!isBytes(data) || data.length !== bytes) {
    const came = isBytes(data) ? `${data.length} bytes` : shown(data);
    throw new UsageError(
      `image: data: expected ${bytes} bytes, [height ${height}, width ${width}, ${channels}] in a Uint8Array, got ${came}`,
    );
  }
  if (width * height > maxPixels)
    throw new DataError(`it is ${width} x ${height}, more than ${maxPixels} pixels (maxPixels)`);
}

/** Others may write to shared memory, and shrink resizable memory, while it is read. */
function settled(bytes: Uint8Array | Uint8ClampedArray): Uint8Array {
  const { buffer, byteOffset, length } = bytes;
  const moving = buffer instanceof SharedArrayBuffer || (buffer as { resizable?: boolean }).resizable === true;
  return moving ? new Uint8Array(bytes) : new Uint8Array(buffer, byteOffset, length);
}

/** RGB [height, width, 3] at the model's size. */
const resampled = (
  pixels: Uint8Array,
  height: number,
  width: number,
  size: number,
): Promise<Uint8Array> | Uint8Array =>
  width === size && height === size ? pixels : native().resample(pixels, height, width, size);

async function fromPixels({ data, width, height, channels }: RawPixels, size: number): Promise<Decoded> {
  const own = settled(data);
  const rgb = channels === 3 ? own : await rgbOfPixels(own, { width, height, channels });
  return { pixels: await resampled(rgb, height, width, size) };
}

async function fromSharp(image: SharpInstance, size: number): Promise<Decoded> {
  const { data, info } = await image.clone().raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  const rgb = channels === 3 ? data : await rgbOfPixels(data, { width, height, channels });
  return { pixels: await resampled(rgb, height, width, size) };
}

/** What a picture is called in a message: its path, a File's name, or 'image'. */
export function imageName(image: ImageInput): string {
  if (typeof image === 'string') return image;
  if (typeof image !== 'object' || image === null || isBytes(image)) return 'image';
  if (isUrl(image)) return image.protocol === 'file:' ? pathOf(image) : image.href;
  const { name } = image as { name?: unknown };
  return isBlob(image) && typeof name === 'string' && name !== '' ? name : 'image';
}

/**
 * A picture of any kind as RGB, with what is wrong with it. Sizes are limits of `decodeImage`.
 * @throws UsageError for what is no picture of any kind, at once; the decoder's errors, unnamed
 */
export function decodeInput(image: ImageInput, size: number, maxPixels: number): Promise<Decoded> {
  if (typeof image === 'string') return decodeFile(image, size, maxPixels);
  if (isBytes(image)) return decodeBytes(settled(image), size, maxPixels);
  if (typeof image === 'object' && image !== null) {
    if (isSharp(image)) return fromSharp(image, size);
    if (isUrl(image)) return decodeFile(pathOf(image), size, maxPixels);
    if (isBlob(image))
      return decodeRead(image.size, async () => new Uint8Array(await image.arrayBuffer()), size, maxPixels);
    if ('data' in image && 'width' in image && 'height' in image) {
      checkPixels(image, maxPixels);
      return fromPixels(image, size);
    }
  }
  throw new UsageError(`image: expected ${EXPECTED}, got ${shown(image as unknown)}`);
}

/**
 * Decodes an image to `size` x `size` RGB bytes, [size, size, 3].
 *
 * Greyscale becomes three equal channels, 16 bits become 8, CMYK and embedded profiles become sRGB, transparency is laid
 * over black, EXIF orientation is applied, and of an animation the first frame is taken. The picture is squashed to the
 * square (no crop) by a triangle filter widened when shrinking: Pillow's bilinear to the byte, unless JPEG or WebP can
 * leave half of their pixels out while decoding. One already at that size is not resampled.
 *
 * Damage is found where the format lets it be: cut files of every kind, JPEG by reading all of its codes, PNG by its
 * checksums, others where their data makes no sense. Pixels of uncompressed TIFF, and most of WebP, may be anything.
 * @param source a path, a file: URL object, the encoded bytes or a Blob of them; or raw pixels, or a sharp instance,
 * which are not turned: they are what they are
 * @param size 1 to 8192
 * @throws DataError when it cannot be read, is no regular file, is damaged, or has more than `maxPixels` pixels;
 * UsageError for a source of another type
 * @example
 * import { decodeImage } from 'mnv2-torch';
 * const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8" fill="red"/></svg>');
 * const pixels = await decodeImage(svg, 4);
 * const grey = await decodeImage({ data: Uint8Array.of(7, 7, 7, 7), width: 2, height: 2, channels: 1 }, 1);
 * console.log(pixels.length, pixels[0], grey.join(' ')); // 48 255 7 7 7
 */
export async function decodeImage(source: ImageInput, size: number, options: DecodeOptions = {}): Promise<Uint8Array> {
  const { maxPixels = DEFAULT_MAX_PIXELS, allowDamaged = false } = options;
  checkWhole('size', size, 1, MOST_SIZE);
  checkWhole('maxPixels', maxPixels, 1, MOST_PIXELS);
  checkFlag('allowDamaged', allowDamaged);
  try {
    const { pixels, damage } = await decodeInput(source, size, maxPixels);
    if (damage !== undefined && !allowDamaged)
      throw new DataError(
        `${damage}. Repair or replace it, or decode what is left of it with allowDamaged (--allow-damaged).`,
      );
    return pixels;
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
    const name = imageName(source);
    throw new DataError(`${name}: ${reasonOf(cause)}`, [name], { cause });
  }
}
