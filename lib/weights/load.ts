// Puts tensors of a file into Weights by name, and says what fitted and what did not.
import { DataError } from '../errors.js';
import type { TensorData } from '../native/wire.js';
import type { NamedData, Weights } from '../engine/weights.js';
import { inHead } from '../models/head.js';
import { architectureOf } from '../models/registry.js';
import type { Module } from '../nn/module.js';

/** Names of tensors, by what became of them. */
export interface LoadReport {
  /** in both, with the same shape: copied */
  loaded: string[];
  /** in the model, not in the file: they keep their first values */
  missing: string[];
  /** in the file, not in the model: ignored */
  unexpected: string[];
  /** the head's tensors when the file's have another number of classes */
  skippedHead: string[];
}

const shapeText = (shape: readonly number[]): string => `[${shape.join(', ')}]`;

/**
 * Loads a state dict into a model's weights. Every backbone tensor must be there with its shape; the head may be absent
 * or of another number of classes, and then starts fresh (unless `strict`).
 * @param options.head names of the tensors that may start fresh; default: those of the model's architecture, none for a
 * network of one's own
 * @throws DataError naming the first tensors that do not fit, expected and found shapes, and what to do
 * @example
 * import { Linear, loadWeights, Weights } from 'mnv2-torch';
 * const model = new Linear(2, 1);
 * const weights = await Weights.init(model);
 * const file = new Map([['weight', { data: Float32Array.of(1, 2), shape: [1, 2], dtype: 'float32' }]]);
 * const report = await loadWeights(weights, model, file, { head: /^bias/ });
 * console.log(report.loaded.join(), report.missing.join()); // weight bias
 */
export async function loadWeights(
  weights: Weights,
  model: Module,
  tensors: ReadonlyMap<string, TensorData>,
  options: { strict?: boolean; head?: RegExp; source?: string } = {},
): Promise<LoadReport> {
  const { strict = false, source = 'the weights' } = options;
  const known = architectureOf(model)?.head;
  const mayStartFresh = (name: string): boolean =>
    !strict && (options.head ? name.search(options.head) !== -1 : known !== undefined && inHead(known, name));
  const report: LoadReport = { loaded: [], missing: [], unexpected: [], skippedHead: [] };
  const wrong: string[] = [];
  const entries: NamedData[] = [];
  const parameters = new Map(model.namedParameters());
  for (const [name, parameter] of parameters) {
    const found = tensors.get(name);
    if (!found) {
      report.missing.push(name);
      // Some writers leave the counter out; nothing here reads it.
      if (!mayStartFresh(name) && !name.endsWith('num_batches_tracked'))
        wrong.push(`'${name}' is not in the file (expected ${shapeText(parameter.shape)})`);
    } else if (found.shape.join() !== parameter.shape.join()) {
      if (mayStartFresh(name)) report.skippedHead.push(name);
      else wrong.push(`'${name}': expected ${shapeText(parameter.shape)}, found ${shapeText(found.shape)}`);
    } else {
      entries.push({ name, data: found.data, shape: found.shape, dtype: found.dtype });
      report.loaded.push(name);
    }
  }
  report.unexpected = [...tensors.keys()].filter((name) => !parameters.has(name));
  if (wrong.length > 0) {
    const shown = wrong.slice(0, 4).join('; ');
    throw new DataError(
      `${source} do not fit this model: ${shown}${wrong.length > 4 ? `; and ${wrong.length - 4} more` : ''}. Check the architecture and the width multiplier.`,
    );
  }
  await weights.set(entries);
  return report;
}
