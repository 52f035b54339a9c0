// Checkpoints of quantised networks: what their metadata says, and whether their tensors are such a network's.
import { DataError, shown } from '../errors.js';
import type { TensorData } from '../native/wire.js';
import type { Module } from '../nn/module.js';
import { ACTIVATIONS, QuantisedNetwork, type QuantisedForm } from '../nn/quantised.js';
import { matchWeights } from './load.js';

/** Key of a checkpoint's metadata: JSON of {@link Quantisation}; absent for float networks. */
export const QUANTISED = 'quantised';
const VERSION = 1;

/** How a checkpoint came to be int8. */
export interface Quantisation extends QuantisedForm {
  /** how the ranges of values were chosen */
  readonly method: string;
  readonly equalized: boolean;
  readonly biasCorrected: boolean;
  /** epochs of quantisation-aware training; 0: none */
  readonly qatEpochs: number;
  /** what it was calibrated on: how many images, and the SHA-256 of their pixels at the network's size, in their order */
  readonly images: { readonly count: number; readonly sha256: string };
  /** the float checkpoint: its name, and the SHA-256 of its file where there is one */
  readonly source: { readonly file: string; readonly sha256?: string };
  /** package and libtorch that did it */
  readonly by: string;
}

/** The metadata's entry. */
export const quantisedMetadata = (q: Quantisation): Record<string, string> => ({
  [QUANTISED]: JSON.stringify({ version: VERSION, ...q }),
});

/** What an int8 checkpoint was made of, as messages name it; undefined for a float one. */
export function quantisedFrom(metadata: Readonly<Record<string, string>>): string | undefined {
  const text = metadata[QUANTISED];
  if (text === undefined) return undefined;
  const source = parsed(text)?.['source'] as { file?: unknown } | undefined;
  return typeof source?.file === 'string' ? `${shown(source.file)}, which it was made of` : 'what it was made of';
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * How the network of a checkpoint was quantised, as far as its graph shows it; undefined for a float one.
 * @throws DataError where the metadata says something else
 */
export function quantisedForm(metadata: Readonly<Record<string, string>>, file: string): QuantisedForm | undefined {
  const text = metadata[QUANTISED];
  if (text === undefined) return undefined;
  const refuse = (why: string): never => {
    throw new DataError(`${file}: metadata '${QUANTISED}': ${why}, got ${shown(text)}`, [file]);
  };
  const said = parsed(text);
  if (!said) return refuse('expected JSON as mnv2-torch quantize writes it');
  const { version, perChannel, limits } = said;
  if (version !== VERSION) return refuse(`expected version ${VERSION}; another one takes another mnv2-torch`);
  if (typeof perChannel !== 'boolean' || typeof limits !== 'boolean')
    return refuse("expected 'perChannel' and 'limits' to be true or false");
  return { perChannel, limits };
}

/**
 * The int8 network of a float one, for the tensors of a file.
 * @throws DataError where they are not its tensors, or hold what nothing can be computed with
 */
export function quantisedNetwork(
  float: Module,
  form: QuantisedForm,
  { file, tensors, image }: { file: string; tensors: ReadonlyMap<string, TensorData>; image: readonly number[] },
): QuantisedNetwork {
  const network = new QuantisedNetwork(float, form, image);
  const { unexpected } = matchWeights(network, tensors, { strict: true, source: `the tensors of ${file}` }).report;
  const bad = (name: string, what: string): DataError => new DataError(`${file}: '${name}' ${what}`, [file]);
  if (unexpected.length > 0)
    throw bad(unexpected[0]!, 'has no place in the int8 network that its metadata describes: is the file whole?');
  for (const [name, { data }] of tensors) {
    const values = data as Float32Array;
    const wrong = name.endsWith('_scale')
      ? values.find((v) => !(v > 0 && v < Infinity))
      : name.endsWith('_zero_point')
        ? values.find((v) => !(Number.isInteger(v) && v >= ACTIVATIONS.qmin && v <= ACTIVATIONS.qmax))
        : undefined;
    if (wrong !== undefined)
      throw bad(
        name,
        `holds ${wrong}; expected ${name.endsWith('_scale') ? 'scales above 0' : 'whole numbers 0 to 255'}`,
      );
  }
  return network;
}
