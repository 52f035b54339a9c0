// What becomes of a training whose steps do not fit into memory: smaller batches, the same updates.
import { TorchError } from '../errors.js';
import type { Recipe } from './recipe.js';

/** Images a step, and steps an update. */
export type Batch = Pick<Recipe, 'batchSize' | 'accumulate'>;

/**
 * At most half of the batch and the updates as they were; undefined where the error is another one, or the batch is a
 * single image.
 */
export function smallerBatch(error: unknown, { batchSize, accumulate }: Batch): Batch | undefined {
  if (!(error instanceof TorchError) || error.code !== 'OUT_OF_MEMORY') return undefined;
  const update = batchSize * accumulate;
  for (let images = Math.floor(batchSize / 2); images >= 1; images--) {
    if (update % images === 0) return { batchSize: images, accumulate: update / images };
  }
  return undefined;
}

/** What is said of it. */
export function fittingNote(before: Batch, after: Batch): string {
  return (
    `out of memory with ${before.batchSize} images a step: it begins again with ${after.batchSize}, ` +
    `${after.accumulate} steps an update, so that an update sees ${after.batchSize * after.accumulate} images as before`
  );
}
