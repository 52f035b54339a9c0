// onnxruntime-node and sharp as a careful person writes them by hand: batches of 16, the next one decoded while one runs.
import { createRequire } from 'node:module';
import path from 'node:path';
import { files } from './predict_files.js';
import { options, serve, Skip } from './protocol.js';

const o = options();
const require = createRequire(path.join(o.packages, 'package.json'));
const ort = require('onnxruntime-node');
const sharp = (await import('sharp')).default;
const [SIZE, BATCH] = [224, 16];
const AREA = SIZE * SIZE;

/** [n, 3, 224, 224] float32, x/127.5 - 1. */
async function batchOf(some) {
  const out = new Float32Array(some.length * 3 * AREA);
  await Promise.all(
    some.map(async (file, n) => {
      const image = sharp(file).autoOrient().removeAlpha().toColourspace('srgb');
      const pixels = await image.resize(SIZE, SIZE, { fit: 'fill', kernel: 'linear' }).raw().toBuffer();
      for (let c = 0; c < 3; c++) {
        const plane = (n * 3 + c) * AREA;
        for (let p = 0; p < AREA; p++) out[plane + p] = pixels[p * 3 + c] / 127.5 - 1;
      }
    }),
  );
  return new ort.Tensor('float32', out, [some.length, 3, SIZE, SIZE]);
}

async function prepare({ case: name }) {
  if (name !== 'stream') throw new Skip('classifies files');
  sharp.concurrency(1);
  const session = await ort.InferenceSession.create(o.model, {
    intraOpNumThreads: o.threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
    executionProviders: ['cpu'],
  });
  const all = files(o.data);
  const measure = async (of) => {
    const since = performance.now();
    const labels = [];
    let next = batchOf(of.slice(0, BATCH));
    for (let at = 0; at < of.length; at += BATCH) {
      const image = await next;
      next = at + BATCH < of.length ? batchOf(of.slice(at + BATCH, at + 2 * BATCH)) : undefined;
      const { data, dims } = (await session.run({ image }, ['logits'])).logits;
      for (let i = 0; i < dims[0]; i++) {
        const row = data.subarray(i * dims[1], (i + 1) * dims[1]);
        labels.push(row.indexOf(Math.max(...row)));
      }
    }
    return { seconds: [(performance.now() - since) / 1000], images: labels.length };
  };
  await measure(all.slice(0, 64));
  return () => measure(all);
}

await serve(
  { 'onnxruntime-node': require('onnxruntime-node/package.json').version, sharp: sharp.versions.sharp },
  prepare,
);
