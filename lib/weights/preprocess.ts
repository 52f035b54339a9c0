// What a model's weights expect of pixels, as checkpoints write it and as the native gather applies it.
import { DataError, shown } from '../errors.js';

/** TF/Keras weights take x/127.5 - 1; torchvision's take (x/255 - mean)/std. `size`: the square the image is resized to, pixels, up to 4096. */
export type Preprocess =
  | { readonly size: number; readonly scale: 'x/127.5-1' }
  | {
      readonly size: number;
      readonly mean: readonly [number, number, number];
      readonly std: readonly [number, number, number];
    };

/** torchvision's statistics of ImageNet, RGB, for pixels in 0..1. */
export const IMAGENET_MEAN = [0.485, 0.456, 0.406] as const;
export const IMAGENET_STD = [0.229, 0.224, 0.225] as const;

/** What nearly all published weights expect, by name: torchvision's and timm's, TensorFlow's and Keras'. */
export const PUBLISHED_PREPROCESS = {
  imagenet: { size: 224, mean: IMAGENET_MEAN, std: IMAGENET_STD },
  'x/127.5-1': { size: 224, scale: 'x/127.5-1' },
} as const satisfies Readonly<Record<string, Preprocess>>;

/** Largest side of an input, pixels: beyond it a single image's activations fill a machine. */
export const MOST_SIZE = 4096;
/** Bounds of `mean` and `std`: what lies outside is a mistake, or turns pixels into infinities. */
const MOST_MEAN = 1e3;
const STD = [1e-6, 1e6] as const;

const FORMS = '{"size":224,"scale":"x/127.5-1"} or {"size":224,"mean":[r,g,b],"std":[r,g,b]}';

/**
 * A pixel 0..255 of channel c becomes `pixel * scale[c] + shift[c]`.
 * @example
 * import { pixelScaling } from 'mnv2-torch';
 * const { scale, shift } = pixelScaling({ size: 224, scale: 'x/127.5-1' });
 * console.log(255 * scale[0] + shift[0]); // 1
 */
export function pixelScaling(preprocess: Preprocess): { scale: number[]; shift: number[] } {
  if ('scale' in preprocess) return { scale: [1 / 127.5, 1 / 127.5, 1 / 127.5], shift: [-1, -1, -1] };
  const { mean, std } = preprocess;
  return { scale: std.map((s) => 1 / (255 * s)), shift: std.map((s, c) => -mean[c]! / s) };
}

/**
 * Reads a checkpoint's `preprocess` metadata.
 * @param text JSON in one of the two forms of {@link Preprocess}
 * @param source named in errors
 * @throws DataError when it is neither
 */
export function parsePreprocess(text: string, source = 'preprocess'): Preprocess {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new DataError(`${source}: expected JSON such as ${FORMS}, got ${shown(text)}`, [], { cause });
  }
  return validPreprocess(value, source);
}

/** The same for a value that is already parsed. */
export function validPreprocess(value: unknown, source = 'preprocess'): Preprocess {
  const refuse = (why: string): never => {
    throw new DataError(`${source}: ${why}; expected ${FORMS}, got ${shown(value)}`);
  };
  if (typeof value !== 'object' || value === null) return refuse('not an object');
  const { size, scale, mean, std } = value as Record<string, unknown>;
  if (!Number.isInteger(size) || (size as number) < 1) return refuse('`size` is not a whole number of pixels');
  if ((size as number) > MOST_SIZE) return refuse(`\`size\` is above ${MOST_SIZE} pixels`);
  // With mean and std, `scale` may spell their formula out.
  const spelled = typeof scale === 'string' && scale.replaceAll(' ', '') === '(x/255-mean)/std';
  if (scale !== undefined && !(spelled && mean !== undefined)) {
    if (mean !== undefined || std !== undefined) return refuse('`scale` and `mean`/`std` exclude each other');
    // Spaces and a trailing ".0" are spelling, not meaning.
    if (typeof scale !== 'string' || scale.replaceAll(' ', '').replace(/1\.0$/, '1') !== 'x/127.5-1')
      return refuse('an unknown `scale`');
    return { size: size as number, scale: 'x/127.5-1' };
  }
  const triple = (v: unknown): v is [number, number, number] =>
    Array.isArray(v) && v.length === 3 && v.every((n) => Number.isFinite(n));
  if (!triple(mean) || !triple(std)) return refuse('`mean` and `std` are not three numbers each');
  if (std.some((s) => s <= 0)) return refuse('`std` is not positive');
  if (mean.some((m) => Math.abs(m) > MOST_MEAN)) return refuse(`\`mean\` is beyond ${MOST_MEAN}`);
  if (std.some((s) => s < STD[0] || s > STD[1])) return refuse(`\`std\` is outside of ${STD.join(' to ')}`);
  return { size: size as number, mean, std };
}
