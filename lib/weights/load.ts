// Puts tensors of a file into Weights by name, and says what fitted and what did not.
import { DataError } from '../errors.js';
import type { DType, TensorData } from '../native/wire.js';
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

/** What of a model a file may leave out, and what messages call the file. */
export interface LoadOptions {
  /** refuse a head that is absent or of another number of classes */
  strict?: boolean;
  /** names of the tensors that may start fresh; default: the head of the model's architecture, none for a network of one's own */
  head?: RegExp;
  /** what messages call the tensors */
  source?: string;
  /** any tensor may be missing, and starts fresh */
  allowPartial?: boolean;
}

export const shapeText = (shape: readonly number[]): string => `[${shape.join(', ')}]`;
const FLOATS: readonly DType[] = ['float32', 'float64'];

/**
 * How tensors fit a model: which of them to set, and the report. Looks at names, shapes and types alone.
 * @throws DataError naming the first tensors that do not fit, expected and found shapes, and what to do
 */
export function matchWeights(
  model: Module,
  tensors: ReadonlyMap<string, TensorData>,
  options: LoadOptions = {},
): { report: LoadReport; entries: NamedData[] } {
  const { strict = false, allowPartial = false, source = 'the weights' } = options;
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
      if (!allowPartial && !mayStartFresh(name) && !name.endsWith('num_batches_tracked'))
        wrong.push(`'${name}' is not in the file (expected ${shapeText(parameter.shape)})`);
    } else if (found.shape.join() !== parameter.shape.join()) {
      if (mayStartFresh(name)) report.skippedHead.push(name);
      else wrong.push(`'${name}': expected ${shapeText(parameter.shape)}, found ${shapeText(found.shape)}`);
    } else if (parameter.dtype === 'float32' && !FLOATS.includes(found.dtype)) {
      wrong.push(`'${name}': expected floating-point numbers, found ${found.dtype}`);
    } else if (parameter.dtype === 'int8' && found.dtype !== 'int8') {
      wrong.push(`'${name}': expected int8, found ${found.dtype}`);
    } else {
      entries.push({ name, data: found.data, shape: found.shape, dtype: found.dtype });
      report.loaded.push(name);
    }
  }
  report.unexpected = [...tensors.keys()].filter((name) => !parameters.has(name));
  if (wrong.length > 0) {
    const more = wrong.length > 4 ? `; and ${wrong.length - 4} more` : '';
    const hint = known ? 'Check the architecture and the width multiplier.' : 'Is it the network that was trained?';
    throw new DataError(`${source} do not fit this model: ${wrong.slice(0, 4).join('; ')}${more}. ${hint}`);
  }
  return { report, entries };
}

/** Index of the first number that is not finite, or -1. A loop over plain arithmetic: it looks at every weight there is. */
export function firstNotFinite(values: Float32Array): number {
  for (let i = 0; i < values.length; i++) if (values[i]! - values[i]! !== 0) return i;
  return -1;
}

/** Refuses numbers no training ends with: every answer of such a model would be NaN. */
export function checkNumbers({ name, data, dtype }: NamedData, source: string): void {
  if (!FLOATS.includes(dtype)) return;
  // As float32, which is what weights are: a double may be out of its range.
  const values = data instanceof Float32Array ? data : Float32Array.from(data as Float64Array);
  const at = firstNotFinite(values);
  if (at >= 0)
    throw new DataError(
      `${source}: '${name}' holds ${data[at]} as its number ${at + 1}: nothing can be computed with it`,
    );
  if (name.endsWith('running_var') && values.some((v) => v < 0))
    throw new DataError(`${source}: '${name}' holds a variance below zero`);
}

/**
 * Loads a state dict into a model's weights. Every backbone tensor must be there with its shape; the head may be absent
 * or of another number of classes, and then starts fresh (unless `strict`). Nothing is changed when it throws.
 * @throws DataError naming the first tensors that do not fit, expected and found shapes, and what to do; or the tensor
 * that holds a number which is not finite
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
  options: LoadOptions = {},
): Promise<LoadReport> {
  const { report, entries } = matchWeights(model, tensors, options);
  for (const entry of entries) checkNumbers(entry, options.source ?? 'the weights');
  await weights.set(entries);
  return report;
}
