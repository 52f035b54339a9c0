// Checkpoints from anywhere: what each wrong one is refused with, what is found in a folder, networks of one's own.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import {
  completeCheckpoint,
  DataError,
  Flatten,
  Linear,
  loadCheckpoint,
  loadWeights,
  MobileNetV2,
  Module,
  Sequential,
  UsageError,
  Weights,
  writeSafetensors,
  type Tensor,
} from 'mnv2-torch';
import { resolveRecipe } from '../../dist/train/recipe.js';
import { checkpointMetadata } from '../../dist/weights/checkpoint.js';
import { laidOut, SMALL, smallCheckpoint, type Parts } from '../support/checkpoint.ts';
import { cli } from '../support/cli.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('checkpoint');
let whole: Parts;
beforeAll(async () => {
  whole = await smallCheckpoint(at('whole'));
});

type Entry = Record<'dtype' | 'shape' | 'data_offsets', unknown>;
type Header = Record<string, Entry> & { __metadata__: Record<string, unknown> };
const HEAD = 'classifier.1.weight';
const BIAS = 'classifier.1.bias';

/** Reads a file as `predict` does, up to the weights on an engine. */
async function use(file: string): Promise<void> {
  const { model, tensors } = completeCheckpoint(await loadCheckpoint(file));
  using weights = await Weights.init(model);
  await loadWeights(weights, model, tensors, { strict: true, source: file });
}
async function refusal(file: string): Promise<string> {
  const error = await use(file).then(
    () => undefined,
    (e: unknown) => e as Error,
  );
  expect(error).toBeInstanceOf(DataError);
  expect(error).toMatchObject({ exitCode: 4 });
  expect(error!.message).not.toContain('\n');
  return error!.message;
}

test('the whole one is used', async () => {
  await use(at('whole'));
});

const setShape =
  (shape: unknown) =>
  (h: Header): void =>
    void (h[BIAS]!.shape = shape);
const setOffsets =
  (offsets: unknown) =>
  (h: Header): void =>
    void (h[BIAS]!.data_offsets = offsets);
const say =
  (key: string, value: unknown) =>
  (h: Header): void =>
    void (h.__metadata__[key] = value);

