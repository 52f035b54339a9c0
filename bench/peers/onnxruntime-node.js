// onnxruntime-node: inference in float32 of the model export_onnx.py wrote. The package lives in the bench's cache.
import { createRequire } from 'node:module';
import path from 'node:path';
import { pixels } from './images.js';
import { options, serve, Skip, timed } from './protocol.js';

const o = options();
const require = createRequire(path.join(o.packages, 'package.json'));
const ort = require('onnxruntime-node');

async function prepare({ case: name, batch, precision }) {
  if (name !== 'infer') throw new Skip('runs networks, does not train them');
  if (precision !== 'fp32') throw new Skip('its CPU kernels for convolutions are float32');
  const session = await ort.InferenceSession.create(o.model, {
    intraOpNumThreads: o.threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
    executionProviders: ['cpu'],
  });
  const image = new ort.Tensor('float32', await pixels(o.data, batch, 'nchw'), [batch, 3, 224, 224]);
  const measure = (units) => timed(units, async () => (await session.run({ image }, ['logits'])).logits.data);
  await measure(3);
  return measure;
}

await serve({ 'onnxruntime-node': require('onnxruntime-node/package.json').version }, prepare);
