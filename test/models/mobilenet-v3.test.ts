// MobileNet V3 against the paper's tables and torchvision's names and counts, and used as a user would.
import fs from 'node:fs';
import path from 'node:path';
import {
  Classifier,
  createModel,
  input,
  loadCheckpoint,
  MobileNetV3Large,
  MobileNetV3Small,
  summarize,
} from 'mnv2-torch';
import { cli } from '../support/cli.ts';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('v3');
const images = (rows: ReturnType<typeof summarize>['rows']): string[] =>
  rows.filter((r) => r.layer.startsWith('features.')).map((r) => `${r.shape[1]} x ${r.shape[3]}`);

test('Large is table 1: shapes, 5,483,032 parameters, 219 M multiply-adds', () => {
  const { rows, total, multiplyAdds } = summarize(MobileNetV3Large(), 224);
  // prettier-ignore
  expect(images(rows)).toEqual([
    '112 x 16', '112 x 16', '56 x 24', '56 x 24', '28 x 40', '28 x 40', '28 x 40', '14 x 80', '14 x 80', '14 x 80',
    '14 x 80', '14 x 112', '14 x 112', '7 x 160', '7 x 160', '7 x 160', '7 x 960',
  ]);
  const parameters = [...MobileNetV3Large().namedParameters()].map(([, p]) => p).filter((p) => p.kind === 'parameter');
  expect(parameters.reduce((a, p) => a + p.shape.reduce((b, d) => b * d, 1), 0)).toBe(5_483_032);
  // Keras' way of counting has the running statistics as well.
  expect(total - 5_483_032).toBe(24_400);
  expect(Math.abs(multiplyAdds / 219e6 - 1)).toBeLessThan(0.02); // the paper's figure
  expect((multiplyAdds / 1e6).toFixed(1)).toBe('216.6'); // torchvision's
});

test('Small is table 2: shapes, 2,542,856 parameters, 56 M multiply-adds', () => {
  const { rows, multiplyAdds } = summarize(MobileNetV3Small(), 224);
  // prettier-ignore
  expect(images(rows)).toEqual([
    '112 x 16', '56 x 16', '28 x 24', '28 x 24', '14 x 40', '14 x 40', '14 x 40', '14 x 48', '14 x 48', '7 x 96',
    '7 x 96', '7 x 96', '7 x 576',
  ]);
  const parameters = [...MobileNetV3Small().namedParameters()].map(([, p]) => p).filter((p) => p.kind === 'parameter');
  expect(parameters.reduce((a, p) => a + p.shape.reduce((b, d) => b * d, 1), 0)).toBe(2_542_856);
  expect((multiplyAdds / 1e6).toFixed(1)).toBe('56.5'); // the paper's and torchvision's
});

test('names are torchvision’s', () => {
  const large = [...MobileNetV3Large({ numClasses: 2 }).namedParameters()].map(([name]) => name);
  expect(large).toHaveLength(312);
  expect(large.slice(0, 7)).toEqual([
    'features.0.0.weight',
    ...['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'].map((n) => `features.0.1.${n}`),
    'features.1.block.0.0.weight',
  ]);
  for (const name of [
    'features.1.block.1.1.running_var',
    'features.4.block.1.0.weight',
    'features.4.block.2.fc1.weight',
    'features.4.block.2.fc2.bias',
    'features.4.block.3.1.bias',
    'features.16.0.weight',
    'classifier.0.weight',
    'classifier.3.bias',
  ])
    expect(large).toContain(name);
  const small = [...MobileNetV3Small({ numClasses: 2 }).namedParameters()].map(([name]) => name);
  expect(small).toHaveLength(244);
  expect(small).toContain('features.1.block.1.fc1.weight');
});

test('options: width, padding, BatchNorm as V3 was trained', () => {
  const { options } = createModel('mobilenet_v3_small');
  expect([options.bnEps, options.bnMomentum, options.dropout]).toEqual([1e-3, 0.01, 0.2]);
  const narrow = MobileNetV3Large({ widthMult: 0.35, padding: 'tf-same', inChannels: 1, numClasses: 3 });
  expect(narrow.call(input('x', [-1, 1, 65, 50])).shape).toEqual([-1, 3]);
  expect(summarize(narrow, 96, 1).rows[0]!.shape).toEqual([null, 48, 48, 8]);
  expect(() => MobileNetV3Small({ numClasses: 0 })).toThrow(/numClasses/);
});

test('a frozen backbone leaves the classifier’s four tensors', () => {
  expect(MobileNetV3Small({ numClasses: 2 }).freezeBackbone('features').trainable()).toEqual([
    'classifier.0.weight',
    'classifier.0.bias',
    'classifier.3.weight',
    'classifier.3.bias',
  ]);
});

test('the pair of a block with squeeze and excitation is the one that reads its pixels', () => {
  const row = summarize(MobileNetV3Large(), 224).rows[4]!; // 5 x 5, 72 channels to 40
  expect(row.costRatio).toBeCloseTo(1 / 40 + 1 / 25, 10);
});

test('the summary on the command line', () => {
  const { stdout, status } = cli(['summary', '--arch', 'mobilenet_v3_large', '--size', '64', '--classes', '1000']);
  expect(status).toBe(0);
  expect(stdout).toContain('Model: mobilenet_v3_large');
  expect(stdout).toContain('features.16');
});

test('trained, trained on with a frozen backbone from its own checkpoint, and classified with', async () => {
  const folder = await imageFolder(at('images'), { classes: ['cat', 'dog'], perClass: 6, size: 32 });
  const train = (out: string, ...more: string[]): void => {
    const common = ['--size', '32', '--epochs', '1', '--batch-size', '4', '--device', 'cpu', '--quiet'];
    const { status, stderr } = cli(['train', folder, ...more, ...common, '--out', at(out)]);
    expect([stderr, status]).toEqual(['', 0]);
  };
  train('first', '--arch', 'mobilenet_v3_small', '--width', '0.5');
  train('second', '--weights', at('first', 'best.safetensors'), '--freeze', 'features');
  const [before, after] = await Promise.all(
    ['first', 'second'].map((run) => loadCheckpoint(at(run, 'best.safetensors'))),
  );
  expect([after!.arch, after!.options.widthMult, after!.options.bnEps]).toEqual(['mobilenet_v3_small', 0.5, 1e-3]);
  for (const [name, { data }] of after!.tensors)
    if (!name.startsWith('classifier.')) expect(data).toEqual(before!.tensors.get(name)!.data);
  expect(after!.tensors.get('classifier.0.weight')!.data).not.toEqual(before!.tensors.get('classifier.0.weight')!.data);
  using classifier = await Classifier.load(at('second', 'best.safetensors'));
  const file = path.join(folder, 'cat', fs.readdirSync(path.join(folder, 'cat'))[0]!);
  expect((await classifier.classify(file)).map((p) => p.label).sort()).toEqual(['cat', 'dog']);
});
