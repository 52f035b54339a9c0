// TensorBoard's files, read back by a reader of our own written from the formats' definitions, and by TensorBoard's where
// Python has it (`python3`, or what PYTHON names).
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import sharp from 'sharp';
import { MobileNetV2, syntheticScenes, tensorboard, Trainer, UsageError, type TrainResult } from 'mnv2-torch';
import { crc32c } from '../../dist/report/tensorboard/records.js';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('tensorboard');
let history: TrainResult['history'];
let best: number;
let file: string;
beforeAll(async () => {
  const data = await syntheticScenes({ size: 64, perClass: 3 });
  const model = MobileNetV2({ numClasses: 21, widthMult: 0.25 });
  const hooks = [tensorboard()];
  const result = await new Trainer(model, data, {
    epochs: 2,
    batchSize: 32,
    out: at('run'),
    hooks,
    config: { note: 'a|b' },
  }).fit();
  [history, best] = [result.history, result.best!.epoch];
  result.dispose();
  data.dispose();
  const files = fs.readdirSync(at('run')).filter((name) => name.startsWith('events.out.tfevents.'));
  expect(files).toHaveLength(1);
  file = at('run', files[0]!);
});

/** CRC-32C bit by bit, from its polynomial. */
function checksum(bytes: Uint8Array): number {
  let c = 0xffffffffn;
  for (const byte of bytes) {
    c ^= BigInt(byte);
    for (let i = 0; i < 8; i++) c = c & 1n ? (c >> 1n) ^ 0x82f63b78n : c >> 1n;
  }
  return Number(c ^ 0xffffffffn);
}
const masked = (bytes: Uint8Array): number => {
  const c = BigInt(checksum(bytes));
  return Number((((c >> 15n) | (c << 17n)) + 0xa282ead8n) & 0xffffffffn);
};

function records(bytes: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let p = 0; p < bytes.length;) {
    const length = Number(bytes.readBigUInt64LE(p));
    expect(bytes.readUInt32LE(p + 8)).toBe(masked(bytes.subarray(p, p + 8)));
    const data = bytes.subarray(p + 12, p + 12 + length);
    expect(bytes.readUInt32LE(p + 12 + length)).toBe(masked(data));
    found.push(data);
    p += 16 + length;
  }
  return found;
}

/** Fields of a message by number: numbers, or bytes. */
function fields(bytes: Buffer): Map<number, (number | Buffer)[]> {
  const found = new Map<number, (number | Buffer)[]>();
  let p = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[p++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(value);
    }
  };
  while (p < bytes.length) {
    const key = varint();
    const read: Record<number, () => number | Buffer> = {
      0: varint,
      1: () => bytes.readDoubleLE((p += 8) - 8),
      2: () => {
        const length = varint();
        return bytes.subarray(p, (p += length));
      },
      5: () => bytes.readFloatLE((p += 4) - 4),
    };
    found.set(key >> 3, [...(found.get(key >> 3) ?? []), read[key & 7]!()]);
  }
  return found;
}
const inside = (field: (number | Buffer)[] | undefined): Map<number, (number | Buffer)[]> =>
  fields(field![0] as Buffer);

interface Read {
  step: number;
  tag: string;
  value: Map<number, (number | Buffer)[]>;
}
const values = (): Read[] =>
  records(fs.readFileSync(file))
    .slice(1)
    .map(fields)
    .flatMap((event) =>
      (inside(event.get(5)).get(1) as Buffer[]).map(fields).map((value) => ({
        step: (event.get(2) ?? [0])[0] as number,
        tag: String(value.get(1)![0]),
        value,
      })),
    );

test('the checksum is CRC-32C: the values of RFC 3720, appendix B.4, and the definition', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
  const bytes = Uint8Array.from({ length: 999 }, (_, i) => (i * 31) % 256);
  expect(crc32c(bytes)).toBe(checksum(bytes));
});

test('the first record names the format; scalars are the epochs’ figures, steps their numbers', () => {
  const [first] = records(fs.readFileSync(file));
  expect(String(fields(first!).get(3)![0])).toBe('brain.Event:2');
  expect(Math.abs((fields(first!).get(1)![0] as number) - Date.now() / 1000)).toBeLessThan(600);
  const read = values();
  for (const e of history) {
    const expected: [string, number][] = [
      ['loss/train', e.train.loss],
      ['loss/valid', e.valid.loss],
      ['accuracy/train', e.train.accuracy],
      ['accuracy/valid', e.valid.accuracy],
      ['macro F1/valid', e.valid.macroF1],
      ['learning rate', e.lr],
      ['dead kernels', e.deadKernels!],
    ];
    for (const [tag, value] of expected) {
      const found = read.filter((r) => r.tag === tag && r.step === e.epoch);
      expect(found.map((r) => r.value.get(2)![0])).toEqual([Math.fround(value)]);
    }
  }
});

