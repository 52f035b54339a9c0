// Reads pickles and executes nothing: a machine of numbers, text, lists and dictionaries, and of the names it was given.
// Owns the opcodes and their bounds, knows nothing of tensors.
import type { DataError } from '../../errors.js';

/** A name a pickle may ask for; one that is `called` gives a value of our own. */
export class Global {
  constructor(
    readonly name: string,
    readonly called?: (args: readonly unknown[], pickle: Charged) => unknown,
  ) {}
}

/** What a call may cost: `charge` counts values it makes or looks at against the pickle's bound. */
export interface Charged {
  charge(values: number): void;
}

export interface Vocabulary {
  /** every name that is known, as `module.name` */
  readonly globals: ReadonlyMap<string, Global>;
  /** what stands for something outside of the pickle */
  persistent(id: unknown): unknown;
  /** the error for what is wrong with the pickle */
  bad(what: string): DataError;
}

/** More than a training of the largest networks leaves: about sixty a tensor. */
const MOST_OPCODES = 1 << 22;
/** Lists, dictionaries, tuples, results of calls: about eight a tensor. */
const MOST_OBJECTS = 1 << 18;
/** Python's own writer nests no deeper. */
const MOST_MARKS = 1000;
/** Bytes of a whole number. */
const MOST_DIGITS = 255;

const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The value pickled from byte `from` on, and where it ends. Dictionaries are Maps; lists and tuples arrays, which may
 * hold themselves.
 * @throws what `bad` makes, for anything that is no pickle of the vocabulary
 */
export function unpickle(bytes: Buffer, from: number, vocabulary: Vocabulary): { value: unknown; end: number } {
  return new Machine(bytes, from, vocabulary).run();
}

