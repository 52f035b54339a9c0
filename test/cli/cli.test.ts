// The command line as a person or a script meets it: a real child process, real files, exit codes.
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import { sceneSvg } from '../../dist/data/sources/scenes.js';
import { Random } from '../../dist/random.js';

const bin = path.resolve('bin/mnv2-torch.js');
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'mnv2-cli-'));
const at = (...parts: string[]): string => path.join(dir, ...parts);
const env = { ...process.env, XDG_CACHE_HOME: at('cache') };
const run = (...args: string[]) => spawnSync(process.execPath, [bin, ...args], { encoding: 'utf8', cwd: dir, env });
const SMALL = ['--size', '32', '--width', '0.35', '--epochs', '2', '--batch-size', '8'];

beforeAll(async () => {
  for (const name of ['beach', 'forest', 'runway']) {
    fs.mkdirSync(at('images', name), { recursive: true });
    for (let i = 0; i < 8; i++)
      await sharp(Buffer.from(sceneSvg(name, new Random(5, name, i), 48))).toFile(at('images', name, `${i}.png`));
  }
  fs.writeFileSync(at('images', 'beach', 'notes.txt'), 'not an image');
});
afterAll(() => fs.rmSync(dir, { recursive: true }));

describe('usage', () => {
  test.each([
    [['train', '--epoch', '3'], /Unknown argument: epoch\nDid you mean --epochs\?/],
    [['trian'], /Did you mean train/],
    [[], /Name a command/],
    [['train', 'images', '--lr', '1', '--lr', '2'], /--lr was given more than once/],
    [['train', 'images', '--freeze', 'all'], /--freeze: expected features, none or a number/],
    [['train', 'images', '--size', '8'], /--size: expected a whole number of at least 32/],
    [
      ['train', 'images', '--optimizer', 'adm'],
      /--optimizer: expected sgd, adam, adamw or rmsprop, got 'adm'\. Did you mean adam\?/,
    ],
    [['train', 'images', '--epochs', '0'], /epochs: expected a whole number of at least 1, got 0/],
    [
      ['train', 'images', '--out', 'images/beach/0.png'],
      /--out images\/beach\/0.png: .* is a file; choose another folder/,
    ],
    [['train', 'images', '--device', 'tpu'], /device: expected auto, cpu, cuda or cuda:n, got 'tpu'/],
    [['bench', '--n', '0'], /--n: expected a whole number of at least 1, got 0/],
    [['bench', 'depthwise', '--arch', 'mobilenet_v1'], /--arch belongs to 'bench network'/],
    [
      ['bench', 'depthwise', '--device', 'cpu', '--route', 'cudnn'],
      /--route cudnn: expected one of native, fused on cpu/,
    ],
    [['bench', '--route', 'fused'], /--route belongs to 'bench depthwise'/],
    [['summary', '--width', '-1'], /--width: expected a number above 0 and at most 32, got -1/],
  ])('%j ends with 2 and says why', (args, message) => {
    const { status, stderr } = run(...args);
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
  });
  test('help lists the commands and the exit codes', () => {
    const { status, stdout } = run('--help');
    for (const word of ['train', 'eval', 'predict', 'summary', 'bench', 'doctor', 'setup', 'Exit codes'])
      expect(stdout).toContain(word);
    expect(status).toBe(0);
  });
  test('a CUDA device that is not there is an environment error', () => {
    const { status, stderr } = run('train', 'images', ...SMALL, '--device', 'cuda:63');
    expect(stderr).toMatch(/device 'cuda:63'/);
    expect(status).toBe(3);
  });
});

