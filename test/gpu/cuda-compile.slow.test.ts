// Compiles every native/cuda/*.cu for the cards it is meant for; needs nvcc, but no card and no
// CUDA libtorch. What the kernels compute is tested in kernels.slow.test.ts.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const root = process.cwd();
const sources = join(root, 'native', 'cuda');
const nvcc = process.env['NVCC'] ?? 'nvcc';
const hasNvcc = spawnSync(nvcc, ['--version']).status === 0;

const title = hasNvcc ? 'CUDA kernels' : `CUDA kernels (skipped: no '${nvcc}')`;
(hasNvcc ? describe : describe.skip)(title, () => {
  const files = readdirSync(sources).filter((file) => file.endsWith('.cu'));

  test.each(files)('%s compiles for sm_80 and sm_90, without warnings or spilled registers', (file) => {
    const out = join(root, 'build', 'cuda');
    mkdirSync(out, { recursive: true });
    const cards = ['80', '90'].flatMap((sm) => ['-gencode', `arch=compute_${sm},code=sm_${sm}`]);
    const { status, stdout, stderr } = spawnSync(
      nvcc,
      [
        '-std=c++17',
        `-I${join(root, 'native')}`,
        '-O3',
        '-Werror',
        'all-warnings',
        '-Xptxas',
        '-v',
        ...cards,
        '-c',
        join(sources, file),
        '-o',
        join(out, `${file}.o`),
      ],
      { encoding: 'utf8' },
    );
    expect({ status, output: status === 0 ? '' : stdout + stderr }).toEqual({ status: 0, output: '' });
    const spills = [...(stdout + stderr).matchAll(/(\d+) bytes spill stores, (\d+) bytes spill loads/g)];
    expect(spills.length).toBeGreaterThan(0);
    expect(spills.filter(([, stores, loads]) => stores !== '0' || loads !== '0')).toEqual([]);
  });
});