describe('a header', () => {
  test.each<[string, (h: Header) => unknown, RegExp]>([
    ['null', () => null, /its header is not an object but null/],
    ['a list', () => [], /not an object but \[\]/],
    ['a number', () => 7, /not an object but 7/],
    ['with null for metadata', (h) => ({ ...h, __metadata__: null }), /__metadata__: expected an object of strings/],
    ['with text for metadata', (h) => ({ ...h, __metadata__: 'x' }), /__metadata__: expected an object of strings/],
    ['with a number in metadata', say('width_mult', 0.25), /__metadata__ "width_mult": expected a string, got 0.25/],
    ['with an object in metadata', say('classes', {}), /"classes": expected a string, got \{\}/],
    ['without an entry', (h) => ({ ...h, x: null }), /tensor 'x': expected its dtype, shape and offsets, got null/],
    ['without a shape', setShape(undefined), /expected a shape of whole numbers, got \[object Undefined\]/],
    ['with a textual shape', setShape('[3]'), /expected a shape of whole numbers, got "\[3\]"/],
    ['with text in a shape', setShape(['3']), /expected a shape of whole numbers, got \["3"\]/],
    ['with a fraction in a shape', setShape([1.5, 2]), /expected a shape of whole numbers/],
    ['with a negative shape', setShape([-3, -1]), /expected a shape of whole numbers/],
    ['with a shape beyond all sizes', setShape([2 ** 40, 2 ** 40]), /needs 4.8\d*e\+24 bytes, its offsets span 12/],
    ['with a shape of thousands', setShape(new Array(1000).fill(1)), /expected a shape of whole numbers/],
    ['with a number for offsets', setOffsets(12), /expected two offsets in bytes, got 12/],
    ['with an object for offsets', setOffsets({ 0: 0, 1: 12 }), /expected two offsets in bytes/],
    ['with three offsets', setOffsets([0, 12, 24]), /expected two offsets in bytes/],
    ['with fractional offsets', setOffsets([0.5, 12.5]), /expected two offsets in bytes/],
    ['with negative offsets', setOffsets([-12, 0]), /expected two offsets in bytes/],
    ['with offsets that overlap', setOffsets([0, 12]), /begins at byte \d+, inside the tensor before it/],
    [
      'with a dtype of the language',
      (h) => void (h[BIAS]!.dtype = 'constructor'),
      /dtype constructor; expected one of/,
    ],
    ['with a hole', (h) => void delete h[BIAS], /\d+ bytes follow its last tensor|no tensor holds bytes/],
    ['with a name for the terminal', (h) => ({ ...h, '\n\u001b[2J': 0 }), /tensor '\\n\\u001b\[2J': expected/],
  ])('%s', async (_name, change, message) => {
    const header = structuredClone(whole.header) as Header;
    const changed = change(header);
    fs.writeFileSync(at('header'), laidOut(changed === undefined ? header : changed, whole.body));
    expect(await refusal(at('header'))).toMatch(message);
  });
  test('with negative zero, which JSON has', async () => {
    const text = JSON.stringify(whole.header).replace('"data_offsets":[0,', '"data_offsets":[-0,');
    fs.writeFileSync(at('zero'), laidOut(text, whole.body));
    expect(await refusal(at('zero'))).toMatch(/expected two offsets in bytes/);
  });
  test.each([
    ['a tensor', `"${HEAD}":`, /holds "classifier.1.weight" twice/],
    ['a tensor, spelled otherwise', '"classifier.1.w\\u0065ight":', /holds "classifier.1.weight" twice/],
    ['a key of metadata', '"arch":', /holds "arch" twice/],
    ['metadata', '"__metadata__":', /holds "__metadata__" twice/],
  ])('with %s twice', async (_name, key, message) => {
    const plain = key.replace('\\u0065', 'e');
    const text = JSON.stringify(whole.header);
    const i = text.indexOf(plain);
    const value = plain === '"arch":' ? '"x"' : '{}';
    fs.writeFileSync(at('twice'), laidOut(`${text.slice(0, i)}${key}${value},${text.slice(i)}`, whole.body));
    expect(await refusal(at('twice'))).toMatch(message);
  });
  test('of bytes that are no text', async () => {
    const bytes = laidOut(whole.header, whole.body);
    bytes[20] = 0xff;
    fs.writeFileSync(at('latin'), bytes);
    expect(await refusal(at('latin'))).toMatch(/its header is not JSON/);
  });
  test('longer than the file; with more behind the tensors', async () => {
    const bytes = laidOut(whole.header, whole.body);
    bytes.writeBigUInt64LE(BigInt(bytes.length), 0);
    fs.writeFileSync(at('long'), bytes);
    expect(await refusal(at('long'))).toMatch(/its header would take \d+ bytes of a file of \d+/);
    fs.writeFileSync(at('more'), laidOut(whole.header, Buffer.concat([whole.body, Buffer.alloc(5)])));
    expect(await refusal(at('more'))).toMatch(/5 bytes follow its last tensor/);
  });
  test('behind which nothing is aligned is read', async () => {
    fs.writeFileSync(at('odd'), laidOut(`${JSON.stringify(whole.header)}`.padEnd(9001), whole.body));
    await use(at('odd'));
  });
});

