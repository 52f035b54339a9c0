// A training in one stage, or in two: the head alone on cached features, then everything from there with a fresh optimizer
// (LP-FT, Kumar et al. 2022). Owns which epoch is whose and what is frozen meanwhile.
import type { Module } from '../nn/module.js';
import { defaultRate, type Freeze, type Recipe } from './recipe.js';
import type { Schedule } from './schedule.js';

export interface Stage {
  /** epochs before it */
  readonly first: number;
  readonly epochs: number;
  readonly head: boolean;
  readonly lr: number;
  readonly schedule: Schedule;
}

/** All epochs of a training, the head's included. */
export const epochsOf = ({ headEpochs, epochs }: Pick<Recipe, 'headEpochs' | 'epochs'>): number => headEpochs + epochs;

/** The stage that the epoch after `epoch` whole ones belongs to. */
export function stageAfter(epoch: number, recipe: Recipe): Stage {
  const { headEpochs, epochs, lr, schedule, optimizer } = recipe;
  if (epoch >= headEpochs) return { first: headEpochs, epochs, head: false, lr, schedule };
  const rate = defaultRate(optimizer.kind, 'head');
  return { first: 0, epochs: headEpochs, head: true, lr: rate, schedule: { kind: 'cosine' } };
}

/** Freezes a part of a model that has one to freeze, as `resolveRecipe` has made sure; undefined changes nothing. */
export function freezeAs(model: Module, what: Freeze | undefined): void {
  if (what !== undefined) (model as Module & { freezeBackbone(what: Freeze): void }).freezeBackbone(what);
}

/** What of a model is frozen, as it was: to freeze more for a while. */
export class Freezing {
  readonly #frozen: readonly [Module, boolean][];
  readonly #trainable: ReadonlySet<string>;

  constructor(private readonly model: Module) {
    this.#frozen = [...model.modules()].map(([, module]) => [module, module.frozen]);
    this.#trainable = new Set(model.trainable());
  }

  enter({ head }: Stage): void {
    if (head) freezeAs(this.model, 'features');
    else this.restore();
  }

  /** As it was. */
  restore(): void {
    // From the outside in, as freezing reaches all that is below.
    for (const [module, frozen] of this.#frozen) {
      if (frozen) module.freeze();
      else module.unfreeze();
    }
    for (const [name, p] of this.model.namedParameters()) p.requiresGrad = this.#trainable.has(name);
  }
}
