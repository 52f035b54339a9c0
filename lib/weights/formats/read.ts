// Reads a file of weights of any known format, told by its content, whatever it is called.
import { looksLikeHdf5, looksLikeKeras, looksLikeOnnx, looksLikePytorch } from './content.js';
import { withFile, type OpenFile } from './open-file.js';
import { looksLikeSafetensors, readOpened } from './safetensors.js';
import type { WeightFile } from './weight-file.js';

/** One format: whether a file is of it, and how it is read. */
interface Reader {
  recognises(file: OpenFile): boolean;
  read(file: OpenFile): Promise<WeightFile>;
}

const SAFETENSORS: Reader = {
  recognises: looksLikeSafetensors,
  read: async (file) => ({ format: 'safetensors', notes: [], ...(await readOpened(file)) }),
};
// Loaded when there is such a file: most are none, and start-up is part of how fast a command answers.
const PYTORCH: Reader = {
  recognises: looksLikePytorch,
  read: async (file) => (await import('./pytorch.js')).readPytorch(file),
};
const KERAS: Reader = {
  recognises: looksLikeKeras,
  read: async (file) => (await import('./keras-archive.js')).readKerasArchive(file),
};
const KERAS_HDF5: Reader = {
  recognises: looksLikeHdf5,
  read: async (file) => (await import('./keras.js')).readKerasHdf5(file),
};
const ONNX: Reader = {
  recognises: looksLikeOnnx,
  read: async (file) => (await import('./onnx.js')).readOnnx(file),
};
const READERS: readonly Reader[] = [SAFETENSORS, PYTORCH, KERAS, KERAS_HDF5, ONNX];

/**
 * The tensors of a file, by the names and with the axes of whoever wrote it. Nothing in a file is ever executed, and no
 * more memory is taken than it is long.
 * @throws DataError that says what is wrong with the file: missing, cut short, of no known format, hostile
 * @example
 * import { readWeightFile, writeSafetensors } from 'mnv2-torch';
 * import { mkdtempSync } from 'node:fs';
 * const file = mkdtempSync('/tmp/mnv2-') + '/weights.bin';
 * await writeSafetensors(file, new Map([['w', { data: Float32Array.of(1, 2), shape: [2], dtype: 'float32' }]]));
 * const { format, tensors } = await readWeightFile(file);
 * console.log(format, [...tensors.keys()]); // safetensors [ 'w' ]
 */
export function readWeightFile(file: string): Promise<WeightFile> {
  return withFile(file, readWeights);
}

/** The same of a file that is open, or in memory. */
export function readWeights(file: OpenFile): Promise<WeightFile> {
  // What is of no known format is refused as what a checkpoint of ours would be.
  return (READERS.find((r) => r.recognises(file)) ?? SAFETENSORS).read(file);
}
