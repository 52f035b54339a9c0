// What a training tells those who follow it. One concern a file implements this; the trainer calls them in order.
import type { EpochEvent } from '../events.js';
import type { TrainingState } from '../state.js';

/** How a training ended: `failed` and `diverged` come with the error that is thrown once every hook has heard of it. */
export type Ending =
  { readonly how: 'done' | 'stopped' } | { readonly how: 'diverged' | 'failed'; readonly error: Error };

/** Every method is awaited: the training does not go on before. */
export interface Hook {
  /** the data is there, the first epoch is next */
  began?(state: TrainingState): Promise<void>;
  /** between two steps, every `saveEvery` seconds at most; `state.weights` may be read */
  paused?(state: TrainingState): Promise<void>;
  /** an epoch was trained and validated */
  epochEnded?(state: TrainingState, event: EpochEvent): Promise<void>;
  /** nothing more will be trained */
  ended?(state: TrainingState, ending: Ending): Promise<void>;
}
