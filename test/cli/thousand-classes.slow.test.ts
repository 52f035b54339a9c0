// As many classes as ImageNet has: everything that works on a few works on them.
import fs from 'node:fs';
import { createModel, loadCheckpoint, writeSafetensors, type Parity } from 'mnv2-torch';
import { cli } from '../support/cli.ts';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('thousand');
const CLASSES = Array.from({ length: 1000 }, (_, i) => `class ${String(i).padStart(4, '0')}`);
const run = (...args: string[]): string => {
  const { status, stdout, stderr } = cli(args, { cwd: at() });
  expect([status, stderr]).toEqual([0, '']);
  return stdout;
};

beforeAll(async () => {
  await imageFolder(at('images'), { classes: CLASSES, perClass: 2, size: 16 });
  // A classifier of 1,000 as published files have it, without a word on what the classes are called.
  const model = createModel('mobilenet_v3_small', { widthMult: 0.35, numClasses: 1000 });
  await writeSafetensors(at('published.safetensors'), new Map([...model.state(1)].map((t) => [t.name, t])), {});
}, 60_000);

test('train, predict, eval and export', async () => {
  const words = ['--size', '32', '--epochs', '1', '--val-split', '0.5', '--device', 'cpu', '--quiet'];
  run('train', '--data', 'images', '--weights', 'published.safetensors', '--out', 'run', ...words);
  const { classes, tensors, arch } = await loadCheckpoint(at('run'));
  expect([arch, classes, tensors.get('classifier.3.weight')!.shape[0]]).toEqual(['mobilenet_v3_small', CLASSES, 1000]);
  expect(fs.readFileSync(at('run/report.html'), 'utf8')).toContain('class 0999');

  const predicted = JSON.parse(run('predict', 'run', 'images/class 0007/0.png', '--json', '--top', '1000')) as {
    predictions: { label: string; probability: number }[];
  };
  expect(new Set(predicted.predictions.map(({ label }) => label))).toEqual(new Set(CLASSES));
  expect(predicted.predictions.reduce((a, { probability }) => a + probability, 0)).toBeCloseTo(1, 4);

  const figures = JSON.parse(run('eval', 'run', 'images', '--json', '--quiet')) as {
    images: number;
    classes: object[];
  };
  expect([figures.images, figures.classes.length]).toEqual([2000, 1000]);

  run('export', 'run', '-o', 'net.onnx');
  const parity = JSON.parse(fs.readFileSync(at('net.onnx.parity.json'), 'utf8')) as Parity;
  expect(parity.agrees).toBe(true);
  expect(parity.images.names.length).toBe(100);
}, 120_000);

test('an imported classifier of 1,000 predicts before it is trained on', () => {
  run('import', 'published.safetensors', '-o', 'imported.safetensors');
  expect(run('predict', 'imported.safetensors', 'images/class 0007/0.png')).toMatch(/class \d+ +\d/);
});
