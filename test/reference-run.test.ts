// The reference run on real scenes: a head on the frozen ImageNet backbone, through the command line.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const data = process.env['MNV2_DATA'];
if (!data) console.warn('skipped: MNV2_DATA is not set, the scenes are not there');

(data ? test : test.skip)('20 epochs end at 95% of held-out images or better, and a fresh process names a TIFF', () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'mnv2-reference-'));
  const run = (...args: string[]) => spawnSync(process.execPath, [path.resolve('bin/mnv2-torch.js'), ...args], { encoding: 'utf8', env: { ...process.env, XDG_CACHE_HOME: dir } });
  const out = path.join(dir, 'run');
  const trained = run('train', path.join(data!, 'ucmerced'), '--weights', path.join(data!, 'weights/mobilenet_v2_tfslim.safetensors'), '--freeze', 'features', '--epochs', '20', '--batch-size', '16', '--device', 'cpu', '--out', out, '--json', '--quiet');
  expect(trained.stderr).toBe('');
  const epochs = trained.stdout.trim().split('\n').map((l) => JSON.parse(l) as { event: string; valid: { accuracy: number } }).filter((e) => e.event === 'epoch');
  expect(epochs).toHaveLength(20);
  expect(epochs.at(-1)!.valid.accuracy).toBeGreaterThanOrEqual(0.95);
  const { stdout } = run('predict', path.join(out, 'best.safetensors'), path.join(data!, 'ucmerced-tif/harbor/harbor00.tif'), '--json');
  expect((JSON.parse(stdout) as { predictions: { label: string }[] }).predictions[0]!.label).toBe('harbor');
  fs.rmSync(dir, { recursive: true });
}, 600_000);
