// `mnv2-torch doctor`: what is installed, what was built against what, and one real convolution in a child process.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { EXIT } from '../errors.js';
import { addonFile, missingLibtorch, setupRecord, type Libtorch } from '../native/load.js';
import type { BuildInfo, Native } from '../native/wire.js';
import { define } from './command.js';
import { flag } from './options.js';

export interface Report {
  package: string;
  node: string;
  platform: string;
  cpus: { model: string; count: number };
  addon: { file: string; exists: boolean };
  /** what setup used */
  libtorch: Libtorch | null;
  build: BuildInfo | null;
  devices: ReturnType<Native['cudaDevices']>;
  check: { ok: boolean; detail: string };
  problems: { problem: string; fix: string }[];
}

/** Runs in the child: loads the addon, then one depthwise convolution forward and backward against a direct sum. */
const PROBE = `
const { native } = await import(process.argv[1] + 'native/load.js');
const { constant } = await import(process.argv[1] + 'graph/tensor.js');
const { depthwiseConv2d, gradients, sum } = await import(process.argv[1] + 'graph/ops.js');
const { compile } = await import(process.argv[1] + 'engine/program.js');
const info = { build: native().buildInfo(), devices: native().cudaDevices() };
const [c, n] = [2, 4];
const x = Float32Array.from({ length: c * n * n }, (_, i) => Math.sin(i)), w = Float32Array.from({ length: c * 9 }, (_, i) => Math.cos(i));
const xt = constant(x, [1, c, n, n]), wt = constant(w, [c, 1, 3, 3]);
const y = depthwiseConv2d(xt, wt, { padding: 1 });
const [dx] = gradients(sum(y), [xt]);
const r = await compile({ y, dx }).run();
let worst = 0;
for (let k = 0; k < c; k++) for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
  let forward = 0, backward = 0;
  for (let a = -1; a <= 1; a++) for (let b = -1; b <= 1; b++) {
    const inside = i + a >= 0 && i + a < n && j + b >= 0 && j + b < n;
    if (inside) forward += x[(k * n + i + a) * n + j + b] * w[k * 9 + (a + 1) * 3 + b + 1];
    if (inside) backward += w[k * 9 + (1 - a) * 3 + 1 - b];
  }
  const at = (k * n + i) * n + j;
  worst = Math.max(worst, Math.abs(r.y.data[at] - forward), Math.abs(r.dx.data[at] - backward));
}
console.log(JSON.stringify({ ...info, worst }));
`;

/** Everything doctor knows; nothing here loads the addon into this process. */
export function examine(): Report {
  const dist = new URL('../', import.meta.url);
  const root = fileURLToPath(new URL('../', dist));
  const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { version: string };
  const file = addonFile();
  const report: Report = {
    package: version,
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    cpus: { model: os.cpus()[0]?.model.trim() ?? 'unknown', count: os.availableParallelism() },
    addon: { file, exists: existsSync(file) },
    libtorch: setupRecord()?.record.libtorch ?? null,
    build: null,
    devices: [],
    check: { ok: false, detail: 'not run' },
    problems: [],
  };
  const problem = (what: string, fix: string): void => void report.problems.push({ problem: what, fix });
  if (!report.addon.exists) {
    report.check.detail = 'the addon is not built';
    problem(`the native addon is not built (${file})`, 'npx mnv2-torch setup');
    return report;
  }
  const gone = missingLibtorch(file);
  if (gone !== undefined) {
    report.check.detail = `libtorch is no longer in ${gone}`;
    problem(`libtorch is no longer in ${gone}, where the addon looks for it`, 'npx mnv2-torch setup');
    return report;
  }
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', PROBE, dist.href], {
    encoding: 'utf8',
    timeout: 120_000,
  });
  const last = child.stdout.trim().split('\n').at(-1) ?? '';
  if (child.status !== 0) {
    const reason = child.signal
      ? `crashed with ${child.signal}`
      : (/Error: .*/.exec(child.stderr)?.[0] ?? `ended with code ${child.status}`);
    report.check.detail = `the depthwise convolution ${reason}`;
    problem(report.check.detail, 'npx mnv2-torch setup --force');
  } else {
    const { build, devices, worst } = JSON.parse(last) as {
      build: BuildInfo;
      devices: Report['devices'];
      worst: number;
    };
    Object.assign(report, { build, devices });
    report.check = {
      ok: worst < 1e-4,
      detail: `depthwise convolution forward and backward: largest difference ${worst.toExponential(1)} from a direct sum`,
    };
    if (!report.check.ok)
      problem(
        'the depthwise convolution gives wrong numbers',
        'npx mnv2-torch setup --force; if it stays, report this',
      );
    if (build.package !== version)
      problem(
        `the addon was built for mnv2-torch ${build.package}, this is ${version}`,
        'npx mnv2-torch setup --force',
      );
    const plain = (v: string): string => v.split('+')[0]!;
    if (plain(build.libtorch) !== plain(build.libtorchRuntime)) {
      problem(
        `the addon was built against libtorch ${build.libtorch} and found ${build.libtorchRuntime}`,
        'npx mnv2-torch setup --force',
      );
    }
    for (const d of build.cuda ? devices : []) {
      const built = build.cudaArchs.split(/[;,]/).map(Number);
      const capability = Math.round(Number(d.capability) * 10);
      if (!built.some((b) => Math.floor(b / 10) === Math.floor(capability / 10) && b <= capability)) {
        problem(
          `${d.name} has compute capability ${d.capability}; the kernels were built for sm_${built.join(', sm_')}`,
          `CUDAARCHS=${capability} npx mnv2-torch setup --force`,
        );
      }
    }
    if (!build.mkldnn)
      problem(
        `libtorch ${build.libtorch} has no fused oneDNN convolutions: those outside of MobileNet's blocks run unfused in inference, slower`,
        'a newer libtorch (pip install torch), then npx mnv2-torch setup --force',
      );
  }
  return report;
}

