#!/usr/bin/env node
// The runner behind `npm run bench:gpu`: every GPU row beside PyTorch on the same card, each part within its seconds, all
// of it within eight minutes; one results file, the table last.
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CONTENDERS } from './contenders.js';
import { countImages, subset } from './image-sets.js';
import { machine, revision, slug } from './machine.js';
import { finish, jobCase, say, servedCase, targetCase } from './measure.js';
import { wholeProcess } from './processes.js';
import { gpuCases } from './rows.js';
import { gpuTables, writeGpuTable } from './table.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const repository = path.dirname(here);
const cli = path.join(repository, 'bin', 'mnv2-torch.js');
const EXIT_ENVIRONMENT = 3;
/** Seconds of a whole run. */
const ALL = 470;
const PARTS = gpuCases().map((c) => c.part);

const HELP = `npm run bench:gpu -- [options]
  --parts a,b          of ${PARTS.join(', ')} (default all, in this order)
  --data <folder>      image folder (default $MNV2_DATA/ucmerced); without one only depthwise runs
  --weights <file>     backbone (default $MNV2_DATA/weights/mobilenet_v2_tfslim.safetensors)
  --device <device>    default cuda
  --n <n>              samples of each case (default 7); --jobs <n>: of the whole jobs (default 2)
  --measure-epochs <n> epochs PyTorch runs of the reference job before its time is extrapolated (default 3; 20: none)
  --cache <folder>     packed images, compiled code (default $MNV2_BENCH_CACHE, else below ~/.cache)
  --quick              small batches, few images, nothing written: does everything run? Takes --device cpu too
  --table              only write the table again from the newest results
$MNV2_BENCH_PYTHON names a Python with a CUDA torch, pillow, numpy and safetensors (default python3).`;

const text = { type: 'string' };
const flag = { type: 'boolean', default: false };
const { values: args } = parseArgs({
  options: {
    parts: text,
    data: text,
    weights: text,
    device: text,
    n: text,
    jobs: text,
    'measure-epochs': text,
    cache: text,
    quick: flag,
    table: flag,
    help: flag,
  },
});

/** The card's facts; ends here where there is none. */
async function card(device) {
  if (!existsSync(path.join(repository, 'dist', 'native', 'load.js')))
    throw Object.assign(new Error('the package is not built; run: npm run setup'), { exitCode: EXIT_ENVIRONMENT });
  const { native } = await import('../dist/native/wire.js');
  const { resolveDevice } = await import('../dist/engine/engine.js');
  const resolved = resolveDevice(device); // throws, saying why
  const found = native()
    .cudaDevices()
    .find((d) => `cuda:${d.index}` === resolved);
  return {
    resolved,
    ...(found && {
      gpu: found.name,
      capability: found.capability,
      driver: found.driver,
      gpu_memory_gib: Math.round(found.memory / 2 ** 30),
    }),
  };
}

/** `bench depthwise`, a process a route: one that fails takes no other with it. */
async function depthwiseCase(o, spec) {
  const end = performance.now() + 1000 * spec.limit;
  const routes = {};
  const skipped = {};
  const { depthwiseRoutes } = await import('../dist/bench/depthwise.js');
  for (const route of depthwiseRoutes(o.device)) {
    const size = args.quick ? ['--size', '32'] : [];
    const command = [
      process.execPath,
      cli,
      'bench',
      'depthwise',
      '--route',
      route,
      '--batch-size',
      String(spec.batch),
      '--device',
      o.device,
      '--threads',
      String(o.threads),
      '--n',
      String(o.n),
      ...size,
      '--json',
    ];
    const { code, messages, error } = await wholeProcess(command, o.threads, {
      limit: (end - performance.now()) / 1000,
    });
    if (code === 0 && messages[0]) routes[route] = messages[0];
    else skipped[route] = error || `exit ${code}`;
    say(
      `${spec.key}: ${route} ${skipped[route] ? `skipped: ${skipped[route]}` : `${routes[route].rows.length} rows, a copy moves ${(routes[route].copyBandwidth / 1e9).toFixed(0)} GB/s`}`,
    );
  }
  return { routes, skipped };
}

