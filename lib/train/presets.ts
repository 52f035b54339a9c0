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
 * - `accurate`: all of it is trained, for as long as it pays.
 * @example
 * import { PRESETS } from 'mnv2-torch';
 * console.log(PRESETS.reference.settings.freeze, PRESETS.reference.settings.epochs); // features 20
 */
export const PRESETS: Readonly<Record<(typeof PRESET_NAMES)[number], Preset>> = {
  reference: { size: 224, settings: { freeze: 'features', epochs: 20, batchSize: 16, optimizer: 'adam' } },
  fast: { size: 224, settings: { freeze: 'features', epochs: 30, batchSize: 32, augment: 'aerial', views: 6 } },
  accurate: {
    size: 256,
    settings: { freeze: 'none', epochs: 24, batchSize: 32, optimizer: 'adamw', lr: 4e-4, augment: 'strong' },
  },
};
