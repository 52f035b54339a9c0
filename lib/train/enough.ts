// When a training is over before its last epoch. Decided from its state alone, so that one that was interrupted ends where
// one that was not would have.
import type { Recipe } from './recipe.js';
import { epochsOf } from './stages.js';
import type { Position } from './state.js';

/** Why nothing more has to be trained, in words; undefined where it goes on. */
export function enough(position: Position, recipe: Recipe): string | undefined {
  const { epoch, best, seconds } = position;
  const { patience, timeBudget, headEpochs } = recipe;
  const epochs = epochsOf(recipe);
  if (epoch >= epochs) return `all ${epochs} epochs are trained`;
  if (patience !== undefined && best && epoch - Math.max(best.epoch, headEpochs) >= patience)
    return `no epoch was better than epoch ${best.epoch} for ${patience}`;
  if (timeBudget !== undefined && epoch > 0 && seconds >= timeBudget)
    return `the time of ${timeBudget} s is used up after epoch ${epoch} of ${epochs}`;
  return undefined;
}