describe('bench', () => {
  const spread = {
    n: expect.any(Number),
    median: expect.any(Number),
    min: expect.any(Number),
    max: expect.any(Number),
  };
  const ordered = ({ min, median, max }: { min: number; median: number; max: number }): boolean =>
    min > 0 && min <= median && median <= max;

  test('network: one JSON line with what was measured on what', () => {
    const { status, stdout } = run(
      'bench',
      '--size',
      '32',
      '--width',
      '0.35',
      '--batch-size',
      '4',
      '--n',
      '2',
      '--threads',
      '1',
      '--device',
      'cpu',
      '--json',
    );
    expect(status).toBe(0);
    expect(stdout.trim().split('\n')).toHaveLength(1);
    const result = JSON.parse(stdout) as {
      rows: { work: string; batch: number; ms: never; imagesPerSecond: number }[];
    };
    expect(result).toMatchObject({
      bench: 'network',
      arch: 'mobilenet_v2',
      size: 32,
      batchSize: 4,
      precision: 'fp32',
      device: 'cpu',
      threads: 1,
      libtorch: expect.any(String),
      node: process.version,
    });
    expect(result.rows.map((r) => [r.work, r.batch])).toEqual([
      ['inference', 1],
      ['inference', 4],
      ['training step', 4],
      ['head step', 4],
    ]);
    for (const row of result.rows) {
      expect(row.ms).toMatchObject(spread);
      expect(ordered(row.ms)).toBe(true);
      expect(row.imagesPerSecond).toBeGreaterThan(0);
    }
  });
  test('depthwise: every shape of MobileNetV2 on each route, against a copy', () => {
    const { status, stdout } = run(
      'bench',
      'depthwise',
      '--size',
      '32',
      '--batch-size',
      '2',
      '--n',
      '1',
      '--threads',
      '1',
      '--device',
      'cpu',
      '--json',
    );
    expect(status).toBe(0);
    const result = JSON.parse(stdout) as {
      copyBandwidth: number;
      rows: {
        dtype: string;
        route: string;
        layers: number;
        forward: { ms: never; bytes: number; shareOfCopy: number };
      }[];
    };
    expect(result.copyBandwidth).toBeGreaterThan(0);
    const fused = result.rows.filter((r) => r.dtype === 'float32' && r.route === 'fused');
    expect(fused.reduce((a, r) => a + r.layers, 0)).toBe(17);
    expect(result.rows).toHaveLength(4 * fused.length); // two types, two routes
    for (const { forward } of result.rows) {
      expect(ordered(forward.ms)).toBe(true);
      // Bytes over time over the copy's bandwidth, computed again.
      expect(forward.shareOfCopy).toBeCloseTo(
        (1000 * forward.bytes) / (forward.ms as { median: number }).median / result.copyBandwidth,
        9,
      );
    }
    expect(fused[0]!.forward.bytes).toBe(2 * 2 * 32 * 16 * 16 * 4 + 32 * 9 * 4);
  });
  test('a table for people', () => {
    const { stdout } = run(
      'bench',
      '--arch',
      'mobilenet_v1',
      '--size',
      '32',
      '--width',
      '0.25',
      '--batch-size',
      '4',
      '--n',
      '1',
      '--device',
      'cpu',
    );
    expect(stdout).toMatch(/^mobilenet_v1, 32 px, fp32, on cpu\ninference +batch 1 .* ms +\d+ images\/s .*p99/);
    expect(stdout.trim().split('\n')).toHaveLength(5);
  });
});

test('bench:gpu without a card says so and exits 3; its table of what is not measured stays as it is', () => {
  const script = path.resolve('bench/gpu.js');
  const before = fs.readFileSync(path.resolve('bench/GPU.md'), 'utf8');
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, '--device', 'cuda:63'], {
    encoding: 'utf8',
    cwd: dir,
    env,
  });
  expect(stderr).toMatch(/^bench: device 'cuda:63': /);
  expect([status, stdout]).toEqual([3, '']);
  expect(fs.readFileSync(path.resolve('bench/GPU.md'), 'utf8')).toBe(before);
});

