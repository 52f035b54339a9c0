// One encoded image -> RGB bytes at the model's size, by sharp. Owns the rules for odd formats; no folders, no stores.
import { readFile } from 'node:fs/promises';
import { DataError } from '../errors.js';
import { native } from '../native/load.js';

/** Changes whenever the same file would give other pixels: cached packs of another version are not used. */
export const DECODE_VERSION = 2;

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

// Loaded on first use: programs that never decode do not pay for it.
const loadSharp = async (): Promise<(typeof import('sharp'))['default']> => (await import('sharp')).default;

/**
 * Decodes an image to `size` x `size` RGB bytes, [size, size, 3].
 *
 * Greyscale becomes three equal channels, 16 bits become 8, CMYK and embedded profiles become sRGB, transparency is laid
 * over black, EXIF orientation is applied, and of an animation the first frame is taken. The picture is squashed to the
 * square (no crop) by a triangle filter widened when shrinking: Pillow's bilinear to the byte, unless JPEG or WebP can
 * leave half of their pixels out while decoding. One already at that size is not resampled.
 * @param source a path, or the encoded bytes
 * @throws DataError when it cannot be read, or is truncated or corrupt
 * @example
 * import { decodeImage } from 'mnv2-torch';
 * const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8" fill="red"/></svg>');
 * const pixels = await decodeImage(svg, 4);
 * console.log(pixels.length, pixels[0]); // 48 255
 */
export async function decodeImage(source: string | Uint8Array, size: number): Promise<Uint8Array> {
  const name = typeof source === 'string' ? source : 'image';
  try {
    return await decodeBytes(typeof source === 'string' ? await readFile(source) : source, size);
  } catch (cause) {
    throw new DataError(`${name}: ${reasonOf(cause)}`, [name], { cause });
  }
}

/** Why a file could not be decoded, on one line. */
export function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'no such file';
  if (code === 'EISDIR') return 'a folder, not an image';
  if (code === 'EACCES') return 'no permission to read it';
  return message
    .trim()
    .split('\n')
    .join('; ')
    .replace(/^Input buffer /, 'it ');
}

export async function decodeBytes(bytes: Uint8Array, size: number): Promise<Uint8Array> {
  if (bytes.length === 0) throw new DataError('the file is empty');
  const sharp = await loadSharp();
  // failOn 'error' refuses truncated and corrupt pixels, but not odd metadata ('warning' would).
  const image = sharp(bytes, { failOn: 'error', limitInputPixels: 1 << 29 });
  // JPEG and WebP are shrunk while they are decoded, which for large pictures is most of the work. For small ones setting
  // libvips's resize up takes longer than decoding them whole and resampling here; even a look at their size is worth saving.
  const shrinks =
    bytes.length > 2 * size * size &&
    (await image
      .metadata()
      .then(({ format, width, height }) => /^(jpeg|webp)$/.test(format) && Math.min(width, height) >= 2 * size));
  image.autoOrient().flatten({ background: '#000000' }).toColourspace('srgb');
  if (shrinks) image.resize(size, size, { fit: 'fill', kernel: 'linear' });
  const { data, info } = await image.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  if (info.channels !== 3)
    throw new DataError(`it has ${info.channels} channels after conversion to RGB, which is not understood`);
  return info.width === size && info.height === size ? data : native().resample(data, info.height, info.width, size);
}
