// Pictures as exported files take them.
import { pixelScaling, type Preprocess } from '../weights/preprocess.js';
import type { Sample } from './samples.js';

/** Pictures of the model's size as one batch, [N, size, size, 3]. */
export function joined(pictures: readonly Sample[]): Uint8Array {
  const each = pictures[0]!.pixels.length;
  const bytes = new Uint8Array(pictures.length * each);
  pictures.forEach(({ pixels }, i) => bytes.set(pixels, i * each));
  return bytes;
}

/** [N, size, size, 3] bytes -> [N, 3, size, size] as the network wants it. */
export function scaled(bytes: Uint8Array, count: number, preprocess: Preprocess): Float32Array {
  const { scale, shift } = pixelScaling(preprocess);
  const area = preprocess.size ** 2;
  const out = new Float32Array(bytes.length);
  for (let n = 0; n < count; n++)
    for (let c = 0; c < 3; c++)
      for (let i = 0; i < area; i++)
        out[(n * 3 + c) * area + i] = bytes[(n * area + i) * 3 + c]! * scale[c]! + shift[c]!;
  return out;
}
