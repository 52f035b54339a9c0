// int8 networks: close to the float ones they are made of, the same from their file, and refused where they are damaged.
import fs from 'node:fs';
import {
  ARCHITECTURES,
  Classifier,
  completeCheckpoint,
  DataError,
  evaluate,
  ImageStore,
  loadCheckpoint,
  MobileNetV2,
  quantize,
  readSafetensors,
  syntheticScenes,
  Trainer,
  UsageError,
  writeSafetensors,
  type CompleteCheckpoint,
  type TensorData,
  type TrainEvent,
} from 'mnv2-torch';
import { foldedNetwork, floatGraph } from '../../dist/quant/folded.js';
import { equalise, pairsOf } from '../../dist/quant/equalise.js';
import { Histogram, leastError, percentiles, rangeFor } from '../../dist/quant/ranges.js';
import { wholeWeight } from '../../dist/quant/scales.js';
import { Weights } from '../../dist/engine/weights.js';
import { compile } from '../../dist/engine/program.js';
import * as ops from '../../dist/graph/ops.js';
import { constant } from '../../dist/graph/tensor.js';
import { cli } from '../support/cli.ts';
import { exportCheckpoint } from '../support/export-checkpoint.ts';
import { imageFolder } from '../support/image-folder.ts';
import { evaluate as valuesOf, list } from '../support/numeric.ts';
import { logitsOf, pictures, scaled } from '../support/own-checkpoint.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('quant');
const SIZE = 32;
const COUNT = 24;
/** A residual, a stride, an expansion: the least that has all kinds of layers. */
const SMALL = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
] as const;
let store: ImageStore;
let float: CompleteCheckpoint;
beforeAll(async () => {
  store = new ImageStore({ count: COUNT, height: SIZE, width: SIZE, channels: 3 });
  const { data } = pictures(COUNT, SIZE);
  const each = SIZE * SIZE * 3;
  for (let i = 0; i < COUNT; i++) store.put(i, (data as Uint8Array).subarray(i * each, (i + 1) * each));
  float = await exportCheckpoint(at('float.safetensors'), { padding: 'tf-same' });
});

/** Error of the logits over their size, on pictures. */
async function lost(before: CompleteCheckpoint, after: CompleteCheckpoint): Promise<number> {
  const images = scaled(pictures(8, SIZE));
  const [a, b] = [(await logitsOf(before, images)).data, (await logitsOf(after, images)).data];
  const square = (values: number[]): number => values.reduce((sum, v) => sum + v * v, 0);
  const mean = list(a).reduce((x, y) => x + y, 0) / a.length;
  return Math.sqrt(square(list(a).map((v, i) => v - Number(b[i]))) / square(list(a).map((v) => v - mean)));
}

