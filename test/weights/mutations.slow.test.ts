// Thousands of broken checkpoints: each is refused as data, in one line, or is as good as a whole one.
import fs from 'node:fs';
import { completeCheckpoint, loadCheckpoint, loadWeights, MobileNetV2, Mnv2Error, Weights } from 'mnv2-torch';
import { Random } from '../../dist/random.js';
import { laidOut, SMALL, smallCheckpoint, type Parts } from '../support/checkpoint.ts';
import { times } from '../support/long.ts';
import { held } from '../support/memory.ts';
import { temporaryFolder } from '../support/temporary.ts';

const MUTATIONS = times(2000, 4000);
const at = temporaryFolder('mutations');

/** What stands where something else is expected. */
const VALUES: unknown[] = [
  ...[null, true, false, 0, -0, 1, -1, 1.5, 7, 32, 1e6, 1e9, 2 ** 31, 2 ** 53, 1e308, -1e308],
  ...['', 'x', 'NaN', '1e9', '-1', '\n\u001b[2J', '__proto__', 'x'.repeat(5000), 'F32', 'I32', 'U8', 'F64', 'BF16'],
  ...[[], {}, [0], [0, 0], [1, 2, 3], [[]], [null], ['0', '4'], [0, 1e15], [-4, 0], [0.5, 4.5], { length: 2 }],
  ...[[2 ** 32, 2 ** 32], [0, 2 ** 52], [1e300, 1e300], new Array(100).fill(1)],
];
const TEXTS = [
  ...['', ' ', '0', '-0', '-1', '1e-400', '1e400', '1e6', '1e9', '30000', 'NaN', 'Infinity', '0x10', '1.5', '0.25'],
  ...['null', 'true', 'false', '[]', '{}', '[[]]', '[[1,16,1,1]]', '[[1,1e9,1,1]]', '[[6,16,900,1],[6,16,900,1]]'],
  ...['{"size":30000,"scale":"x/127.5-1"}', '{"size":32,"mean":[0,0,0],"std":[1e-320,1,1]}', '["a","b"]', '"x"'],
  ...['{"size":0,"scale":"x/127.5-1"}', '{"size":32}', 'mobilenet_v1', 'mobilenet_v2', 'Net', 'relu', 'tf_same', '[['],
];
const KEYS = ['__proto__', 'constructor', '__metadata__', 'toString', '', '\u0000', 'classifier.1.weight', 'x'];

class Mutator {
  readonly #random: Random;
  constructor(
    seed: number,
    private readonly original: Parts,
  ) {
    this.#random = new Random(seed, 'mutation');
  }
  #below = (n: number): number => Math.floor(this.#random.next() * n);
  #one = <T>(from: readonly T[]): T => from[this.#below(from.length)]!;

