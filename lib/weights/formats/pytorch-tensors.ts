// PyTorch's tensors as a pickle describes them: views of storages. Owns their checks, and turning them into arrays.
import type { DataError } from '../../errors.js';
import type { DType, HostArray, TensorData } from '../../native/wire.js';
import { Global, nameOf, type Vocabulary } from './pickle.js';
import { brainsToFloats, halvesToFloats } from './half.js';
import { gathered } from './strided.js';

type Numbers = HostArray | Uint16Array | Int16Array | Int8Array;

/** The element type of a storage: how it lies in the file, and what becomes of it. */
interface Element {
  readonly bytes: number;
  readonly dtype: DType;
  view(bytes: Uint8Array): Numbers;
  /** from what lies in the file, where the package has no such type */
  readonly widen?: (from: Numbers) => HostArray;
}

function element<T extends Numbers>(
  dtype: DType,
  type: { new (buffer: ArrayBufferLike, at: number, length: number): T; readonly BYTES_PER_ELEMENT: number },
  widen?: (from: T) => HostArray,
): Element {
  const bytes = type.BYTES_PER_ELEMENT;
  return {
    bytes,
    dtype,
    view: (from) => new type(from.buffer, from.byteOffset, from.length / bytes),
    ...(widen && { widen: widen as (from: Numbers) => HostArray }),
  };
}

const STORAGES: ReadonlyMap<string, Element> = new Map([
  ['torch.FloatStorage', element('float32', Float32Array)],
  ['torch.DoubleStorage', element('float64', Float64Array)],
  ['torch.HalfStorage', element('float32', Uint16Array, halvesToFloats)],
  ['torch.BFloat16Storage', element('float32', Uint16Array, brainsToFloats)],
  ['torch.LongStorage', element('int64', BigInt64Array)],
  ['torch.IntStorage', element('int32', Int32Array)],
  ['torch.ShortStorage', element('int32', Int16Array, (from) => Int32Array.from(from))],
  ['torch.CharStorage', element('int32', Int8Array, (from) => Int32Array.from(from))],
  ['torch.ByteStorage', element('uint8', Uint8Array)],
  ['torch.BoolStorage', element('uint8', Uint8Array)],
]);

/** Numbers of a file under a key of its own. */
export interface Storage {
  readonly key: string;
  readonly element: Element;
  /** elements */
  readonly count: number;
}

/** A tensor: element [i, j, ...] is the storage's number `offset + i * strides[0] + j * strides[1] + ...`. */
export class StoredTensor {
  constructor(
    readonly storage: Storage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
  get count(): number {
    return this.shape.includes(0) ? 0 : this.shape.reduce((a, b) => a * b, 1);
  }
  /** Whether its numbers lie in order without gaps. */
  get contiguous(): boolean {
    let expected = 1;
    for (let i = this.shape.length - 1; i >= 0; i--) {
      if (this.shape[i] !== 1 && this.strides[i] !== expected) return false;
      expected *= this.shape[i]!;
    }
    return true;
  }
}

/** libtorch's tensors have no more. */
const MOST_DIMENSIONS = 64;
const isSize = (v: unknown): v is number => Number.isSafeInteger(v) && (v as number) >= 0;
const areSizes = (v: unknown): v is number[] => Array.isArray(v) && v.length <= MOST_DIMENSIONS && v.every(isSize);

/** What checkpoints hold beside tensors and says nothing of them: numpy's numbers, devices, types. */
const OPAQUE = Symbol('not a tensor');

/** The names that tensors need, and the storages found in one file; `bad` makes the error for what is wrong with it. */
export class TensorVocabulary implements Vocabulary {
  /** by key */
  readonly storages = new Map<string, Storage>();
  readonly globals: ReadonlyMap<string, Global>;