async function main() {
  if (args.help) return console.log(HELP);
  if (args.table) return writeGpuTable(here);
  const started = performance.now();
  const seconds = () => (performance.now() - started) / 1000;
  const { quick } = args;
  const device = args.device ?? 'cuda';
  const { resolved, ...gpu } = await card(device);
  if (resolved === 'cpu' && !quick)
    throw new Error(`--device ${device}: expected a CUDA device; on the CPU only --quick`);
  const parts = (args.parts ?? PARTS.join()).split(',');
  for (const part of parts)
    if (!PARTS.includes(part)) throw new Error(`--parts: expected some of ${PARTS.join(', ')}, got ${part}`);
  const fixtures = process.env.MNV2_DATA ?? '';
  const setting = {
    device: resolved,
    threads: os.availableParallelism(),
    n: Number(args.n ?? (quick ? 2 : 7)),
    jobs: Number(args.jobs ?? (quick ? 1 : 2)),
    epochs: quick ? 3 : 20,
    measureEpochs: Number(args['measure-epochs'] ?? (quick ? 2 : 3)),
    weights: path.resolve(args.weights ?? path.join(fixtures, 'weights', 'mobilenet_v2_tfslim.safetensors')),
    cache: path.resolve(
      args.cache ?? process.env.MNV2_BENCH_CACHE ?? path.join(os.homedir(), '.cache', 'mnv2-torch', 'bench'),
    ),
  };
  mkdirSync(setting.cache, { recursive: true });
  const facts = { ...machine(), ...gpu };
  if (facts.load_before > 1) say(`the machine is busy (load ${facts.load_before.toFixed(1)}): figures will be noise`);
  const cases = gpuCases(quick ? { large: 4, small: 2 } : {}).filter((c) => parts.includes(c.part));

  const source = path.resolve(args.data ?? path.join(fixtures, 'ucmerced'));
  const absent = [source, setting.weights]
    .filter((f) => !existsSync(f))
    .map((f) => `${f} is not there: set MNV2_DATA, or give --data and --weights`)[0];
  const data = !absent && quick ? subset(source, 4) : source;
  const commands = new Map();
  const report = {
    machine: facts,
    ...revision(repository),
    measured: new Date().toISOString(),
    threads: setting.threads,
    node: process.version,
    images: absent ? 0 : countImages(data),
    epochs: setting.epochs,
    seconds: 0,
    unavailable: {},
    results: [],
  };
  const file = path.join(here, 'results', `${report.measured.slice(0, 10)}-${slug(facts.gpu ?? 'none')}.json`);
  const write = () => {
    report.seconds = seconds();
    if (quick) return;
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, `${JSON.stringify(report, null, 1)}\n`);
  };
  for (const name of absent ? [] : new Set(cases.flatMap((c) => c.contenders))) {
    try {
      commands.set(name, await CONTENDERS[name](setting));
    } catch (error) {
      report.unavailable[name] = error.message.trim().split('\n').at(-1).slice(0, 300);
      say(`${name} skipped: ${report.unavailable[name]}`);
    }
  }
  for (const spec of cases) {
    const limit = Math.min(spec.limit, ALL - seconds());
    const within = { ...spec, limit };
    let result;
    try {
      if (limit < 5) throw new Error('no time left');
      if (spec.part === 'depthwise') result = { case: spec.key, ...(await depthwiseCase(setting, within)) };
      else if (absent) throw new Error(absent);
      else {
        const taking = [...commands].filter(([name]) => spec.contenders.includes(name));
        const run = spec.job ? jobCase : spec.accuracy ? targetCase : servedCase;
        result = finish(
          spec,
          await run(setting, spec.accuracy && quick ? { ...within, accuracy: 0 } : within, taking, data),
        );
      }
    } catch (error) {
      result = { case: spec.key, skipped: {}, failed: error.message.split('\n')[0].slice(0, 300) };
      say(`${spec.key}: ${result.failed}`);
    }
    report.results.push(result);
    write(); // what is measured stays, whatever comes
  }
  write();
  if (quick) {
    if (!absent) rmSync(data, { recursive: true, force: true });
    say('quick: nothing written');
  } else {
    say(`wrote ${path.relative(repository, file)}`);
    writeGpuTable(here);
  }
  console.log(
    `${quick ? 'Quick: small batches and few images; whatever the names of the rows say, these are not their figures.\n' : ''}${gpuTables(report)}`,
  );
}

await main().catch((error) => {
  console.error(`bench: ${error.message}`);
  process.exitCode = error.exitCode ?? 1;
});
