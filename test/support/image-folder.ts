// Tiny folders of images, one subfolder a class, easy to tell apart and the same on every call.
import fs from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import { Random } from '../../dist/random.js';

export interface ImageFolderShape {
  classes: readonly string[];
  perClass: number;
  /** side in pixels; 32 by default */
  size?: number;
}

/** Writes `<folder>/<class>/<i>.png`: a colour a class under noise, no two pictures alike. Returns the folder. */
export async function imageFolder(folder: string, { classes, perClass, size = 32 }: ImageFolderShape): Promise<string> {
  for (const [c, name] of classes.entries()) {
    fs.mkdirSync(path.join(folder, name), { recursive: true });
    const hue = (2 * Math.PI * c) / classes.length;
    const colour = [0, 1, 2].map((channel) => 128 + 70 * Math.cos(hue - (2 * Math.PI * channel) / 3));
    for (let i = 0; i < perClass; i++) {
      const random = new Random(7, name, i);
      const pixels = Uint8Array.from(
        { length: size * size * 3 },
        (_, k) => colour[k % 3]! + 50 * (random.next() - 0.5),
      );
      await sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
        .png()
        .toFile(path.join(folder, name, `${i}.png`));
    }
  }
  return folder;
}
