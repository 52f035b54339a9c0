// inspect on small networks whose dead channels are known, because the tests killed them.
import fs from 'node:fs';
import sharp from 'sharp';
import {
  BatchNorm2d,
  completeCheckpoint,
  Conv2d,
  DepthwiseConv2d,
  GlobalAveragePool,
  ImageStore,
  inspect,
  Linear,
  loadCheckpoint,
  MobileNetV1,
  MobileNetV2,
  MobileNetV3Small,
  ReLU6,
  Sequential,
  Weights,
  writeSafetensors,
  type DepthwiseLayer,
  type Inspection,
  type Module,
} from 'mnv2-torch';
import { checkpointMetadata } from '../../dist/weights/checkpoint.js';
import { cli } from '../support/cli.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('inspect');
const PREPROCESS = { size: 32, scale: 'x/127.5-1' } as const;
type Change = Record<string, (values: Float32Array) => void>;

/** A model's first values, some of them changed. */
async function changed(model: Module, changes: Change): Promise<Weights> {
  const weights = await Weights.init(model, { seed: 3 });
  const own = await weights.get(Object.keys(changes));
  for (const [name, { data }] of own) changes[name]!(data as Float32Array);
  await weights.set([...own].map(([name, tensor]) => ({ name, ...tensor })));
  return weights;
}
const small = (): Module => MobileNetV2({ numClasses: 2, widthMult: 0.25, invertedResidualSetting: [[2, 16, 1, 2]] });
const BLOCK = 'features.1.conv.1';
const kill = (kernel: number) => (values: Float32Array) => void values.fill(0, 9 * kernel, 9 * kernel + 9);

async function look(model: Module, changes: Change, images?: ImageStore): Promise<Inspection> {
  const weights = await changed(model, changes);
  const trained = { model, weights, classes: ['a', 'b'], preprocess: PREPROCESS };
  return inspect(trained, images && { images });
}
const layerOf = ({ depthwise }: Inspection, name = `${BLOCK}.0`): DepthwiseLayer =>
  depthwise.find((l) => l.layer === name)!;

/** Noise over the whole range of pixels. */
function noise(count: number, size = 32): ImageStore {
  const store = new ImageStore({ count, height: size, width: size, channels: 3 });
  for (let i = 0; i < count; i++)
    store.put(
      i,
      Uint8Array.from({ length: size * size * 3 }, (_, p) => (p * 7919 + i * 104_729 + ((p * p) >> 3)) % 256),
    );
  return store;
}

test('a fresh network has nothing dead', async () => {
  const found = await look(small(), {});
  expect(found).toMatchObject({ file: null, arch: 'mobilenet_v2', images: 0, channels: 16, notes: [] });
  expect(found.totals).toMatchObject({ empty: 0, vanished: 0, neverOpened: 0, closed: 0, silent: null, dead: 0 });
  expect(found.pointwise.map((p) => [p.layer, p.inputs, p.outputs])).toEqual([
    ['features.1.conv.0.0', 8, 16],
    ['features.1.conv.2', 16, 8],
    ['features.2.0', 8, 1280],
  ]);
  expect(layerOf(found)).toMatchObject({ channels: 16, kernel: [3, 3], activation: 'relu6' });
  expect(found.advice).toMatch(/^Nothing to do/);
});

test('every way to be dead is found in the channels that are, by weights and on images', async () => {
  const found = await look(
    small(),
    {
      [`${BLOCK}.0.weight`]: (w) => (kill(2)(w), w.fill(1, 45, 54), kill(9)(w)),
      [`${BLOCK}.1.running_var`]: (v) => (v[4] = 5e-5),
      // 3 standard deviations below zero, but a bright pixel is further away than that
      [`${BLOCK}.1.bias`]: (b) => ((b[5] = -0.301), (b[7] = -1e4), (b[8] = 1e4), (b[9] = -1)),
      [`${BLOCK}.1.weight`]: (g) => (g[5] = 0.1),
    },
    noise(3),
  );
  const layer = layerOf(found);
  expect(layer.empty).toEqual([2, 9]);
  expect(layer.smallestNorm).toBe(0);
  expect(layer.vanished).toEqual([4]);
  expect(layer.neverOpened).toEqual([5, 7]);
  // 2 has beta 0: zero times anything is zero
  expect(layer.closed).toEqual([2, 7, 9]);
  expect(layer.silent).toEqual(expect.arrayContaining([2, 7, 9]));
  expect(layer.silent).not.toContain(8);
  expect(layer.saturation).toBeGreaterThanOrEqual(1 / 16);
  expect(found).toMatchObject({ images: 3, totals: { empty: 2, vanished: 1, neverOpened: 2, dead: 4, closed: 3 } });
  expect(found.advice).toMatch(/^The kernels of 2 of 16 depthwise channels \(12\.5%\) are empty/);
  // A rounded kernel of zeros is one still.
  expect(layer.int8.perTensor.empty).toEqual(expect.arrayContaining([2, 9]));
  expect(layer.int8.perChannel.empty).toEqual([2, 9]);
  expect(layer.int8.perChannel.closed).toEqual([2, 7, 9]);
});

