// Ready-made settings. Owns no mechanism: each is what somebody could have written.
import type { PRESET_NAMES, Settings } from './settings.js';

/** A preset: settings of the training, and the size of images it was made for. */
export interface Preset {
  /** side of the square images are resized to, pixels */
  readonly size: number;
  readonly settings: Settings;
}

/**
 * - `reference`: the run this project is measured against. The backbone frozen, its output cached, a plain head.
 * - `fast`: the same cache over several augmented views; under a minute for a thousand images on two cores.
 * - `accurate`: the head first, then all of it at a small rate, strongly augmented; the average of the weights is what is
 *   kept. Larger rates forget what the backbone knows.
 * @example
 * import { PRESETS } from 'mnv2-torch';
 * console.log(PRESETS.reference.settings.freeze, PRESETS.reference.settings.epochs); // features 20
 */
export const PRESETS: Readonly<Record<(typeof PRESET_NAMES)[number], Preset>> = {
  reference: { size: 224, settings: { freeze: 'features', epochs: 20, batchSize: 16, optimizer: 'adam' } },
  fast: {
    size: 224,
    settings: { freeze: 'features', epochs: 30, batchSize: 32, optimizer: 'adam', augment: 'aerial', views: 7 },
  },
  accurate: {
    size: 256,
    settings: {
      freeze: 'none',
      headEpochs: 5,
      epochs: 24,
      batchSize: 32,
      optimizer: 'adamw',
      lr: 1.5e-4,
      weightDecay: 0.05,
      augment: 'strong',
      labelSmoothing: 0.1,
      ema: 'auto',
    },
  },
};
