// The thread that reads HDF5: the library over one file in memory at a time. Owns what of a file is read and what is refused.
import { parentPort } from 'node:worker_threads';
import { shown } from '../../errors.js';
import type { Hdf5, Hdf5Answer, Hdf5Array, Hdf5Question, Ready } from './hdf5.js';

/** Groups in groups; Keras nests a handful. */
const MOST_LEVELS = 32;
const MOST_OBJECTS = 100_000;
/** Arrays may be compressed: bytes of them for each of the file's. */
const MOST_EXPANSION = 8;

/** What is wrong with the file; the library itself is fine. */
class Refusal extends Error {}

// What the library complains of goes to stderr, and many of its calls go on regardless: each complaint is a refusal here.
// It takes these functions when it is loaded.
const complaints: string[] = [];
console.error = (...words: unknown[]) => void (complaints.length < 1000 && complaints.push(words.join(' ')));
console.log = console.error;
// What the library is made of is seen when it is instantiated: its memory, and how far its stack is in use.
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  emscripten_stack_get_current(): number;
  _emscripten_stack_restore(pointer: number): void;
}
type Instantiate = (...of: unknown[]) => Promise<{ instance: { exports: Exports } }>;
const { WebAssembly } = globalThis as unknown as {
  WebAssembly: { instantiate: Instantiate; RuntimeError: typeof Error };
};
const instantiate = WebAssembly.instantiate;
let made: Exports | undefined;
WebAssembly.instantiate = async (...of) => {
  const result = await instantiate(...of);
  made ??= result.instance.exports;
  return result;
};

const { ready } = await import('h5wasm');
const library = await ready;
const { FS, H5T_class_t: TYPE } = library;
/** To read alone, whatever version of the format. */
const open = (path: string): bigint => library.open(path, library.H5F_ACC_RDONLY, false, -1, -1);
const NAME = '/weights';
// Of all that is there to be opened, nothing but the file is left.
for (const device of FS.readdir('/dev')) if (FS.isChrdev(FS.lstat(`/dev/${device}`).mode)) FS.unlink(`/dev/${device}`);
open('/none'); // the library sets itself up at the first call
/** The library's memory before any file: put back after each, so that none leaves anything behind. The most is zeros. */
const clean = library.HEAPU8.slice(0, endOf(library.HEAPU8));
const { memory } = made!;
const stack = made!.emscripten_stack_get_current();
// It grows on demand: told that there is no more, the library says so and goes on.
const PAGE = 65536;
let mostMemory = Infinity;
const grow = memory.grow.bind(memory);
memory.grow = (pages) => {
  if (memory.buffer.byteLength + pages * PAGE > mostMemory) throw new RangeError('no more memory for this file');
  return grow(pages);
};
/** Memory of the library's own, beside what the file takes. */
const OWN = library.HEAPU8.length + (32 << 20);

/** Behind the last byte that is not zero. */
function endOf(bytes: Uint8Array): number {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return end;
}

