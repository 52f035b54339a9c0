// The package itself, as a peer among peers: its built library, the cases of every row. The reference job is its command line.
import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import path from 'node:path';
import {
  compile,
  Engine,
  ImageFolder,
  input,
  loadCheckpoint,
  loadWeights,
  MobileNetV2,
  relu,
  RowStore,
  sgd,
  tensorData,
  Trainer,
  Weights,
} from '../../dist/index.js';
import { pixelScaling } from '../../dist/weights/preprocess.js';
import { FrozenFeatures } from '../../dist/train/features.js';
import { trainingGraphs } from '../../dist/train/network.js';
import { PLAIN } from '../../dist/train/task.js';
import { pixels } from './images.js';
import { options, timed } from './protocol.js';
import { serveOurs } from './serve_ours.js';

const o = options();
const engine = new Engine({ device: o.device ?? 'cpu', threads: o.threads });
const cuda = engine.device !== 'cpu';
const SCALING = pixelScaling({ size: 224, scale: 'x/127.5-1' });
/** Images one run takes in the throughput row: fastest per image, as for Classifier. */
const CHUNK = 16;

/** Steps before the first sample; on CUDA a step is captured at the fourth, and each image is sent to the device once. */
const WARM_UP = cuda ? 8 : 2;

const openFolder = (extra = {}) =>
  ImageFolder.open(o.data, { size: 224, cacheDir: path.join(o.cache, 'packs'), ...extra });

/** The network with the pretrained backbone, and its values on the engine. */
async function network(classes, frozen = 0) {
  const checkpoint = await loadCheckpoint(o.weights);
  const model = MobileNetV2({ ...checkpoint.options, numClasses: classes });
  if (frozen) model.freezeBackbone(frozen);
  const weights = await Weights.init(model, { engine, seed: 0 });
  await loadWeights(weights, model, checkpoint.tensors, { source: o.weights });
  return { model, weights };
}

async function trainStep({ batch, precision, frozen, images }) {
  const data = await openFolder();
  await data.ready();
  const { model, weights } = await network(data.classes.length, frozen);
  const graphs = trainingGraphs(model, 224, data.classes.length, PLAIN, frozen > 0);
  const rows = Int32Array.from({ length: images ?? Math.max(batch * 4, 64) }, (_, i) => (i * 997) % data.files.length);
  const store = { store: data.store, ...SCALING };
  const count = data.files.length;
  let bind = { image: { images: store.store, scale: store.scale, shift: store.shift } };
  if (frozen) {
    const features = new FrozenFeatures({
      prefix: graphs.train.prefix,
      weights,
      precision,
      images: store,
      count,
      views: 0,
      seed: 0,
    });
    await features.compute(rows, 0, undefined, undefined, () => {});
    features.finish();
    bind = features.bindings(0);
  }
  const labels = await RowStore.from(
    engine,
    BigInt64Array.from(data.labels, (l) => BigInt(l)),
    [count],
    'int64',
  );
  const program = compile(graphs.train.suffix, {
    weights,
    precision,
    train: { loss: 'loss', parameters: graphs.trainable, optimizer: sgd({ momentum: 0.9 }) },
  });
  const measure = async (units) => {
    const order = Int32Array.from({ length: units * batch }, (_, i) => rows[i % rows.length]);
    const start = performance.now();
    const { cudaGraph } = await program.loop({
      order,
      batchSize: batch,
      bind: { label: { rows: labels }, ...bind },
      stack: ['loss', 'correct'],
      lr: 1e-3,
      finite: 'loss',
    });
    return { seconds: new Array(units).fill((performance.now() - start) / 1000 / units), cudaGraph };
  };
  await measure(WARM_UP);
  return measure;
}

