// PyTorch's files: what their tensors become, which tensors of a checkpoint are taken, and every kind that is refused.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { DataError, readWeightFile, type HostArray, type TensorData } from 'mnv2-torch';
import { findPython } from '../support/python.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { floats, p, tensor, torchArchive, torchStream, type TensorPieces } from '../support/torch-file.ts';
import { zipped } from '../support/zip.ts';

const at = temporaryFolder('pytorch');
const TWO = floats(1.5, -2);
const read = (bytes: Buffer): ReturnType<typeof readWeightFile> => {
  fs.writeFileSync(at('file'), bytes);
  return readWeightFile(at('file'));
};
const archive = (value: Buffer, storages: Record<string, Buffer> = { 0: TWO }): Buffer =>
  torchArchive(p.whole(value), storages);
const stream = (value: Buffer, storages: [string, number, Buffer][] = [['0', 2, TWO]]): Buffer =>
  torchStream(p.whole(value), storages);
const values = (tensors: Map<string, TensorData>): Record<string, unknown[]> =>
  Object.fromEntries([...tensors].map(([name, { dtype, shape, data }]) => [name, [dtype, shape, [...data]]]));

async function refusal(bytes: Buffer): Promise<string> {
  const error = (await read(bytes).catch((e: unknown) => e)) as Error;
  expect(error).toBeInstanceOf(DataError);
  expect(error).toMatchObject({ exitCode: 4 });
  expect(error.message).toContain(at('file'));
  expect(error.message).not.toContain('\n');
  expect(error.message).not.toContain('\u001b');
  return error.message;
}

describe('tensors', () => {
  test.each([
    ['an archive', archive(p.dict(['w', tensor()]))],
    ['a stream', stream(p.dict(['w', tensor({ stream: true })]))],
  ])('of %s', async (_name, bytes) => {
    const { format, tensors, metadata, notes } = await read(bytes);
    expect([format, metadata, notes]).toEqual(['pytorch', {}, []]);
    expect(values(tensors)).toEqual({ w: ['float32', [2], [1.5, -2]] });
  });
  test('that share a storage share memory; the others follow their strides', async () => {
    const six = { count: 6, key: '0' };
    const { tensors } = await read(
      archive(
        p.dict(
          ['all', tensor({ ...six, shape: [2, 3], strides: [3, 1] })],
          ['end', tensor({ ...six, offset: 4, shape: [1, 2], strides: [77, 1] })],
          ['turned', tensor({ ...six, shape: [3, 2], strides: [1, 3] })],
          ['thrice', tensor({ ...six, offset: 5, shape: [3], strides: [0] })],
          ['none', tensor({ ...six, shape: [0, 4], strides: [9, 9] })],
          ['number', tensor({ ...six, offset: 2, shape: [], strides: [] })],
        ),
        { 0: floats(0, 1, 2, 3, 4, 5) },
      ),
    );
    expect(values(tensors)).toEqual({
      all: ['float32', [2, 3], [0, 1, 2, 3, 4, 5]],
      end: ['float32', [1, 2], [4, 5]],
      turned: ['float32', [3, 2], [0, 3, 1, 4, 2, 5]],
      thrice: ['float32', [3], [5, 5, 5]],
      none: ['float32', [0, 4], []],
      number: ['float32', [], [2]],
    });
    expect(tensors.get('end')!.data.buffer).toBe(tensors.get('all')!.data.buffer);
  });
  test('with names of the language are names', async () => {
    const names = ['__proto__', 'constructor', '', 'ü\u2028'];
    const { tensors } = await read(archive(p.dict(...names.map((n): [string, Buffer] => [n, tensor()]))));
    expect([...tensors.keys()]).toEqual(names);
    expect(({} as Record<string, unknown>)['data']).toBeUndefined();
  });
  test('in a dictionary of pairs, as Python 2 wrote it, with attributes', async () => {
    const pairs = p.list(p.list(p.text('a'), tensor()), p.list(p.text('b'), tensor()));
    const dict = p.call(p.global('collections', 'OrderedDict'), pairs);
    const attributed = Buffer.concat([dict, p.dict(['_metadata', p.dict()]), Buffer.from('b')]);
    expect([...(await read(archive(attributed))).tensors.keys()]).toEqual(['a', 'b']);
  });
  test('in an archive whose members are compressed', async () => {
    const state = p.whole(p.dict(['w', tensor({ count: 1000, shape: [1000] })]));
    const bytes = torchArchive(state, {}, [{ name: 'archive/data/0', bytes: Buffer.alloc(4000), deflate: true }]);
    expect(values((await read(bytes)).tensors)).toEqual({ w: ['float32', [1000], new Array(1000).fill(0)] });
  });
});

