// `mnv2-torch export` as a child process: what it writes, what it says, and that a file that disagrees never appears.
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { readSafetensors, writeSafetensors, type Parity } from 'mnv2-torch';
import { ScriptModule } from '../../dist/export/script-module.js';
import { cli } from '../support/cli.ts';
import { exportCheckpoint } from '../support/export-checkpoint.ts';
import { imageFolder } from '../support/image-folder.ts';
import { pictures } from '../support/own-checkpoint.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('export');
const comparison = (file: string): Parity => JSON.parse(fs.readFileSync(`${file}.parity.json`, 'utf8')) as Parity;

beforeAll(async () => {
  await exportCheckpoint(at('v2.safetensors'));
  await imageFolder(at('photos'), { classes: ['cat', 'dog'], perClass: 10, size: 40 });
});

test('beside the checkpoint, tried on the images named', () => {
  const { status, stdout, stderr } = cli(['export', at('v2.safetensors'), '--images', at('photos/cat'), '--resize']);
  expect([status, stderr]).toEqual([0, '']);
  expect(stdout).toContain(`${at('v2.onnx')}: `);
  expect(stdout).toMatch(
    /onnxruntime-\w+ [\d.]+ and the checkpoint on 10 images: probabilities differ by up to .* 10 of 10; pictures resized within 1 of 255 levels\n/,
  );
  const { images } = comparison(at('v2.onnx'));
  expect([images.from, images.names]).toEqual([
    'images',
    Array.from({ length: 10 }, (_, i) => at(`photos/cat/${i}.png`)),
  ]);
});

test('of a run: its best weights, tried on what it held back', () => {
  const words = ['--arch', 'mobilenet_v1', '--width', '0.25', '--size', '32', '--epochs', '1', '--freeze', 'features'];
  const run = cli(['train', '--data', at('photos'), '--out', at('run'), '--device', 'cpu', '--no-report', ...words]);
  expect([run.status, run.stderr]).toEqual([0, expect.anything()]);
  const { status, stdout, stderr } = cli(['export', at('run'), '--format', 'torchscript', '-o', at('own.pt')]);
  expect([status, stderr]).toEqual([0, '']);
  const { val } = JSON.parse(fs.readFileSync(at('run/split.json'), 'utf8')) as { val: string[] };
  expect(stdout).toContain(`${val.length} images of the validation split`);
  const { images, agrees } = comparison(at('own.pt'));
  expect([images.from, images.names, agrees]).toEqual([
    'validation split',
    val.map((name) => path.join(at('photos'), name)),
    true,
  ]);
});

test('disagreement is exit code 6, and what was there stays', async () => {
  // Classes that differ by a ten thousandth of their weights: in half precision their rows are one.
  const { tensors, metadata } = await readSafetensors(at('v2.safetensors'));
  const head = tensors.get('classifier.1.weight')!;
  const each = head.shape[1]!;
  const rows = Float32Array.from(head.data as Float32Array, (_, i) => 4 * (1 + 1e-4 * Math.floor(i / each)));
  tensors.set('classifier.1.weight', { ...head, data: rows });
  const bias = tensors.get('classifier.1.bias')!;
  tensors.set('classifier.1.bias', { ...bias, data: new Float32Array(bias.data.length) });
  await writeSafetensors(at('alike.safetensors'), tensors, metadata);
  fs.writeFileSync(at('alike.onnx'), 'an earlier export');
  const { status, stdout, stderr } = cli(['export', at('alike.safetensors'), '--dtype', 'fp16']);
  expect([status, stdout]).toEqual([6, '']);
  expect(stderr).toMatch(/^mnv2-torch: the export computes something else, it was not written: .*16 pictures of noise/);
  expect(fs.readFileSync(at('alike.onnx'), 'utf8')).toBe('an earlier export');
  expect(fs.readdirSync(at()).filter((f) => f.startsWith('alike') || f.startsWith('.'))).toEqual([
    'alike.onnx',
    'alike.safetensors',
  ]);
});

test('without ONNX Runtime nothing is written, and it is said what to install', () => {
  const hook = pathToFileURL(path.resolve('test/support/without-onnxruntime.js')).href;
  const { status, stderr } = cli(['export', at('v2.safetensors'), '-o', at('none.onnx')], {
    env: { NODE_OPTIONS: `--no-warnings --import ${hook}` },
  });
  expect(status).toBe(3);
  expect(stderr).toContain('npm install onnxruntime-node');
  expect(fs.existsSync(at('none.onnx'))).toBe(false);
});

test('torchscript: beside the checkpoint, tried by libtorch', async () => {
  const { status, stdout, stderr } = cli(['export', at('v2.safetensors'), '--format', 'torchscript']);
  expect([status, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/v2\.pt: \d+\.\d MB\nlibtorch .* on 16 pictures of noise .*: probabilities differ by up to/);
  expect(comparison(at('v2.pt')).agrees).toBe(true);
  using script = new ScriptModule(fs.readFileSync(at('v2.pt')));
  const { data, shape } = await script.run(pictures(1, 32));
  expect(shape).toEqual([1, 5]);
  expect((data as Float32Array).reduce((a, b) => a + b)).toBeCloseTo(1, 5);
});

test('safetensors: says which model loads it', () => {
  const words = ['--format', 'safetensors', '--names', 'timm', '--dtype', 'bf16'];
  const { status, stdout } = cli(['export', at('v2.safetensors'), ...words]);
  expect(status).toBe(0);
  expect(stdout).toContain("loads strictly into timm.create_model('mobilenetv2_035', num_classes=5)");
  expect(fs.statSync(at('v2.timm.safetensors')).size).toBeLessThan(0.6 * fs.statSync(at('v2.safetensors')).size);
});

test.each([
  [['--raw', '--resize'], 2, /--raw and --resize exclude each other/],
  [['-o', '@v2.safetensors'], 2, /this is the checkpoint itself/],
  [['--images', '@v2.safetensors', '--format', 'torchscript'], 4, /v2\.safetensors: /],
  [['-o', '@no/folder.onnx'], 4, /cannot write .*folder\.onnx: ENOENT/],
  [['--format', 'torchscript', '--dtype', 'fp16'], 2, /--dtype: expected fp32 for --format torchscript, got fp16/],
  [['--format', 'onnx', '--dtype', 'bf16'], 2, /--dtype: expected fp32 or fp16 for --format onnx, got bf16/],
  [['--format', 'onnx', '--names', 'timm'], 2, /--names is for --format safetensors, not for onnx/],
  [['--format', 'safetensors', '--raw'], 2, /--raw is for --format onnx or torchscript, not for safetensors/],
] as const)('%j is refused', (words, code, message) => {
  const before = fs.readdirSync(at());
  const { status, stderr } = cli(['export', at('v2.safetensors'), ...words.map((w) => w.replace(/^@/, at('/')))]);
  expect([status, stderr]).toEqual([code, expect.stringMatching(message)]);
  expect(fs.readdirSync(at())).toEqual(before);
});