test('one scale a tensor empties what is small beside the largest, BatchNorm folded in; one a channel does not', async () => {
  const found = await look(
    small(),
    {
      [`${BLOCK}.0.weight`]: (w) => {
        w.fill(1);
        w.fill(1 / 255, 9, 18); // half a step of 1 / 127 is 1 / 254
        w.fill(1 / 253, 18, 27);
      },
      // The factor counts: with it the kernel is as large as the others.
      [`${BLOCK}.1.weight`]: (g) => (g[3] = 1 / 300),
    },
    noise(2),
  );
  const { empty, rangeRatio, int8, silent } = layerOf(found);
  expect(empty).toEqual([]);
  expect(rangeRatio).toBeCloseTo(1, 6);
  expect(int8.perTensor.empty).toEqual([1, 3]);
  expect(int8.perChannel.empty).toEqual([]);
  expect(int8.perTensor.closed).toEqual([1, 3]);
  expect(int8.perTensor.silent).toEqual([...new Set([...silent!, 1, 3])].sort((a, b) => a - b));
  expect(int8.perChannel.silent).toEqual(silent);
  expect(found.advice).toMatch(/For int8 take a scale a channel: one a tensor silences \d more channels/);
});

test('hard swish shuts at -3, ReLU has no 6, and V1, V3 and networks of another make are looked at', async () => {
  const v3 = await look(
    MobileNetV3Small({ numClasses: 2, widthMult: 0.25 }),
    {
      'features.4.block.1.1.bias': (b) => ((b[0] = -5.9), (b[1] = -6.1)),
      'features.4.block.1.0.weight': (w) => w.fill(0, 50, 75),
    },
    noise(1),
  );
  const swish = layerOf(v3, 'features.4.block.1.0');
  expect(swish).toMatchObject({
    activation: 'hardswish',
    kernel: [5, 5],
    empty: [2],
    neverOpened: [1],
    saturation: null,
  });
  expect(layerOf(v3, 'features.1.block.0.0').activation).toBe('relu');

  const v1 = await look(
    MobileNetV1({ numClasses: 2, widthMult: 0.25, activation: 'relu' }),
    { 'features.13.0.0.weight': kill(17), 'features.13.0.1.bias': (b) => (b[17] = -1) },
    noise(1),
  );
  expect(layerOf(v1, 'features.13.0.0')).toMatchObject({ empty: [17], activation: 'relu', saturation: null });
  expect(layerOf(v1, 'features.13.0.0').silent).toContain(17);
  expect(v1.depthwise).toHaveLength(13);

  // No BatchNorm, no activation: what needs one is null.
  const own = new Sequential(new DepthwiseConv2d(3, 3, { bias: true }), new GlobalAveragePool(), new Linear(3, 2));
  expect(layerOf(await look(own, { '0.weight': kill(1) }, noise(1)), '0')).toMatchObject({
    ...{ empty: [1], vanished: null, neverOpened: null, closed: null, silent: null, activation: null },
  });
});

