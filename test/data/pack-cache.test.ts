// The cache of packs: what killed processes leave is swept, what others work on is not; the same bytes whatever happens.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import { ImageFolder, type ImageFolderOptions } from 'mnv2-torch';
import { isRunning, processMark } from '../../dist/cache/live-process.js';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('packs');
const dist = new URL('../../dist/index.js', import.meta.url).href;
const folder = (name: string): Promise<string> => imageFolder(at(name), { classes: ['a', 'b'], perClass: 6, size: 16 });
const temporaries = (): string[] => fs.readdirSync(at('cache')).filter((f) => f.endsWith('.tmp'));

/** Opens a folder in a process of its own, which does `then` after its first image. */
async function child(dir: string, then: string): Promise<ReturnType<typeof spawn>> {
  const code = `
    const { ImageFolder } = await import('${dist}');
    const onProgress = () => { process.stdout.write('begun'); ${then} };
    await (await ImageFolder.open('${dir}', { size: 8, cacheDir: '${at('cache')}', onProgress })).ready();`;
  const running = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(running.stdout!, 'data');
  return running;
}

test('what a SIGKILL leaves is swept by the next run; the files of a live process are not', async () => {
  const [first, second, third] = [await folder('first'), await folder('second'), await folder('third')];
  fs.writeFileSync(path.join(second, 'a', '0.png'), fs.readFileSync(path.join(first, 'b', '1.png')));
  fs.writeFileSync(path.join(third, 'a', '0.png'), fs.readFileSync(path.join(first, 'b', '2.png')));
  const wait = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);';
  const [live, killed] = await Promise.all([child(first, wait), child(second, wait)]);
  expect(temporaries()).toHaveLength(2);
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  expect(temporaries()).toHaveLength(2);

  const open = async (): Promise<void> => {
    const data = await ImageFolder.open(third, { size: 8, cacheDir: at('cache') });
    await data.ready();
    data.dispose();
  };
  await open();
  const [left] = temporaries();
  expect(temporaries()).toHaveLength(1);
  expect(left).toContain(`.u8.${live.pid}-`);
  live.kill('SIGKILL');
  await once(live, 'exit');
  await open(); // finds its pack, and sweeps all the same
  expect(temporaries()).toEqual([]);
});

test('marks: this process runs; its number with another start does not; of other machines nothing is known', async () => {
  const own = await processMark();
  const [pid, start, realm] = own.split('-') as [string, string, string];
  expect(pid).toBe(String(process.pid));
  expect(await isRunning(own)).toBe(true);
  if (process.platform === 'linux') expect(await isRunning(`${pid}-${Number(start) + 1}-${realm}`)).toBe(false);
  expect(await isRunning(`4194999-${start}-${realm}`)).toBe(false);
  expect(await isRunning(`${pid}-${start}-${realm.replace(/./g, '0')}`)).toBeUndefined();
  expect(await isRunning('4711')).toBeUndefined();
});

test('unfinished packs of unknown processes go when they are a day old', async () => {
  const key = 'a'.repeat(32);
  fs.mkdirSync(at('cache'), { recursive: true });
  const [fresh, old] = [`${key}.u8.12.tmp`, `${key}.u8.34.tmp`]; // as version 0.1 named them
  for (const name of [fresh, old]) fs.writeFileSync(at('cache', name), '');
  fs.utimesSync(at('cache', old), new Date(), new Date(Date.now() - 2 * 24 * 3600 * 1000));
  const data = await ImageFolder.open(await folder('aged'), { size: 8, cacheDir: at('cache') });
  await data.ready();
  data.dispose();
  expect(temporaries()).toEqual([fresh]);
});

test('the same bytes and split with and without a cache, at any concurrency, twice at once', async () => {
  const dir = await folder('same');
  const read = async (options: Partial<ImageFolderOptions>): Promise<string> => {
    const data = await ImageFolder.open(dir, { size: 12, seed: 4, ...options });
    const split = await data.ready();
    const all = [...Array.from(data.files, (_, i) => data.store.hash(i)), [...split.train], [...split.val]].join(' ');
    data.dispose();
    return all;
  };
  const cached = { cacheDir: at('twice') };
  const expected = await read({ cache: 'off' });
  expect(await Promise.all([read(cached), read(cached)])).toEqual([expected, expected]);
  for (const concurrency of [1, 7]) expect(await read({ cache: 'off', concurrency })).toBe(expected);
  expect(await read(cached)).toBe(expected);
  expect(
    fs
      .readdirSync(at('twice'))
      .map((f) => path.extname(f))
      .sort(),
  ).toEqual(['.json', '.u8']);
});

test('a pack made under a larger pixel limit does not let a large picture through', async () => {
  const dir = await folder('limits');
  const open = (maxPixels: number): Promise<ImageFolder> =>
    ImageFolder.open(dir, { size: 8, cacheDir: at('limited'), maxPixels });
  const data = await open(256);
  await data.ready();
  data.dispose();
  const refused = await open(255);
  await expect(refused.ready()).rejects.toThrow(/a\/0\.png: it is 16 x 16, more than 255 pixels; .*--max-pixels/);
  refused.dispose();
});

test('several large pictures wait for each other: memory stays bounded', async () => {
  const side = 6000;
  const picture = { create: { width: side, height: side, channels: 3 as const, background: '#a51' } };
  for (const c of ['a', 'b']) fs.mkdirSync(at('large', c), { recursive: true });
  await sharp(picture)
    .toColourspace('b-w')
    .png({ compressionLevel: 1 })
    .toFile(at('large', 'a', '0.png'));
  for (const name of ['a/1', 'a/2', 'b/0', 'b/1', 'b/2']) fs.linkSync(at('large/a/0.png'), at('large', `${name}.png`));
  const code = `
    const { ImageFolder } = await import('${dist}');
    const fs = await import('node:fs');
    const status = (key) => Number(new RegExp(key + ':\\\\s+(\\\\d+)').exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]);
    const before = status('VmHWM');
    const data = await ImageFolder.open('${at('large')}', { size: 32, cache: 'off', concurrency: 6, allowOneClass: true });
    await data.ready();
    process.stdout.write(String((status('VmHWM') - before) / 1024));`;
  if (process.platform !== 'linux') return console.warn('not measured: this system has no /proc');
  const run = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, UV_THREADPOOL_SIZE: '6' },
  });
  let text = '';
  run.stdout.on('data', (chunk: Buffer) => (text += String(chunk)));
  await once(run, 'close');
  // Six at a time would take six times 108 MB for their pixels alone; measured 330 MiB, and 720 without the budget.
  expect(Number(text)).toBeGreaterThan(50);
  expect(Number(text)).toBeLessThan(520);
});
