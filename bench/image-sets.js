// Image folders a case runs on: parts of the given one, or larger ones made from it. Measures nothing.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** A folder of links to `perClass` images of each class. */
export function subset(root, perClass) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mnv2-bench-data-'));
  for (const name of readdirSync(root)) {
    mkdirSync(path.join(folder, name));
    for (const file of readdirSync(path.join(root, name)).sort().slice(0, perClass))
      symlinkSync(path.join(root, name, file), path.join(folder, name, file));
  }
  return folder;
}

export const countImages = (root) =>
  readdirSync(root).reduce((sum, name) => sum + readdirSync(path.join(root, name)).length, 0);

/** A set of any size: the images repeated, each copy turned, mirrored and made a little lighter or darker. */
export async function largeSet(cache, root, count) {
  const folder = path.join(cache, `images-${count}`);
  if (existsSync(path.join(folder, 'complete'))) return path.join(folder, 'set');
  const sharp = (await import('sharp')).default;
  const files = readdirSync(root).flatMap((name) => readdirSync(path.join(root, name)).map((f) => [name, f]));
  for (const name of readdirSync(root)) mkdirSync(path.join(folder, 'set', name), { recursive: true });
  for (let i = 0; i < count; i += 8) {
    await Promise.all(
      Array.from({ length: Math.min(8, count - i) }, async (_, k) => {
        const [[name, file], copy] = [files[(i + k) % files.length], Math.floor((i + k) / files.length)];
        const image = sharp(path.join(root, name, file))
          .rotate(90 * (copy % 4))
          .flop(copy % 8 > 3)
          .modulate({ brightness: 1 + 0.01 * (copy % 10) });
        await image
          .jpeg({ quality: 92 })
          .toFile(path.join(folder, 'set', name, `${copy}-${path.parse(file).name}.jpg`));
      }),
    );
  }
  writeFileSync(path.join(folder, 'complete'), '');
  return path.join(folder, 'set');
}
