// Out of memory in the first epoch: smaller batches, the same updates. In a process with little address space.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { TorchError } from 'mnv2-torch';
import { smallerBatch } from '../../dist/train/batch-fit.js';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('batch-fit');
const full = new TorchError('out of memory', 'OUT_OF_MEMORY');

test('half of the batch at most, and the update as it was', () => {
  expect(smallerBatch(full, { batchSize: 64, accumulate: 1 })).toEqual({ batchSize: 32, accumulate: 2 });
  expect(smallerBatch(full, { batchSize: 32, accumulate: 2 })).toEqual({ batchSize: 16, accumulate: 4 });
  expect(smallerBatch(full, { batchSize: 15, accumulate: 1 })).toEqual({ batchSize: 5, accumulate: 3 });
  expect(smallerBatch(full, { batchSize: 7, accumulate: 2 })).toEqual({ batchSize: 2, accumulate: 7 });
  expect(smallerBatch(full, { batchSize: 1, accumulate: 8 })).toBeUndefined();
  expect(smallerBatch(new TorchError('broken', 'TORCH'), { batchSize: 64, accumulate: 1 })).toBeUndefined();
});

/** Trains an epoch on images of noise; prints notes and images a step. */
const TRAINING = `
  import { ImageStore, MobileNetV2, Trainer } from 'mnv2-torch';
  const [out, batchSize, accumulate] = [process.argv[1], Number(process.argv[2]), Number(process.argv[3])];
  const count = 260, size = 128;
  const rows = Int32Array.from({ length: count }, (_, i) => i);
  const store = new ImageStore({ count, height: size, width: size, channels: 3 });
  for (const i of rows) store.put(i, Uint8Array.from({ length: 3 * size * size }, (_, k) => (k * 37 + i * 101) % 256));
  const split = { train: rows.subarray(0, 256), val: rows.subarray(256), test: rows.subarray(count), seed: 0, ratio: 0.1 };
  const data = {
    classes: ['a', 'b'], files: [...rows].map(String), labels: rows.map((i) => i % 2), size, store,
    skipped: [], damaged: [], notes: [], packed: async () => {}, ready: async () => split, dispose() {},
  };
  const model = MobileNetV2({ numClasses: 2 });
  const options = { epochs: 1, batchSize, accumulate, headEpochs: 0, threads: 1, out, cache: 'off' };
  for await (const e of new Trainer(model, data, options)) if (e.event === 'start') for (const note of e.notes) console.log(note);`;

test('a step that does not fit is made of smaller ones, and the training is the one they would have made', () => {
  const train = (limit: string, name: string, batchSize: number, accumulate: number) =>
    spawnSync(
      'sh',
      [
        ...['-c', `ulimit -v ${limit}; exec "$0" "$@"`, process.execPath, '--input-type=module', '-e', TRAINING],
        ...[at(name), String(batchSize), String(accumulate)],
      ],
      { encoding: 'utf8', timeout: 240_000, killSignal: 'SIGKILL' },
    );
  const tight = train('5000000', 'tight', 256, 1);
  expect(tight).toMatchObject({ status: 0, stderr: '' });
  expect(tight.stdout).toMatch(/^out of memory with 256 images a step: it begins again with 128, 2 steps an update/);
  const config = JSON.parse(fs.readFileSync(at('tight', 'config.json'), 'utf8')) as Record<string, number>;
  expect(config['batchSize']! * config['accumulate']!).toBe(256);
  expect(config['batchSize']!).toBeLessThan(256);
  const roomy = train('unlimited', 'roomy', config['batchSize']!, config['accumulate']!);
  expect(roomy).toMatchObject({ status: 0, stdout: '' });
  for (const file of ['best.safetensors', 'last.safetensors'])
    expect(fs.readFileSync(path.join(at('tight'), file)).equals(fs.readFileSync(path.join(at('roomy'), file)))).toBe(
      true,
    );
}, 500_000);
