// The share of depthwise kernels that are dead, of the copy of the weights that each epoch leaves. What dead means is
// inspect/dead.ts.
import { input } from '../graph/tensor.js';
import { evaluating } from '../infer/trained.js';
import { deadShareOf } from '../inspect/dead.js';
import { valuesOf, type Values } from '../inspect/layers.js';
import type { Module } from '../nn/module.js';
import type { EpochEvent } from './events.js';
import { depthwiseKernels } from './learning.js';
import type { Snapshot, TrainingState } from './state.js';

export class DeadKernels {
  readonly #share: ((values: Values) => number) | undefined;

  /**
   * @param size side of the images, pixels
   * @param changing names of what training changes: where no depthwise kernel is among them nothing is told
   */
  constructor(model: Module, size: number, changing: readonly string[]) {
    const names = new Set(changing);
    const trained = [...depthwiseKernels(model)].some((name) => names.has(name));
    if (trained) this.#share = deadShareOf(evaluating(model, (m) => m.call(input('image', [-1, 3, size, size]))));
  }

  async of(state: TrainingState, snapshot: Snapshot): Promise<Pick<EpochEvent, 'deadKernels'>> {
    return this.#share ? { deadKernels: this.#share(valuesOf(await state.whole(snapshot))) } : {};
  }
}
