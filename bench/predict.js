#!/usr/bin/env node
// How fast files become answers: `predict` beside packing and running the same images, beside onnxruntime-node with sharp
// by hand, and 50 calls at once beside one call of 50. All in turn (A B A B ...), one results file.
//   MNV2_DATA=... node bench/predict.js [--n 5] [--images 2000] [--quick]
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CONTENDERS } from './contenders.js';
import { machine, revision, slug } from './machine.js';
import { Contender } from './processes.js';
import { pairedRatio, summary } from './statistics.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const text = { type: 'string' };
const { values: args } = parseArgs({
  options: { n: text, images: text, threads: text, quick: { type: 'boolean', default: false } },
});
const [n, count] = [Number(args.n ?? (args.quick ? 1 : 5)), Number(args.images ?? (args.quick ? 100 : 2000))];
const threads = Number(args.threads ?? 2);
const fixtures = process.env.MNV2_DATA;
if (!fixtures) throw new Error('set MNV2_DATA: the bench classifies real images');
const weights = path.join(fixtures, 'weights', 'mobilenet_v2_tfslim.safetensors');
const cache = process.env.MNV2_BENCH_CACHE ?? path.join(os.homedir(), '.cache', 'mnv2-torch', 'bench');
const say = (line) => console.error(`bench: ${line}`);

/** A folder of links to `count` images, class by class in turn; where there are fewer, they come again. */
function linked(root) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mnv2-bench-predict-'));
  const classes = readdirSync(root).sort();
  const names = new Map(classes.map((c) => [c, readdirSync(path.join(root, c)).sort()]));
  for (let i = 0; i < count; i++) {
    const name = classes[i % classes.length];
    const at = Math.floor(i / classes.length);
    const file = names.get(name)[at % names.get(name).length];
    mkdirSync(path.join(folder, name), { recursive: true });
    symlinkSync(path.join(root, name, file), path.join(folder, name, `${at}-${file}`));
  }
  return folder;
}

const data = linked(path.join(fixtures, 'ucmerced'));
const facts = machine();
const contenders = [];
const unavailable = {};
try {
  const shared = ['--data', data, '--weights', weights, '--threads', String(threads)];
  const start = (name, command) => {
    const contender = new Contender(name, [...command, ...shared], threads);
    contenders.push(contender);
    return contender;
  };
  const ours = path.join(here, 'peers', 'predict_ours.js');
  const cases = [
    { key: 'stream', images: count, units: 1, command: [process.execPath, ours] },
    { key: 'packed-then-run', images: count, units: 1, command: [process.execPath, ours] },
    { key: 'list', images: 50, units: 10, command: [process.execPath, ours] },
    { key: 'concurrent', images: 50, units: 10, command: [process.execPath, ours] },
  ];
  try {
    mkdirSync(cache, { recursive: true });
    const [node, , ...rest] = await CONTENDERS['onnxruntime-node']({ cache, weights });
    const script = path.join(here, 'peers', 'predict_onnxruntime.js');
    cases.splice(1, 0, {
      key: 'onnxruntime-node',
      request: 'stream',
      images: count,
      units: 1,
      command: [node, script, ...rest],
    });
  } catch (error) {
    unavailable['onnxruntime-node'] = error.message.trim().split('\n').at(-1).slice(0, 300);
    say(`onnxruntime-node skipped: ${unavailable['onnxruntime-node']}`);
  }
  const measured = new Map();
  for (const { key, request = key, command } of cases) {
    const contender = start(key, command);
    const hello = await contender.next(120);
    const ready = hello.type === 'hello' ? await contender.ask({ op: 'prepare', case: request }, 300) : hello;
    if (ready.type === 'ready') measured.set(key, { contender, versions: hello.versions, samples: [], figures: {} });
    else unavailable[key] = ready.reason;
  }
  for (let round = 0; round < n; round++) {
    for (const { key, units, images } of cases) {
      const m = measured.get(key);
      if (!m) continue;
      const sample = await m.contender.ask({ op: 'measure', units }, 1200);
      if (sample.type !== 'sample') throw new Error(`${key}: ${sample.reason}`);
      const { seconds, type: _type, peakMiB, ...figures } = sample;
      m.peak_memory_mib = peakMiB;
      m.samples.push(...seconds);
      for (const [name, value] of Object.entries(figures)) (m.figures[name] ??= []).push(value);
      say(
        `round ${round + 1}, ${key}: ${((1000 * seconds.reduce((a, s) => a + s, 0)) / seconds.length / images).toFixed(2)} ms an image`,
      );
    }
  }
  const results = cases.flatMap(({ key, images }) => {
    const m = measured.get(key);
    if (!m) return [];
    const { versions, samples, figures, peak_memory_mib } = m;
    const { median, ...rest } = summary(samples);
    return [
      {
        case: key,
        images,
        ...rest,
        median,
        images_per_second: images / median,
        peak_memory_mib,
        ...(Object.keys(figures).length > 0 && {
          figures: Object.fromEntries(Object.entries(figures).map(([name, values]) => [name, summary(values)])),
        }),
        versions,
        samples,
      },
    ];
  });
  const ratio = (name, ours, peer, atLeast) => {
    const [a, b] = [measured.get(ours), measured.get(peer)];
    if (!a || !b) return [];
    const paired = pairedRatio(a.samples, b.samples);
    return [{ name, at_least: atLeast, ratio: paired, held: paired.median >= atLeast }];
  };
  const delays = measured.get('stream')?.figures.event_loop_delay_p99_ms ?? [];
  const thresholds = [
    ...ratio('predict, over packing and then running the same images', 'stream', 'packed-then-run', 1),
    ...ratio('predict, over onnxruntime-node with sharp by hand', 'stream', 'onnxruntime-node', 1),
    ...ratio('50 calls at once, over one call of 50', 'concurrent', 'list', 0.9),
    ...(delays.length > 0
      ? [
          {
            name: 'event-loop delay p99 at full load, ms',
            at_most: 20,
            value: summary(delays),
            held: summary(delays).median < 20,
          },
        ]
      : []),
  ];
  for (const t of thresholds)
    say(
      `${t.held ? 'held' : 'NOT HELD'}: ${t.name}: ${(t.ratio ?? t.value).median.toFixed(2)} of ${t.at_least ? `at least ${t.at_least}` : `at most ${t.at_most}`}`,
    );
  if (!args.quick) {
    const folder = path.join(here, 'results', 'predict');
    mkdirSync(folder, { recursive: true });
    const date = new Date().toISOString().slice(0, 10);
    const file = path.join(folder, `${date}-${slug(`${facts.cpu} ${facts.family}-${facts.model}`)}.json`);
    const report = {
      machine: { ...facts, load_after: os.loadavg()[0] },
      threads,
      node: process.version,
      ...revision(path.dirname(here)),
      unavailable,
      results,
      thresholds,
    };
    writeFileSync(file, `${JSON.stringify(report, null, 1)}\n`);
    say(`wrote ${path.relative(path.dirname(here), file)}`);
  }
} finally {
  await Promise.all(contenders.map((c) => c.end()));
  rmSync(data, { recursive: true, force: true });
}
