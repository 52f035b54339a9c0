// Every architecture by its name: options to metadata and back, the head, what is refused.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ARCHITECTURES, createModel, loadCheckpoint, UsageError, writeSafetensors, type Arch } from 'mnv2-torch';
import { architectureOf } from '../../dist/models/registry.js';
import { inHead } from '../../dist/models/head.js';
import { checkpointMetadata } from '../../dist/weights/checkpoint.js';

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'mnv2-registry-'));
afterAll(() => fs.rmSync(dir, { recursive: true }));

/** Another value than the default for every option there is. */
const UNUSUAL: Record<string, unknown> = {
  numClasses: 3,
  widthMult: 0.3,
  roundNearest: 4,
  dropout: 0.45,
  padding: 'tf-same',
  bnEps: 1e-7,
  bnMomentum: 0.03,
  inChannels: 4,
  activation: 'relu',
  linearBottleneck: false,
  residual: false,
  invertedResidualSetting: [
    [2, 16, 2, 2],
    [3, 24, 1, 1],
  ],
};

describe.each(ARCHITECTURES)('%s', (arch) => {
  const { options: table, head } = architectureOf(arch)!;
  const names = Object.keys(table);
  const unusual = Object.fromEntries(names.map((name) => [name, UNUSUAL[name]]));

  test('all options survive metadata', async () => {
    const model = createModel(arch, unusual);
    expect(model.options).toEqual(unusual);
    const file = path.join(dir, `${arch}.safetensors`);
    const metadata = checkpointMetadata(model, ['a', 'b', 'c'], { size: 32, scale: 'x/127.5-1' });
    await writeSafetensors(file, new Map(), metadata);
    const read = await loadCheckpoint(file);
    expect([read.arch, read.options]).toEqual([arch, unusual]);
    const defaults = createModel(arch).options as unknown as Record<string, unknown>;
    for (const name of names) expect([name, unusual[name]]).not.toEqual([name, defaults[name]]);
  });
  test('a file that states no options says nothing of them', async () => {
    const file = path.join(dir, `${arch}-bare.safetensors`);
    await writeSafetensors(file, new Map(), { arch });
    expect((await loadCheckpoint(file)).options).toEqual({});
  });
  test('its head holds the classes, and all of its tensors exist', () => {
    const parameters = new Map(createModel(arch, { numClasses: 7 }).namedParameters());
    expect(parameters.get(head.classes)!.shape[0]).toBe(7);
    const other = new Map(createModel(arch, { numClasses: 8 }).namedParameters());
    for (const [name, { shape }] of parameters)
      if (shape.join() !== other.get(name)!.shape.join()) expect([name, inHead(head, name)]).toEqual([name, true]);
    expect(inHead(head, head.classes)).toBe(true);
    expect(inHead(head, `${head.module}s.0.weight`)).toBe(false);
  });
  test.each([
    [{ numClasses: 1e9 }, /numClasses: expected a whole number of at most 1000000, got 1000000000/],
    [{ widthMult: 1e6 }, /widthMult: expected a number of at most 32/],
    [{ roundNearest: 1e9 }, /roundNearest/],
    [{ inChannels: 1.5 }, /inChannels: expected a whole number of at least 1, got 1.5/],
    [{ bnEps: NaN }, /bnEps: expected a number above 0, got NaN/],
    [{ dropout: null as never }, /dropout: expected a number of at least 0, got null/],
    [{ numClasses: '7' as never }, /numClasses: expected a whole number of at least 1, got "7"/],
  ])('%j', (options, message) => {
    expect(() => createModel(arch, options)).toThrow(message);
  });
});

test.each([
  [[[1, 16, 1]]],
  [[[1, 16, 1001, 1]]],
  [
    [
      [1, 16, 600, 1],
      [1, 16, 600, 1],
    ],
  ],
  [[[1, 1e9, 1, 1]]],
  ['table'],
])('a table %j is refused', (setting) => {
  expect(() => createModel('mobilenet_v2', { invertedResidualSetting: setting as never })).toThrow(
    /invertedResidualSetting: expected rows/,
  );
});

test.each(['resnet', '__proto__', 'constructor', ''])('%j is no architecture', (name) => {
  expect(architectureOf(name)).toBeUndefined();
  expect(() => createModel(name as Arch)).toThrow(UsageError);
});
