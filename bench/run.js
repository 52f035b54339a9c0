#!/usr/bin/env node
// The runner behind `npm run bench`: contenders as processes, asked in turn (A B A B ...), one results file, one table.
// Plain JavaScript, since it also runs where nothing is built yet, and is no part of the package.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CONTENDERS } from './contenders.js';
import { Contender, wholeProcess } from './processes.js';
import { casesOf, THRESHOLDS } from './rows.js';
import { pairedRatio, quantile, summary } from './statistics.js';
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
  options: { rows: text, peers: text, data: text, weights: text, threads: text, n: text, jobs: text, 'measure-epochs': text, cache: text, quick: flag, table: flag, help: flag },
});
const fixtures = process.env.MNV2_DATA ?? '';
const quick = args.quick;
const threads = Number(args.threads ?? 2);
const n = Number(args.n ?? (quick ? 2 : 7));
const jobs = Number(args.jobs ?? (quick ? 1 : 3));
const epochs = quick ? 3 : 20;
const measureEpochs = Number(args['measure-epochs'] ?? (quick ? 2 : 3));
const weights = path.resolve(args.weights ?? path.join(fixtures, 'weights', 'mobilenet_v2_tfslim.safetensors'));
const cache = path.resolve(args.cache ?? process.env.MNV2_BENCH_CACHE ?? path.join(os.homedir(), '.cache', 'mnv2-torch', 'bench'));
const say = (line) => console.error(`bench: ${line}`);

/** A folder of links to `perClass` images of each class. */
function subset(root, perClass) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mnv2-bench-data-'));
  for (const name of readdirSync(root)) {
    mkdirSync(path.join(folder, name));
    for (const file of readdirSync(path.join(root, name)).sort().slice(0, perClass)) symlinkSync(path.join(root, name, file), path.join(folder, name, file));
  }
  return folder;
}

const countImages = (root) => readdirSync(root).reduce((sum, name) => sum + readdirSync(path.join(root, name)).length, 0);

/** A set of any size: the images repeated, each copy turned, mirrored and made a little lighter or darker. */
async function largeSet(root, count) {
  const folder = path.join(cache, `images-${count}`);
  if (existsSync(path.join(folder, 'complete'))) return path.join(folder, 'set');
  const sharp = (await import('sharp')).default;
  const files = readdirSync(root).flatMap((name) => readdirSync(path.join(root, name)).map((f) => [name, f]));
  for (const name of readdirSync(root)) mkdirSync(path.join(folder, 'set', name), { recursive: true });
  for (let i = 0; i < count; i += 8) {
    await Promise.all(Array.from({ length: Math.min(8, count - i) }, async (_, k) => {
      const [[name, file], copy] = [files[(i + k) % files.length], Math.floor((i + k) / files.length)];
      const image = sharp(path.join(root, name, file)).rotate(90 * (copy % 4)).flop(copy % 8 > 3).modulate({ brightness: 1 + 0.01 * (copy % 10) });
      await image.jpeg({ quality: 92 }).toFile(path.join(folder, 'set', name, `${copy}-${path.parse(file).name}.jpg`));
    }));
  }
  writeFileSync(path.join(folder, 'complete'), '');
  return path.join(folder, 'set');
}

