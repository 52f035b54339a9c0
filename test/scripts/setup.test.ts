// Set-up: nothing to do is quick to say, what is asked for and not there is exit 3 with the fix, nothing is left behind.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'mnv2-setup-'));
afterAll(() => fs.rmSync(dir, { recursive: true }));
/** A copy of what set-up reads, so that no test touches the real build. */
const copy = path.join(dir, 'package');
beforeAll(() => {
  for (const part of ['scripts', 'native', 'CMakeLists.txt', 'package.json'])
    fs.cpSync(part, path.join(copy, part), { recursive: true });
  fs.symlinkSync(path.resolve('node_modules'), path.join(copy, 'node_modules'));
});
const setup = (args: string[], env: Record<string, string> = {}, root = copy) =>
  spawnSync(process.execPath, [path.join(root, 'scripts/setup.js'), ...args], {
    encoding: 'utf8',
    env: { ...process.env, XDG_CACHE_HOME: path.join(dir, 'cache'), ...env },
  });

test('with everything built it says nothing and changes nothing', () => {
  const record = fs.readFileSync('build/setup.json', 'utf8');
  const { status, stderr } = spawnSync(process.execPath, ['scripts/setup.js', '--quiet'], { encoding: 'utf8' });
  expect([status, stderr]).toEqual([0, '']);
  expect(fs.readFileSync('build/setup.json', 'utf8')).toBe(record);
});
test('LIBTORCH that holds none is named', () => {
  const { status, stderr } = setup([], { LIBTORCH: dir });
  expect(stderr).toMatch(
    /LIBTORCH is set, but LIBTORCH: .* has no libtorch_cpu\. Point it at a folder with include\/ and lib\//,
  );
  expect(status).toBe(3);
});
test.each([
  ['a path that is not there', () => path.join(dir, 'nowhere'), /does not exist/],
  ['a folder without libtorch', () => dir, /no libtorch \(include\/ATen\/ATen\.h and lib\/libtorch_cpu\)/],
  [
    'a file that is no archive',
    () => (fs.writeFileSync(path.join(dir, 'x.zip'), 'no zip'), path.join(dir, 'x.zip')),
    /cannot unpack/,
  ],
])('--from: %s', (_name, from, message) => {
  const { status, stderr } = setup(['--from', from()]);
  expect(stderr).toMatch(message);
  expect(status).toBe(3);
  const left = path.join(dir, 'cache/mnv2-torch/libtorch');
  expect(fs.existsSync(left) ? fs.readdirSync(left) : []).toEqual([]);
});
test('a missing tool is named with what to install', () => {
  const { libtorch } = JSON.parse(fs.readFileSync('build/setup.json', 'utf8')) as { libtorch: { root: string } };
  const { status, stderr } = setup([], { LIBTORCH: libtorch.root, CXX: 'no-such-compiler' });
  expect(stderr).toMatch(/'no-such-compiler' is not installed\. Install a C\+\+17 compiler/);
  expect(status).toBe(3);
  expect(fs.existsSync(path.join(copy, 'build/.lock'))).toBe(false);
});
describe('doctor', () => {
  const root = path.join(dir, 'doctored');
  const addon = path.join(root, 'build/Release/mnv2_torch.node');
  const doctor = () =>
    spawnSync(process.execPath, [path.join(root, 'bin/mnv2-torch.js'), 'doctor', '--json'], { encoding: 'utf8' });
  interface Report {
    check: { ok: boolean; detail: string };
    problems: { problem: string; fix: string }[];
  }
  beforeAll(() => {
    for (const part of ['bin', 'dist', 'package.json']) fs.cpSync(part, path.join(root, part), { recursive: true });
    fs.symlinkSync(path.resolve('node_modules'), path.join(root, 'node_modules'));
    fs.mkdirSync(path.dirname(addon), { recursive: true });
  });
  const crashing = (): void => {
    const source = path.join(dir, 'crash.cc');
    fs.writeFileSync(source, '#include <cstdlib>\n__attribute__((constructor)) static void crash() { abort(); }\n');
    const built = spawnSync(process.env['CXX'] ?? 'c++', ['-shared', '-fPIC', source, '-o', addon], {
      encoding: 'utf8',
    });
    if (built.status !== 0) throw new Error(built.stderr);
  };
  test.each<[string, () => void, RegExp, string]>([
    ['no addon', () => fs.rmSync(addon, { force: true }), /the native addon is not built/, 'npx mnv2-torch setup'],
    [
      'a file that is no library',
      () => fs.writeFileSync(addon, 'no library'),
      /the depthwise convolution .*does not load/,
      'npx mnv2-torch setup --force',
    ],
    [
      'an addon that kills its process',
      crashing,
      /the depthwise convolution crashed with SIGABRT/,
      'npx mnv2-torch setup --force',
    ],
  ])('%s: exit 3, what is wrong and what to run', (_name, prepare, problem, fix) => {
    prepare();
    const { status, stdout } = doctor();
    const report = JSON.parse(stdout) as Report;
    expect(status).toBe(3);
    expect(report.check.ok).toBe(false);
    expect(report.problems).toEqual([{ problem: expect.stringMatching(problem), fix }]);
  });
  test('this installation: ok', () => {
    const { status, stdout } = spawnSync(process.execPath, ['bin/mnv2-torch.js', 'doctor'], { encoding: 'utf8' });
    expect(stdout).toMatch(/check +ok: depthwise convolution forward and backward: largest difference /);
    expect(status).toBe(0);
  });
});
test('--help', () => {
  expect(setup(['--help']).stdout).toContain('--from <path>');
});
