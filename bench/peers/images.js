// Real images as float32 for the JavaScript peers of the inference row. Owns no network.
import { readdirSync } from 'node:fs';
import path from 'node:path';

const SIZE = 224;

/** `count` files spread over the classes of an image folder. */
export function someFiles(root, count) {
  const files = readdirSync(root, { withFileTypes: true })
    .filter((e) => e.isDirectory())
    .flatMap((e) => readdirSync(path.join(root, e.name)).map((f) => path.join(root, e.name, f)))
    .sort();
  return Array.from({ length: count }, (_, i) => files[(i * 997) % files.length]);
}

/** [count, 3, 224, 224] or [count, 224, 224, 3] float32, x/127.5 - 1. */
export async function pixels(root, count, layout) {
  const sharp = (await import('sharp')).default;
  const area = SIZE * SIZE;
  const out = new Float32Array(count * 3 * area);
  for (const [n, file] of someFiles(root, count).entries()) {
    const u8 = await sharp(file)
      .removeAlpha()
      .toColourspace('srgb')
      .resize(SIZE, SIZE, { fit: 'fill' })
      .raw()
      .toBuffer();
    for (let p = 0; p < area; p++) {
      for (let c = 0; c < 3; c++) {
        const at = layout === 'nchw' ? (n * 3 + c) * area + p : (n * area + p) * 3 + c;
        out[at] = u8[p * 3 + c] / 127.5 - 1;
      }
    }
  }
  return out;
}