  constructor(readonly bad: (what: string) => DataError) {
    const calls: [string, Global['called']][] = [
      ['collections.OrderedDict', (args, pickle) => this.#dictionary(args, pickle.charge.bind(pickle))],
      ['torch._utils._rebuild_tensor_v2', (args) => this.#tensor(args)],
      ['torch._utils._rebuild_tensor', (args) => this.#tensor(args)],
      ['torch._utils._rebuild_parameter', ([tensor]) => tensor],
      ['torch.Size', ([sizes]) => sizes],
      ['torch.device', () => OPAQUE],
      ['_codecs.encode', () => OPAQUE],
      ['numpy.dtype', () => OPAQUE],
      ['numpy.core.multiarray.scalar', () => OPAQUE],
      ['numpy._core.multiarray.scalar', () => OPAQUE],
    ];
    const types = 'float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool'.split(' ');
    const names = [...types.map((name) => `torch.${name}`), ...STORAGES.keys()];
    this.globals = new Map([
      ...calls.map(([name, called]) => [name, new Global(name, called)] as const),
      ...names.map((name) => [name, new Global(name)] as const),
    ]);
  }

  /** Empty, or of pairs as Python 2 wrote it. */
  #dictionary([pairs = []]: readonly unknown[], charge: (values: number) => void): Map<unknown, unknown> {
    if (!Array.isArray(pairs)) throw this.bad('it makes a dictionary of what is no list');
    charge(pairs.length);
    const made = new Map<unknown, unknown>();
    for (const pair of pairs as unknown[]) {
      if (!Array.isArray(pair) || pair.length !== 2) throw this.bad('it makes a dictionary of what are no pairs');
      if (made.has(pair[0])) throw this.bad(`it holds ${nameOf(pair[0])} twice`);
      made.set(pair[0], pair[1]);
    }
    return made;
  }

  #tensor([storage, offset, shape, strides]: readonly unknown[]): StoredTensor {
    if (typeof storage !== 'object' || storage === null || this.storages.get((storage as Storage).key) !== storage)
      throw this.bad('it makes a tensor without a storage');
    if (!isSize(offset) || !areSizes(shape) || !areSizes(strides) || strides.length !== shape.length)
      throw this.bad('it makes a tensor whose offset, shape or strides are no whole numbers');
    const tensor = new StoredTensor(storage as Storage, offset, shape, strides);
    const last = shape.reduce((sum, n, i) => sum + (n - 1) * strides[i]!, offset);
    if (tensor.count > 0 && last >= tensor.storage.count)
      throw this.bad(
        `a tensor of shape [${shape.slice(0, 8).join(', ')}] reaches beyond its storage of ${tensor.storage.count}`,
      );
    return tensor;
  }

  /** A storage: `('storage', its type, key, device, count)`, and in old files a view of it. */
  persistent(id: unknown): Storage {
    const [kind, type, key, , count, view = null] = Array.isArray(id) ? (id as unknown[]) : [];
    const found = type instanceof Global ? STORAGES.get(type.name) : undefined;
    if (kind !== 'storage' || !found || typeof key !== 'string' || !isSize(count))
      throw this.bad('it refers to something that is no storage of tensors');
    if (view !== null)
      throw this.bad('it holds views of storages, as PyTorch wrote before version 0.4: save it with a newer one');
    const known = this.storages.get(key);
    if (known) {
      if (known.element !== found || known.count !== count)
        throw this.bad(`it describes the storage ${nameOf(key)} in two ways`);
      return known;
    }
    const storage = { key, element: found, count };
    this.storages.set(key, storage);
    return storage;
  }
}

/**
 * Arrays of tensors. A contiguous one is a view of its storage, and what shares a storage shares memory.
 * @param load the bytes of a storage
 * @param most bytes that copies may take in all: what is not contiguous, and what is widened
 */
export async function toArrays(
  tensors: ReadonlyMap<string, StoredTensor>,
  load: (storage: Storage) => Promise<Uint8Array>,
  most: number,
  bad: (what: string) => DataError,
): Promise<Map<string, TensorData>> {
  const loaded = new Map<Storage, Numbers>();
  const made = new Map<string, TensorData>();
  let copied = 0;
  for (const [name, tensor] of tensors) {
    const { storage, offset, shape, count } = tensor;
    const { widen, view, dtype, bytes } = storage.element;
    if (!tensor.contiguous || widen) copied += count * Math.max(4, bytes);
    if (copied > most) throw bad(`its tensors expand to more than ${most} bytes, at '${nameOf(name)}'`);
    if (!loaded.has(storage)) loaded.set(storage, view(aligned(await load(storage), bytes)));
    const numbers = loaded.get(storage)!;
    const own = tensor.contiguous ? numbers.subarray(offset, offset + count) : gathered(numbers, tensor);
    made.set(name, { data: widen ? widen(own) : (own as HostArray), shape: [...shape], dtype });
  }
  return made;
}

const aligned = (bytes: Uint8Array, size: number): Uint8Array =>
  bytes.byteOffset % size === 0 ? bytes : Uint8Array.from(bytes);