describe('quantize', () => {
  test.each(ARCHITECTURES)('%s: close to float, the same from its file', async (arch) => {
    const file = at(`${arch}.safetensors`);
    const before = await exportCheckpoint(file, { arch });
    const { checkpoint, layers, save } = await quantize(before, { store, method: 'minmax' }).then((q) => ({
      ...q,
      save: (to: string) => q.save(to),
    }));
    expect(await lost(before, checkpoint)).toBeLessThan(arch.startsWith('mobilenet_v3') ? 0.5 : 0.25);
    expect(layers.every((l, i) => i === 0 || l.sqnr >= layers[i - 1]!.sqnr)).toBe(true);
    await save(at(`${arch}.int8.safetensors`));
    const read = completeCheckpoint(await loadCheckpoint(at(`${arch}.int8.safetensors`)));
    const images = scaled(pictures(2, SIZE));
    expect(list((await logitsOf(read, images)).data)).toEqual(list((await logitsOf(checkpoint, images)).data));
    // Every convolution and the last layer are in whole numbers.
    const floats = [...read.tensors].filter(([, t]) => t.shape.length > 1 && t.dtype !== 'int8').map(([name]) => name);
    expect(floats).toEqual([]);
  });
  test.each([
    ['minmax', {}],
    ['percentile', { method: 'percentile', biasCorrect: true }],
    ['mse, a scale a tensor, corrected', { method: 'mse', perTensor: true, biasCorrect: true }],
    ['equalised', { perTensor: true, equalize: true }],
  ] as const)('%s: scales, provenance, no accuracy lost beyond reason', async (_name, options) => {
    const { checkpoint } = await quantize(float, { store, rows: Int32Array.of(1, 5, 9, 13), ...options });
    const {
      perTensor = false,
      equalize = false,
      biasCorrect = false,
      method = 'mse',
    } = options as {
      perTensor?: boolean;
      equalize?: boolean;
      biasCorrect?: boolean;
      method?: string;
    };
    const said = JSON.parse(checkpoint.metadata['quantised']!) as Record<string, unknown>;
    expect(said).toMatchObject({
      ...{ version: 1, perChannel: !perTensor, equalized: equalize, biasCorrected: biasCorrect, method },
      limits: equalize,
      images: { count: 4 },
      source: { file: 'float.safetensors' },
    });
    const weight = checkpoint.tensors.get('features.1.conv.0.0.weight')!;
    const scales = checkpoint.tensors.get('features.1.conv.0.0.weight_scale')!;
    expect([weight.dtype, scales.shape]).toEqual(['int8', [perTensor ? 1 : weight.shape[0]!]]);
    const graph = list((await logitsOf(checkpoint, scaled(pictures(1, SIZE)))).data);
    expect(graph.every(Number.isFinite)).toBe(true);
  });
  test('a Classifier, an evaluation and embeddings take it as they take a float checkpoint', async () => {
    const int8 = await quantize(float, { store, method: 'minmax' });
    await int8.save(at('model.int8.safetensors'));
    const classifier = await Classifier.load(at('model.int8.safetensors'));
    const [first] = await classifier.classify({ data: store.get(3), width: SIZE, height: SIZE, channels: 3 });
    expect(float.classes).toContain(first!.label);
    const labels = new Int32Array(COUNT);
    const { images } = await evaluate({ checkpoint: int8.checkpoint, store, labels, indices: Int32Array.of(0, 1) });
    expect(images).toBe(2);
    classifier.dispose();
  });
  test('refuses what cannot be quantised', async () => {
    const { checkpoint } = await quantize(float, { store, method: 'minmax' });
    await expect(quantize(checkpoint, { store })).rejects.toThrow(/quantised already/);
    await expect(quantize(float, { store, rows: new Int32Array(0) })).rejects.toThrow(/at least one image/);
    await expect(quantize(float, { store, method: 'best' as never })).rejects.toThrow(UsageError);
    const small = new ImageStore({ count: 1, height: 8, width: 8, channels: 3 });
    await expect(quantize(float, { store: small })).rejects.toThrow(/images of 32 pixels, got 8 x 8/);
  });
});