test('settings are a table of text; mistakes are pictures of the size they say', async () => {
  const read = values();
  const settings = read.find((r) => r.tag === 'settings')!;
  expect(String(inside(inside(settings.value.get(9)).get(1)).get(1)![0])).toBe('text');
  const text = String(inside(settings.value.get(8)).get(8)![0]);
  expect(text).toContain('| batchSize | 32 |');
  expect(text).toContain('| note | a\\|b |');
  const images = read.filter((r) => r.value.has(4));
  expect(images.length).toBeGreaterThan(1);
  expect(images.length).toBeLessThanOrEqual(16);
  for (const { step, tag, value } of images) {
    expect(step).toBe(best);
    expect(tag).toMatch(/^mistakes\/\d \w+ taken for \w+(, what spoke for it)?$/);
    const image = inside(value.get(4));
    const { width, height } = await sharp(image.get(4)![0] as Buffer).metadata();
    expect([image.get(1)![0], image.get(2)![0], image.get(3)![0]]).toEqual([height, width, 3]);
  }
});

test('a training without a place for them says so; one that cannot write goes on', async () => {
  const data = await syntheticScenes({ size: 32, perClass: 2 });
  const model = MobileNetV2({ numClasses: 21, widthMult: 0.25 });
  const nowhere = new Trainer(model, data, { epochs: 1, hooks: [tensorboard()] }).fit();
  await expect(nowhere).rejects.toThrow(UsageError);
  await expect(nowhere).rejects.toThrow(/tensorboard: expected `folder`/);
  const warned: string[] = [];
  const hooks = [tensorboard({ folder: at('not', 'there'), warn: (message) => warned.push(message) })];
  (await new Trainer(model, data, { epochs: 2, batchSize: 32, hooks }).fit()).dispose();
  expect(warned).toEqual([expect.stringMatching(/^no more is written for TensorBoard: ENOENT/)]);
  data.dispose();
});

const python = process.env['PYTHON'] ?? 'python3';
const installed =
  spawnSync(python, ['-c', 'import tensorboard.backend.event_processing.event_accumulator']).status === 0;
(installed ? test : test.skip)(
  `TensorBoard's own reader finds the same${installed ? '' : ` (skipped: ${python} has no tensorboard)`}`,
  () => {
    const script = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator, STORE_EVERYTHING_SIZE_GUIDANCE
found = EventAccumulator(sys.argv[1], STORE_EVERYTHING_SIZE_GUIDANCE)
found.Reload()
tags = found.Tags()
print(json.dumps({
  'version': found.file_version,
  'scalars': {t: [[e.step, e.value] for e in found.Scalars(t)] for t in tags['scalars']},
  'images': {t: [[e.width, e.height, len(e.encoded_image_string)] for e in found.Images(t)] for t in tags['images']},
  'tensors': {t: [[e.step, e.tensor_proto.string_val[0].decode()] for e in found.Tensors(t)] for t in tags['tensors']},
  'plugin': list(found.PluginTagToContent('text')),
}))`;
    const { status, stdout, stderr } = spawnSync(python, ['-c', script, at('run')], { encoding: 'utf8' });
    expect([status, status === 0 ? '' : stderr]).toEqual([0, '']);
    const read = JSON.parse(stdout) as {
      version: number;
      scalars: Record<string, [number, number][]>;
      images: Record<string, [number, number, number][]>;
      tensors: Record<string, [number, string][]>;
      plugin: string[];
    };
    expect(read.version).toBe(2);
    expect(read.scalars['loss/valid']).toEqual(history.map((e) => [e.epoch, Math.fround(e.valid.loss)]));
    expect(read.scalars['accuracy/train']).toEqual(history.map((e) => [e.epoch, Math.fround(e.train.accuracy)]));
    expect(Object.values(read.images).length).toBeGreaterThan(1);
    for (const [[width, height]] of Object.values(read.images) as [[number, number, number]][])
      expect([width, height]).toEqual([64, 64]);
    expect(read.tensors['settings']![0]![1]).toContain('| batchSize | 32 |');
    expect(read.plugin.sort()).toEqual(['result', 'settings']);
  },
);