  /** The bytes of a mutated file. */
  make(): Buffer {
    const header = structuredClone(this.original.header);
    const body = Buffer.from(this.original.body);
    const kinds = [
      () => this.#bytes(laidOut(header, body)),
      () => this.#cut(laidOut(header, body)),
      () => this.#length(laidOut(header, body)),
      () => laidOut(this.#twice(JSON.stringify(header)), body),
      () => (this.#entry(header), laidOut(header, body)),
      () => (this.#entry(header), this.#entry(header), laidOut(header, body)),
      () => (this.#metadata(header), laidOut(header, body)),
      () => (this.#metadata(header), this.#metadata(header), laidOut(header, body)),
      () => (this.#numbers(body), laidOut(header, body)),
      () => laidOut(this.#one([this.#one(VALUES), { __metadata__: this.#one(VALUES) }, '{'.repeat(9999)]), body),
    ];
    return this.#one(kinds)();
  }

  /** Some bytes, of the header more often than of the numbers. */
  #bytes(file: Buffer): Buffer {
    const end = this.#one([8, 400, file.length - this.original.body.length, file.length]);
    for (let n = 1 + this.#below(6); n > 0; n--) file[this.#below(end)] = this.#below(256);
    return file;
  }
  /** Shorter, longer, or with a piece moved. */
  #cut(file: Buffer): Buffer {
    const [from, to] = [this.#below(file.length), this.#below(file.length)];
    const piece = file.subarray(Math.min(from, to), Math.max(from, to));
    return this.#one([
      () => file.subarray(0, from),
      () => file.subarray(from),
      () => Buffer.concat([file, piece]),
      () => Buffer.concat([file.subarray(0, from), Buffer.alloc(1 + this.#below(64)), file.subarray(from)]),
      () => Buffer.concat([file.subarray(0, Math.min(from, to)), file.subarray(Math.max(from, to))]),
    ])();
  }
  #length(file: Buffer): Buffer {
    const length = file.readBigUInt64LE(0);
    const wrong = [0n, 1n, length - 1n, length + 1n, length + 8n, 100n << 20n, 1n << 40n, (1n << 64n) - 1n];
    file.writeBigUInt64LE(this.#one(wrong), 0);
    return file;
  }
  /** A key of one object a second time. */
  #twice(text: string): string {
    const keys = [...text.matchAll(/"[^"]*":/g)];
    const { 0: key, index } = this.#one(keys);
    return `${text.slice(0, index)}${key}${JSON.stringify(this.#one(VALUES))},${text.slice(index)}`;
  }
  /** One tensor's entry: another value, another name, another's bytes. */
  #entry(header: Record<string, unknown>): void {
    const names = Object.keys(header).filter((n) => n !== '__metadata__');
    const name = this.#one([...names, 'classifier.1.weight', 'classifier.1.bias']);
    const entry = (header[name] ?? {}) as Record<string, unknown>;
    const field = this.#one(['dtype', 'shape', 'data_offsets']);
    const other = header[this.#one(names)] as Record<string, unknown> | null | undefined;
    const list = Array.isArray(entry[field]) ? (entry[field] as unknown[]) : undefined;
    this.#one([
      () => (entry[field] = this.#one(VALUES)),
      () => (entry[field] = other?.[field]),
      () => list && (list[this.#below(list.length + 1)] = this.#one(VALUES)),
      () => list?.reverse(),
      () => delete entry[field],
      () => delete header[name],
      () => (header[name] = this.#one(VALUES)),
      () => (header[name] = other),
      () =>
        Object.defineProperty(header, this.#one(KEYS), {
          value: entry,
          enumerable: true,
          configurable: true,
          writable: true,
        }),
    ])();
  }
  #metadata(header: Record<string, unknown>): void {
    const metadata = header['__metadata__'] as Record<string, unknown>;
    const key = this.#one(Object.keys(metadata));
    this.#one([
      () => (metadata[key] = this.#one(TEXTS)),
      () => (metadata[key] = this.#one(TEXTS)),
      () => (metadata[key] = this.#one(VALUES)),
      () => delete metadata[key],
      () =>
        Object.defineProperty(metadata, this.#one(KEYS), {
          value: this.#one(TEXTS),
          enumerable: true,
          configurable: true,
          writable: true,
        }),
      // One character of it.
      () => (metadata[key] = String(metadata[key]).replace(/\d/, String(this.#below(10)))),
    ])();
  }
  #numbers(body: Buffer): void {
    const bits = this.#one([0x7fc00000, 0x7f800000, 0xff800000, 0x7f7fffff, 0x80000000, 0xbf800000, 1]);
    for (let n = 1 + this.#below(3); n > 0; n--) body.writeUInt32LE(bits, 4 * this.#below(body.length / 4));
  }
}

test(`${MUTATIONS} mutations of a checkpoint: refused as data in one line, or accepted; nothing is kept`, async () => {
  const original = await smallCheckpoint(at('whole'));
  const model = MobileNetV2(SMALL);
  const shapes = JSON.stringify([...model.namedParameters()].map(([name, p]) => [name, p.shape]));
  using weights = await Weights.init(model);
  const ends = { refused: 0, accepted: 0, loaded: 0 };
  const wrong: string[] = [];
  let before = 0;
  for (let seed = 0; seed < MUTATIONS; seed++) {
    if (seed === MUTATIONS / 4) before = held();
    fs.writeFileSync(at('mutated'), new Mutator(seed, original).make());
    try {
      const checkpoint = completeCheckpoint(await loadCheckpoint(at('mutated')));
      // Another network than the weights are for is as valid a file; these weights cannot hold it.
      if (JSON.stringify([...checkpoint.model.namedParameters()].map(([n, p]) => [n, p.shape])) === shapes) {
        await loadWeights(weights, checkpoint.model, checkpoint.tensors, { strict: true });
        ends.loaded++;
      } else {
        ends.accepted++;
      }
    } catch (error) {
      const typed = error instanceof Mnv2Error && error.exitCode === 4;
      const { message, stack } = error as Error;
      if (!typed || message.includes('\n') || message.includes('\u001b') || message.length > 1500)
        wrong.push(`${seed}: ${stack}`);
      ends.refused++;
    }
  }
  expect(wrong).toEqual([]);
  // Both ends are reached: neither everything nor nothing is refused.
  expect(ends.refused).toBeGreaterThan(MUTATIONS / 2);
  expect(ends.loaded).toBeGreaterThan(MUTATIONS / 20);
  expect(held() - before).toBeLessThan(16 << 20);
}, 400_000);