describe('files', () => {
  const write = async (name: string, drop: RegExp, more: Record<string, string> = {}): Promise<string> => {
    const model = small();
    const tensors = await (await changed(model, { [`${BLOCK}.0.weight`]: kill(6) })).get();
    for (const key of [...tensors.keys()]) if (drop.test(key)) tensors.delete(key);
    const metadata = { ...checkpointMetadata(model, ['a', 'b'], PREPROCESS), ...more };
    await writeSafetensors(at(name), tensors, metadata);
    return at(name);
  };

  test('backbones without a head, and what is left of one, are looked at; what is missing is said', async () => {
    const backbone = await inspect(await loadCheckpoint(await write('backbone.safetensors', /^classifier/)));
    expect(layerOf(backbone).empty).toEqual([6]);
    expect(backbone).toMatchObject({ file: at('backbone.safetensors'), notes: [] });
    const part = await loadCheckpoint(await write('part.safetensors', /^(classifier|features\.2|features\.0\.0)/));
    using images = noise(1);
    const found = await inspect(part, { images });
    expect(found.notes).toEqual([
      expect.stringMatching(/^the file lacks features\.0\.0\.weight, features\.2\.0\.weight/),
    ]);
    expect(layerOf(found)).toMatchObject({ empty: [6], silent: null });
    expect(found.pointwise).toHaveLength(2);
  });

  test('refusals say what was expected', async () => {
    const none = await loadCheckpoint(await write('none.safetensors', /conv\.1\.0\.weight/));
    await expect(inspect(none)).rejects.toThrow(/holds no depthwise convolution: expected a MobileNet/);
    const wide = await loadCheckpoint(await write('wide.safetensors', /^$/, { width_mult: '0.5' }));
    await expect(inspect(wide)).rejects.toThrow(
      /do not fit this model: 'features\.0\.0\.weight': expected \[16, 3, 3, 3\]/,
    );
    const nan = await loadCheckpoint(await write('nan.safetensors', /^$/));
    (nan.tensors.get(`${BLOCK}.1.bias`)!.data as Float32Array)[3] = NaN;
    await expect(inspect(nan)).rejects.toThrow(/'features\.1\.conv\.1\.1\.bias' holds NaN as its number 4/);
    await expect(inspect(at('none.safetensors') as never)).rejects.toThrow(
      /expected what loadCheckpoint\(\) or fit\(\) gives/,
    );
    const fine = await loadCheckpoint(await write('fine.safetensors', /^$/));
    await expect(inspect(fine, { images: [] })).rejects.toThrow(/images: expected at least one, got none/);
    await expect(inspect(fine, { images: [at('absent.png')] })).rejects.toThrow(/absent\.png/);
  });

  test('a network of one’s own comes with its model', async () => {
    const build = (): Module =>
      new Sequential(
        new Conv2d(3, 4, 3, { stride: 2 }),
        new DepthwiseConv2d(4, 3),
        new BatchNorm2d(4),
        new ReLU6(),
        new GlobalAveragePool(),
        new Linear(4, 2),
      );
    const tensors = await (await changed(build(), { '1.weight': kill(0) })).get();
    await writeSafetensors(at('own.safetensors'), tensors, checkpointMetadata(build(), ['a', 'b'], PREPROCESS));
    const checkpoint = await loadCheckpoint(at('own.safetensors'));
    expect(layerOf(await inspect(completeCheckpoint(checkpoint, { model: build() })), '1').empty).toEqual([0]);
    await expect(inspect(checkpoint)).rejects.toThrow(/network of your own/);
  });

  test('the command: a table and a line, JSON, a page; unreadable images are named', async () => {
    const file = await write('cli.safetensors', /^classifier/);
    fs.mkdirSync(at('images', 'deep'), { recursive: true });
    const picture = sharp({ create: { width: 40, height: 30, channels: 3, background: '#3a7' } });
    await picture.png().toFile(at('images', 'deep', 'one.png'));
    const text = cli(['inspect', file, at('images')]);
    expect([text.status, text.stderr]).toEqual([0, '']);
    expect(text.stdout).toMatch(/^mobilenet_v2: 16 depthwise kernels in 1 layers, 1 images\n/);
    expect(text.stdout).toMatch(/\nfeatures\.1\.conv\.1\.0 +16 +1 +0 +0 +1 +\d+ +\d+\.\d%/);
    expect(text.stdout.trimEnd().split('\n').at(-1)).toMatch(/^The kernels of 1 of 16/);

    fs.writeFileSync(at('images', 'broken.png'), 'no picture');
    const json = cli(['inspect', file, at('images'), '--json', '--report', at('page.html')]);
    expect([json.status, json.stderr]).toEqual([4, expect.stringMatching(/broken\.png/)]);
    const found = JSON.parse(json.stdout) as Inspection;
    expect(found).toMatchObject({ images: 1, totals: { empty: 1 }, depthwise: [{ empty: [6] }] });
    expect(found.depthwise[0]).not.toHaveProperty('kernels');
    expect(fs.readFileSync(at('page.html'), 'utf8')).toContain('<title>channel 6: empty</title>');
    expect(cli(['inspect', file, at('images'), '--skip-bad']).status).toBe(0);

    const nothing = cli(['inspect', file, at('nowhere')]);
    expect([nothing.status, nothing.stderr]).toEqual([4, expect.stringMatching(/nowhere[^]*expected at least one/)]);
  });
});
