// The augmentation presets and what their settings mean. The drawing and the pixels are native (images.cc).
import { UsageError } from '../errors.js';
import type { NativeAugment } from '../native/wire.js';

/**
 * What may happen to an image each time it is used. An image's draw depends on (seed, epoch, image) alone.
 *
 * - `flips`: mirrored left-right and top-bottom, each with probability 1/2; `turns`: turned by 0, 90, 180 or 270
 *   degrees. Together the eight symmetries of the square: aerial scenes have no "up". Pixels move, none is blended.
 * - `scaleMin`..`scaleMax`: side of the source window over the image's side; below 1 zooms in.
 * - `translate`: shift in each direction, at most this fraction of the side. `rotateDegrees`: at most this angle.
 *   What comes from outside the image is its mirror image.
 * - `brightness`, `contrast`, `saturation`: factors from 1 - v to 1 + v, applied in this order; contrast is about the
 *   image's mean grey, saturation about each pixel's grey.
 */
export type Augment = NativeAugment;

/** Names `augmentPreset` and `--augment` know. */
export const AUGMENT_PRESETS = ['none', 'basic', 'strong'] as const;
/** A name of a ready-made augmentation; `basic` turns and flips, `strong` also changes scale and colours. */
export type AugmentPreset = (typeof AUGMENT_PRESETS)[number];

const IDENTITY: Augment = {
  flips: false,
  turns: false,
  scaleMin: 1,
  scaleMax: 1,
  translate: 0,
  rotateDegrees: 0,
  brightness: 0,
  contrast: 0,
  saturation: 0,
};
const BASIC: Augment = { ...IDENTITY, flips: true, turns: true };
const STRONG: Augment = {
  ...BASIC,
  scaleMin: 0.7,
  scaleMax: 1.1,
  translate: 0.05,
  rotateDegrees: 15,
  brightness: 0.2,
  contrast: 0.2,
  saturation: 0.2,
};

/**
 * A preset's settings; `none` is undefined. `basic`: flips and quarter turns. `strong`: also crop, shift, rotation, colour.
 * @example
 * import { augmentPreset } from 'mnv2-torch';
 * console.log(augmentPreset('basic')?.turns); // true
 */
export function augmentPreset(preset: AugmentPreset): Augment | undefined {
  if (preset === 'none') return undefined;
  if (preset === 'basic') return { ...BASIC };
  if (preset === 'strong') return { ...STRONG };
  throw new UsageError(`augment: expected ${AUGMENT_PRESETS.join(', ')}, got '${String(preset)}'`);
}

/** Of each setting: what it may be, as a test and in words. */
const share = { ok: (v: unknown): boolean => within(v, 0, 1), expected: 'a number from 0 to 1' };
const flag = { ok: (v: unknown): boolean => typeof v === 'boolean', expected: 'true or false' };
const scale = { ok: (v: unknown): boolean => within(v, 1e-3, 8), expected: 'a number above 0, at most 8' };
const SETTINGS: Record<keyof Augment, { ok: (v: unknown) => boolean; expected: string }> = {
  flips: flag,
  turns: flag,
  scaleMin: scale,
  scaleMax: scale,
  translate: share,
  rotateDegrees: { ok: (v) => within(v, 0, 180), expected: 'degrees from 0 to 180' },
  brightness: share,
  contrast: share,
  saturation: share,
};
const within = (v: unknown, least: number, most: number): boolean => typeof v === 'number' && v >= least && v <= most;

/**
 * Settings of one's own; those left out change nothing.
 * @throws UsageError for a setting that is none, or out of range
 * @example
 * import { augmentWith } from 'mnv2-torch';
 * console.log(augmentWith({ flips: true }).turns); // false
 */
export function augmentWith(settings: Partial<Augment>): Augment {
  if (typeof settings !== 'object' || settings === null) {
    throw new UsageError(`augment: expected a preset's name or settings, got ${String(settings)}`);
  }
  const whole = { ...IDENTITY, ...settings };
  for (const [name, value] of Object.entries(whole)) {
    const rule = SETTINGS[name as keyof Augment];
    if (!rule) throw new UsageError(`augment: there is no '${name}'; expected ${Object.keys(SETTINGS).join(', ')}`);
    if (!rule.ok(value)) throw new UsageError(`augment: expected ${name} as ${rule.expected}, got ${String(value)}`);
  }
  if (whole.scaleMin > whole.scaleMax) {
    throw new UsageError(`augment: expected scaleMin of at most scaleMax, got ${whole.scaleMin} and ${whole.scaleMax}`);
  }
  return whole;
}