describe('its parts', () => {
  test('a range holds 0 exactly, whatever was seen', () => {
    expect(rangeFor({ low: 0, high: 6 })).toEqual({ scale: Math.fround(6 / 255), zeroPoint: 0 });
    expect(rangeFor({ low: 2, high: 6 }).zeroPoint).toBe(0);
    expect(rangeFor({ low: -1, high: 1 }).zeroPoint).toBe(127);
    expect(rangeFor({ low: -3, high: -1 }).zeroPoint).toBe(255);
    expect(rangeFor({ low: 0, high: 0 }).scale).toBeGreaterThan(0);
  });
  test('percentile and mse cut off what is rare and far', () => {
    const histogram = new Histogram(-1, 100);
    histogram.add(Float32Array.from({ length: 30_000 }, (_, i) => Math.sin(i) * 2 - 0));
    histogram.add(Float32Array.of(100));
    expect(percentiles(histogram).high).toBeLessThan(3);
    expect(leastError(histogram).high).toBeLessThan(95);
    const even = new Histogram(0, 1);
    even.add(Float32Array.from({ length: 10_000 }, (_, i) => i / 10_000));
    expect(leastError(even).high).toBeGreaterThan(0.9);
  });
  test('int8 weights are what fakeQuantize makes of the float ones', async () => {
    const data = Float32Array.from({ length: 600 }, (_, i) => Math.sin(i * 7.7) * (1 + (i % 4)));
    const scales = Float32Array.of(2 / 127, 0.03, 0.001);
    const { data: whole } = wholeWeight({ data, shape: [3, 200], dtype: 'float32' }, scales);
    const graph = ops.fakeQuantize(constant(data, [3, 200]), constant(scales), constant([0, 0, 0]), {
      qmin: -127,
      qmax: 127,
      axis: 0,
    });
    expect([...whole].map((q, i) => Math.fround(Number(q) * scales[Math.floor(i / 200)]!))).toEqual(
      await valuesOf(graph),
    );
  });
  test.each([
    ['mobilenet_v1 with ReLU', { arch: 'mobilenet_v1', activation: 'relu' }, 27], // a straight pipe: each layer with the next
    ['mobilenet_v2 with ReLU6', { arch: 'mobilenet_v2' }, 37], // but for what residual sums read
  ] as const)('equalising changes the weights of %s, not what it computes', async (_name, options, pairs) => {
    const net = foldedNetwork(await exportCheckpoint(at('equal.safetensors'), options));
    expect(pairsOf(net.sites)).toHaveLength(pairs);
    const logits = async (): Promise<number[]> => {
      const state = [...net.numbers].map(([name, value]) => ({ name, ...value }));
      using weights = await Weights.init({ state: () => state });
      using program = compile({ y: floatGraph(net) }, { weights });
      return list((await program.run({ image: scaled(pictures(2, SIZE)) }))['y']!.data);
    };
    const before = await logits();
    const weight = list(net.numbers.get('features.0.0.weight')!.data);
    equalise(net);
    expect(list(net.numbers.get('features.0.0.weight')!.data)).not.toEqual(weight);
    const most = Math.max(...before.map(Math.abs));
    (await logits()).forEach((v, i) => expect(Math.abs(v - before[i]!)).toBeLessThan(1e-4 * most));
  });
});

describe('a damaged or foreign int8 file', () => {
  const broken = async (
    change: (tensors: Map<string, TensorData>, metadata: Record<string, string>) => void,
  ): Promise<unknown> => {
    const { tensors, metadata } = await readSafetensors(at('whole.int8.safetensors'));
    change(tensors, metadata);
    await writeSafetensors(at('broken.safetensors'), tensors, metadata);
    return Classifier.load(at('broken.safetensors')).then(
      () => 'loaded',
      (error: unknown) => error,
    );
  };
  beforeAll(async () => (await quantize(float, { store, method: 'minmax' })).save(at('whole.int8.safetensors')));
  const number = (...values: number[]): TensorData => ({
    data: Float32Array.from(values),
    shape: [values.length],
    dtype: 'float32',
  });
  test.each<[string, RegExp, Parameters<typeof broken>[0]]>([
    ['a tensor is missing', /'features.3.out_scale' is not in the file/, (t) => void t.delete('features.3.out_scale')],
    ['a scale is 0', /'image_scale' holds 0; expected scales above 0/, (t) => void t.set('image_scale', number(0))],
    ['a scale is no number', /'image_scale' holds NaN/, (t) => void t.set('image_scale', number(NaN))],
    ['a zero point is no byte', /'image_zero_point' holds 300/, (t) => void t.set('image_zero_point', number(300))],
    [
      'a weight is float',
      /expected int8, found float32/,
      (t) => void t.set('classifier.1.weight', { ...float.tensors.get('classifier.1.weight')! }),
    ],
    ['one tensor too many', /'spare' has no place/, (t) => void t.set('spare', number(1))],
    [
      'scales of another kind',
      /expected \[1\], found \[16\]/,
      (_t, m) => void (m['quantised'] = m['quantised']!.replace('"perChannel":true', '"perChannel":false')),
    ],
    ['a later version', /expected version 1/, (_t, m) => void (m['quantised'] = '{"version":2}')],
    ['no JSON', /expected JSON as mnv2-torch quantize writes it/, (_t, m) => void (m['quantised'] = '{')],
    ['nothing said', /expected floating-point numbers, found int8/, (_t, m) => void delete m['quantised']],
  ])('%s', async (_name, message, change) => {
    const error = await broken(change);
    expect(error).toBeInstanceOf(DataError);
    expect((error as Error).message).toMatch(message);
  });
});