describe('which tensors are taken', () => {
  const of = (...names: string[]): Buffer => p.dict(...names.map((n): [string, Buffer] => [n, tensor()]));
  const chosen = async (...items: [string, Buffer][]): Promise<[string[], readonly string[]]> => {
    const { tensors, notes } = await read(archive(p.dict(...items)));
    return [[...tensors.keys()], notes];
  };
  test.each<[string, [string, Buffer][], string[], string[]]>([
    [
      'of a checkpoint',
      [
        ['epoch', p.int(3)],
        ['net', of('w')],
      ],
      ['w'],
      ["took the weights under 'net'"],
    ],
    [
      'beside a generator’s state',
      [
        ['rng', tensor()],
        ['model', of('w')],
      ],
      ['w'],
      ["took the weights under 'model'"],
    ],
    [
      'averaged rather than not',
      [
        ['state_dict', of('w')],
        ['state_dict_ema', of('v')],
      ],
      ['v'],
      ["took its averaged weights under 'state_dict_ema'"],
    ],
    [
      'where none are averaged',
      [
        ['model', of('w')],
        ['model_ema', p.none],
      ],
      ['w'],
      ["took the weights under 'model'"],
    ],
    [
      'deeper',
      [['model', p.dict(['state_dict', of('w')])]],
      ['w'],
      ["took the weights under 'model'", "took the weights under 'state_dict'"],
    ],
    [
      'of DistributedDataParallel',
      [
        ['module.w', tensor()],
        ['module.b', tensor()],
      ],
      ['w', 'b'],
      ["took 'module.' off the names"],
    ],
    [
      'of a compiled network in it',
      [['module._orig_mod.w', tensor()]],
      ['w'],
      ["took 'module.' off the names", "took '_orig_mod.' off the names"],
    ],
    [
      'of AveragedModel',
      [
        ['n_averaged', tensor()],
        ['module.w', tensor()],
      ],
      ['w'],
      ["took 'module.' off the names"],
    ],
    [
      'of a network with a part called module',
      [
        ['module.w', tensor()],
        ['w', tensor()],
      ],
      ['module.w', 'w'],
      [],
    ],
    [
      'beside what are no tensors',
      [
        ['w', tensor()],
        ['_extra_state', p.none],
      ],
      ['w'],
      ['left out what are no tensors: ["_extra_state"]'],
    ],
  ])('%s', async (_name, items, names, notes) => {
    expect(await chosen(...items)).toEqual([names, notes]);
  });
  test.each<[string, Buffer, RegExp]>([
    ['a dictionary of others', p.dict(['generator', of('w')]), /no tensors by name, but \["generator"\]; save the one/],
    ['an empty dictionary', p.dict(), /no tensors by name, but \[\]/],
    ['one tensor', tensor(), /one tensor without a name/],
    ['a list', p.list(tensor()), /it holds no dictionary; expected a state dict/],
    [
      'numbers for names',
      Buffer.concat([Buffer.from('}'), p.int(0), tensor(), Buffer.from('s')]),
      /no tensors by name/,
    ],
  ])('%s is none', async (_name, value, message) => {
    expect(await refusal(archive(value))).toMatch(message);
  });
});