describe('metadata', () => {
  test.each<[string, string, RegExp]>([
    ['round_nearest', '1000000000', /'round_nearest': expected a whole number of at most 1024, got "1000000000"/],
    ['width_mult', '1000000', /'width_mult': expected a number of at most 32/],
    ['width_mult', '', /'width_mult': expected a number above 0, got ""/],
    ['width_mult', '2', /do not fit this model: 'features.0.0.weight': expected \[64, 3, 3, 3\], found \[8, 3, 3, 3\]/],
    ['num_classes', '1000000000', /'num_classes': expected a whole number of at most 1000000/],
    ['num_classes', '4', /'num_classes': expected 3, the number of classes, got "4"/],
    ['in_channels', '1', /'features.0.0.weight': expected \[8, 1, 3, 3\]/],
    ['dropout', '0x1', /'dropout': expected a number of at least 0/],
    ['linear_bottleneck', 'yes', /'linear_bottleneck': expected true or false, got "yes"/],
    ['inverted_residual_setting', '[[6,16,1000,1]]', /do not fit this model/],
    ['inverted_residual_setting', '[[1,1e9,1,1]]', /'inverted_residual_setting': expected rows of four/],
    ['inverted_residual_setting', '[[1', /'inverted_residual_setting': expected rows of four/],
    ['preprocess', '{"size":30000,"scale":"x/127.5-1"}', /`size` is above 4096 pixels/],
    ['preprocess', '{"size":32,"mean":[0,0,0],"std":[1,1e-320,1]}', /`std` is outside/],
    ['preprocess', '{"size":32,"mean":[0,0,1e300],"std":[1,1,1]}', /`mean` is beyond/],
    ['classes', '[]', /'classes': expected a JSON array of names, got "\[\]"/],
    ['classes', '["a\\n\\u001b[2J"', /expected a JSON array of names, got/],
    ['arch', 'mobilenet_v1', /do not fit this model/],
    ['arch', '__proto__', /"__proto__".*a network of your own; pass it/],
  ])('%s: %s', async (key, value, message) => {
    const header = structuredClone(whole.header) as Header;
    header.__metadata__[key] = value;
    fs.writeFileSync(at('metadata'), laidOut(header, whole.body));
    expect(await refusal(at('metadata'))).toMatch(message);
  });
});

test('what could not be loaded again is not trained: images beyond the bound of `size`', () => {
  const train = (size: number) => () => resolveRecipe(MobileNetV2(SMALL), size, {});
  expect(train(4096)).not.toThrow();
  expect(train(4097)).toThrow(/size: expected images of at most 4096 pixels, got 4097/);
});

