// Packs on disk, so that a second run over the same images starts at once. Owns their names, their records, and what is
// removed when: unfinished packs of processes that ended, and packs longest unused.
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ImageStore } from '../engine/images.js';
import type { BadFile } from './dataset.js';
import { DECODE_VERSION } from './decode.js';
import { isRunning, processMark } from '../cache/live-process.js';
import { inLanes, inMemory, shapeOf, type Place } from './pack.js';
import { digestOf } from './regular-file.js';

/** Packs kept, in bytes. */
const LIMIT = 8 * 2 ** 30;
/** Unfinished packs of processes that cannot be asked after (another machine's) go when they are this old. */
const ABANDONED_MS = 24 * 3600 * 1000;

/** Beside a pack: what it holds, and what it was made under. */
interface PackRecord {
  count: number;
  size: number;
  /** no picture in it has more pixels */
  maxPixels: number;
  damaged: BadFile[];
  root: string;
}

/** Of files and where they are. Depends on names and contents, and on how pixels are made of them: on nothing else. */
export async function contentKey(
  files: readonly string[],
  paths: readonly string[],
  size: number,
  signal: AbortSignal | undefined,
): Promise<string> {
  const total = createHash('sha256').update(`${DECODE_VERSION} ${size}\n`);
  const digests = new Array<string>(files.length);
  await inLanes(files.length, 8, async (row) => {
    signal?.throwIfAborted();
    digests[row] = await digestOf(paths[row]!);
  });
  files.forEach((file, i) => total.update(`${digests[i]} ${file}\n`));
  return total.digest('hex').slice(0, 32);
}

export interface CacheEntry {
  dir: string;
  key: string;
  root: string;
  count: number;
  size: number;
  maxPixels: number;
}

/** The pack with this key, or a new one to fill, or memory where the folder cannot be written to. */
export async function inCache(entry: CacheEntry): Promise<Place> {
  const { dir, key, count, size } = entry;
  const pack = path.join(dir, `${key}.u8`);
  await sweep(dir).catch(() => undefined);
  const known = await openPack(entry, pack).catch(() => undefined);
  if (known) return known;
  const temporary = `${pack}.${await processMark()}.${randomBytes(4).toString('hex')}.tmp`;
  let store: ImageStore;
  try {
    await mkdir(dir, { recursive: true });
    store = new ImageStore({ ...shapeOf(count, size), file: temporary, create: true });
  } catch {
    return inMemory(count, size); // a cache that cannot be written is no reason to fail
  }
  const drop = (): Promise<void> => rm(temporary, { force: true });
  return {
    store,
    drop,
    keep: async (damaged) => {
      const { maxPixels, root } = entry;
      const record: PackRecord = { count, size, maxPixels, damaged: [...damaged], root };
      try {
        await rename(temporary, pack);
        await writeFile(recordOf(pack), JSON.stringify(record));
        await prune(dir, key);
      } catch {
        await drop(); // the pixels are mapped: this run has them in any case
      }
    },
  };
}

const recordOf = (pack: string): string => pack.replace(/\.u8$/, '.json');

/** Throws, or resolves to nothing, where there is no pack that will do. */
async function openPack({ count, size, maxPixels }: CacheEntry, pack: string): Promise<Place | undefined> {
  const record = JSON.parse(await readFile(recordOf(pack), 'utf8')) as Partial<PackRecord> | null;
  const fits = record?.count === count && record.size === size;
  // A pack of before damage was looked for, or of larger pictures than are allowed now, is made again.
  if (!fits || !Array.isArray(record.damaged) || !(record.maxPixels! <= maxPixels)) return undefined;
  const store = new ImageStore({ ...shapeOf(count, size), file: pack });
  await utimes(pack, new Date(), new Date()).catch(() => undefined);
  const nothing = (): Promise<void> => Promise.resolve();
  return { store, full: { damaged: record.damaged }, keep: nothing, drop: nothing };
}

/** Removes unfinished packs nobody is working on. */
async function sweep(dir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    const [, middle] = /^[0-9a-f]{32}\.u8\.(.+)\.tmp$/.exec(name) ?? [];
    if (middle === undefined) continue;
    const file = path.join(dir, name);
    const running = await isRunning(middle.replace(/\.[0-9a-f]{8}$/, ''));
    const { mtimeMs } = await stat(file);
    if (running ?? Date.now() - mtimeMs < ABANDONED_MS) continue;
    await rm(file, { force: true });
  }
}

/** Removes the packs longest unused until the rest fits. */
async function prune(dir: string, keep: string): Promise<void> {
  const names = (await readdir(dir)).filter((n) => n.endsWith('.u8') && n !== `${keep}.u8`);
  const packs = await Promise.all(names.map(async (n) => ({ n, s: await stat(path.join(dir, n)) })));
  packs.sort((a, b) => b.s.mtimeMs - a.s.mtimeMs);
  let total = (await stat(path.join(dir, `${keep}.u8`))).size;
  for (const { n, s } of packs) {
    total += s.size;
    if (total <= LIMIT) continue;
    await rm(path.join(dir, n), { force: true });
    await rm(recordOf(path.join(dir, n)), { force: true });
  }
}
