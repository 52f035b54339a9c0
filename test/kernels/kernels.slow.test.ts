// Builds the kernels' stand-alone tests with the system's C++ compiler, without torch and without
// CUDA, and runs them: the CPU kernels, and the CUDA ones on an emulated grid, against plain
// arithmetic. Owns no numerics itself.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const root = process.cwd();
const out = join(root, 'build', 'kernels');
const compiler = process.env['CXX'] ?? 'c++';
const hasCompiler = spawnSync(compiler, ['--version']).status === 0;

function run(command: string, args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0)
    throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? `exit ${status}`}\n${stdout}${stderr}`);
  return stdout;
}

/** The names x for which folder holds x_test.cc. */
const tested = (folder: string) => readdirSync(folder).flatMap((file) => /^(.*)_test\.cc$/.exec(file)?.[1] ?? []);

function buildAndRun(folder: string, name: string, sources: string[], flags: string[]): string {
  mkdirSync(out, { recursive: true });
  const program = join(out, `${name}_test`);
  const files = sources.map((file) => join(folder, file));
  run(compiler, [
    '-std=c++17',
    '-Wall',
    '-Werror',
    `-I${join(root, 'native')}`,
    ...flags,
    ...files,
    '-pthread',
    '-o',
    program,
  ]);
  return run(program, []);
}

const title = hasCompiler ? 'kernels' : `kernels (skipped: no C++ compiler '${compiler}')`;
(hasCompiler ? describe : describe.skip)(title, () => {
  const cpu = join(root, 'native', 'kernels');
  const cuda = join(root, 'native', 'cuda');

  // Exact kernels are held to their bits, so that any optimisation will do; the others to rounding as it is shipped.
  const sanitized = ['-O1', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
  test.each(tested(cpu))('CPU: %s agrees with plain arithmetic', (name) => {
    const sources = readdirSync(cpu).filter((file) => file.startsWith(name) && file.endsWith('.cc'));
    const flags = name === 'quantised' ? sanitized : ['-O3'];
    expect(buildAndRun(cpu, name, sources, [...flags, '-Wextra'])).toMatch(/all passed\n$/);
  });

  // The emulated grid's fibers need ucontext, which macOS has given up.
  const emulated = process.platform === 'linux' ? test : test.skip;
  emulated.each(tested(cuda))('CUDA, emulated: %s agrees with double precision', (name) => {
    const reference = ['image_store', 'augment', 'mix', 'batch'].map((name) => `../data/${name}.cc`); // what images.cu is held to
    const sources = [`${name}.cu`, 'reduce.cu', `${name}_test.cc`, ...reference];
    // A fortified longjmp takes a jump between stacks for an overflow.
    const flags = ['-O1', '-U_FORTIFY_SOURCE', '-Wno-unknown-pragmas', '-x', 'c++'];
    expect(buildAndRun(cuda, `cuda_${name}`, sources, flags)).toMatch(/all passed\n$/);
  });

  test('every kernel is found', () => {
    expect(tested(cpu)).toEqual(expect.arrayContaining(['bn_act', 'depthwise', 'quantised']));
    expect(tested(cuda)).toEqual(expect.arrayContaining(['bn_act', 'depthwise', 'images']));
  });
});
