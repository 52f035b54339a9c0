// A training killed at any moment leaves checkpoints that load, as new as its interval promises, or none.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { loadCheckpoint } from 'mnv2-torch';
import { Random } from '../../dist/random.js';
import { times } from '../support/long.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('killed');

/** Prints 'began', then the number of each epoch; saves whenever it may. Images of noise: nothing has to be drawn. */
const TRAINING = `
  import { BatchNorm2d, Conv2d, GlobalAveragePool, ImageStore, Linear, Module, Trainer } from 'mnv2-torch';
  class Tiny extends Module {
    conv = new Conv2d(3, 8, 3, { stride: 2 });
    norm = new BatchNorm2d(8);
    pool = new GlobalAveragePool();
    head = new Linear(8, 3);
    forward(x) {
      return this.head.call(this.pool.call(this.norm.call(this.conv.call(x))));
    }
  }
  const [out, batchSize, repeats] = [process.argv[1], Number(process.argv[2]), Number(process.argv[3])];
  const rows = Int32Array.from({ length: 48 }, (_, i) => i);
  const store = new ImageStore({ count: 48, height: 16, width: 16, channels: 3 });
  for (const i of rows) store.put(i, Uint8Array.from({ length: 768 }, (_, k) => (k * 37 + i * 101) % 256));
  const split = { train: Int32Array.from({ length: 32 * repeats }, (_, i) => i % 32), val: rows.subarray(32), test: rows.subarray(48), seed: 0, ratio: 1 / 3 };
  const data = {
    classes: ['a', 'b', 'c'], files: [...rows].map(String), labels: rows.map((i) => i % 3), size: 16, store,
    skipped: [], damaged: [], notes: [], packed: async () => {}, ready: async () => split, dispose() {},
  };
  for await (const e of new Trainer(new Tiny(), data, { epochs: 1e6, batchSize, threads: 1, out, saveEvery: 0 })) {
    if (e.event === 'data') console.log('began');
    if (e.event === 'epoch') console.log(e.epoch);
  }`;

/** Kills a training `delay` milliseconds after its n-th line; returns the last epoch it had said. */
function killed(out: string, lines: number, delay: number): Promise<number> {
  const args = ['--input-type=module', '-e', TRAINING, out, '16', '1'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    const before = text.split('\n').length;
    text += String(chunk);
    if (before <= lines && text.split('\n').length > lines) setTimeout(() => child.kill('SIGKILL'), delay);
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (_code, signal) => {
      if (signal !== 'SIGKILL') return reject(new Error(`ended by itself: ${text}`));
      // A number may have been cut; a whole line was said.
      const said = text.split('\n').slice(0, -1);
      resolve(said.length > 1 ? Number(said.at(-1)) : 0);
    });
  });
}

const kills = times(12, 40);
test(`${kills} kills at seeded moments: every checkpoint loads, and is as new as the last epoch that was told`, async () => {
  const random = new Random(40, 'kills');
  const jobs = Array.from({ length: kills }, (_, i) => ({
    out: at(String(i)),
    lines: 1 + (i % 4),
    delay: random.between(0, 30),
  }));
  let [with_, without] = [0, 0];
  const lane = async (): Promise<void> => {
    for (let job = jobs.shift(); job; job = jobs.shift()) {
      const epoch = await killed(job.out, job.lines, job.delay);
      const files = fs.readdirSync(job.out);
      for (const name of ['best.safetensors', 'last.safetensors']) {
        if (!files.includes(name)) {
          expect(epoch).toBe(0); // none, because no epoch had ended
          without++;
          continue;
        }
        const { metadata, tensors } = await loadCheckpoint(path.join(job.out, name));
        expect(tensors.size).toBe(8);
        if (name === 'last.safetensors') expect(Number(metadata['epoch'])).toBeGreaterThanOrEqual(epoch);
        with_++;
      }
    }
  };
  await Promise.all([lane(), lane()]);
  expect(with_ + without).toBe(2 * kills);
  expect(with_).toBeGreaterThanOrEqual(1.5 * kills); // of those killed after an epoch
}, 240_000);

test('an epoch that takes long is saved on its way', async () => {
  const out = at('long');
  const file = path.join(out, 'last.safetensors');
  const args = ['--input-type=module', '-e', TRAINING, out, '1', '1000'];
  const child = spawn(process.execPath, args, { stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('close', resolve));
  while (!fs.existsSync(file) && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 1));
  const { metadata } = await loadCheckpoint(file);
  child.kill('SIGKILL');
  await ended;
  expect(metadata['epoch']).toBe('0');
  expect(Number(metadata['step'])).toBeGreaterThan(0);
});
