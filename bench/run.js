#!/usr/bin/env node
// The runner behind `npm run bench`: contenders as processes, asked in turn (A B A B ...), one results file, one table.
// Plain JavaScript, since it also runs where nothing is built yet, and is no part of the package.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CONTENDERS } from './contenders.js';
import { countImages, largeSet, subset } from './image-sets.js';
import { machine, revision, slug } from './machine.js';
import { finish, jobCase, say, servedCase } from './measure.js';
import { casesOf, THRESHOLDS } from './rows.js';
import { ratios } from './statistics.js';
import { writeTable } from './table.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const repository = path.dirname(here);

const HELP = `npm run bench -- [options]
  --rows 1,4           rows to run (default 1 to 6; 7 makes 20,000 images first)
  --peers a,b          contenders beside ours (default all): ${Object.keys(CONTENDERS).slice(1).join(', ')}
  --data <folder>      image folder (default $MNV2_DATA/ucmerced)
  --weights <file>     backbone (default $MNV2_DATA/weights/mobilenet_v2_tfslim.safetensors)
  --threads <n>        of every contender (default 2)
  --n <n>              samples of each case (default 7); --jobs <n>: of row 1 (default 3)
  --measure-epochs <n> epochs an uncached contender runs in row 1 before its time is extrapolated (default 3; 20: none)
  --cache <folder>     environments and packed images (default $MNV2_BENCH_CACHE, else below ~/.cache)
  --quick              4 images a class, 2 samples, nothing written: does everything run?
  --table              only write the table again from the newest results
$MNV2_BENCH_PYTHON names a Python with torch, pillow, numpy and safetensors.`;

const text = { type: 'string' };
const flag = { type: 'boolean', default: false };
const { values: args } = parseArgs({
  options: {
    rows: text,
    peers: text,
    data: text,
    weights: text,
    threads: text,
    n: text,
    jobs: text,
    'measure-epochs': text,
    cache: text,
    quick: flag,
    table: flag,
    help: flag,
  },
});
const fixtures = process.env.MNV2_DATA ?? '';
const quick = args.quick;
const threads = Number(args.threads ?? 2);
const n = Number(args.n ?? (quick ? 2 : 7));
const jobs = Number(args.jobs ?? (quick ? 1 : 3));
const epochs = quick ? 3 : 20;
const measureEpochs = Number(args['measure-epochs'] ?? (quick ? 2 : 3));
const weights = path.resolve(args.weights ?? path.join(fixtures, 'weights', 'mobilenet_v2_tfslim.safetensors'));
const cache = path.resolve(
  args.cache ?? process.env.MNV2_BENCH_CACHE ?? path.join(os.homedir(), '.cache', 'mnv2-torch', 'bench'),
);
const setting = { threads, device: 'cpu', weights, cache, n, jobs, epochs, measureEpochs };

function thresholds(results) {
  const verdicts = ratios(results, THRESHOLDS);
  const delay = results.find((r) => r.case === 'overhead')?.contenders.ours?.figures?.event_loop_delay_p99_ms;
  if (delay)
    verdicts.push({
      name: 'event-loop delay p99 while training, ms',
      at_most: 20,
      value: delay.median,
      held: delay.median < 20,
    });
  for (const precision of ['fp32', 'bf16']) {
    const r = results.find((x) => x.case === `reference/${precision}`)?.contenders;
    for (const [name, peer] of Object.entries(r ?? {})) {
      if (!name.startsWith('pytorch') || !r.ours) continue;
      verdicts.push({
        name: `peak memory, reference job, ${precision}, MiB`,
        against: name,
        at_most: peer.peak_memory_mib,
        value: r.ours.peak_memory_mib,
        held: r.ours.peak_memory_mib <= peer.peak_memory_mib,
      });
    }
  }
  return verdicts;
}

async function main() {
  if (args.help) return console.log(HELP);
  if (args.table) return writeTable(here);
  const source = path.resolve(args.data ?? path.join(fixtures, 'ucmerced'));
  for (const needed of [source, weights])
    if (!existsSync(needed)) throw new Error(`${needed} is not there: set MNV2_DATA, or give --data and --weights`);
  const rows = (args.rows ?? '1,2,3,4,5,6').split(',').map(Number);
  const chosen = [
    'ours',
    ...(args.peers !== undefined ? args.peers.split(',').filter(Boolean) : Object.keys(CONTENDERS).slice(1)),
  ];
  for (const name of chosen)
    if (!CONTENDERS[name])
      throw new Error(`--peers: expected some of ${Object.keys(CONTENDERS).slice(1).join(', ')}, got ${name}`);
  mkdirSync(cache, { recursive: true });
  const facts = machine();
  if (facts.load_before > 0.5) say(`the machine is busy (load ${facts.load_before.toFixed(1)}): figures will be noise`);
  const data = quick ? subset(source, 4) : source;

  const commands = new Map();
  const unavailable = {};
  const wanted = new Set(rows.flatMap((row) => casesOf(row, { images: 1 }).flatMap((c) => c.contenders)));
  for (const name of chosen.filter((c) => wanted.has(c))) {
    try {
      commands.set(name, await CONTENDERS[name](setting));
    } catch (error) {
      unavailable[name] = error.message.trim().split('\n').at(-1).slice(0, 300);
      say(`${name} skipped: ${unavailable[name]}`);
    }
  }
  const results = [];
  for (const row of rows) {
    for (const spec of casesOf(row, { images: countImages(data) })) {
      const taking = [...commands].filter(([name]) => spec.contenders.includes(name));
      const folder = spec.large ? await largeSet(cache, source, spec.large) : data;
      results.push({ row, ...finish(spec, await (spec.job ? jobCase : servedCase)(setting, spec, taking, folder)) });
    }
  }
  const verdicts = thresholds(results);
  for (const v of verdicts)
    say(
      `${v.held ? 'held' : 'NOT HELD'}: ${v.name}${v.against ? ` against ${v.against}` : ''}: ${(v.ratio ?? v.value).toFixed(2)}${v.at_least ? `x of ${v.at_least}x` : ` of at most ${v.at_most.toFixed(0)}`}`,
    );
  if (quick) {
    rmSync(data, { recursive: true, force: true });
    return say('quick: nothing written');
  }
  const date = new Date().toISOString().slice(0, 10);
  const file = path.join(here, 'results', `${date}-${slug(`${facts.cpu} ${facts.family}-${facts.model}`)}.json`);
  mkdirSync(path.dirname(file), { recursive: true });
  // A later run on the same day adds its rows to the file, and replaces those it measured again.
  const before = existsSync(file)
    ? JSON.parse(readFileSync(file, 'utf8')).results.filter((r) => !results.some((x) => x.case === r.case))
    : [];
  const stamped = results.map((r) => ({
    ...r,
    ...revision(repository),
    measured: new Date().toISOString(),
    load_before: facts.load_before,
  }));
  const all = [...before, ...stamped].sort((a, b) => a.row - b.row || a.case.localeCompare(b.case));
  writeFileSync(
    file,
    `${JSON.stringify({ machine: facts, threads, node: process.version, images: countImages(data), epochs, unavailable, results: all, thresholds: thresholds(all) }, null, 1)}\n`,
  );
  say(`wrote ${path.relative(repository, file)}`);
  writeTable(here);
}

await main().catch((error) => {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
});