describe('a pickle is refused that', () => {
  const repeated = (piece: string, count: number, end = ''): Buffer => Buffer.from(piece.repeat(count) + end, 'latin1');
  const itself = Buffer.concat([Buffer.from('}'), p.put(0), p.text('model'), p.get(0), Buffer.from('s')]);
  const list = Buffer.concat([Buffer.from(']'), p.put(0), p.get(0), Buffer.from('a')]);
  test.each<[string, Buffer, RegExp]>([
    [
      'calls os.system',
      p.call(p.global('os', 'system'), p.text('touch /tmp/x')),
      /asks for os\.system, which is no tensor/,
    ],
    ['calls posix.system', p.dict(['x', p.call(p.global('posix', 'system'))]), /asks for posix\.system/],
    [
      'calls eval by two texts',
      Buffer.concat([p.text('builtins'), p.text('eval'), Buffer.of(0x93)]),
      /for builtins\.eval,/,
    ],
    ['calls a name of the language', p.global('__proto__', 'constructor'), /asks for __proto__\.constructor/],
    ['names a class for the terminal', p.global('\u001b[2J', 'x'), /asks for \?\[2J\.x/],
    ['calls a type', p.call(p.global('torch', 'FloatStorage')), /it calls torch\.FloatStorage/],
    ['calls a number', p.call(p.int(3)), /it calls what is no function/],
    [
      'makes an object',
      Buffer.concat([p.global('torch', 'Size'), Buffer.from(')'), Buffer.of(0x81)]),
      /0x81, is no instruction/,
    ],
    ['is of text', Buffer.from("I1\nS'x'\n"), /byte 2, 0x49, is no instruction that torch\.save writes/],
    ['is of protocol 9', Buffer.of(0x80, 9), /pickle protocol 9; expected 2 to 5/],
    ['holds itself', itself, /no tensors by name, but \["model"\]/],
    ['is a list that holds itself', list, /it holds no dictionary/],
    ['has a million marks', repeated('(', 1_000_000), /nests deeper than 1000 marks/],
    ['has a million lists', repeated(']', 1_000_000), /makes more than 262144 objects/],
    [
      'has a million dictionaries in each other',
      repeated('](', 900, repeated('}', 1e6).toString()),
      /more than 262144/,
    ],
    [
      'doubles a list a hundred times',
      Buffer.concat([Buffer.from(']'), p.put(0), repeated('h\0h\0\x86q\0', 100)]),
      /left over/,
    ],
    ['goes on and on', repeated('N0', 3_000_000), /more than 4194304 instructions/],
    [
      'makes dictionaries of one list again and again',
      Buffer.concat([
        p.list(...new Array<Buffer>(3000).fill(p.none)),
        p.put(0),
        ...new Array<Buffer>(1000).fill(p.call(p.global('collections', 'OrderedDict'), p.get(0))),
      ]),
      /what are no pairs/,
    ],
    ['takes what is not there', Buffer.from('0'), /takes a value where there is none/],
    ['takes what lies before a mark', Buffer.from('N(0'), /takes a value where there is none/],
    ['has no mark', Buffer.from('Nt'), /takes items where no mark is/],
    ['refers to nothing', Buffer.from('h\u0007'), /refers to its value 7, which is not there/],
    ['appends to a number', Buffer.concat([p.int(1), p.int(1), Buffer.from('a')]), /appends to what is no list/],
    ['sets items of a list', Buffer.from(']NNs'), /sets items of what is no dictionary/],
    ['adds to a list', Buffer.concat([Buffer.from('](N'), Buffer.of(0x90)]), /adds to what is no set/],
    ['sets half an item', Buffer.from('}(Nu'), /sets an item without a value/],
    ['holds a name twice', p.dict(['w', tensor()], ['w', tensor()]), /it holds w twice/],
    [
      'ends in a text',
      Buffer.concat([p.text('x').subarray(0, 1), Buffer.of(0xff, 0xff, 0xff, 0x7f)]),
      /it is cut short/,
    ],
    ['holds a text of 2^63 bytes', Buffer.of(0x8d, 0, 0, 0, 0, 0, 0, 0, 0x80), /it is cut short/],
    ['holds text that is none', Buffer.of(0x8c, 1, 0xff), /text that is not UTF-8/],
    [
      'holds a number of a million digits',
      Buffer.concat([Buffer.of(0x8b, 0x80, 0x84, 0x1e, 0), Buffer.alloc(2e6)]),
      /whole number of 2000000 bytes/,
    ],
    ['ends in a name', Buffer.from('ctorch'), /it is cut short/],
    ['leaves two values', Buffer.from('NN'), /ends with values left over/],
    ['leaves a mark', Buffer.from('(N'), /ends with values left over/],
    ['refers to no storage', p.outside(p.text('x')), /something that is no storage of tensors/],
    ['refers to a module', p.outside(p.tuple(p.text('module'), p.none, p.text('x.py'), p.text('code'))), /no storage/],
  ])('%s', async (_name, value, message) => {
    expect(await refusal(archive(value))).toMatch(message);
  });
  test('is not finished, or followed by more', async () => {
    const whole = p.whole(p.dict(['w', tensor()]));
    for (let end = 0; end < whole.length; end++)
      expect(await refusal(torchArchive(whole.subarray(0, end), { 0: TWO }))).toMatch(/cut short/);
    expect(await refusal(torchArchive(Buffer.concat([whole, whole]), { 0: TWO }))).toMatch(/more follows its pickle/);
  });
});

describe('a tensor is refused', () => {
  const max = p.long(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f);
  const exact = 2 ** 31 - 1;
  test.each<[string, TensorPieces, RegExp]>([
    ['beyond its storage', { shape: [3] }, /a tensor of shape \[3\] reaches beyond its storage of 2/],
    ['that begins beyond it', { offset: 1 }, /reaches beyond its storage of 2/],
    ['whose strides lead beyond it', { strides: [2] }, /reaches beyond its storage of 2/],
    [
      'of a shape beyond all sizes',
      { shape: new Array(64).fill(exact), strides: new Array(64).fill(exact) },
      /reaches beyond/,
    ],
    ['of a shape of 2^63', { shape: [max] }, /offset, shape or strides are no whole numbers/],
    ['of a negative shape', { shape: [-2] }, /no whole numbers/],
    ['of negative strides', { strides: [-1] }, /no whole numbers/],
    ['of a negative offset', { offset: -1 }, /no whole numbers/],
    ['of an offset of 2^63', { offset: max }, /no whole numbers/],
    ['of text for a shape', { shape: [p.text('2')] }, /no whole numbers/],
    ['of fewer strides than dimensions', { shape: [1, 2] }, /no whole numbers/],
    [
      'of thousands of dimensions',
      { shape: new Array(1000).fill(1), strides: new Array(1000).fill(1) },
      /no whole numbers/,
    ],
    [
      'that repeats two numbers to 8 GB',
      { shape: [2 ** 30, 2], strides: [0, 1] },
      /its tensors expand to more than \d+ bytes, at 'w'/,
    ],
    [
      'that repeats beyond all sizes',
      { shape: new Array(64).fill(exact), strides: new Array(64).fill(0) },
      /expand to more/,
    ],
    ['of a storage of 10 GB', { count: exact, shape: [exact] }, /the storage 0 needs 8589934588 bytes, it has 8/],
    ['of a storage of fewer numbers', { count: 1, shape: [1] }, /the storage 0 needs 4 bytes, it has 8/],
    [
      'of a storage elsewhere',
      { key: '../../etc/passwd' },
      /the storage \.\.\/\.\.\/etc\/passwd needs 8 bytes, it is missing/,
    ],
    ['of complex numbers', { type: 'ComplexFloatStorage' }, /asks for torch\.ComplexFloatStorage, which is no tensor/],
    [
      'of a view of a storage',
      { view: p.tuple(p.text('1'), p.int(0), p.int(2)) },
      /views of storages, as PyTorch wrote before/,
    ],
  ])('%s', async (_name, pieces, message) => {
    expect(await refusal(archive(p.dict(['w', tensor(pieces)])))).toMatch(message);
  });
  test('without a storage; with one described in two ways', async () => {
    const rebuild = p.global('torch._utils', '_rebuild_tensor_v2');
    const fake = p.call(rebuild, p.dict(['key', p.text('0')]), p.int(0), p.tuple(), p.tuple(), p.no, p.none);
    expect(await refusal(archive(p.dict(['w', fake])))).toMatch(/a tensor without a storage/);
    const two = p.dict(['w', tensor()], ['v', tensor({ type: 'IntStorage' })]);
    expect(await refusal(archive(two))).toMatch(/describes the storage 0 in two ways/);
  });
  test('that with others takes more than the file is long', async () => {
    const many = Array.from({ length: 40 }, (_, i): [string, Buffer] => [
      `w${i}`,
      tensor({ shape: [1 << 20], strides: [0] }),
    ]);
    expect(await refusal(archive(p.dict(...many)))).toMatch(/its tensors expand to more than \d+ bytes, at 'w4'/);
  });
});

describe('an archive is refused', () => {
  const state = p.whole(p.dict(['w', tensor()]));
  test('of a big-endian machine', async () => {
    const members = [
      { name: 'a/data.pkl', bytes: state },
      { name: 'a/data/0', bytes: TWO },
    ];
    const ordered = (order: string): Buffer => zipped([...members, { name: 'a/byteorder', bytes: Buffer.from(order) }]);
    await expect(read(ordered('little'))).resolves.toBeDefined();
    await expect(read(zipped(members))).resolves.toBeDefined();
    expect(await refusal(ordered('big'))).toMatch(/not written by a little-endian machine/);
  });
  test('of TorchScript, with two pickles, with none', async () => {
    const more = (name: string, bytes = state): Buffer => torchArchive(state, { 0: TWO }, [{ name, bytes }]);
    expect(await refusal(more('archive/constants.pkl'))).toMatch(
      /a TorchScript archive.*torch\.jit\.load\("model\.pt"\)/,
    );
    expect(await refusal(more('archive/code/__torch__.py'))).toMatch(/a TorchScript archive, which holds code/);
    expect(await refusal(zipped([{ name: 'a/version', bytes: state }]))).toMatch(
      /expected one data\.pkl in its folder, found 0/,
    );
    expect(await refusal(more('other/data.pkl'))).toMatch(/expected one data\.pkl in its folder, found 2/);
  });
});

describe('a stream is refused', () => {
  const state = p.dict(['w', tensor({ stream: true })]);
  const whole = stream(state);
  test('that is cut short anywhere', async () => {
    for (let end = 9; end < whole.length; end += 3) expect(await refusal(whole.subarray(0, end))).toMatch(/cut short/);
  });
  const magic = p.whole(p.long(0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19));
  test.each<[string, Buffer, RegExp]>([
    ['that is another pickle', p.whole(p.dict(['w', p.int(1)])), /a pickle, but none that torch\.save wrote/],
    [
      'of another magic number',
      Buffer.concat([p.whole(p.long(1, 2, 3, 4, 5, 6, 7, 8)), whole.subarray(16)]),
      /none that torch\.save/,
    ],
    ['of another version', Buffer.concat([magic, p.whole(p.int(7))]), /expected its version to be 1001/],
    ['without a storage', stream(state, []), /the storage 0 is missing/],
    [
      'of a storage nobody asks for',
      stream(state, [
        ['0', 2, TWO],
        ['1', 2, TWO],
      ]),
      /its storage 1 belongs to no tensor/,
    ],
    [
      'of a storage twice',
      stream(state, [
        ['0', 2, TWO],
        ['0', 2, TWO],
      ]),
      /its storage 0 belongs to no tensor, or is there twice/,
    ],
    ['whose storage is smaller', stream(state, [['0', 1, TWO]]), /its storage 0 has 1 numbers, a tensor expects 2/],
    ['whose storage is not there', stream(state, [['0', 2, Buffer.alloc(0)]]), /storage 0 of 8 bytes is cut short/],
    [
      'of a storage of 8 GB',
      stream(p.dict(['w', tensor({ stream: true, count: 2 ** 31 - 1 })]), [['0', 2 ** 31 - 1, TWO]]),
      /storage 0 of 8589934588 bytes is cut short/,
    ],
  ])('%s', async (_name, bytes, message) => {
    expect(await refusal(bytes)).toMatch(message);
  });
});

const [python, without] = findPython('torch');
(without ? describe.skip : describe)(`files of torch.save${without}`, () => {
  let contents: Record<string, Record<string, [string, number[], (number | boolean)[]]> | null>;
  beforeAll(() => {
    const script = path.resolve('test/support/torch_files.py');
    fs.mkdirSync(at('torch'));
    const { status, stdout, stderr } = spawnSync(python, [script, at('torch')], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${python} ${script}:\n${stderr}`);
    // JSON has no infinity; Python writes one all the same.
    contents = JSON.parse(stdout.replaceAll('Infinity', '1e999')) as typeof contents;
  }, 120_000);

  test('hold the numbers that torch says', async () => {
    const dtypes: Record<string, string> = {
      float16: 'float32',
      bfloat16: 'float32',
      int16: 'int32',
      int8: 'int32',
      bool: 'uint8',
    };
    const readable = Object.entries(contents).filter(([, tensors]) => tensors !== null);
    expect(readable.length).toBeGreaterThan(10);
    for (const [file, expected] of readable) {
      const { tensors } = await readWeightFile(at('torch', file));
      expect([file, [...tensors.keys()]]).toEqual([file, Object.keys(expected!)]);
      for (const [name, [dtype, shape, numbers]] of Object.entries(expected!)) {
        const found = tensors.get(name)!;
        expect([file, name, found.dtype, found.shape]).toEqual([file, name, dtypes[dtype] ?? dtype, shape]);
        expect([file, name, Array.from<number | bigint, number>(found.data as HostArray, Number)]).toEqual([
          file,
          name,
          numbers.map(Number),
        ]);
      }
    }
  });
  test('that hold code are refused, and nothing is executed', async () => {
    const message = async (file: string): Promise<string> =>
      ((await readWeightFile(at('torch', file)).catch((e: Error) => e)) as Error).message;
    for (const form of ['False', 'True']) {
      expect(await message(`module-${form}.pth`)).toMatch(
        /asks for torch\.nn\.modules\.container\.Sequential.*torch\.save\(model\.state_dict\(\)/,
      );
      expect(await message(`arguments-${form}.pth`)).toMatch(
        /asks for argparse\.Namespace.*torch\.save\(checkpoint\["state_dict"\]/,
      );
    }
    expect(await message('script.pt')).toMatch(/a TorchScript archive/);
    expect(await message('command.pth')).toMatch(
      /asks for posix\.system, which is no tensor: nothing in a file is executed/,
    );
    expect(fs.existsSync(at('torch', 'executed'))).toBe(false);
  });
});
