// The package classifying picture files: as a stream, packed first and then run, and 50 at a time.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import {
  Classifier,
  compile,
  Engine,
  ImageFolder,
  input,
  loadCheckpoint,
  loadWeights,
  MobileNetV2,
} from '../../dist/index.js';
import { softmax, Weights } from '../../dist/index.js';
import { pixelScaling } from '../../dist/weights/preprocess.js';
import { files } from './predict_files.js';
import { options } from './protocol.js';
import { serveOurs } from './serve_ours.js';

const o = options();
/** Images one run takes, as for Classifier. */
const BATCH = 16;
const AT_ONCE = 50;
const seconds = async (work) => {
  const since = performance.now();
  await work();
  return (performance.now() - since) / 1000;
};
const checkpoint = await loadCheckpoint(o.weights);
const classes = Array.from({ length: 21 }, (_, i) => `class ${i}`);

async function classifier() {
  const model = MobileNetV2({ ...checkpoint.options, numClasses: classes.length });
  const tensors = new Map([...model.state(0)].map((t) => [t.name, t]));
  for (const [name, tensor] of checkpoint.tensors) tensors.set(name, tensor);
  const { metadata, preprocess } = checkpoint;
  const complete = {
    file: o.weights,
    tensors,
    metadata,
    arch: 'mobilenet_v2',
    options: {},
    classes,
    preprocess,
    model,
  };
  return Classifier.from(complete, { threads: o.threads });
}

/** A process that does nothing but watch its own event loop: what it waits, anyone on this machine does. */
function idleBeside() {
  const code = `const d = require('node:perf_hooks').monitorEventLoopDelay({ resolution: 1 }); d.enable();
    process.stdin.on('end', () => console.log(d.percentile(99) / 1e6)).resume();`;
  const child = spawn(process.execPath, ['-e', code], { stdio: ['pipe', 'pipe', 'inherit'] });
  return async () => {
    child.stdin.end();
    const [chunk] = await once(child.stdout, 'data');
    return Number(chunk);
  };
}

/** Files to labels, and how long the event loop was held up meanwhile. */
async function stream() {
  const it = await classifier();
  const all = files(o.data);
  await it.classify(all.slice(0, 64));
  return async () => {
    const delay = monitorEventLoopDelay({ resolution: 1 });
    const idle = idleBeside();
    delay.enable();
    const took = await seconds(async () => {
      for await (const { ok, item } of it.stream(all)) if (!ok) throw new Error(`${item} cannot be read`);
    });
    delay.disable();
    const p99 = delay.percentile(99) / 1e6;
    return { seconds: [took], event_loop_delay_p99_ms: p99, idle_process_delay_p99_ms: await idle() };
  };
}

/** The same images packed, and then through the network from the pack: two passes, each with all cores. */
async function packedThenRun() {
  const engine = new Engine({ threads: o.threads });
  const model = MobileNetV2({ ...checkpoint.options, numClasses: classes.length });
  const weights = await Weights.init(model, { engine });
  await loadWeights(weights, model, checkpoint.tensors, { source: o.weights });
  const program = compile({ p: softmax(model.eval().call(input('image', [-1, 3, 224, 224]))) }, { weights });
  return async () => {
    let data;
    const pack = await seconds(async () => {
      data = await ImageFolder.open(o.data, { size: 224, cache: 'off' });
      await data.packed(data.files.length);
    });
    const order = Int32Array.from(data.files, (_, i) => i);
    const bind = { image: { images: data.store, ...pixelScaling(checkpoint.preprocess) } };
    const run = await seconds(() => program.loop({ order, batchSize: BATCH, bind, rows: ['p'] }));
    await data.ready();
    data.dispose();
    return { seconds: [pack + run], pack_seconds: pack, run_seconds: run };
  };
}

/** So many calls at once, or one call of as many: seconds of one lot. */
const lots = (at) => async () => {
  const it = await classifier();
  const all = files(o.data).slice(0, AT_ONCE);
  await at(it, all);
  return async (units) => {
    const taken = [];
    for (let i = 0; i < units; i++) taken.push(await seconds(() => at(it, all)));
    return { seconds: taken };
  };
};

const CASES = {
  stream,
  'packed-then-run': packedThenRun,
  list: lots((it, all) => it.classify(all)),
  concurrent: lots((it, all) => Promise.all(all.map((file) => it.classify(file)))),
};
await serveOurs(CASES);