/** What a call gives, unless the library complains meanwhile. */
function ask<T>(what: string, call: () => T): T {
  complaints.length = 0;
  let failure: string | undefined;
  try {
    const answer = call();
    if (complaints.length === 0) return answer;
  } catch (error) {
    // Some calls throw for what went wrong; a trap or an abort is the library's own end.
    if (error instanceof WebAssembly.RuntimeError) throw error;
    failure = (error as Error).message;
  }
  // A stack of errors, the outermost first: `#003: H5Oint.c line 12 in H5O_open(): unable to open object`.
  const cause = complaints.map((line) => /#\d+:.*?\(\): (.*)/.exec(line)?.[1]).findLast((text) => text !== undefined);
  throw new Refusal(`${what} cannot be read (${shown(cause ?? failure ?? complaints[0]).slice(1, -1)})`);
}

/** One file, walked from its root. */
class Reading {
  readonly #file: bigint;
  readonly #size: number;
  readonly found: Hdf5 = { attributes: new Map(), arrays: new Map() };
  #objects = 0;
  #bytes = 0;
  #text = 0;

  constructor(file: bigint, size: number) {
    this.#file = file;
    this.#size = size;
  }

  group(path: string, level: number): void {
    if (level > MOST_LEVELS) throw new Refusal(`its groups are nested more than ${MOST_LEVELS} deep`);
    const name = `group ${shown(path)}`;
    this.#attributes(path, name);
    const children = ask(name, () => library.get_names(this.#file, path, false));
    for (const child of children) this.#object(`${path === '/' ? '' : path}/${child}`, level + 1);
  }

  #object(path: string, level: number): void {
    const what = shown(path);
    // An object takes some bytes; a group that holds itself, by many names, would go on for ever.
    if (++this.#objects > Math.min(MOST_OBJECTS, this.#size / 16))
      throw new Refusal(`it lists more than ${this.#objects - 1} groups and arrays`);
    const target = ask(what, () => library.get_symbolic_link(this.#file, path)) as string | null;
    if (target !== null) throw new Refusal(`${what} is a soft link (to ${shown(target)}): links are not followed`);
    const external = ask(what, () => library.get_external_link(this.#file, path));
    if (external.filename !== undefined)
      throw new Refusal(`${what} is an external link (to ${shown(external.filename)}): links are not followed`);
    const type = ask(what, () => library.get_type(this.#file, path));
    if (type === library.H5G_GROUP) this.group(path, level);
    else if (type === library.H5G_DATASET) this.#array(path);
    else if (type !== library.H5G_TYPE) throw new Refusal(`${what} is a link of an unknown kind`);
  }

  /** Texts among the attributes; nothing else that Keras says there is of use. */
  #attributes(path: string, what: string): void {
    const names = ask(`attributes of ${what}`, () => library.get_attribute_names(this.#file, path));
    const texts = new Map<string, readonly string[]>();
    for (const name of names) {
      const attribute = `attribute ${shown(name)} of ${what}`;
      const about = ask(attribute, () => library.get_attribute_metadata(this.#file, path, name));
      if (about.type !== TYPE.H5T_STRING.value || !about.shape) continue;
      const bytes = about.size * about.total_size;
      if (!(bytes <= this.#size))
        throw new Refusal(`${attribute} would take ${bytes} bytes of a file of ${this.#size}`);
      const read = (at: bigint): number => library.get_attribute_data(this.#file, path, name, at);
      const held = this.#held(attribute, bytes, read);
      texts.set(
        name,
        Array.from({ length: about.total_size }, (_, i) => {
          const one = held.subarray(i * about.size, (i + 1) * about.size);
          const text = about.vlen
            ? library.UTF8ToString(new DataView(one.buffer, one.byteOffset).getUint32(0, true))
            : fixedText(one);
          // Texts of variable length may be one and the same, said over and over.
          if ((this.#text += text.length) > this.#size) throw new Refusal(`${attribute} holds more than the file does`);
          return text;
        }),
      );
    }
    if (texts.size > 0) this.found.attributes.set(path, texts);
  }

  #array(path: string): void {
    const what = `array ${shown(path)}`;
    const about = ask(what, () => library.get_dataset_metadata(this.#file, path));
    if (about.virtual_sources)
      throw new Refusal(
        `${what} is a virtual dataset, made of ${shown(about.virtual_sources[0]?.file_name)}: those are not followed`,
      );
    this.#attributes(path, what);
    const dtype = this.#dtype(path, about);
    if (dtype === undefined || !about.shape) return;
    const bytes = about.size * about.shape.reduce((a, b) => a * b, 1);
    this.#bytes += bytes;
    const most = about.chunks ? MOST_EXPANSION * this.#size : this.#size;
    if (!(bytes <= most && this.#bytes <= MOST_EXPANSION * this.#size))
      throw new Refusal(`${what} of shape ${shown(about.shape)} does not fit into a file of ${this.#size} bytes`);
    const read = (at: bigint): number => library.get_dataset_data(this.#file, path, null, null, null, at);
    const array: Hdf5Array = { dtype, shape: about.shape, bytes: this.#held(what, bytes, read) };
    this.found.arrays.set(path, array);
  }

  /** Named as in safetensors; undefined for what is no array of plain numbers. */
  #dtype(path: string, { type, size, signed }: { type: number; size: number; signed: boolean }): string | undefined {
    if (type === TYPE.H5T_FLOAT.value) return { 2: 'F16', 4: 'F32', 8: 'F64' }[size];
    if (type === TYPE.H5T_INTEGER.value) return signed ? { 4: 'I32', 8: 'I64' }[size] : { 1: 'U8' }[size];
    // Keras' bfloat16 is two bytes that HDF5 knows nothing of.
    const said = this.found.attributes.get(path)?.get('dtype')?.[0];
    return said === 'bfloat16' && size === 2 ? 'BF16' : undefined;
  }

  /** What `read` writes into `bytes` bytes of the library's memory. */
  #held(what: string, bytes: number, read: (at: bigint) => number): Uint8Array<ArrayBuffer> {
    const at = library._malloc(Math.max(1, bytes));
    if (at === 0) throw new Refusal(`${what} cannot be read (no more memory for a file of ${this.#size} bytes)`);
    library.HEAPU8.fill(0, at, at + bytes);
    if (ask(what, () => read(BigInt(at))) < 0) throw new Refusal(`${what} cannot be read`);
    const held = library.HEAPU8.slice(at, at + bytes) as Uint8Array<ArrayBuffer>;
    // Texts of variable length stay where they are until the memory is put back.
    library._free(at);
    return held;
  }
}

/** Up to its first zero. */
function fixedText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function readHdf5(bytes: Uint8Array): Hdf5 {
  FS.writeFile(NAME, bytes);
  const file = ask('the file', () => open(NAME));
  const reading = new Reading(file, bytes.length);
  reading.group('/', 0);
  return reading.found;
}

/** As if no file had been read: nothing that one leaves in the library can change how the next is read. */
function forget(): void {
  const { streams } = FS as unknown as { streams: (FS.FSStream & { fd: number })[] };
  for (const stream of streams) if (stream && stream.fd > 2) FS.close(stream);
  FS.unlink(NAME);
  made!._emscripten_stack_restore(stack);
  library.HEAPU8.set(clean);
  library.HEAPU8.fill(0, clean.length);
}

function answer({ bytes }: Hdf5Question): Hdf5Answer {
  mostMemory = OWN + 2 * MOST_EXPANSION * bytes.length;
  let result: { found: Hdf5 } | { refused: string };
  try {
    result = { found: readHdf5(bytes) };
  } catch (error) {
    if (!(error instanceof Refusal))
      return {
        refused: `the HDF5 library broke down (${shown((error as Error).message).slice(1, -1)})`,
        reusable: false,
      };
    result = { refused: error.message };
  }
  forget();
  // It gives no memory back: after a large file, the next one gets a new thread.
  return { ...result, reusable: memory.buffer.byteLength <= OWN };
}

parentPort!.on('message', (question: Hdf5Question) => {
  const reply = answer(question);
  const arrays = reply.found ? [...reply.found.arrays.values()] : [];
  parentPort!.postMessage(
    reply,
    arrays.map(({ bytes }) => bytes.buffer),
  );
});
parentPort!.postMessage('ready' satisfies Ready);