/** One whole job; uncached contenders may run fewer epochs and have the rest added at the median epoch's time. */
async function job(name, command, spec, data) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mnv2-bench-job-'));
  try {
    let result;
    if (name === 'ours') {
      const cli = [process.execPath, path.join(repository, 'bin', 'mnv2-torch.js'), 'train', data, '--weights', weights, '--freeze', 'features', '--epochs', String(epochs),
        '--batch-size', '16', '--precision', spec.precision, '--threads', String(threads), '--device', 'cpu', '--json', '--quiet', '--out', path.join(folder, 'run')];
      result = await wholeProcess(cli, threads, { XDG_CACHE_HOME: path.join(folder, 'cache') }); // a cold start: nothing packed before
      result.done = result.messages.find((m) => m.event === 'done');
      result.accuracy = result.messages.filter((m) => m.event === 'epoch').at(-1)?.valid.accuracy;
      if (!existsSync(path.join(folder, 'run', 'best.safetensors'))) result.done = undefined;
    } else {
      const few = name !== 'pytorch-cached' && measureEpochs < epochs;
      const peer = [...command.slice(0, 2), 'job', ...command.slice(2), '--data', data, '--weights', weights, '--threads', String(threads), '--cache', path.join(cache, name),
        '--precision', spec.precision, '--epochs', String(epochs), '--measure-epochs', String(few ? measureEpochs : 0), '--out', path.join(folder, 'checkpoint.safetensors')];
      result = await wholeProcess(peer, threads);
      result.done = result.messages.find((m) => m.type === 'done');
      const each = result.messages.filter((m) => m.type === 'epoch');
      result.accuracy = each.at(-1)?.accuracy;
      if (few && result.done) {
        const times = each.map((m) => m.seconds);
        Object.assign(result, { measuredSeconds: result.seconds, seconds: result.seconds + (epochs - times.length) * quantile(times.slice(1), 0.5), extrapolated: true, measured_epochs: times.length, epoch_seconds: times });
      }
      if (readdirSync(folder).length === 0) result.done = undefined;
    }
    if (!result.done) return { skip: `no checkpoint: ${result.error || `exit ${result.code}`}` };
    const { seconds, peakMiB, accuracy, extrapolated, measured_epochs, epoch_seconds, done } = result;
    return { seconds, peakMiB, accuracy, versions: done.versions, ...(extrapolated && { extrapolated, measured_epochs, epoch_seconds }) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function jobCase(spec, commands, data) {
  const out = {};
  const skipped = {};
  for (let round = 0; round < jobs; round++) {
    for (const [name, command] of commands) {
      if (skipped[name]) continue;
      const result = await job(name, command, spec, data);
      if (result.skip) {
        skipped[name] = result.skip;
        say(`${spec.key}: ${name} skipped: ${result.skip}`);
        continue;
      }
      const mine = (out[name] ??= { unit: 's', samples: [], peak_memory_mib: 0 });
      mine.samples.push(result.seconds);
      mine.peak_memory_mib = Math.max(mine.peak_memory_mib, result.peakMiB);
      mine.accuracy = result.accuracy;
      if (result.versions) mine.versions = result.versions;
      if (result.extrapolated) Object.assign(mine, { extrapolated: true, measured_epochs: result.measured_epochs, epochs, epoch_seconds: [...(mine.epoch_seconds ?? []), ...result.epoch_seconds] });
      say(`${spec.key}: ${name} ${result.seconds.toFixed(2)} s${result.extrapolated ? ` (extrapolated from ${result.measured_epochs} epochs)` : ''}, ${result.peakMiB.toFixed(0)} MiB, accuracy ${result.accuracy?.toFixed(3)}`);
    }
  }
  return { out, skipped };
}

/** Contenders stay alive and are asked in turn, one sample each a round. */
async function servedCase(spec, commands, data) {
  const out = {};
  const skipped = {};
  const alive = [];
  for (const [name, command] of commands) {
    const peer = [...command.slice(0, 2), 'serve', ...command.slice(2), '--data', data, '--weights', weights, '--threads', String(threads), '--cache', path.join(cache, name)];
    mkdirSync(path.join(cache, name), { recursive: true });
    const contender = new Contender(name, peer, threads, { TORCHINDUCTOR_CACHE_DIR: path.join(cache, 'inductor') });
    const hello = await contender.next();
    const ready = hello.type === 'hello' ? await contender.ask({ op: 'prepare', ...spec.request }) : hello;
    if (ready.type !== 'ready') {
      skipped[name] = ready.reason;
      say(`${spec.key}: ${name} skipped: ${ready.reason}`);
      await contender.end();
      continue;
    }
    out[name] = { unit: 's', samples: [], peak_memory_mib: 0, versions: hello.versions };
    alive.push(contender);
  }
  for (let round = 0; round < (spec.large ? 1 : n); round++) {
    for (const contender of [...alive]) {
      const sample = await contender.ask({ op: 'measure', units: spec.units });
      const mine = out[contender.name];
      if (sample.type !== 'sample') {
        skipped[contender.name] = sample.reason;
        say(`${spec.key}: ${contender.name} skipped: ${sample.reason}`);
        delete out[contender.name];
        alive.splice(alive.indexOf(contender), 1);
        await contender.end();
        continue;
      }
      mine.peak_memory_mib = Math.max(mine.peak_memory_mib, sample.peakMiB);
      if (sample.figures) (mine.figures ??= []).push(sample.figures);
      else mine.samples.push(quantile(sample.seconds, 0.5));
      if (spec.latency) (mine.latencies ??= []).push(...sample.seconds);
    }
  }
  for (const contender of alive) {
    await contender.end();
    const mine = out[contender.name];
    if (mine.figures) {
      delete mine.unit;
      delete mine.samples;
      mine.figures = Object.fromEntries(Object.keys(mine.figures[0]).map((k) => [k, summary(mine.figures.map((f) => f[k]))]));
    }
    say(`${spec.key}: ${contender.name} ${mine.figures ? JSON.stringify(Object.fromEntries(Object.entries(mine.figures).map(([k, v]) => [k, Number(v.median.toPrecision(4))]))) : `${(quantile(mine.samples, 0.5) * 1000).toFixed(2)} ms, ${(spec.images / quantile(mine.samples, 0.5)).toFixed(1)} images/s`}`);
  }
  return { out, skipped };
}

function finish(spec, { out, skipped }) {
  for (const result of Object.values(out)) {
    if (!result.samples) continue;
    Object.assign(result, summary(result.samples));
    if (spec.images) result.images_per_second = spec.images / result.median;
    if (result.latencies) {
      Object.assign(result, { p50_ms: quantile(result.latencies, 0.5) * 1e3, p99_ms: quantile(result.latencies, 0.99) * 1e3 });
      delete result.latencies;
    }
  }
  for (const [name, result] of Object.entries(out)) {
    if (name !== 'ours' && out.ours?.samples && result.samples) result.peer_over_ours = pairedRatio(out.ours.samples, result.samples);
  }
  return { case: spec.key, contenders: out, skipped };
}

function thresholds(results) {
  const best = (cases, name) => cases.flatMap((key) => results.find((r) => r.case === key)?.contenders[name] ?? []).sort((a, b) => a.median - b.median)[0];
  const verdicts = [];
  for (const t of THRESHOLDS) {
    const [ours, peer] = [best(t.ours, 'ours'), best(t.peer, t.against)];
    if (!ours || !peer) continue;
    const ratio = peer.median / ours.median;
    verdicts.push({ name: t.name, against: t.against, at_least: t.atLeast, ratio, held: ratio >= t.atLeast, ...(peer.extrapolated && { extrapolated: true }) });
  }
  const delay = results.find((r) => r.case === 'overhead')?.contenders.ours?.figures?.event_loop_delay_p99_ms;
  if (delay) verdicts.push({ name: 'event-loop delay p99 while training, ms', at_most: 20, value: delay.median, held: delay.median < 20 });
  for (const precision of ['fp32', 'bf16']) {
    const r = results.find((x) => x.case === `reference/${precision}`)?.contenders;
    for (const [name, peer] of Object.entries(r ?? {})) {
      if (!name.startsWith('pytorch') || !r.ours) continue;
      verdicts.push({ name: `peak memory, reference job, ${precision}, MiB`, against: name, at_most: peer.peak_memory_mib, value: r.ours.peak_memory_mib, held: r.ours.peak_memory_mib <= peer.peak_memory_mib });
    }
  }
  return verdicts;
}

function machine() {
  const info = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '';
  const flags = /^flags\s*:\s*(.*)$/m.exec(info)?.[1].split(' ') ?? [];
  const has = (name) => flags.includes(name);
  return {
    cpu: os.cpus()[0].model, family: /^cpu family\s*:\s*(\d+)/m.exec(info)?.[1], model: /^model\s*:\s*(\d+)/m.exec(info)?.[1], cores: os.availableParallelism(), memory_gib: Math.round(os.totalmem() / 2 ** 30),
    avx2: has('avx2'), avx512: has('avx512f'), avx512_bf16: has('avx512_bf16'), amx_bf16: has('amx_bf16'), system: `${os.type()} ${os.release()}`, load_before: os.loadavg()[0],
  };
}

async function main() {
  if (args.help) return console.log(HELP);
  if (args.table) return writeTable(here);
  const source = path.resolve(args.data ?? path.join(fixtures, 'ucmerced'));
  for (const needed of [source, weights]) if (!existsSync(needed)) throw new Error(`${needed} is not there: set MNV2_DATA, or give --data and --weights`);
  const rows = (args.rows ?? '1,2,3,4,5,6').split(',').map(Number);
  const chosen = ['ours', ...(args.peers !== undefined ? args.peers.split(',').filter(Boolean) : Object.keys(CONTENDERS).slice(1))];
  for (const name of chosen) if (!CONTENDERS[name]) throw new Error(`--peers: expected some of ${Object.keys(CONTENDERS).slice(1).join(', ')}, got ${name}`);
  mkdirSync(cache, { recursive: true });
  const facts = machine();
  if (facts.load_before > 0.5) say(`the machine is busy (load ${facts.load_before.toFixed(1)}): figures will be noise`);
  const data = quick ? subset(source, 4) : source;

  const commands = new Map();
  const unavailable = {};
  const wanted = new Set(rows.flatMap((row) => casesOf(row, { images: 1 }).flatMap((c) => c.contenders)));
  for (const name of chosen.filter((c) => wanted.has(c))) {
    try {
      commands.set(name, await CONTENDERS[name]({ cache, weights }));
    } catch (error) {
      unavailable[name] = error.message.trim().split('\n').at(-1).slice(0, 300);
      say(`${name} skipped: ${unavailable[name]}`);
    }
  }
  const results = [];
  for (const row of rows) {
    for (const spec of casesOf(row, { images: countImages(data) })) {
      const taking = [...commands].filter(([name]) => spec.contenders.includes(name));
      const folder = spec.large ? await largeSet(source, spec.large) : data;
      results.push({ row, ...finish(spec, await (spec.job ? jobCase : servedCase)(spec, taking, folder)) });
    }
  }
  const verdicts = thresholds(results);
  for (const v of verdicts) say(`${v.held ? 'held' : 'NOT HELD'}: ${v.name}${v.against ? ` against ${v.against}` : ''}: ${(v.ratio ?? v.value).toFixed(2)}${v.at_least ? `x of ${v.at_least}x` : ` of at most ${v.at_most.toFixed(0)}`}`);
  if (quick) {
    rmSync(data, { recursive: true, force: true });
    return say('quick: nothing written');
  }
  const commit = execFileSync('git', ['-C', repository, 'rev-parse', 'HEAD'], { encoding: 'utf8' }).trim();
  const dirty = execFileSync('git', ['-C', repository, 'status', '--porcelain', '--untracked-files=no', '--', 'lib', 'native'], { encoding: 'utf8' }) !== '';
  const date = new Date().toISOString().slice(0, 10);
  const slug = `${facts.cpu} ${facts.family}-${facts.model}`.replace(/\(R\)|\(TM\)|CPU|Processor/g, ' ').trim().replace(/[^A-Za-z0-9]+/g, '-').toLowerCase();
  const file = path.join(here, 'results', `${date}-${slug}.json`);
  mkdirSync(path.dirname(file), { recursive: true });
  // A later run on the same day adds its rows to the file, and replaces those it measured again.
  const before = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).results.filter((r) => !results.some((x) => x.case === r.case)) : [];
  const stamped = results.map((r) => ({ ...r, commit, uncommitted_changes: dirty, measured: new Date().toISOString(), load_before: facts.load_before }));
  const all = [...before, ...stamped].sort((a, b) => a.row - b.row || a.case.localeCompare(b.case));
  writeFileSync(file, `${JSON.stringify({ machine: facts, threads, node: process.version, images: countImages(data), epochs, unavailable, results: all, thresholds: thresholds(all) }, null, 1)}\n`);
  say(`wrote ${path.relative(repository, file)}`);
  writeTable(here);
}

await main().catch((error) => {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
});
