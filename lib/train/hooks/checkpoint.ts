// Writes best.safetensors, last.safetensors and state.safetensors: now and then while training, and on every way out.
import { saveCheckpoint } from '../../weights/checkpoint.js';
import { bestMetadata } from '../events.js';
import type { Interval } from '../interval.js';
import type { RunFolder } from '../run-folder.js';
import type { Snapshot, TrainingState } from '../state.js';
import type { Ending, Hook } from './hook.js';

export const BEST = 'best.safetensors';
export const LAST = 'last.safetensors';

export interface CheckpointOptions {
  run: RunFolder;
  /** of best and last; epoch, step and accuracy are added */
  metadata: (at: Snapshot) => Record<string, string>;
  every: Interval;
  /** writes the state that another process can go on from */
  saveState: (state: TrainingState) => Promise<void>;
}

/** Writing takes time, of a quick run more than its epochs: what is not written yet is in `state` meanwhile. */
export class Checkpoints implements Hook {
  #written: { best?: Snapshot; last?: Snapshot } = {};
  #at = performance.now();

  constructor(private readonly options: CheckpointOptions) {}

  /** Files written so far, as paths. */
  get best(): string | null {
    return this.#written.best ? this.options.run.file(BEST) : null;
  }
  get last(): string | null {
    return this.#written.last ? this.options.run.file(LAST) : null;
  }
  async began(state: TrainingState): Promise<void> {
    await state.readFixed(); // now, as an engine that fails later may not answer
    if (state.step === 0) await this.options.saveState(state); // whatever happens, there is something to go on from
  }
  async paused(state: TrainingState): Promise<void> {
    if (this.#due(state)) await this.#save(state);
  }
  async epochEnded(state: TrainingState): Promise<void> {
    if (this.#due(state)) await this.#save(state);
  }
  /** After a failure the weights may be half a step old or not finite: then the newest good copy is what is written. */
  async ended(state: TrainingState, { how }: Ending): Promise<void> {
    await this.#save(state, how);
  }

  #due({ step }: TrainingState): boolean {
    const { seconds, steps } = this.options.every;
    return performance.now() - this.#at >= 1000 * seconds || step % steps === 0;
  }

  async #save(state: TrainingState, how?: Ending['how']): Promise<void> {
    // Weights on the brink may be finite and are good for nothing.
    if (how !== 'diverged') await state.keep().catch(() => undefined); // an engine that failed may not answer; what was kept is there
    const { best, last } = state;
    if (best && best !== this.#written.best) {
      await this.#write(BEST, state, best, bestMetadata(best));
      this.#written.best = best;
    }
    if (last && last !== this.#written.last) {
      await this.#write(LAST, state, last, {});
      this.#written.last = last;
    }
    // Last of the three: a run whose state says that it is done has its weights on disk.
    if (how !== 'failed' && how !== 'diverged' && last?.step === state.step) await this.options.saveState(state);
    this.#at = performance.now();
  }

  async #write(file: string, state: TrainingState, snapshot: Snapshot, more: Record<string, string>): Promise<void> {
    const at = { epoch: String(snapshot.epoch), step: String(snapshot.step), ...more };
    await saveCheckpoint(this.options.run.file(file), await state.whole(snapshot), {
      ...this.options.metadata(snapshot),
      ...at,
    });
  }
}