describe('train, eval, predict', () => {
  let events: Record<string, never>[] = [];
  beforeAll(() => {
    const { status, stdout, stderr } = run('train', 'images', ...SMALL, '--out', 'run', '--json');
    if (status !== 0) throw new Error(stderr);
    events = stdout
      .trim()
      .split('\n')
      .map((l) => JSON.parse(l) as Record<string, never>);
    expect(stderr).toMatch(/train epoch\[1\/2\] loss:\d\.\d{3}, acc:\d\.\d{3}: 100%\|█+\| 3\/3 \[\d\d:\d\d<00:00, /);
  });
  test('NDJSON: an epoch event each, done last, with the documented keys', () => {
    const epochs = events.filter((e) => e['event'] === ('epoch' as never));
    expect(epochs).toHaveLength(2);
    for (const phase of ['train', 'valid'])
      expect(epochs[0]![phase]).toMatchObject({
        loss: expect.any(Number),
        accuracy: expect.any(Number),
        seconds: expect.any(Number),
        imagesPerSecond: expect.any(Number),
      });
    expect(events.at(-1)).toMatchObject({
      event: 'done',
      best: { epoch: expect.any(Number), accuracy: expect.any(Number) },
      checkpoint: path.join('run', 'best.safetensors'),
    });
    expect(events.some((e) => e['event'] === ('progress' as never))).toBe(false);
  });
  test('the run folder says everything', () => {
    expect(fs.readdirSync(at('run')).sort()).toEqual([
      'best.safetensors',
      'config.json',
      'last.safetensors',
      'metrics.jsonl',
      'report.html',
      'split.json',
      'state.safetensors',
    ]);
    const config = JSON.parse(fs.readFileSync(at('run/config.json'), 'utf8')) as Record<string, unknown>;
    expect(config).toMatchObject({
      seed: 0,
      epochs: 2,
      batchSize: 8,
      arch: 'mobilenet_v2',
      size: 32,
      freeze: 'none',
      about: { versions: { node: process.versions.node } },
    });
    const split = JSON.parse(fs.readFileSync(at('run/split.json'), 'utf8')) as { train: string[]; val: string[] };
    expect([split.train.length, split.val.length]).toEqual([18, 6]);
    expect(new Set([...split.train, ...split.val]).size).toBe(24);
    const bytes = fs.readFileSync(at('run/best.safetensors'));
    const { __metadata__: m } = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE(0)))) as {
      __metadata__: Record<string, string>;
    };
    expect(m).toMatchObject({
      arch: 'mobilenet_v2',
      width_mult: '0.35',
      num_classes: '3',
      classes: '["beach","forest","runway"]',
      padding: 'symmetric',
      bn_eps: '0.00001',
      preprocess: '{"size":32,"scale":"x/127.5-1"}',
    });
    expect(Object.values(m).every((v) => typeof v === 'string')).toBe(true);
  });
  test('the same seed repeats the run to the last digit', () => {
    expect(run('train', 'images', ...SMALL, '--out', 'again', '--quiet').status).toBe(0);
    const figures = (name: string): unknown[] =>
      fs
        .readFileSync(at(name, 'metrics.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((l) => {
          const { train, valid } = JSON.parse(l) as Record<'train' | 'valid', { loss: number }>;
          return [train.loss, valid.loss];
        });
    expect(figures('again')).toEqual(figures('run'));
    expect(fs.readFileSync(at('again/split.json'), 'utf8')).toBe(fs.readFileSync(at('run/split.json'), 'utf8'));
  });
  test('an existing run is not overwritten', () => {
    const before = fs.statSync(at('run/best.safetensors')).mtimeMs;
    const { status, stderr } = run('train', 'images', ...SMALL, '--out', 'run');
    expect(stderr).toContain('a run is already there');
    expect(status).toBe(2);
    expect(fs.statSync(at('run/best.safetensors')).mtimeMs).toBe(before);
  });
  test('eval: figures of all images, or of what a split held back', () => {
    const { stdout, status } = run('eval', 'run/best.safetensors', 'images', '--json', '--quiet');
    expect(status).toBe(0);
    const all = JSON.parse(stdout) as {
      images: number;
      accuracy: number;
      loss: number;
      classes: { label: string; support: number; recall: number }[];
      confusion: number[][];
    };
    expect(all.images).toBe(24);
    expect(all.classes.map((c) => [c.label, c.support])).toEqual([
      ['beach', 8],
      ['forest', 8],
      ['runway', 8],
    ]);
    expect(all.confusion.flat().reduce((a, b) => a + b)).toBe(24);
    expect(all.confusion.reduce((a, row, i) => a + row[i]!, 0) / 24).toBeCloseTo(all.accuracy, 12);
    expect(all.classes[1]!.recall).toBeCloseTo(all.confusion[1]![1]! / 8, 12);
    const held = JSON.parse(
      run('eval', 'run/best.safetensors', 'images', '--split', 'run/split.json', '--json', '--quiet').stdout,
    ) as { images: number; accuracy: number };
    expect(held.images).toBe(6);
    const best = Math.max(
      ...events
        .filter((e) => e['event'] === ('epoch' as never))
        .map((e) => (e['valid'] as unknown as { accuracy: number }).accuracy),
    );
    expect(held.accuracy).toBeCloseTo(best, 12);
  });
  test('predict: one line an image, probabilities that sum to one', () => {
    const { stdout, status } = run(
      'predict',
      'run/best.safetensors',
      'images/beach/0.png',
      'images/forest/1.png',
      '--json',
      '--top',
      '3',
    );
    expect(status).toBe(0);
    const lines = stdout
      .trim()
      .split('\n')
      .map((l) => JSON.parse(l) as { image: string; predictions: { label: string; probability: number }[] });
    expect(lines.map((l) => l.image)).toEqual(['images/beach/0.png', 'images/forest/1.png']);
    for (const { predictions } of lines) {
      expect(predictions.reduce((a, p) => a + p.probability, 0)).toBeCloseTo(1, 5);
      expect(predictions.map((p) => p.probability)).toEqual(
        predictions.map((p) => p.probability).sort((a, b) => b - a),
      );
    }
  });
  test('predict answers for what it can read and exits 4 for the rest', () => {
    const { stdout, stderr, status } = run(
      'predict',
      'run/best.safetensors',
      'nowhere.png',
      'images/beach/0.png',
      '--json',
    );
    expect(stdout.trim().split('\n')).toHaveLength(1);
    expect(stderr).toContain('nowhere.png: no such file');
    expect(status).toBe(4);
  });
  test('its own checkpoint serves as --weights, another width is refused', () => {
    expect(
      run(
        'train',
        'images',
        '--weights',
        'run/last.safetensors',
        '--freeze',
        'features',
        '--epochs',
        '1',
        '--out',
        'tuned',
        '--quiet',
      ).status,
    ).toBe(0);
    const { stderr, status } = run(
      'train',
      'images',
      '--weights',
      'run/last.safetensors',
      '--width',
      '1',
      '--out',
      'wide',
    );
    expect(stderr).toMatch(/--width 1: the weights in run\/last.safetensors are for 0.35/);
    expect(status).toBe(2);
  });
});

