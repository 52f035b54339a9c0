// The augmentation presets and what their settings mean. The drawing and the pixels are native (native/data).
import { UsageError } from '../errors.js';
import type { NativeAugment } from '../native/wire.js';

/**
 * What may happen to an image each time it is used. An image's draw depends on (seed, epoch, image) alone.
 *
 * - `flips`: 'horizontal' mirrors left-right, 'both' also top-bottom, each with probability 1/2; `turns`: turned by 0,
 *   90, 180 or 270 degrees. Together the eight symmetries of the square: aerial scenes have no "up". Pixels move, none
 *   is blended.
 * - `cropMin`..`cropMax`: area of a window inside the image, as a share of the image's, that is enlarged to the whole;
 *   its aspect ratio is from `ratioMin`..`ratioMax` (default 3/4 to 4/3) as far as the window fits, its place anywhere.
 *   What follows happens to the crop.
 * - `scaleMin`..`scaleMax`: side of the source window over the image's side; below 1 zooms in.
 * - `translate`: shift in each direction, at most this fraction of the side. `rotateDegrees`: at most this angle.
 *   What comes from outside the image is its mirror image.
 * - `brightness`, `contrast`, `saturation`: factors from 1 - v to 1 + v, applied in this order; contrast is about the
 *   image's mean grey, saturation about each pixel's grey.
 * - `erase`: probability that a rectangle of 2 to 33% of the area is blanked (Zhong et al. 2020), to 0 after
 *   normalisation: the value that convolutions see beyond the border, which shifts no statistics as noise would.
 */
export type Augment = NativeAugment;

/** Settings as they are given: those left out change nothing, and `flips: false` is 'none'. */
export type AugmentSettings = Partial<Omit<Augment, 'flips'>> & { flips?: Augment['flips'] | false };

/** A name of a ready-made augmentation: see `augmentPreset`. */
export type AugmentPreset = 'none' | 'photo' | 'aerial' | 'strong';

const IDENTITY: Augment = {
  flips: 'none',
  turns: false,
  cropMin: 1,
  cropMax: 1,
  ratioMin: 3 / 4,
  ratioMax: 4 / 3,
  scaleMin: 1,
  scaleMax: 1,
  translate: 0,
  rotateDegrees: 0,
  brightness: 0,
  contrast: 0,
  saturation: 0,
  erase: 0,
};
const PRESETS: Record<AugmentPreset, Augment | undefined> = {
  none: undefined,
  photo: { ...IDENTITY, flips: 'horizontal', cropMin: 0.5, brightness: 0.1, contrast: 0.1, saturation: 0.1 },
  aerial: { ...IDENTITY, flips: 'both', turns: true },
  strong: {
    ...IDENTITY,
    flips: 'both',
    turns: true,
    scaleMin: 0.7,
    scaleMax: 1.1,
    translate: 0.05,
    rotateDegrees: 15,
    brightness: 0.2,
    contrast: 0.2,
    saturation: 0.2,
    erase: 0.25,
  },
};

/** Names `augmentPreset` and `--augment` know. */
export const AUGMENT_PRESETS = Object.keys(PRESETS) as AugmentPreset[];

/**
 * A preset's settings; `none` is undefined. `photo`: mirrored left-right, crops of at least half the area, a little
 * colour. `aerial`: flips and quarter turns, for pictures from above. `strong`: `aerial`, and scale, shift, rotation,
 * colour and erasing.
 * @example
 * import { augmentPreset } from 'mnv2-torch';
 * console.log(augmentPreset('aerial')?.turns); // true
 */
export function augmentPreset(preset: AugmentPreset): Augment | undefined {
  if (!AUGMENT_PRESETS.includes(preset)) {
    throw new UsageError(`augment: expected ${AUGMENT_PRESETS.join(', ')}, got '${String(preset)}'`);
  }
  const settings = PRESETS[preset];
  return settings && { ...settings };
}

/** Of each setting: what it may be, as a test and in words. */
const share = { ok: (v: unknown): boolean => within(v, 0, 1), expected: 'a number from 0 to 1' };
const flag = { ok: (v: unknown): boolean => typeof v === 'boolean', expected: 'true or false' };
const scale = { ok: (v: unknown): boolean => within(v, 1e-3, 8), expected: 'a number above 0, at most 8' };
const area = { ok: (v: unknown): boolean => within(v, 1e-3, 1), expected: 'a share of the area above 0, at most 1' };
const ratio = { ok: (v: unknown): boolean => within(v, 0.01, 100), expected: 'width by height, from 0.01 to 100' };
const FLIPS: readonly unknown[] = ['none', 'horizontal', 'both'] satisfies Augment['flips'][];
const SETTINGS: Record<keyof Augment, { ok: (v: unknown) => boolean; expected: string }> = {
  flips: { ok: (v) => FLIPS.includes(v), expected: "false, 'none', 'horizontal' or 'both'" },
  turns: flag,
  cropMin: area,
  cropMax: area,
  ratioMin: ratio,
  ratioMax: ratio,
  scaleMin: scale,
  scaleMax: scale,
  translate: share,
  rotateDegrees: { ok: (v) => within(v, 0, 180), expected: 'degrees from 0 to 180' },
  brightness: share,
  contrast: share,
  saturation: share,
  erase: share,
};
const within = (v: unknown, least: number, most: number): boolean => typeof v === 'number' && v >= least && v <= most;

/**
 * Settings of one's own; those left out change nothing.
 * @throws UsageError for a setting that is none, or out of range
 * @example
 * import { augmentWith } from 'mnv2-torch';
 * console.log(augmentWith({ flips: 'horizontal' }).turns); // false
 */
export function augmentWith(settings: AugmentSettings): Augment {
  if (typeof settings !== 'object' || settings === null) {
    throw new UsageError(`augment: expected a preset's name or settings, got ${String(settings)}`);
  }
  const { flips } = settings;
  const whole = { ...IDENTITY, ...settings, ...(flips === false && { flips: 'none' }) } as Augment;
  for (const [name, value] of Object.entries(whole)) {
    const rule = SETTINGS[name as keyof Augment];
    if (!rule) throw new UsageError(`augment: there is no '${name}'; expected ${Object.keys(SETTINGS).join(', ')}`);
    if (!rule.ok(value)) throw new UsageError(`augment: expected ${name} as ${rule.expected}, got ${String(value)}`);
  }
  for (const [least, most] of [
    ['scaleMin', 'scaleMax'],
    ['cropMin', 'cropMax'],
    ['ratioMin', 'ratioMax'],
  ] as const) {
    if (whole[least] > whole[most]) {
      throw new UsageError(`augment: expected ${least} of at most ${most}, got ${whole[least]} and ${whole[most]}`);
    }
  }
  return whole;
}
