// The file format: what others write is read, what is written others read, what is broken is named.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  completeCheckpoint,
  Linear,
  loadCheckpoint,
  loadWeights,
  readSafetensors,
  Weights,
  writeSafetensors,
  type TensorData,
} from 'mnv2-torch';

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'mnv2-safetensors-'));
const at = (name: string): string => path.join(dir, name);
afterAll(() => fs.rmSync(dir, { recursive: true }));
const f32 = (values: number[], shape: number[]): TensorData => ({
  data: Float32Array.from(values),
  shape,
  dtype: 'float32',
});

/** A file as any writer might lay it out. */
function raw(name: string, header: object | string, body: Uint8Array): string {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  fs.writeFileSync(at(name), Buffer.concat([length, text, body]));
  return at(name);
}

test('writes the documented layout: length, JSON, then little-endian numbers', async () => {
  await writeSafetensors(
    at('a'),
    new Map([
      ['w', f32([1, -2, 3], [3])],
      ['n', { data: BigInt64Array.of(5n), shape: [], dtype: 'int64' as const }],
    ]),
    { arch: 'mine', name: 'ü' },
  );
  const bytes = fs.readFileSync(at('a'));
  const length = Number(bytes.readBigUInt64LE(0));
  expect(length % 8).toBe(0);
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<string, unknown>;
  expect(header['__metadata__']).toEqual({ arch: 'mine', name: 'ü' });
  expect(header['w']).toEqual({ dtype: 'F32', shape: [3], data_offsets: [0, 12] });
  expect(bytes.readFloatLE(8 + length + 4)).toBe(-2);
  const { tensors, metadata } = await readSafetensors(at('a'));
  expect([...tensors.get('w')!.data]).toEqual([1, -2, 3]);
  expect(tensors.get('n')!.data[0]).toBe(5n);
  expect(metadata['name']).toBe('ü');
  expect(fs.readdirSync(dir)).toEqual(['a']);
});

test('widens 16-bit floats, and reads tensors at odd offsets', async () => {
  const body = new Uint8Array([7, 0x80, 0x3f, 0x00, 0xc0, 0x00, 0x3c, 0x00, 0xfc, 0x01, 0x00]);
  const file = raw(
    'half',
    {
      u: { dtype: 'U8', shape: [1], data_offsets: [0, 1] },
      b: { dtype: 'BF16', shape: [2], data_offsets: [1, 5] },
      h: { dtype: 'F16', shape: [3], data_offsets: [5, 11] },
    },
    body,
  );
  const { tensors } = await readSafetensors(file);
  expect([...tensors.get('b')!.data]).toEqual([1, -2]);
  expect([...tensors.get('h')!.data]).toEqual([1, -Infinity, 2 ** -24]);
});

test.each([
  ['missing', () => at('nowhere'), /cannot read the checkpoint/],
  ['empty', () => (fs.writeFileSync(at('e'), ''), at('e')), /expected at least 8 bytes, got 0/],
  [
    'another format',
    () => (fs.writeFileSync(at('z'), 'PK\x03\x04 a zip file, for instance'), at('z')),
    /another format\?/,
  ],
  ['no JSON', () => raw('j', '{"w": ', new Uint8Array(4)), /not JSON/],
  [
    'cut short',
    () => raw('c', { w: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } }, new Uint8Array(4)),
    /'w' ends at byte 8, the file has 4: it is cut short/,
  ],
  [
    'offsets that do not fit the shape',
    () => raw('o', { w: { dtype: 'F32', shape: [2], data_offsets: [0, 4] } }, new Uint8Array(4)),
    /needs 8 bytes, its offsets span 4/,
  ],
  [
    'an unknown dtype',
    () => raw('d', { w: { dtype: 'F8', shape: [1], data_offsets: [0, 1] } }, new Uint8Array(1)),
    /dtype F8; expected one of/,
  ],
])('%s is a DataError that says so', async (_name, make, message) => {
  await expect(readSafetensors(make())).rejects.toMatchObject({
    name: 'DataError',
    exitCode: 4,
    message: expect.stringMatching(message) as string,
  });
});

test('a failed write leaves the old file and nothing else', async () => {
  const file = at('keep');
  await writeSafetensors(file, new Map([['w', f32([1], [1])]]));
  const before = fs.readFileSync(file);
  await expect(
    writeSafetensors(file, new Map([['w', { data: Float32Array.of(1), shape: [1], dtype: 'bfloat16' as const }]])),
  ).rejects.toThrow(/cannot be written/);
  await expect(writeSafetensors(path.join(dir, 'no', 'folder'), new Map())).rejects.toThrow(/cannot write/);
  expect(fs.readFileSync(file).equals(before)).toBe(true);
});

test('a network of one’s own is read, and asked for when it is to be used', async () => {
  await writeSafetensors(at('own'), new Map(), { arch: 'Net', preprocess: '{"size":32,"scale":"x/127.5-1"}' });
  const checkpoint = await loadCheckpoint(at('own'));
  expect([checkpoint.arch, checkpoint.options]).toEqual(['Net', {}]);
  expect(() => completeCheckpoint(checkpoint)).toThrow(
    /own holds "Net", none of mobilenet_v2, mobilenet_v1.*: this is a network of your own; pass it: Classifier\.load\(file, \{ model \}\)$/,
  );
});

test('loading names what does not fit', async () => {
  const model = new Linear(2, 1);
  const weights = await Weights.init(model);
  await expect(loadWeights(weights, model, new Map([['weight', f32([1, 2, 3], [1, 3])]]))).rejects.toThrow(
    /'weight': expected \[1, 2\], found \[1, 3\]; 'bias' is not in the file \(expected \[1\]\)/,
  );
  const report = await loadWeights(
    weights,
    model,
    new Map([
      ['weight', f32([1, 2], [1, 2])],
      ['bias', f32([3], [1])],
      ['other', f32([0], [1])],
    ]),
  );
  expect(report).toMatchObject({ loaded: ['weight', 'bias'], unexpected: ['other'] });
  expect([...(await weights.get(['weight'])).get('weight')!.data]).toEqual([1, 2]);
  weights.dispose();
});

test.each([
  [{ width_mult: 'wide' }, /'width_mult': expected a number above 0/],
  [{ classes: '["a","b"]', num_classes: '3' }, /expected 2, the number of classes/],
  [{ classes: 'a,b' }, /'classes': expected a JSON array/],
  [{ preprocess: '{"size":0,"scale":"x/127.5-1"}' }, /whole number of pixels/],
  [{ padding: 'valid' }, /'padding'/],
])('metadata %j is refused', async (metadata, message) => {
  await writeSafetensors(at('m'), new Map(), metadata);
  await expect(loadCheckpoint(at('m'))).rejects.toThrow(message);
});