describe('bad data', () => {
  test('unreadable images stop the run before epoch 1 with their list, or are skipped', async () => {
    fs.cpSync(at('images'), at('broken'), { recursive: true });
    const whole = await sharp(at('images/beach/0.png')).jpeg().toBuffer();
    fs.writeFileSync(at('broken/beach/cut.jpg'), whole.subarray(0, whole.length / 2));
    fs.writeFileSync(at('broken/forest/text.png'), 'this is no image');
    const stopped = run('train', 'broken', ...SMALL, '--out', 'none');
    expect(fs.existsSync(at('none'))).toBe(false);
    expect(stopped.stderr).toMatch(/2 of 26 images cannot be read:\n {2}beach\/cut.jpg: .*\n {2}forest\/text.png: /);
    expect(stopped.stderr).not.toContain('epoch[1/');
    expect(stopped.status).toBe(4);
    const skipped = run('train', 'broken', ...SMALL, '--skip-bad', '--out', 'some');
    expect(skipped.stderr).toContain('skipped 2 unreadable files: beach/cut.jpg, forest/text.png');
    expect(skipped.status).toBe(0);
  });
  test.each([
    ['nowhere', /nowhere does not exist; expected a folder with one subfolder of images a class/],
    ['images/beach', /no images in class folders/],
    ['run', /no images in class folders|does not exist/],
  ])('%s', (folder, message) => {
    const { status, stderr } = run('train', folder, ...SMALL, '--out', 'never');
    expect(stderr).toMatch(message);
    expect(status).toBe(4);
  });
  test('a checkpoint that is none', () => {
    const { status, stderr } = run('predict', 'images/beach/0.png', 'images/beach/0.png');
    expect(stderr).toMatch(/is not a usable .safetensors file/);
    expect(status).toBe(4);
  });
});

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s finishes the step, saves, and exits %d', async (signal, code) => {
  const out = at(`stopped-${code}`);
  const child = spawn(
    process.execPath,
    [
      bin,
      'train',
      'images',
      '--size',
      '32',
      '--width',
      '0.35',
      '--epochs',
      '100000',
      '--out',
      out,
      '--json',
      '--quiet',
    ],
    { cwd: dir, env },
  );
  let text = '';
  let asked = false;
  child.stdout.on('data', (chunk: Buffer) => {
    text += String(chunk);
    if (text.includes('"epoch":2') && !asked) asked = child.kill(signal); // a second signal would end it at once
  });
  const status = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  expect(status).toBe(code);
  expect(JSON.parse(text.trim().split('\n').at(-1)!)).toMatchObject({
    event: 'stopped',
    checkpoint: path.join(out, 'last.safetensors'),
  });
  expect(run('predict', path.join(out, 'last.safetensors'), 'images/beach/0.png', '--json').status).toBe(0);
});

test('a learning rate that explodes is exit 5, with what to do', () => {
  const { status, stderr } = run(
    'train',
    'images',
    ...SMALL,
    '--optimizer',
    'sgd',
    '--lr',
    '1e30',
    '--out',
    'exploded',
  );
  expect(stderr).toMatch(/the loss stopped being finite at step \d+ of epoch \d .*Try a lower --lr/);
  expect(status).toBe(5);
});

test('summary --json', () => {
  const summary = JSON.parse(run('summary', '--json').stdout) as Record<string, unknown>;
  expect(summary).toMatchObject({ total: 2284885, trainable: 26901, nonTrainable: 2257984 });
});

test('doctor runs one real convolution in a child process', () => {
  const { status, stdout } = run('doctor', '--json');
  const report = JSON.parse(stdout) as { check: { ok: boolean }; build: { libtorch: string }; problems: unknown[] };
  expect(report.check.ok).toBe(true);
  expect(report.build.libtorch).toMatch(/^\d+\.\d+/);
  expect(status).toBe(0);
});
