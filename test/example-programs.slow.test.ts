// The programs in examples/ as a reader runs them: child processes on tiny folders of images.
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { imageFolder } from './support/image-folder.ts';
import { temporaryFolder } from './support/temporary.ts';

const at = temporaryFolder('examples');
const env = { ...process.env, XDG_CACHE_HOME: at('cache') };
const program = (name: string): string => path.resolve('examples', name);
const run = (name: string, ...args: string[]) =>
  spawnSync(process.execPath, [program(name), ...args], { encoding: 'utf8', env, timeout: 100_000 });
const lines = (text: string): string[] => text.trim().split('\n');

beforeAll(async () => {
  await imageFolder(at('photos'), { classes: ['cat', 'dog', 'emu'], perClass: 8, size: 48 });
});

describe('a trained folder', () => {
  beforeAll(() => {
    const { status, stdout, stderr } = run('train-folder.js', at('photos'), at('run'));
    expect([status, stderr]).toEqual([0, '']);
    expect(lines(stdout)).toHaveLength(5);
    expect(stdout).toMatch(/^epoch 1: loss \d\.\d{3}, \d+\.\d% of held-out images\n/);
  });
  test('is where its checkpoint serves to train again, the head alone', () => {
    const { status, stdout, stderr } = run('train-folder.js', at('photos'), at('tuned'), at('run/best.safetensors'));
    expect([status, stderr]).toEqual([0, '']);
    expect(lines(stdout)).toHaveLength(20);
  });
  test('classifies; what is no image is named and does not stop the others', () => {
    const [cat, none] = [at('photos/cat/0.png'), at('none.png')];
    const { status, stdout, stderr } = run('classify.js', at('run'), none, cat);
    expect(lines(stdout)).toHaveLength(1);
    expect(stdout.startsWith(`${cat}: `)).toBe(true);
    expect(stdout).toMatch(/(cat|dog|emu) \d+\.\d%, (cat|dog|emu) \d+\.\d%, (cat|dog|emu) \d+\.\d%/);
    expect(stderr).toContain(none);
    expect(status).toBe(4);
  });
  test('compares images: one is most like itself', () => {
    const [cat, dog, emu] = ['cat', 'dog', 'emu'].map((name) => at('photos', name, '1.png')) as [
      string,
      string,
      string,
    ];
    const { status, stdout, stderr } = run('features.js', at('run'), dog, cat, dog, emu);
    expect([status, stderr]).toEqual([0, '']);
    expect(lines(stdout)[0]).toBe(`1.000 ${dog}`);
    const similarities = lines(stdout).map((l) => Number(l.split(' ')[0]));
    expect(similarities).toEqual([...similarities].sort((a, b) => b - a));
    expect(similarities).toHaveLength(3);
  });
  const missing = ['better-sqlite3', 'sqlite-vec'].filter((name) => {
    // By a child: its binary may be missing.
    const load = `const it = require('${name}'); it.load || new it(':memory:')`;
    return spawnSync(process.execPath, ['-e', load]).status !== 0;
  });
  const why = missing.length > 0 ? ` (skipped: ${missing.join(' and ')} cannot be loaded)` : '';
  (why ? test.skip : test)(
    `keeps vectors in SQLite and searches them; pictures that are known are not read again${why}`,
    () => {
      const args = [at('run'), at('photos.db'), at('photos'), at('photos/dog/1.png')];
      const first = run('similar-images.js', ...args);
      expect([first.status, first.stderr]).toEqual([0, '']);
      const [added, ...found] = lines(first.stdout);
      expect(added).toBe('24 new pictures');
      expect(found).toHaveLength(5);
      for (const line of found) expect(line).toMatch(/^(1\.000|0\.\d{3}) .*photos\/dog\/\d\.png$/);
      expect(found[0]).toMatch(/^1\.000 /);
      const again = run('similar-images.js', ...args);
      expect(lines(again.stdout)).toEqual(['0 new pictures', ...found]);
    },
  );
});

test('a network of one’s own learns, is written and read again', () => {
  const { status, stdout, stderr } = run('own-network.js', at('own'));
  expect([status, stderr]).toEqual([0, '']);
  const losses = [...stdout.matchAll(/^epoch \d: loss (\d+\.\d+)$/gm)].map((m) => Number(m[1]));
  expect(losses).toHaveLength(6);
  expect(losses[5]).toBeLessThan(losses[0]!);
  expect(stdout).toMatch(/\na teal square is taken for: [a-z]+\n$/);
});

test('a training stopped by Ctrl-C keeps its best', async () => {
  const child = spawn(process.execPath, [program('abort.js'), at('photos'), at('stopped'), '100'], { env });
  let text = '';
  let asked = false;
  child.stdout.on('data', (chunk: Buffer) => {
    text += String(chunk);
    if (text.includes('epoch 2:') && !asked) asked = child.kill('SIGINT');
  });
  child.stderr.on('data', (chunk: Buffer) => (text += String(chunk)));
  const status = await new Promise((resolve) => child.once('close', resolve));
  const best = at('stopped/best.safetensors');
  expect(text).toMatch(/\nstopped after \d+ epochs\n/);
  expect(lines(text).at(-1)).toBe(`${best} tells cat from dog from emu`);
  expect(status).toBe(0);
  expect(fs.statSync(best).size).toBeGreaterThan(1000);
});

test('every program is in the list and tried here', () => {
  const programs = fs.readdirSync('examples').filter((f) => f.endsWith('.js'));
  const [list, here] = ['examples/README.md', 'test/example-programs.slow.test.ts'].map((f) =>
    fs.readFileSync(f, 'utf8'),
  );
  expect(programs.length).toBeGreaterThan(4);
  expect(programs.filter((f) => !list!.includes(`examples/${f}`) || !here!.includes(`'${f}'`))).toEqual([]);
  for (const f of programs.filter((f) => f !== 'own-network.js')) {
    expect(run(f)).toMatchObject({ status: 2, stderr: expect.stringContaining(`usage: node examples/${f}`) });
  }
});
