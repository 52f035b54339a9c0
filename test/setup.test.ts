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
  for (const part of ['scripts', 'native', 'CMakeLists.txt', 'package.json']) fs.cpSync(part, path.join(copy, part), { recursive: true });
  fs.symlinkSync(path.resolve('node_modules'), path.join(copy, 'node_modules'));
});
const setup = (args: string[], env: Record<string, string> = {}, root = copy) =>
  spawnSync(process.execPath, [path.join(root, 'scripts/setup.js'), ...args], { encoding: 'utf8', env: { ...process.env, XDG_CACHE_HOME: path.join(dir, 'cache'), ...env } });

test('with everything built it says nothing and changes nothing', () => {
  const record = fs.readFileSync('build/setup.json', 'utf8');
  const { status, stderr } = spawnSync(process.execPath, ['scripts/setup.js', '--quiet'], { encoding: 'utf8' });
  expect([status, stderr]).toEqual([0, '']);
  expect(fs.readFileSync('build/setup.json', 'utf8')).toBe(record);
});
test('LIBTORCH that holds none is named', () => {
  const { status, stderr } = setup([], { LIBTORCH: dir });
  expect(stderr).toMatch(/LIBTORCH is set, but LIBTORCH: .* has no libtorch_cpu\. Point it at a folder with include\/ and lib\//);
  expect(status).toBe(3);
});
test.each([
  ['a path that is not there', () => path.join(dir, 'nowhere'), /does not exist/],
  ['a folder without libtorch', () => dir, /no libtorch \(include\/ATen\/ATen\.h and lib\/libtorch_cpu\)/],
  ['a file that is no archive', () => (fs.writeFileSync(path.join(dir, 'x.zip'), 'no zip'), path.join(dir, 'x.zip')), /cannot unpack/],
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
test('--help', () => {
  expect(setup(['--help']).stdout).toContain('--from <path>');
});
