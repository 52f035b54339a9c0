// Room for packs: what they take is said before anything is decoded, and refused where disk or memory have too little.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { DataError, ImageFolder, type ImageFolderOptions } from 'mnv2-torch';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('room');
/** The largest size there is: 201 MB an image. */
const size = 8192;
const BYTES = size * size * 3;

/** A folder of `count` images, all but a few of them links to one. */
async function folder(count: number): Promise<string> {
  const dir = await imageFolder(at(`${count}`), { classes: ['a', 'b'], perClass: 2, size: 8 });
  for (let i = 2; i < count - 2; i++) fs.linkSync(`${dir}/a/0.png`, `${dir}/a/${i}.png`);
  return dir;
}
const begun = async (dir: string, options: Partial<ImageFolderOptions>): Promise<unknown> => {
  const onProgress = (progress: unknown): never => {
    throw Object.assign(new Error('begun'), { progress });
  };
  try {
    const data = await ImageFolder.open(dir, { size, onProgress, ...options });
    await data.ready().finally(() => data.dispose());
  } catch (error) {
    return error;
  }
  throw new Error('it was packed');
};

test('a gigabyte and more is said before the first image is decoded', async () => {
  expect(await begun(await folder(6), { cacheDir: at('cache') })).toMatchObject({
    message: 'begun',
    progress: { done: 0, total: 6, note: `packing 6 images of 8192 x 8192 pixels: 1.2 GB in ${at('cache')}` },
  });
  expect(fs.readdirSync(at('cache'))).toEqual([]);
});

/** One image more than fits; undefined where a folder of so many takes long to make. */
const tooMany = (free: number): number | undefined => {
  const count = Math.floor(free / BYTES) + 4;
  if (count > 20_000) console.warn(`skipped: ${free} bytes are free here`);
  return count > 20_000 ? undefined : count;
};

test('more than the disk and memory have room for is refused, and nothing written', async () => {
  fs.mkdirSync(at('full'));
  const { bavail, bsize } = fs.statfsSync(at('full'));
  const count = tooMany(Math.max(bavail * bsize, process.availableMemory()));
  if (count === undefined) return;
  const refused = await begun(await folder(count), { cacheDir: at('full') });
  expect(refused).toBeInstanceOf(DataError);
  expect((refused as Error).message).toMatch(
    /^\d+ images of 8192 x 8192 pixels take [\d.]+ GB when packed, and [\d.]+ GB are free in .*full\. Free disk space, .*XDG_CACHE_HOME.*--size\.$/,
  );
  expect(fs.readdirSync(at('full'))).toEqual([]);
});

test('other packs make room, longest unused first; where that is not enough they stay', async () => {
  fs.mkdirSync(at('small'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', at('small')]);
  if (mounted.status !== 0) return console.warn('skipped: a small disk cannot be mounted here');
  try {
    const dir = await imageFolder(at('six'), { classes: ['a', 'b'], perClass: 3, size: 8 });
    const packs = ['c', 'd', 'e'].map((c) => `${c.repeat(32)}.u8`);
    packs.forEach((name, days) => {
      const used = new Date(Date.now() - (days + 1) * 24 * 3600 * 1000);
      fs.writeFileSync(at('small', name), Buffer.alloc(3 * 2 ** 20));
      fs.utimesSync(at('small', name), used, used);
    });
    // 6 images of 512 x 512 pixels take 4.5 MiB, of 1024 x 1024 18 MiB.
    expect(await begun(dir, { cacheDir: at('small'), size: 1024 })).toMatchObject({ message: 'begun' }); // in memory
    expect(fs.readdirSync(at('small')).sort()).toEqual(packs);
    const data = await ImageFolder.open(dir, { cacheDir: at('small'), size: 512 });
    await data.ready();
    data.dispose();
    const left = fs.readdirSync(at('small')).filter((name) => name.endsWith('.u8'));
    expect(left.filter((name) => packs.includes(name))).toEqual(packs.slice(0, 2));
    expect(left).toHaveLength(3);
  } finally {
    spawnSync('umount', ['-l', at('small')]);
  }
});

test('without a cache, or where it cannot be written, memory has to hold them', async () => {
  const count = tooMany(process.availableMemory());
  if (count === undefined) return;
  const dir = await folder(count + 1);
  const off = (await begun(dir, { cache: 'off' })) as Error;
  expect(off).toBeInstanceOf(DataError);
  expect(off.message).toMatch(/GB of memory, and [\d.]+ GB are free\. Leave the cache on, .* smaller size\.$/);
  fs.writeFileSync(at('file'), '');
  const unwritable = (await begun(dir, { cacheDir: at('file', 'packs') })) as Error;
  expect(unwritable).toBeInstanceOf(DataError);
  expect(unwritable.message).toMatch(/GB when packed, and .*packs cannot be written to \(ENOTDIR.*XDG_CACHE_HOME/);
});
