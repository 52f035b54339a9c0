// One encoded image -> RGB bytes at the model's size, by sharp. Owns the rules for odd formats; no folders, no stores.
import { readFile } from 'node:fs/promises';
import { DataError } from '../errors.js';

/** Changes whenever the same file would give other pixels: cached packs of another version are not used. */
export const DECODE_VERSION = 1;

/** File names taken for images; what is inside decides how they are read. */
export const IMAGE_EXTENSIONS: ReadonlySet<string> = new Set([
  '.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp', '.gif', '.tif', '.tiff', '.avif', '.svg',
]);

// Loaded on first use: programs that never decode do not pay for it.
const loadSharp = async (): Promise<(typeof import('sharp'))['default']> => (await import('sharp')).default;

/**
 * Decodes an image to `size` x `size` RGB bytes, [size, size, 3].
 *
 * Greyscale becomes three equal channels, 16 bits become 8, CMYK and embedded profiles become sRGB, transparency is laid
 * over black, EXIF orientation is applied, and of an animation the first frame is taken. The picture is squashed to the
 * square (no crop) by a triangle filter widened when shrinking, like Pillow's and torchvision's antialiased bilinear;
 * one already at that size is not resampled.
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
  return message.trim().split('\n').join('; ').replace(/^Input buffer /, 'it ');
}

export async function decodeBytes(bytes: Uint8Array, size: number): Promise<Uint8Array> {
  if (bytes.length === 0) throw new DataError('the file is empty');
  const sharp = await loadSharp();
  // failOn 'error' refuses truncated and corrupt pixels, but not odd metadata ('warning' would).
  const { data, info } = await sharp(bytes, { failOn: 'error', limitInputPixels: 1 << 29 })
    .autoOrient()
    .flatten({ background: '#000000' })
    .toColourspace('srgb')
    .resize(size, size, { fit: 'fill', kernel: 'linear' })
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== 3) throw new DataError(`it has ${info.channels} channels after conversion to RGB, which is not understood`);
  return data;
}