class Machine implements Charged {
  readonly #stack: unknown[] = [];
  /** Heights of the stack where a list of items begins. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, unknown>();
  #objects = 0;

  constructor(
    private readonly bytes: Buffer,
    private at: number,
    readonly vocabulary: Vocabulary,
  ) {}

  run(): { value: unknown; end: number } {
    for (let opcodes = 0; opcodes < MOST_OPCODES; opcodes++) {
      const start = this.at;
      const code = this.uint(1);
      if (code === STOP) {
        if (this.#stack.length !== 1 || this.#marks.length > 0) throw this.bad('it ends with values left over');
        return { value: this.#stack[0], end: this.at };
      }
      const action = ACTIONS.get(code);
      if (!action) throw this.bad(`byte ${start}, 0x${code.toString(16)}, is no instruction that torch.save writes`);
      action(this);
    }
    throw this.bad(`it has more than ${MOST_OPCODES} instructions`);
  }

  bad(what: string): DataError {
    return this.vocabulary.bad(what);
  }

  charge(values: number): void {
    this.#objects += values;
    if (this.#objects > MOST_OBJECTS) throw this.bad(`it makes more than ${MOST_OBJECTS} objects`);
  }

  // What follows an opcode.

  take(length: number): Buffer {
    if (!(length <= this.bytes.length - this.at)) throw this.bad('it ends in the middle: it is cut short');
    return this.bytes.subarray(this.at, (this.at += length));
  }
  uint(size: number): number {
    return this.take(size).readUIntLE(0, size);
  }
  /** Beyond 2^53 it is not exact; there is no file as long. */
  length(size: 1 | 4 | 8): number {
    return size === 8 ? Number(this.take(8).readBigUInt64LE()) : this.uint(size);
  }
  line(): string {
    const end = this.bytes.indexOf(0x0a, this.at);
    if (end < 0) throw this.bad('it ends in the middle: it is cut short');
    const line = this.utf8(end - this.at);
    this.at++;
    return line;
  }
  utf8(length: number): string {
    const bytes = this.take(length);
    try {
      return text.decode(bytes);
    } catch {
      throw this.bad('it holds text that is not UTF-8');
    }
  }
  /** Little-endian, in two's complement; a bigint beyond what numbers hold. */
  integer(length: number): number | bigint {
    if (length > MOST_DIGITS) throw this.bad(`it holds a whole number of ${length} bytes`);
    const bytes = this.take(length);
    if (length === 0) return 0;
    if (length <= 6) return bytes.readIntLE(0, length);
    const value = BigInt.asIntN(8 * length, BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`));
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }

  // The stack.

  push(value: unknown): void {
    this.#stack.push(value);
  }
  pop(): unknown {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) throw this.bad('it takes a value where there is none');
    return this.#stack.pop();
  }
  top(): unknown {
    const value = this.pop();
    this.#stack.push(value);
    return value;
  }
  mark(): void {
    if (this.#marks.length >= MOST_MARKS) throw this.bad(`it nests deeper than ${MOST_MARKS} marks`);
    this.#marks.push(this.#stack.length);
  }
  sinceMark(): unknown[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.bad('it takes items where no mark is');
    return this.#stack.splice(mark);
  }
  /** Pushes a new list, tuple, dictionary or set. */
  made(value: object): void {
    this.charge(1);
    this.#stack.push(value);
  }
  tuple(count: number): void {
    const items = Array.from({ length: count }, () => this.pop());
    this.made(items.reverse());
  }
  remember(index: number): void {
    this.#memo.set(index, this.top());
  }
  memoize(): void {
    this.remember(this.#memo.size);
  }
  recall(index: number): void {
    if (!this.#memo.has(index)) throw this.bad(`it refers to its value ${index}, which is not there`);
    this.push(this.#memo.get(index));
  }

  // Values that grow, names, calls.

  append(items: readonly unknown[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw this.bad('it appends to what is no list');
    for (const item of items) list.push(item);
  }
  add(items: readonly unknown[]): void {
    const set = this.top();
    if (!(set instanceof Set)) throw this.bad('it adds to what is no set');
    for (const item of items) set.add(item);
  }
  setItems(items: readonly unknown[]): void {
    const map = this.top();
    if (!(map instanceof Map)) throw this.bad('it sets items of what is no dictionary');
    if (items.length % 2 !== 0) throw this.bad('it sets an item without a value');
    for (let i = 0; i < items.length; i += 2) {
      if (map.has(items[i])) throw this.bad(`it holds ${nameOf(items[i])} twice`);
      map.set(items[i], items[i + 1]);
    }
  }
  find(module: unknown, name: unknown): void {
    const asked = `${nameOf(module)}.${nameOf(name)}`;
    const known = this.vocabulary.globals.get(asked);
    if (!known)
      throw this.bad(
        `it asks for ${asked}, which is no tensor: nothing in a file is executed. ` +
          'Save its tensors alone, in Python: torch.save(model.state_dict(), "weights.pth"), ' +
          'or of a checkpoint torch.save(checkpoint["state_dict"], "weights.pth")',
      );
    this.push(known);
  }
  findNamed(): void {
    const name = this.pop();
    this.find(this.pop(), name);
  }
  call(): void {
    const args = this.pop();
    const target = this.pop();
    if (!(target instanceof Global) || !target.called || !Array.isArray(args))
      throw this.bad(`it calls ${target instanceof Global ? target.name : 'what is no function'}`);
    this.charge(1);
    this.push(target.called(args, this));
  }
  /** Attributes of an object, such as a state dict's `_metadata`: none says anything of tensors. */
  dropState(): void {
    this.pop();
    this.top();
  }
}

/** A text of the pickle as a message shows it: safe for a terminal, and short. */
export function nameOf(value: unknown): string {
  if (typeof value !== 'string') return `a ${value === null ? 'None' : typeof value}`;
  const safe = value.replace(/[^\x20-\x7e]/g, '?');
  return safe.length > 60 ? `${safe.slice(0, 57)}...` : safe;
}

const STOP = 0x2e;
/** Every instruction of protocols 2 to 5 but those that make objects of classes. */
const ACTIONS: ReadonlyMap<number, (m: Machine) => void> = new Map<number, (m: Machine) => void>([
  [0x80, (m) => checkProtocol(m)],
  [0x95, (m) => void m.length(8)], // FRAME: how much to read at once
  // Constants and numbers
  [0x4e, (m) => m.push(null)],
  [0x88, (m) => m.push(true)],
  [0x89, (m) => m.push(false)],
  [0x4b, (m) => m.push(m.uint(1))], // BININT1
  [0x4d, (m) => m.push(m.uint(2))], // BININT2
  [0x4a, (m) => m.push(m.take(4).readInt32LE())], // BININT
  [0x8a, (m) => m.push(m.integer(m.length(1)))], // LONG1
  [0x8b, (m) => m.push(m.integer(m.length(4)))], // LONG4
  [0x47, (m) => m.push(m.take(8).readDoubleBE())], // BINFLOAT
  // Text and bytes, after their length
  [0x8c, (m) => m.push(m.utf8(m.length(1)))],
  [0x58, (m) => m.push(m.utf8(m.length(4)))],
  [0x8d, (m) => m.push(m.utf8(m.length(8)))],
  [0x55, (m) => m.push(m.take(m.length(1)).toString('latin1'))], // Python 2's strings
  [0x54, (m) => m.push(m.take(m.length(4)).toString('latin1'))],
  [0x43, (m) => m.made(m.take(m.length(1)))],
  [0x42, (m) => m.made(m.take(m.length(4)))],
  [0x8e, (m) => m.made(m.take(m.length(8)))],
  [0x96, (m) => m.made(m.take(m.length(8)))],
  // Tuples, lists, dictionaries, sets
  [0x28, (m) => m.mark()],
  [0x29, (m) => m.made([])],
  [0x85, (m) => m.tuple(1)],
  [0x86, (m) => m.tuple(2)],
  [0x87, (m) => m.tuple(3)],
  [0x74, (m) => m.made(m.sinceMark())],
  [0x5d, (m) => m.made([])],
  [0x61, (m) => m.append([m.pop()])],
  [0x65, (m) => m.append(m.sinceMark())],
  [0x7d, (m) => m.made(new Map())],
  [0x73, (m) => m.setItems([m.pop(), m.pop()].reverse())],
  [0x75, (m) => m.setItems(m.sinceMark())],
  [0x8f, (m) => m.made(new Set())],
  [0x90, (m) => m.add(m.sinceMark())],
  [0x91, (m) => m.made(new Set(m.sinceMark()))],
  // The memo
  [0x71, (m) => m.remember(m.uint(1))],
  [0x72, (m) => m.remember(m.uint(4))],
  [0x94, (m) => m.memoize()],
  [0x68, (m) => m.recall(m.uint(1))],
  [0x6a, (m) => m.recall(m.uint(4))],
  // Taking back: the writer of a tuple that holds itself
  [0x30, (m) => void m.pop()],
  [0x31, (m) => void m.sinceMark()],
  // Names, calls, what lies outside
  [0x63, (m) => m.find(m.line(), m.line())], // GLOBAL
  [0x93, (m) => m.findNamed()], // STACK_GLOBAL
  [0x52, (m) => m.call()], // REDUCE
  [0x62, (m) => m.dropState()], // BUILD
  [0x51, (m) => m.push(m.vocabulary.persistent(m.pop()))], // BINPERSID
]);

function checkProtocol(m: Machine): void {
  const protocol = m.uint(1);
  if (protocol > 5) throw m.bad(`it is of pickle protocol ${protocol}; expected 2 to 5`);
}
