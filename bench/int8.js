#!/usr/bin/env node
// Inference in int8: the package's int8 and float32 networks, and onnxruntime on the exported QDQ file, in turn
// (A B C A B C ...), at batch 64 and 1, 224 px. Weights are random: what is timed does not depend on them.
//   PYTHON=python3 node bench/int8.js [--n 7] [--threads 2] [--arch mobilenet_v2] [--quick]
// The peer needs Python with onnxruntime; without it, or without TensorFlow, that peer is skipped by name.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import {
  compile,
  completeCheckpoint,
  createModel,
  Engine,
  ImageStore,
  input,
  loadCheckpoint,
  quantize,
  tensorData,
  Weights,
  writeSafetensors,
} from '../dist/index.js';
import { native } from '../dist/native/load.js';
import { checkpointMetadata } from '../dist/weights/checkpoint.js';
import { machine, revision, slug } from './machine.js';
import { Contender } from './processes.js';
import { pairedRatio, summary } from './statistics.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const text = { type: 'string' };
const { values: args } = parseArgs({
  options: { n: text, threads: text, arch: text, quick: { type: 'boolean', default: false } },
});
const n = Number(args.n ?? (args.quick ? 2 : 7));
const threads = Number(args.threads ?? 2);
const archs = args.arch ? [args.arch] : ['mobilenet_v2', 'mobilenet_v1'];
const size = 224;
const say = (line) => console.error(`bench: ${line}`);
const pixels = (count) => Float32Array.from({ length: count }, (_, i) => Math.sin(0.7 * i));
const python = process.env.PYTHON ?? 'python3';
const folder = mkdtempSync(path.join(os.tmpdir(), 'mnv2-bench-int8-'));

/** Checkpoints of an architecture in float32 and int8, and the QDQ file of the latter. */
async function files(arch) {
  const model = createModel(arch, { numClasses: 21 });
  const at = (name) => path.join(folder, `${arch}.${name}`);
  const classes = Array.from({ length: 21 }, (_, i) => `class${i}`);
  const metadata = checkpointMetadata(model, classes, { size, scale: 'x/127.5-1' });
  await writeSafetensors(at('safetensors'), new Map([...model.state(1)].map((t) => [t.name, t])), metadata);
  const float = completeCheckpoint(await loadCheckpoint(at('safetensors')));
  const store = new ImageStore({ count: 4, height: size, width: size, channels: 3 });
  for (let i = 0; i < 4; i++)
    store.put(
      i,
      Uint8Array.from(pixels(size * size * 3), (v) => 127 + 90 * v),
    );
  const int8 = await quantize(float, { store, method: 'minmax' });
  await int8.save(at('int8.safetensors'));
  const cli = path.join(here, '..', 'bin', 'mnv2-torch.js');
  execFileSync(process.execPath, [cli, 'export', at('int8.safetensors'), '--raw', '-o', at('onnx')], { stdio: 'pipe' });
  return { float, int8: int8.checkpoint, onnx: at('onnx') };
}

const engine = new Engine({ device: 'cpu', threads });
/** Calls of a checkpoint's network: seconds of `repeats` of them. */
async function ours({ model, tensors }, batch) {
  const weights = await Weights.init({ state: () => [...tensors].map(([name, t]) => ({ name, ...t })) }, { engine });
  const program = compile({ y: model.eval().call(input('image', [-1, 3, size, size])) }, { weights });
  const image = tensorData(pixels(batch * 3 * size * size), [batch, 3, size, size]);
  return {
    async measure(repeats) {
      const from = process.hrtime.bigint();
      for (let i = 0; i < repeats; i++) await program.run({ image });
      return Number(process.hrtime.bigint() - from) / 1e9 / repeats;
    },
    end() {
      program.dispose();
      weights.dispose();
    },
  };
}

/** onnxruntime in a process of its own, or why not. */
async function onnxruntime(file, batch) {
  const script = path.join(here, 'peers', 'int8_onnxruntime.py');
  const peer = new Contender('onnxruntime', [python, script, file, String(batch), String(threads)], threads);
  const hello = await peer.next(120);
  if (hello.type !== 'hello') throw new Error(hello.reason);
  return {
    versions: hello.versions,
    measure: async (repeats) => (await peer.ask({ op: 'measure', repeats }, 300)).seconds,
    end: () => peer.ask({ op: 'end' }, 10),
  };
}

const facts = { ...machine(), int8: native().buildInfo().int8 };
const unavailable = {
  'tensorflow-lite-xnnpack': 'not part of this bench yet: TensorFlow was not to be had where it was written',
};
const results = [];
const TARGETS = { 64: { float32: 2, onnxruntime: 1.3 }, 1: { float32: 1.6, onnxruntime: 1.3 } };
try {
  for (const arch of archs) {
    const made = await files(arch);
    for (const batch of [64, 1]) {
      const contenders = new Map([
        ['int8', await ours(made.int8, batch)],
        ['float32', await ours(made.float, batch)],
      ]);
      try {
        contenders.set('onnxruntime', await onnxruntime(made.onnx, batch));
      } catch (error) {
        unavailable.onnxruntime = error.message;
        say(`onnxruntime skipped: ${error.message}`);
      }
      const samples = new Map([...contenders.keys()].map((name) => [name, []]));
      const repeats = batch === 1 ? 60 : 3;
      for (const contender of contenders.values()) await contender.measure(batch === 1 ? 20 : 1);
      for (let round = 0; round < n; round++)
        for (const [name, contender] of contenders) samples.get(name).push(await contender.measure(repeats));
      for (const [name, values] of samples) {
        const ratio = name === 'int8' ? undefined : pairedRatio(samples.get('int8'), values);
        const at_least = TARGETS[batch][name];
        const held = ratio && ratio.median >= at_least;
        results.push({ arch, batch, contender: name, ...summary(values), ratio, at_least, held, samples: values });
        const { median, min, max } = summary(values);
        say(
          `${arch} batch ${batch} ${name}: ${(1000 * median).toFixed(2)} ms (${(1000 * min).toFixed(2)} to ${(1000 * max).toFixed(2)})` +
            (ratio
              ? `, ${ratio.median.toFixed(2)}x of int8's, at least ${at_least}: ${held ? 'held' : 'NOT HELD'}`
              : ''),
        );
      }
      facts.onnxruntime ??= contenders.get('onnxruntime')?.versions;
      for (const contender of contenders.values()) await contender.end();
    }
  }
  if (!args.quick) {
    const into = path.join(here, 'results', 'int8');
    mkdirSync(into, { recursive: true });
    const name = `${new Date().toISOString().slice(0, 10)}-${slug(`${facts.cpu} ${facts.family}-${facts.model}`)}.json`;
    facts.load_after = os.loadavg()[0];
    const { libtorchRuntime: libtorch } = native().buildInfo();
    const report = {
      machine: facts,
      threads,
      libtorch,
      node: process.version,
      ...revision(path.join(here, '..')),
      unavailable,
      results,
    };
    writeFileSync(path.join(into, name), `${JSON.stringify(report, null, 2)}\n`);
    say(path.join('results', 'int8', name));
  }
} finally {
  engine.dispose();
  rmSync(folder, { recursive: true, force: true });
}
