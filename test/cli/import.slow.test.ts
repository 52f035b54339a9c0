// `mnv2-torch import` as a child process: what it writes and says, and that nothing on disk is lost.
import fs from 'node:fs';
import path from 'node:path';
import { createModel, readSafetensors, writeSafetensors, type TensorData } from 'mnv2-torch';
import { cli } from '../support/cli.ts';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('import');
const run = (...args: string[]) => {
  const { status, stdout, stderr } = cli(args, { cwd: at('here') });
  return { status, stdout, stderr };
};
const written = (): string[] => fs.readdirSync(at('here')).sort();

/** A network under torchvision's names, which are ours, in a file that says nothing of it. */
async function foreign(
  name: string,
  change: (tensors: Map<string, TensorData>) => void = () => undefined,
): Promise<string> {
  const model = createModel('mobilenet_v2', { widthMult: 0.25, numClasses: 4 });
  const tensors = new Map<string, TensorData>([...model.state(1)].map((t) => [t.name, t]));
  change(tensors);
  await writeSafetensors(at(name), tensors, {});
  return at(name);
}

beforeEach(() => {
  fs.mkdirSync(at('here'));
});
afterEach(() => {
  fs.rmSync(at('here'), { recursive: true });
});
beforeAll(async () => {
  await foreign('weights.safetensors');
  await imageFolder(at('photos'), { classes: ['cat', 'dog'], perClass: 8, size: 40 });
});

test('a file becomes a checkpoint of its name in this folder; one trains and predicts with it', async () => {
  const { status, stdout, stderr } = run('import', at('weights.safetensors'));
  expect([status, stderr]).toEqual([0, '']);
  expect(stdout.split('\n')).toEqual([
    "torchvision's names: mobilenet_v2, width 0.25",
    'mobilenet_v2: 4 classes, padding symmetric, BatchNorm eps 0.00001, preprocess ' +
      '{"size":224,"mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]}',
    'saved weights.safetensors: 314 tensors',
    '',
  ]);
  const original = await readSafetensors(at('weights.safetensors'));
  const { metadata, tensors } = await readSafetensors(at('here/weights.safetensors'));
  expect(metadata).toMatchObject({ arch: 'mobilenet_v2', width_mult: '0.25', padding: 'symmetric', num_classes: '4' });
  expect(tensors).toEqual(original.tensors);

  const train = ['--data', at('photos'), '--out', 'run', '--size', '32', '--epochs', '1', '--device', 'cpu'];
  const trained = run('train', '--weights', 'weights.safetensors', ...train, '--no-report', '--quiet');
  expect([trained.status, trained.stderr]).toEqual([0, '']);
  const predicted = run('predict', 'run', at('photos/cat/0.png'), '--json');
  expect(predicted.status).toBe(0);
  expect(predicted.stdout).toMatch(/"(cat|dog)"/);
});

test('what its user knows better is what the checkpoint says', async () => {
  const flags = ['--arch', 'mobilenet_v2', '--width', '0.25', '--padding', 'tf-same', '--bn-eps', '0.001'];
  const words = ['import', at('weights.safetensors'), '-o', 'named.safetensors', ...flags, '--preprocess'];
  const { status, stdout } = run(...words, 'x/127.5-1');
  expect(status).toBe(0);
  expect(stdout).toContain('padding tf-same, BatchNorm eps 0.001, preprocess {"size":224,"scale":"x/127.5-1"}');
  const { metadata } = await readSafetensors(at('here/named.safetensors'));
  expect(metadata).toMatchObject({
    padding: 'tf_same',
    bn_eps: '0.001',
    preprocess: '{"size":224,"scale":"x/127.5-1"}',
  });
  const unknown = run('import', at('weights.safetensors'), '--preprocess', '{"size":224}');
  expect(unknown.status).toBe(2);
  expect(unknown.stderr).toContain('expected imagenet, x/127.5-1 or JSON such as');
  expect(written()).toEqual(['named.safetensors']);
});

test('a file that is there already stays as it is', () => {
  fs.writeFileSync(at('here/weights.safetensors'), 'precious');
  const { status, stdout, stderr } = run('import', at('weights.safetensors'));
  expect([status, stdout]).toEqual([2, '']);
  expect(stderr).toContain('-o weights.safetensors: it is there already; choose another name or remove it');
  expect(fs.readFileSync(at('here/weights.safetensors'), 'utf8')).toBe('precious');
});

test('what is missing is told by name, and may be on request', async () => {
  const file = await foreign('part.safetensors', (tensors) => tensors.delete('features.3.conv.1.0.weight'));
  const refused = run('import', file);
  expect(refused.status).toBe(4);
  expect(refused.stderr).toContain('it lacks features.3.conv.1.0.weight');
  expect(refused.stderr).toContain('--allow-partial');
  expect(written()).toEqual([]);
  const partial = run('import', file, '--allow-partial');
  expect(partial.status).toBe(0);
  expect(partial.stdout).toContain('it lacks features.3.conv.1.0.weight');
  expect(written()).toEqual(['part.safetensors']);
});

test.each([
  ['notes.txt', 'pictures of cats\n'.repeat(10), /notes\.txt/],
  ['empty.pth', '', /empty\.pth/],
])('%s is no weights: exit 4, nothing written', (name, text, message) => {
  fs.writeFileSync(at(name), text);
  const { status, stdout, stderr } = run('import', at(name));
  expect([status, stdout]).toEqual([4, '']);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/ at .*\.js/);
  expect(written()).toEqual([]);
});

describe('--calibrate', () => {
  test('measures the statistics on images', async () => {
    const args = ['import', at('weights.safetensors'), '-o', 'measured.safetensors', '--calibrate', at('photos')];
    const { status, stdout } = run(...args);
    expect(status).toBe(0);
    expect(stdout).toContain('measured the statistics of its BatchNorms on 16 images\n');
    expect(stdout).toContain('saved measured.safetensors: 314 tensors');
    const original = await readSafetensors(at('weights.safetensors'));
    const { tensors } = await readSafetensors(at('here/measured.safetensors'));
    const [before, after] = [original.tensors, tensors].map((t) => t.get('features.0.1.running_mean')!.data);
    expect(Array.from(before!, Number).every((v) => v === 0)).toBe(true);
    expect(Array.from(after!, Number).some((v) => v !== 0)).toBe(true);
  });

  test.each([
    ['nowhere', 'expected an image or a folder of images'],
    ['here', 'expected a folder of images, found none in it'],
  ])('%s: %s', (folder, message) => {
    const { status, stderr } = run('import', at('weights.safetensors'), '--calibrate', at(folder));
    expect(status).toBe(4);
    expect(stderr).toContain(path.basename(folder));
    expect(stderr).toContain(message);
    expect(written()).toEqual([]);
  });
});