describe('the command', () => {
  test('labelled images: sizes, accuracy before and after, the worst layers; then eval, predict, embed, summary', async () => {
    const data = await imageFolder(at('data'), { classes: float.classes, perClass: 10 });
    const out = at('cli.int8.safetensors');
    const told = cli(['quantize', at('float.safetensors'), data, '-o', out, '--images', '12', '--quiet']);
    expect([told.status, told.stderr]).toEqual([0, '']);
    expect(told.stdout).toMatch(/cli.int8.safetensors: 0\.\d+ MB, 0\.\d+ of /);
    expect(told.stdout).toMatch(/calibrated on 12 images: mse ranges, a scale an output channel/);
    expect(told.stdout).toMatch(
      /accuracy \d+\.\d+% float, \d+\.\d+% int8 \([+-]\d\.\d+ points\) on the validation images \(15\)/,
    );
    expect(told.stdout).toMatch(/the worst first:\n {2}\S+ +-?\d+\.\d dB/);
    const judged = cli(['eval', out, data, '--json', '--quiet']);
    expect((JSON.parse(judged.stdout) as { images: number }).images).toBe(50);
    const picture = `${data}/${float.classes[0]}/0.png`;
    expect(cli(['predict', out, picture]).status).toBe(0);
    expect(cli(['embed', out, picture, '--out', at('e.npy')]).status).toBe(0);
    expect(cli(['summary', '--weights', out]).stdout).toMatch(/mobilenet_v2/);
    const trained = cli(['train', data, '--weights', out, '--epochs', '1']);
    expect([trained.status, trained.stderr]).toEqual([
      4,
      expect.stringMatching(
        /int8 network, which cannot be trained: expected float weights, such as "float.safetensors"/,
      ),
    ]);
  });
  test('any folder of pictures calibrates; --json says everything', async () => {
    fs.mkdirSync(at('loose'));
    const [one] = fs.readdirSync(at('data', float.classes[0]!));
    fs.copyFileSync(at('data', float.classes[0]!, one!), at('loose', 'a.png'));
    const told = cli(['quantize', at('float.safetensors'), at('loose'), '--json', '--quiet', '--method', 'minmax']);
    const report = JSON.parse(told.stdout) as { file: string; calibratedOn: number; notes: string[]; before?: unknown };
    expect(report).toMatchObject({ file: at('float.int8.safetensors'), calibratedOn: 1 });
    expect(report.notes[0]).toMatch(/accuracy is not told/);
    expect(report.before).toBeUndefined();
  });
});

test('quantisation-aware training wins back what a scale a tensor loses, and is int8 afterwards', async () => {
  const data = await syntheticScenes({ size: SIZE, perClass: 6 });
  const model = MobileNetV2({ numClasses: data.classes.length, widthMult: 0.25, invertedResidualSetting: SMALL });
  const result = await new Trainer(model, data, { epochs: 6, lr: 0.01, seed: 1 }).fit();
  await result.save(at('scenes.safetensors'));
  const before = completeCheckpoint(await loadCheckpoint(at('scenes.safetensors')));
  const { train, val } = await data.ready();
  const options = { store: data.store, rows: train, method: 'minmax', perTensor: true } as const;
  const rounded = await quantize(before, options);
  const seen: number[] = [];
  const onEvent = (event: TrainEvent): void => void (event.event === 'epoch' && seen.push(event.valid.loss));
  const learned = await quantize(before, { ...options, qat: { epochs: 3, data, onEvent } });
  const judge = async ({ checkpoint }: typeof rounded): Promise<number> =>
    (await evaluate({ checkpoint, store: data.store, labels: data.labels, indices: val })).loss;
  expect(seen).toHaveLength(3);
  expect(await judge(learned)).toBeLessThan(await judge(rounded));
  // What was validated in its best epoch is what the int8 network says.
  const loss = await judge(learned);
  expect(Math.min(...seen.map((v) => Math.abs(v - loss)))).toBeLessThan(0.02);
  expect(learned.checkpoint.tensors.get('features.0.0.weight')!.dtype).toBe('int8');
  expect(JSON.parse(learned.checkpoint.metadata['quantised']!)).toMatchObject({ qatEpochs: 3 });
});
