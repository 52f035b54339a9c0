// Thousands of broken files of each format: each is read, or refused as data in one line; nothing hangs or is kept.
// `npm run fuzz` makes ten times as many.
import { DataError } from 'mnv2-torch';
import { Random } from '../../dist/random.js';
import { readHdf5 } from '../../dist/weights/formats/hdf5.js';
import { weightsOf } from '../../dist/weights/formats/keras.js';
import type { OnnxFile } from '../../dist/weights/formats/onnx.js';
import { encodeOnnx } from '../../dist/weights/formats/onnx-proto.js';
import { inMemory } from '../../dist/weights/formats/open-file.js';
import { readWeights } from '../../dist/weights/formats/read.js';
import { layersOf } from '../../dist/weights/onnx-layers.js';
import { laidOut } from '../support/checkpoint.ts';
import { array, hdf5, writeLegacy, writeNumbered } from '../support/keras-file.ts';
import { times } from '../support/long.ts';
import { held } from '../support/memory.ts';
import { floats, p, tensor, torchStream } from '../support/torch-file.ts';
import { watchdog } from '../support/watchdog.ts';
import { zipped } from '../support/zip.ts';

const MUTATIONS = times(2000, 20_000);

const state = (stream: boolean): Buffer => {
  const pieces = { stream, count: 6, shape: [2, 3], strides: [3, 1] };
  const turned = tensor({ ...pieces, shape: [3, 2], strides: [1, 3] });
  const whole = tensor({ stream, key: '1', type: 'HalfStorage', count: 4, shape: [4] });
  return p.whole(
    p.dict(['epoch', p.int(3)], ['model', p.dict(['a.weight', tensor(pieces)], ['b', turned], ['c', whole])]),
  );
};
const SIX = floats(1, 2, 3, 4, 5, 6);
/** Without checksums, which would refuse most mutations before a reader sees them. */
const member = (name: string, bytes: Buffer, deflate = false) => ({ name, bytes, deflate, states: { crc: 0 } });

/**
 * As `readWeights` does, but the HDF5 library is given up sooner where it does not come to an end: some heaps of texts
 * send it round for ever.
 */
const readKeras: typeof readWeights = async ({ path, start }) => weightsOf(await readHdf5(start, path, 1000), path);

/** The graph is walked as well, which reads constants and attributes. */
const readOnnx: typeof readWeights = async (file) => {
  const found = await readWeights(file);
  if (found.format === 'onnx') layersOf(found as OnnxFile, file.path);
  return found;
};

/** A small whole file of each format, how it is read, and what its fuzz is called. */
const WHOLE: [string, typeof readWeights, () => Buffer][] = [
  [
    'safetensors',
    readWeights,
    () => {
      const entry = (dtype: string, from: number, to: number) => ({ dtype, shape: [2, 3], data_offsets: [from, to] });
      const header = { __metadata__: { arch: 'x' }, w: entry('F32', 0, 24), h: entry('BF16', 24, 36) };
      return laidOut(header, Buffer.concat([SIX, SIX.subarray(12)]));
    },
  ],
  [
    'a PyTorch archive',
    readWeights,
    () =>
      zipped([
        member('a/data.pkl', state(false)),
        member('a/byteorder', Buffer.from('little')),
        member('a/data/0', SIX, true),
        member('a/data/1', SIX.subarray(0, 8)),
      ]),
  ],
  [
    'a PyTorch stream',
    readWeights,
    () =>
      torchStream(state(true), [
        ['0', 6, SIX],
        ['1', 4, SIX.subarray(0, 8)],
      ]),
  ],
  [
    'a Keras file of the legacy layout',
    readKeras,
    () => hdf5((root) => writeLegacy(root, { a: { kernel: array([1, 1, 2, 3]), bias: array([3]) } }, { fixed: true })),
  ],
  [
    'an archive of Keras 3',
    readWeights,
    () => {
      const config = { config: { layers: [{ class_name: 'Dense', config: { name: 'a' } }] } };
      const dense = { arrays: [array([2, 3]), array([3])] };
      return zipped([
        member('config.json', Buffer.from(JSON.stringify(config)), true),
        member(
          'model.weights.h5',
          hdf5((root) => writeNumbered(root, { 'layers/dense': dense })),
          true,
        ),
      ]);
    },
  ],
  [
    'an ONNX model',
    readOnnx,
    () => {
      const value = (name: string, dims: number[], values: Buffer) => ({ name, dims, dataType: 1, rawData: values });
      const ints = (name: string, ...list: number[]) => ({ name, type: 7, ints: list });
      return Buffer.from(
        encodeOnnx({
          irVersion: 8,
          producerName: 'x',
          metadataProps: [{ key: 'arch', value: 'x' }],
          graph: {
            node: [
              {
                opType: 'Conv',
                input: ['x', 'w'],
                output: ['a'],
                attribute: [ints('strides', 2, 2), ints('pads', 0, 0, 1, 1)],
              },
              {
                opType: 'Constant',
                output: ['h'],
                attribute: [{ name: 'value', type: 4, t: value('', [], floats(6)) }],
              },
              { opType: 'Clip', input: ['a', 'l', 'h'], output: ['b'] },
              { opType: 'GlobalAveragePool', input: ['b'], output: ['c'] },
              { opType: 'Flatten', input: ['c'], output: ['d'] },
              { opType: 'Gemm', input: ['d', 'v'], output: ['y'], attribute: [{ name: 'transB', type: 2, i: 1 }] },
            ],
            initializer: [
              value('l', [], floats(0)),
              value('w', [2, 3, 1, 1], SIX),
              { name: 'v', dims: [3, 2], dataType: 1, floatData: [1, 2, 3, 4, 5, 6] },
            ],
          },
        }),
      );
    },
  ],
  [
    "a file of Keras 3's layout",
    readKeras,
    () => hdf5((root) => writeNumbered(root, { 'layers/dense': { name: 'a', arrays: [array([2, 3]), array([3])] } })),
  ],
];