test('summary shows the network of a file, whatever its images', async () => {
  const model = MobileNetV2({ ...SMALL, inChannels: 4 });
  const tensors = new Map([...model.state(0)].map((t) => [t.name, t]));
  const metadata = checkpointMetadata(model, ['a', 'b', 'c'], { size: 32, scale: 'x/127.5-1' });
  await writeSafetensors(at('four'), tensors, metadata);
  const { status, stdout } = cli(['summary', '--weights', at('four'), '--json']);
  const { rows } = JSON.parse(stdout) as { rows: { type: string; parameters: number }[] };
  expect([status, rows[0]!.parameters]).toEqual([0, 8 * 4 * 9 + 4 * 8]);
  // Images have three channels: classifying with it is refused as data.
  expect(await refusal(at('four'))).toMatch(/describes a network that cannot be built: .*\(in module/);
});

describe('a head', () => {
  test.each<[string, (h: Header) => void, RegExp]>([
    [
      'of whole numbers',
      (h) => (h[HEAD]!.dtype = 'I32'),
      /'classifier.1.weight': expected floating-point numbers, found int32/,
    ],
    ['without dimensions', (h) => (h[HEAD]!.shape = []), /needs 4 bytes/],
    [
      'of one dimension',
      (h) => (h[HEAD]!.shape = [3840]),
      /a backbone without a classifier \('classifier.1.weight' has no rows\)/,
    ],
    ['of no bytes for a billion classes', (h) => (h[HEAD]!.shape = [1e9, 0]), /needs 0 bytes, its offsets span 15360/],
  ])('%s', async (_name, change, message) => {
    const header = structuredClone(whole.header) as Header;
    change(header);
    fs.writeFileSync(at('head'), laidOut(header, whole.body));
    expect(await refusal(at('head'))).toMatch(message);
  });
  test('of no numbers for any count of classes allocates nothing', async () => {
    const metadata = { ...(whole.header['__metadata__'] as Record<string, string>) };
    delete metadata['classes'];
    metadata['num_classes'] = '1000000';
    const header = { __metadata__: metadata, [HEAD]: { dtype: 'F32', shape: [1e6, 0], data_offsets: [0, 0] } };
    fs.writeFileSync(at('empty'), laidOut(header, Buffer.alloc(0)));
    expect(await refusal(at('empty'))).toMatch(/do not fit this model/);
  });
  test.each([
    [NaN, HEAD, /'classifier.1.weight' holds NaN as its number 2/],
    [-Infinity, BIAS, /'classifier.1.bias' holds -Infinity as its number 2/],
    [-1, 'features.0.1.running_var', /'features.0.1.running_var' holds a variance below zero/],
  ])('%d in %s', async (value, name, message) => {
    const body = Buffer.from(whole.body);
    const [from] = (whole.header as Header)[name]!.data_offsets as [number, number];
    body.writeFloatLE(value, from + 4);
    fs.writeFileSync(at('number'), laidOut(whole.header, body));
    expect(await refusal(at('number'))).toMatch(message);
  });
  test('of doubles is read, of doubles beyond float32 refused', async () => {
    const model = new Linear(2, 1);
    using weights = await Weights.init(model);
    const double = (values: number[]) =>
      new Map([
        ['weight', { data: Float64Array.from(values), shape: [1, 2], dtype: 'float64' as const }],
        ['bias', { data: Float32Array.of(0), shape: [1], dtype: 'float32' as const }],
      ]);
    await loadWeights(weights, model, double([1, 0.5]));
    expect([...(await weights.get(['weight'])).get('weight')!.data]).toEqual([1, 0.5]);
    await expect(loadWeights(weights, model, double([1, 1e300]))).rejects.toThrow(/'weight' holds 1e\+300/);
    expect([...(await weights.get(['weight'])).get('weight')!.data]).toEqual([1, 0.5]);
  });
});

describe('what is no checkpoint', () => {
  const torchZip = Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(22), Buffer.of(16, 0, 0, 0)]);
  test.each<[string, Buffer, RegExp]>([
    [
      'w.pth',
      Buffer.concat([torchZip, Buffer.from('archive/data.pklFB')]),
      /w\.pth is not a usable zip archive: .*is it cut short/,
    ],
    [
      'w.keras',
      Buffer.concat([
        Buffer.from('PK\x03\x04'),
        Buffer.alloc(22),
        Buffer.of(13, 0, 0, 0),
        Buffer.from('metadata.json{}'),
      ]),
      /w\.keras is not a usable zip archive: .*is it cut short/,
    ],
    [
      'old.pt',
      Buffer.from('80028a0a6cfc9c46f9206aa850192e80024de9032e', 'hex'),
      /old\.pt is not a usable PyTorch file: .*cut short/,
    ],
    [
      'w.h5',
      Buffer.from('\x89HDF\r\n\x1a\n\0\0\0\0\0', 'latin1'),
      /w\.h5 is not a usable HDF5 file: the file cannot be read/,
    ],
    ['w.onnx', Buffer.from('08071207', 'hex'), /expected at least 8 bytes/],
    ['m.onnx', Buffer.from('080712077079746f7263681a05322e312e30', 'hex'), /an ONNX model/],
    ['picture.safetensors', Buffer.from('ffd8ffe000104a46494600', 'hex'), /is it cut short, or another format\?/],
  ])('%s', async (name, bytes, message) => {
    fs.writeFileSync(at(name), bytes);
    expect(await refusal(at(name))).toMatch(message);
  });
  test('a header of 640 bytes, which begins as a pickle does, is one', async () => {
    const file = at('pickle-like');
    fs.writeFileSync(file, laidOut(JSON.stringify({ __metadata__: { arch: 'Net' } }).padEnd(0x280), Buffer.alloc(0)));
    expect(fs.readFileSync(file).subarray(0, 2)).toEqual(Buffer.of(0x80, 0x02));
    expect((await loadCheckpoint(file)).arch).toBe('Net');
  });
  test('a named pipe and a device are refused by name, at once', async () => {
    execFileSync('mkfifo', [at('pipe.safetensors')]);
    expect(await refusal(at('pipe.safetensors'))).toMatch(/pipe.safetensors: expected a file, it is a named pipe/);
    expect(await refusal('/dev/zero')).toMatch(/\/dev\/zero: expected a file, it is a device/);
    const { status, stderr } = cli(['predict', at('pipe.safetensors'), 'x.png']);
    expect([status, stderr.trim().split('\n').length]).toEqual([4, 1]);
  });
});