async function infer({ batch, precision }) {
  const { model, weights } = await network(21);
  const program = compile({ logits: model.eval().call(input('image', [-1, 3, 224, 224])) }, { weights, precision });
  if (cuda) return inferOnDevice(program, batch);
  const all = await pixels(o.data, batch, 'nchw');
  const size = 3 * 224 * 224;
  const feeds = [];
  for (let at = 0; at < batch; at += CHUNK) {
    const n = Math.min(CHUNK, batch - at);
    feeds.push({
      image: { data: all.subarray(at * size, (at + n) * size), shape: [n, 3, 224, 224], dtype: 'float32' },
    });
  }
  const measure = (units) => timed(units, () => Promise.all(feeds.map((f) => program.run(f))));
  await measure(3);
  return measure;
}

/** From packed images on the device to logits in host memory: sending float32 pixels would take longer than the network. */
async function inferOnDevice(program, batch) {
  const data = await openFolder();
  await data.ready();
  const bind = { image: { images: data.store, ...SCALING } };
  const measure = async (units) => {
    const order = Int32Array.from({ length: units * batch }, (_, i) => ((i % batch) * 997) % data.files.length);
    const start = performance.now();
    const { cudaGraph } = await program.loop({ order, batchSize: batch, bind, rows: ['logits'] });
    return { seconds: new Array(units).fill((performance.now() - start) / 1000 / units), cudaGraph };
  };
  await measure(WARM_UP);
  return measure;
}

async function decode({ cached }) {
  if (cached) await (await openFolder()).ready();
  return (units) =>
    timed(units, async () => {
      const data = await openFolder(cached ? {} : { cache: 'off' });
      await data.ready();
      data.dispose();
    });
}

/** Round trips in microseconds, main-thread time a step, and event-loop delay while a full fine-tune runs. */
async function overhead() {
  const empty = compile({ y: relu(input('x', [1])) }, { engine });
  const x = tensorData([1]);
  const data = await openFolder();
  await data.ready();
  const checkpoint = await loadCheckpoint(o.weights);
  return async (units) => {
    const ping = await timed(1000, () => engine.ping());
    const run = await timed(1000, () => empty.run({ x }));
    const delay = monitorEventLoopDelay({ resolution: 1 });
    const model = MobileNetV2({ ...checkpoint.options, numClasses: data.classes.length });
    const controller = new AbortController();
    const trainer = new Trainer(model, data, {
      weights: checkpoint,
      epochs: 1000,
      batchSize: 16,
      threads: o.threads,
      signal: controller.signal,
    });
    // Two spans of steps: the delay's own timer would count as main-thread time. What it takes to begin is in neither.
    let [phase, since, before, perStep] = ['begin', 0, undefined, 0];
    for await (const event of trainer) {
      if (event.event !== 'progress' || event.phase !== 'train') continue;
      const done = (event.epoch - 1) * event.total + event.done;
      if (phase === 'begin') {
        before = performance.eventLoopUtilization();
        [phase, since] = ['time', done];
      } else if (phase === 'time' && done - since >= units) {
        perStep = performance.eventLoopUtilization(before).active / (done - since);
        delay.enable();
        [phase, since] = ['delay', done];
      } else if (phase === 'delay' && done - since >= units) {
        delay.disable();
        controller.abort();
        const pick = (s) => [...s].sort((a, b) => a - b)[Math.floor(s.length / 2)] * 1e6;
        return {
          figures: {
            ping_us: pick(ping),
            empty_program_us: pick(run),
            javascript_ms_per_step: perStep,
            event_loop_delay_p99_ms: delay.percentile(99) / 1e6,
          },
        };
      }
    }
    throw new Error(`the training ended before ${units} steps were seen`);
  };
}

/** Peak memory of reading a folder of any size and taking some full fine-tuning steps from it. */
async function grow(request) {
  return async () => {
    const measure = await trainStep({ batch: 16, precision: 'fp32', frozen: 0, images: request.images });
    await measure(4);
    const status = readFileSync('/proc/self/status', 'utf8');
    const mib = (key) => Number(new RegExp(`${key}:\\s+(\\d+)`).exec(status)[1]) / 1024;
    return { figures: { peak_mib: mib('VmHWM'), anonymous_mib: mib('RssAnon') } };
  };
}

const CASES = { 'train-step': trainStep, infer, decode, overhead, grow };
await serveOurs(CASES);
