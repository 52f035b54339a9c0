// Packing goes on where it was interrupted: after SIGKILL, an abort, files left out; two at once do not fight.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { ImageFolder, type ImageFolderOptions } from 'mnv2-torch';
import { readRows } from '../../dist/data/unfinished-pack.js';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const SIZE = 12;
const BYTES = SIZE * SIZE * 3;
const at = temporaryFolder('resume');
const dist = new URL('../../dist/index.js', import.meta.url).href;
const files = (cache: string): string[] => (fs.existsSync(at(cache)) ? fs.readdirSync(at(cache)).sort() : []);
const ending = (cache: string): string[] => files(cache).map((f) => f.slice(32));
const onlyPack = (cache: string): Buffer => {
  expect(ending(cache)).toEqual(['.json', '.u8']);
  return fs.readFileSync(at(cache, files(cache)[1]!));
};

let dir: string;
/** The pack of a run that nothing interrupted. */
let whole: Buffer;
beforeAll(async () => {
  dir = await imageFolder(at('images'), { classes: ['a', 'b'], perClass: 20, size: 16 });
  await pack('whole');
  whole = onlyPack('whole');
});

/** Packs the folder; the number of images each call of onProgress told. */
async function pack(cache: string, options: Partial<ImageFolderOptions> = {}, root = dir): Promise<number[]> {
  const told: number[] = [];
  const onProgress = ({ done }: { done: number }): void => void told.push(done);
  const data = await ImageFolder.open(root, { size: SIZE, cacheDir: at(cache), onProgress, ...options });
  try {
    await data.ready();
  } finally {
    data.dispose();
  }
  return told;
}

/** Packs in a process of its own that takes 40 ms an image and is killed after so many; the images it had from before. */
async function killed(cache: string, after: number): Promise<number> {
  const code = `
    const { ImageFolder } = await import('${dist}');
    const clock = new Int32Array(new SharedArrayBuffer(4));
    const onProgress = ({ done }) => { process.stdout.write(done + ' '); Atomics.wait(clock, 0, 0, 40); };
    await (await ImageFolder.open('${dir}', { size: ${SIZE}, cacheDir: '${at(cache)}', onProgress, concurrency: 2 })).ready();`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  const gone = once(child, 'exit');
  let [text, calls] = ['', 0];
  for await (const chunk of child.stdout) {
    text += String(chunk);
    calls = text.split(' ').length - 1;
    if (calls >= after) break;
  }
  child.kill('SIGKILL');
  expect((await gone)[1]).toBe('SIGKILL');
  return Number(text.split(' ')[0]) - 1;
}

test('killed at several moments: no row counts that is not there, and the pack is that of a run left alone', async () => {
  let had = 0;
  for (const after of [1, 17, 5, 16]) {
    const begun = Math.max(await killed('killed', after), 0);
    expect(begun).toBeGreaterThanOrEqual(had === 0 ? 0 : had - 1);
    const [left] = files('killed').filter((f) => f.endsWith('.tmp'));
    const rows = await readRows(at('killed', left!));
    const bytes = fs.readFileSync(at('killed', left!));
    had = rows!.marks.reduce((sum, mark) => sum + mark, 0);
    rows!.marks.forEach((mark, row) => {
      const [from, to] = [row * BYTES, (row + 1) * BYTES];
      if (mark === 1) expect(bytes.subarray(from, to).equals(whole.subarray(from, to))).toBe(true);
    });
  }
  expect(had).toBeGreaterThan(10);
  expect(had).toBeLessThan(40);
  const told = await pack('killed');
  expect(told).toEqual(Array.from({ length: 41 - had }, (_, i) => had + i));
  expect(onlyPack('killed').equals(whole)).toBe(true);
}, 60_000);

/** Leaves an unfinished pack by aborting after so many images. */
async function aborted(cache: string, after: number, options: Partial<ImageFolderOptions> = {}): Promise<void> {
  const stop = new AbortController();
  const onProgress = ({ done }: { done: number }): void => (done === after ? stop.abort() : undefined);
  await expect(pack(cache, { onProgress, signal: stop.signal, concurrency: 1, ...options })).rejects.toThrow(/abort/);
  expect(ending(cache)).toEqual(['.u8.part']);
}

test('an abort keeps what was decoded', async () => {
  await aborted('aborted', 9);
  expect((await pack('aborted'))[0]).toBe(9);
  expect(onlyPack('aborted').equals(whole)).toBe(true);
});

test('two who find the same unfinished pack: one goes on with it, both have all images', async () => {
  await aborted('two', 9);
  const told = await Promise.all([pack('two'), pack('two')]);
  expect(told.map(([first]) => first).sort()).toEqual([1, 9]);
  expect(onlyPack('two').equals(whole)).toBe(true);
});

test.each<[string, (file: string) => void, Partial<ImageFolderOptions>]>([
  ['of larger pictures than are allowed now', () => undefined, { maxPixels: 256 }],
  ['that was cut short', (file) => fs.truncateSync(file, 40 * BYTES), {}],
  ['that was overwritten', (file) => fs.writeFileSync(file, 'mnv2rows'), {}],
])('an unfinished pack %s is not gone on with', async (name, change, options) => {
  const cache = name.replaceAll(' ', '-');
  await aborted(cache, 9, { maxPixels: 300 });
  change(at(cache, files(cache)[0]!));
  expect((await pack(cache, options))[0]).toBe(1);
  expect(onlyPack(cache).equals(whole)).toBe(true);
});

test('with files left out the pack stays unfinished, and the next run decodes those alone', async () => {
  const bad = at('bad');
  fs.cpSync(dir, bad, { recursive: true });
  fs.writeFileSync(path.join(bad, 'a', '3.png'), 'no image');
  await expect(pack('left-out', {}, bad)).rejects.toThrow(/1 of 40 images cannot be read/);
  expect(ending('left-out')).toEqual(['.u8.part']);
  expect(await pack('left-out', { skipBad: true }, bad)).toEqual([39, 40]);
  expect(ending('left-out')).toEqual(['.u8.part']);
});

test('one that nobody came for in a week is removed; a pack above the limit goes as late, the others before it', async () => {
  await aborted('old', 9);
  await pack('old', { size: 13 });
  const [first, second] = ['a', 'b'].map((c) => at('old', `${c.repeat(32)}.u8`)) as [string, string];
  for (const file of [first, second]) {
    fs.writeFileSync(file, '');
    fs.truncateSync(file, 9 * 2 ** 30); // sparse
  }
  const past = (days: number): Date => new Date(Date.now() - days * 24 * 3600 * 1000);
  const part = at(
    'old',
    files('old').find((f) => f.endsWith('.part'))!,
  );
  fs.utimesSync(part, past(8), past(8));
  fs.utimesSync(first, past(8), past(8));
  fs.utimesSync(second, past(6), past(6));
  await pack('old', { size: 14 });
  expect([part, first, second].map((f) => fs.existsSync(f))).toEqual([false, false, true]);
  expect(files('old')).toHaveLength(1 + 2 + 2);
});
