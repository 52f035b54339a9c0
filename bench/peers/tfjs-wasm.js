// TensorFlow.js with its WebAssembly backend: inference in float32, the network built layer by layer, BatchNorm folded.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pixels } from './images.js';
import { options, serve, Skip, timed } from './protocol.js';

const o = options();
const require = createRequire(path.join(o.packages, 'package.json'));
const tf = require('@tensorflow/tfjs-core');
const layers = require('@tensorflow/tfjs-layers');
const wasm = require('@tensorflow/tfjs-backend-wasm');
const SETTING = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
];

/** name -> { shape, data } of a float32 safetensors file. */
function tensorsOf(file) {
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
  const read = ({ shape, data_offsets: [start, end] }) => ({
    shape,
    data: new Float32Array(Uint8Array.from(bytes.subarray(8 + length + start, 8 + length + end)).buffer),
  });
  return new Map(
    Object.entries(header)
      .filter(([, t]) => t.dtype === 'F32')
      .map(([name, t]) => [name, read(t)]),
  );
}

function network() {
  const tensors = tensorsOf(o.weights);
  const pending = [];
  const conv = (x, weight, norm, strides = 1, relu6 = true) => {
    const {
      shape: [cout, cin, k],
      data,
    } = tensors.get(`${weight}.weight`);
    const [gamma, beta, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var'].map(
      (n) => tensors.get(`${norm}.${n}`).data,
    );
    const scale = gamma.map((g, i) => g / Math.sqrt(variance[i] + 1e-3));
    const folded = data.map((v, i) => v * scale[Math.floor(i / (cin * k * k))]);
    const depthwise = cin === 1;
    const common = { kernelSize: k, strides, padding: 'same' };
    const layer = depthwise
      ? layers.layers.depthwiseConv2d(common)
      : layers.layers.conv2d({ ...common, filters: cout });
    const y = layer.apply(x);
    const kernel = tf.tidy(() =>
      tf.transpose(tf.tensor(folded, [cout, cin, k, k]), depthwise ? [2, 3, 0, 1] : [2, 3, 1, 0]),
    );
    pending.push([layer, [kernel, tf.tensor1d(beta.map((b, i) => b - mean[i] * scale[i]))]]);
    return relu6 ? layers.layers.reLU({ maxValue: 6 }).apply(y) : y;
  };
  const image = layers.input({ shape: [224, 224, 3] });
  let x = conv(image, 'features.0.0', 'features.0.1', 2);
  let [channels, block] = [32, 1];
  for (const [t, c, n, s] of SETTING) {
    for (let i = 0; i < n; i++, block++) {
      const [start, stride, prefix] = [x, i === 0 ? s : 1, `features.${block}.conv`];
      const at = t === 1 ? 0 : 1;
      if (at) x = conv(x, `${prefix}.0.0`, `${prefix}.0.1`);
      x = conv(x, `${prefix}.${at}.0`, `${prefix}.${at}.1`, stride);
      x = conv(x, `${prefix}.${at + 1}`, `${prefix}.${at + 2}`, 1, false);
      if (stride === 1 && channels === c) x = layers.layers.add().apply([start, x]);
      channels = c;
    }
  }
  x = layers.layers.globalAveragePooling2d({}).apply(conv(x, 'features.18.0', 'features.18.1'));
  const model = layers.model({ inputs: image, outputs: layers.layers.dense({ units: 21 }).apply(x) });
  for (const [layer, values] of pending) layer.setWeights(values);
  return model;
}

async function prepare({ case: name, batch, precision }) {
  if (name !== 'infer') throw new Skip('its WebAssembly backend has no gradients for depthwise convolutions');
  if (precision !== 'fp32') throw new Skip('float32 only');
  wasm.setWasmPaths(`${path.dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json'))}/wasm-out/`);
  await tf.setBackend('wasm');
  await tf.ready();
  const model = network();
  const image = tf.tensor4d(await pixels(o.data, batch, 'nhwc'), [batch, 224, 224, 3]);
  const measure = (units) =>
    timed(units, async () => {
      const logits = model.predict(image, { batchSize: batch });
      await logits.data();
      logits.dispose();
    });
  await measure(2);
  return measure;
}

const version = (name) => require(`@tensorflow/${name}/package.json`).version;
await serve(
  {
    'tfjs-core': version('tfjs-core'),
    'tfjs-backend-wasm': version('tfjs-backend-wasm'),
    note: 'SIMD; one thread, as the backend has no threads in Node',
  },
  prepare,
);