/** Numbers that sizes, offsets and counts of any format are wrong with. */
const SIZES = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53, 2 ** 62];

/** One to three changes of a whole file, drawn from the seed. */
function mutated(whole: Buffer, seed: number): Buffer {
  const random = new Random(seed, 'fuzz');
  const below = (n: number): number => Math.floor(random.next() * n);
  const one = <T>(from: ArrayLike<T>): T => from[below(from.length)]!;
  const piece = (of: Buffer): Buffer => {
    const from = below(of.length);
    return of.subarray(from, from + 1 + below(Math.min(64, of.length - from)));
  };
  const put = (into: Buffer, from: number, replaced: number, ...pieces: Uint8Array[]): Buffer =>
    Buffer.concat([into.subarray(0, from), ...pieces, into.subarray(from + replaced)]);
  const number = (size: number): Buffer => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(one(SIZES)));
    return bytes.subarray(0, size);
  };
  const kinds: ((bytes: Buffer) => Buffer)[] = [
    (bytes) => put(bytes, below(bytes.length), 1, Buffer.of(below(256))),
    (bytes) => put(bytes, below(bytes.length), 1, Buffer.of(one(whole))),
    (bytes) => {
      const size = one([1, 2, 4, 8]);
      return put(bytes, below(bytes.length), size, number(size));
    },
    (bytes) => put(bytes, below(bytes.length), 0, piece(whole)),
    (bytes) => put(bytes, below(bytes.length), 1 + below(16)),
    (bytes) => put(bytes, below(bytes.length), 0, Buffer.alloc(1 + below(5000), one(whole))),
    (bytes) => {
      const moved = piece(whole);
      return put(bytes, below(bytes.length), moved.length, moved);
    },
    (bytes) => bytes.subarray(0, below(bytes.length)),
    (bytes) => {
      const i = below(bytes.length);
      return put(bytes, i, 1, Buffer.of(bytes[i]! ^ (1 << below(8))));
    },
  ];
  let bytes = whole;
  for (let n = 1 + below(3); n > 0 && bytes.length > 0; n--) bytes = one(kinds)(bytes);
  return bytes;
}

/** The most memory the process had at once, in bytes. */
const peak = (): number => process.resourceUsage().maxRSS * 1024;

test.each(WHOLE)(
  `${MUTATIONS} mutations of %s`,
  async (name, reader, make) => {
    const whole = make();
    expect((await reader(inMemory(whole, 'whole'))).tensors.size).toBeGreaterThan(0);
    const wrong: string[] = [];
    const ends = { read: 0, refused: 0 };
    const highest = peak();
    let before = 0;
    const dog = watchdog(name);
    try {
      for (let seed = 0; seed < MUTATIONS; seed++) {
        if (seed === MUTATIONS / 4) before = held();
        dog.at(seed);
        try {
          const { tensors } = await reader(inMemory(mutated(whole, seed), 'mutated'));
          for (const { shape, data } of tensors.values()) {
            if (shape.reduce((a, b) => a * b, 1) !== data.length)
              wrong.push(`${seed}: ${shape.join('x')} of ${data.length}`);
          }
          ends.read++;
        } catch (error) {
          const { message, stack } = error as Error;
          if (!(error instanceof DataError) || /[\p{Cc}]/u.test(message) || message.length > 1500)
            wrong.push(`${seed}: ${stack}`);
          ends.refused++;
        }
      }
    } finally {
      await dog.end();
    }
    expect(wrong).toEqual([]);
    // Both ends are reached: neither everything nor nothing is refused.
    expect(ends.refused).toBeGreaterThan(MUTATIONS / 3);
    expect(ends.read).toBeGreaterThan(MUTATIONS / 50);
    expect(held() - before).toBeLessThan(16 << 20);
    expect(peak() - highest).toBeLessThan(256 << 20);
  },
  900_000,
);
