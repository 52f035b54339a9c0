// PyTorch's files (.pth, .pt): archives, and the stream of pickles written before version 1.6. Owns where things lie in them.
import { DataError } from '../../errors.js';
import { looksLikeZip } from './content.js';
import type { OpenFile } from './open-file.js';
import { nameOf, unpickle } from './pickle.js';
import { TensorVocabulary, toArrays, type Storage } from './pytorch-tensors.js';
import { chooseStateDict } from './state-dict.js';
import type { WeightFile } from './weight-file.js';
import { openZip } from './zip.js';

/** What the first pickle of a stream holds, and the second. */
const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;
/** What copies of tensors may take: 8-bit numbers become 32-bit ones, and small files may expand a little. */
const LARGEST_GROWTH = 4;
const ALWAYS_ALLOWED = 16 << 20;

/**
 * The tensors of a state dict, or of a checkpoint that holds one; names and axes are PyTorch's.
 * @throws DataError for what is none, holds code or objects, or contradicts itself
 */
export async function readPytorch(file: OpenFile): Promise<WeightFile> {
  const bad = (what: string): DataError =>
    new DataError(`${file.path} is not a usable PyTorch file: ${what}`, [file.path]);
  const vocabulary = new TensorVocabulary(bad);
  const { value, load } = await (looksLikeZip(file) ? openArchive(file, vocabulary) : openStream(file, vocabulary));
  const { tensors, notes } = chooseStateDict(value, bad);
  const most = ALWAYS_ALLOWED + LARGEST_GROWTH * file.size;
  return { format: 'pytorch', tensors: await toArrays(tensors, load, most, bad), metadata: {}, notes };
}

/** What a file holds, and where the numbers of its tensors are found. */
interface Opened {
  readonly value: unknown;
  load(storage: Storage): Promise<Uint8Array>;
}

const sizeOf = ({ count, element }: Storage): number => count * element.bytes;

async function openArchive(file: OpenFile, vocabulary: TensorVocabulary): Promise<Opened> {
  const { bad } = vocabulary;
  const zip = await openZip(file);
  const names = [...zip.sizes.keys()];
  const pickles = names.filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickles.length !== 1) throw bad(`expected one data.pkl in its folder, found ${pickles.length}`);
  const folder = pickles[0]!.slice(0, -'data.pkl'.length);
  if (names.some((name) => name === `${folder}constants.pkl` || name.startsWith(`${folder}code/`)))
    throw bad(
      'it is a TorchScript archive, which holds code. Save its tensors alone, in Python: ' +
        'torch.save(torch.jit.load("model.pt").state_dict(), "weights.pth")',
    );
  const order = `${folder}byteorder`;
  if (zip.sizes.has(order) && (await zip.read(order)).toString('latin1') !== 'little')
    throw bad('it was not written by a little-endian machine; load and save it on one');
  const bytes = await zip.read(pickles[0]!);
  const { value, end } = unpickle(bytes, 0, vocabulary);
  if (end !== bytes.length) throw bad('more follows its pickle');
  return {
    value,
    load: async (storage) => {
      const name = `${folder}data/${storage.key}`;
      const size = zip.sizes.get(name);
      if (size !== sizeOf(storage))
        throw bad(
          `the storage ${nameOf(storage.key)} needs ${sizeOf(storage)} bytes, ${size === undefined ? 'it is missing' : `it has ${size}`}`,
        );
      return zip.read(name);
    },
  };
}

/** Five pickles (a magic number, a version, the machine, the value, the keys of storages), then each storage after its count. */
async function openStream(file: OpenFile, vocabulary: TensorVocabulary): Promise<Opened> {
  const { bad } = vocabulary;
  const bytes = await file.read(0, file.size);
  let at = 0;
  const next = (): unknown => {
    const { value, end } = unpickle(bytes, at, vocabulary);
    at = end;
    return value;
  };
  if (next() !== MAGIC) throw bad('it is a pickle, but none that torch.save wrote');
  const protocol = next();
  if (protocol !== PROTOCOL) throw bad(`expected its version to be ${PROTOCOL}`);
  next(); // sizes of C's types on the machine: numbers are little-endian whatever it was
  const value = next();
  const keys = next();
  if (!Array.isArray(keys)) throw bad('expected a list of the keys of its storages');
  const found = new Map<Storage, Uint8Array>();
  for (const key of keys as unknown[]) {
    const storage = typeof key === 'string' ? vocabulary.storages.get(key) : undefined;
    if (!storage || found.has(storage)) throw bad(`its storage ${nameOf(key)} belongs to no tensor, or is there twice`);
    const rest = bytes.length - at - 8;
    if (rest < sizeOf(storage)) throw bad(`its storage ${nameOf(key)} of ${sizeOf(storage)} bytes is cut short`);
    const count = bytes.readBigInt64LE(at);
    if (count !== BigInt(storage.count))
      throw bad(`its storage ${nameOf(key)} has ${count} numbers, a tensor expects ${storage.count}`);
    at += 8;
    found.set(storage, bytes.subarray(at, (at += sizeOf(storage))));
  }
  return {
    value,
    load: (storage) => {
      const numbers = found.get(storage);
      if (!numbers) throw bad(`the storage ${nameOf(storage.key)} is missing`);
      return Promise.resolve(numbers);
    },
  };
}