test('a run folder means its best.safetensors; another folder is refused', async () => {
  fs.mkdirSync(at('run'));
  expect(await refusal(at('run'))).toMatch(/run is a folder without best.safetensors/);
  fs.copyFileSync(at('whole'), at('run', 'best.safetensors'));
  expect((await loadCheckpoint(at('run'))).file).toBe(at('run', 'best.safetensors'));
});

describe('a network of one’s own', () => {
  class Net extends Module {
    flatten = new Flatten();
    head: Linear;
    constructor(classes: number, features = 12) {
      super();
      this.head = new Linear(features, classes);
    }
    forward(x: Tensor): Tensor {
      return this.head.call(this.flatten.call(x));
    }
  }
  const save = async (model: Module, classes: string[]): Promise<string> => {
    const tensors = new Map([...model.state(0)].map((t) => [t.name, t]));
    await writeSafetensors(at('net'), tensors, checkpointMetadata(model, classes, { size: 2, scale: 'x/127.5-1' }));
    return at('net');
  };

  test('completes its checkpoint', async () => {
    const checkpoint = await loadCheckpoint(await save(new Net(2), ['a', 'b']));
    const model = new Net(2);
    const complete = completeCheckpoint(checkpoint, { model });
    expect(complete.model).toBe(model);
    expect(complete).toMatchObject({ arch: 'Net', classes: ['a', 'b'], options: { numClasses: 2 } });
    expect(() => completeCheckpoint(checkpoint)).toThrow(/"Net".*Classifier\.load\(file, \{ model \}\)/);
    expect(() => completeCheckpoint(checkpoint, { model: {} as never })).toThrow(UsageError);
  });
  test.each<[string, Module, RegExp]>([
    [
      'other shapes',
      new Net(3),
      /'head.weight': expected \[3, 12\], found \[2, 12\].*Is it the network that was trained\?/,
    ],
    ['other names', new Sequential(new Flatten(), new Linear(12, 2)), /'1.weight' is not in the file/],
    ['fewer parts', new Flatten(), /it has no "head.weight" \(2 such\)/],
    ['other images', new Net(2, 27), /'head.weight': expected \[2, 27\]/],
  ])('of %s is refused', async (_name, model, message) => {
    const checkpoint = await loadCheckpoint(await save(new Net(2), ['a', 'b']));
    expect(() => completeCheckpoint(checkpoint, { model })).toThrow(DataError);
    expect(() => completeCheckpoint(checkpoint, { model })).toThrow(message);
  });
  test('of another number of classes than it names, or no place for its images', async () => {
    const model = new Net(2);
    const named = await loadCheckpoint(await save(model, ['a', 'b', 'c']));
    expect(() => completeCheckpoint(named, { model })).toThrow(/names 3 classes; its network has 2/);
    const larger = { ...named, preprocess: { size: 3, scale: 'x/127.5-1' as const } };
    expect(() => completeCheckpoint(larger, { model })).toThrow(
      /describes a network that cannot be built: .*in module/,
    );
    expect(() => completeCheckpoint(larger, { model })).toThrow(DataError);
  });
  test('may start parts fresh that `head` names, and only these', async () => {
    const { tensors } = await loadCheckpoint(await save(new Net(2), ['a', 'b']));
    const model = new Net(5);
    using weights = await Weights.init(model);
    await expect(loadWeights(weights, model, tensors)).rejects.toThrow(/'head.weight': expected \[5, 12\]/);
    const { skippedHead } = await loadWeights(weights, model, tensors, { head: /^head\./g });
    expect(skippedHead).toEqual(['head.weight', 'head.bias']);
  });
});

test('a head for other classes starts fresh where the architecture says it is the head', async () => {
  const { tensors } = await loadCheckpoint(at('whole'));
  const model = MobileNetV2({ ...SMALL, numClasses: 7 });
  using weights = await Weights.init(model);
  const { skippedHead, loaded } = await loadWeights(weights, model, tensors);
  expect(skippedHead).toEqual([HEAD, BIAS]);
  expect(loaded).toContain('features.0.0.weight');
});