/** What an int8 network is run with on this CPU. */
const int8Text = (way: string): string =>
  way === 'plain'
    ? 'no fast instructions for it here: int8 files are run in float32, op by op'
    : `${way}${way.endsWith('vnni') ? '' : ', no VNNI: faster than float32, but not by much'}`;

function text(r: Report): string {
  const { build } = r;
  const lines: [string, string][] = [
    ['mnv2-torch', r.package],
    ['Node', `${r.node} on ${r.platform}`],
    [
      'CPU',
      `${r.cpus.model}, ${r.cpus.count} cores${build ? `, ${build.cpuCapability}${build.bf16 ? ' with bfloat16' : ''}` : ''}`,
    ],
    [
      'libtorch',
      r.libtorch ? `${r.libtorch.version} from ${r.libtorch.source}: ${r.libtorch.root}` : 'unknown: setup has not run',
    ],
    ['addon', r.addon.exists ? r.addon.file : `missing (${r.addon.file})`],
    [
      'built with',
      build
        ? `libtorch ${build.libtorch}, ${build.compiler}, C++${build.cxxStandard}${build.mkldnn ? ', fused oneDNN convolutions' : ''}`
        : 'unknown',
    ],
    ...(build ? [['int8', int8Text(build.int8)] as [string, string]] : []),
    ['CUDA', build?.cuda ? `${build.cuda} for sm_${build.cudaArchs.split(/[;,]/).join(', sm_')}` : 'not compiled in'],
    ...r.devices.map((d): [string, string] => [
      `cuda:${d.index}`,
      `${d.name}, capability ${d.capability}, ${(d.memory / 2 ** 30).toFixed(0)} GiB, driver for CUDA ${d.driver}`,
    ]),
    ['check', `${r.check.ok ? 'ok' : 'FAILED'}: ${r.check.detail}`],
  ];
  const width = Math.max(...lines.map(([name]) => name.length));
  return [
    ...lines.map(([name, value]) => `${name.padEnd(width)}  ${value}`),
    ...r.problems.map((p) => `problem: ${p.problem}\n  fix: ${p.fix}`),
    '',
  ].join('\n');
}

export const command = define({
  usage: 'doctor',
  describe: 'check the installation: versions, devices, one real convolution',
  operands: {},
  options: { json: flag({ describe: 'one JSON line' }) },
  run: (a) => {
    const report = examine();
    process.stdout.write(a.json ? `${JSON.stringify(report)}\n` : text(report));
    return report.check.ok ? EXIT.ok : EXIT.environment;
  },
});
