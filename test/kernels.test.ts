// Builds each native/kernels/*_test.cc with the system's C++ compiler, without torch, and runs it:
// the CPU kernels against double precision. Owns no numerics itself.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const sources = join(root, 'native', 'kernels');
const out = join(root, 'build', 'kernels');
const compiler = process.env['CXX'] ?? 'c++';
const hasCompiler = spawnSync(compiler, ['--version']).status === 0;

function run(command: string, args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? `exit ${status}`}\n${stdout}${stderr}`);
  return stdout;
}

const title = hasCompiler ? 'CPU kernels' : `CPU kernels (skipped: no C++ compiler '${compiler}')`;
(hasCompiler ? describe : describe.skip)(title, () => {
  const kernels = readdirSync(sources).flatMap((file) => /^(.*)_test\.cc$/.exec(file)?.[1] ?? []);

  test.each(kernels)('%s agrees with double precision', (kernel) => {
    mkdirSync(out, { recursive: true });
    const program = join(out, `${kernel}_test`);
    const files = [`${kernel}_test.cc`, `${kernel}.cc`].map((file) => join(sources, file));
    run(compiler, ['-std=c++17', '-O3', '-Wall', '-Wextra', '-Werror', ...files, '-pthread', '-o', program]);
    expect(run(program, [])).toMatch(/all passed\n$/);
  });

  test('every kernel is found', () => expect(kernels).toEqual(expect.arrayContaining(['bn_act', 'depthwise'])));
});
