// Packs on disk, so that a second run over the same images starts at once. Owns their names, their records, and what is
// removed when: packs longest unused, and unfinished ones nobody goes on with.
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ImageStore } from '../engine/images.js';
import { DataError } from '../errors.js';
import type { BadFile } from './dataset.js';
import { DECODE_VERSION } from './decode.js';
import { isRunning, processMark } from '../cache/live-process.js';
import { diskFree, packBytes, refuseDisk, refuseFolder, roomNote } from './pack-room.js';
import { inLanes, inMemory, settled, shapeOf, type Place } from './pack.js';
import { digestOf } from './regular-file.js';
import { readRows, UnfinishedPack } from './unfinished-pack.js';

/** Packs kept, in bytes. A pack that is larger by itself is kept as long as it is used. */
const LIMIT = 8 * 2 ** 30;
/** Larger packs, and unfinished ones, go when nobody used them for so long. */
const UNUSED_MS = 7 * 24 * 3600 * 1000;
/** Unfinished packs of processes that cannot be asked after (another machine's) are given up when they are this old. */
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

// <key>.u8 is a pack, <key>.json its record, <key>.u8.part one that was left unfinished, and
// <key>.u8.<process mark>.<random>.tmp one that this process fills. Renaming one to the other hands it over whole.
const recordOf = (pack: string): string => pack.replace(/\.u8$/, '.json');
const partOf = (pack: string): string => `${pack}.part`;

/**
 * The pack with this key; else one to fill, which may be one that another run was interrupted in; or memory where the
 * folder cannot be written to.
 * @throws DataError where there is room neither on the disk nor in memory
 */
export async function inCache(entry: CacheEntry): Promise<Place> {
  const { dir, key, count, size, maxPixels, root } = entry;
  const pack = path.join(dir, `${key}.u8`);
  await sweep(dir).catch(() => undefined);
  const known = await openPack(entry, pack).catch(() => undefined);
  if (known) return known;
  const temporary = `${pack}.${await processMark()}.${randomBytes(4).toString('hex')}.tmp`;
  let unfinished: UnfinishedPack;
  try {
    await mkdir(dir, { recursive: true });
    const rows = await claim(entry, partOf(pack), temporary);
    if (!rows) await requireDisk(entry);
    unfinished = await UnfinishedPack.open(temporary, count, size, maxPixels, rows);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    // A cache that cannot be written is no reason to fail, as long as memory holds the images easily.
    if (packBytes(count, size) <= process.availableMemory() / 2) return inMemory(count, size);
    if (error instanceof DataError) throw error;
    return refuseFolder(count, size, dir, error as Error);
  }
  const note = roomNote(count, size, dir);
  return {
    store: unfinished.store,
    ...(note !== undefined && { note }),
    has: (row) => unfinished.has(row),
    wrote: (row) => unfinished.wrote(row),
    leave: () => leave(unfinished, partOf(pack)),
    keep: async (damaged) => {
      const record: PackRecord = { count, size, maxPixels, damaged: [...damaged], root };
      try {
        await unfinished.finish();
        await writeFile(recordOf(pack), JSON.stringify(record));
        await rename(temporary, pack);
        await prune(dir, key);
      } catch {
        await rm(temporary, { force: true }); // the pixels are mapped: this run has them in any case
      }
    },
  };
}

/** Throws, or resolves to nothing, where there is no pack that will do. */
async function openPack({ count, size, maxPixels }: CacheEntry, pack: string): Promise<Place | undefined> {
  const record = JSON.parse(await readFile(recordOf(pack), 'utf8')) as Partial<PackRecord> | null;
  const fits = record?.count === count && record.size === size;
  // A pack of before damage was looked for, or of larger pictures than are allowed now, is made again.
  if (!fits || !Array.isArray(record.damaged) || !(record.maxPixels! <= maxPixels)) return undefined;
  const store = new ImageStore({ ...shapeOf(count, size), file: pack });
  await utimes(pack, new Date(), new Date()).catch(() => undefined);
  return { store, full: { damaged: record.damaged }, ...settled };
}

/** Takes over what a run left unfinished: the rows in it, or nothing. One of several who try gets it. */
async function claim({ count, maxPixels }: CacheEntry, part: string, temporary: string) {
  try {
    await rename(part, temporary);
    const rows = await readRows(temporary);
    return rows?.marks.length === count && rows.maxPixels <= maxPixels ? rows : undefined;
  } catch {
    return undefined;
  }
}

/** Leaves a pack to whoever goes on with it, or removes it where there is nothing to go on with. */
async function leave(unfinished: UnfinishedPack, part: string): Promise<void> {
  try {
    await unfinished.close();
    await handOver(unfinished.file, part);
  } catch {
    await rm(unfinished.file, { force: true });
  }
}
async function handOver(file: string, part: string): Promise<void> {
  const rows = await readRows(file).catch(() => undefined);
  await (rows?.marks.includes(1) ? rename(file, part) : rm(file, { force: true }));
}

/** Makes unfinished packs nobody is working on free for others, and removes those nobody came for. */
async function sweep(dir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    const [, pack, middle] = /^([0-9a-f]{32}\.u8)\.(?:part|(.+)\.tmp)$/.exec(name) ?? [];
    if (pack === undefined) continue;
    const file = path.join(dir, name);
    const age = Date.now() - (await stat(file)).mtimeMs;
    if (middle !== undefined) {
      const running = await isRunning(middle.replace(/\.[0-9a-f]{8}$/, ''));
      if (!(running ?? age < ABANDONED_MS)) await handOver(file, path.join(dir, partOf(pack))).catch(() => undefined);
    } else if (age > UNUSED_MS) await rm(file, { force: true });
  }
}

interface Kept {
  file: string;
  bytes: number;
  used: number;
}

/** All packs but one, longest unused last; with those that were left unfinished. */
async function keptBut(dir: string, key: string): Promise<Kept[]> {
  const names = (await readdir(dir)).filter((n) => /\.u8(\.part)?$/.test(n) && n !== `${key}.u8`);
  const kept = await Promise.all(
    names.map(async (name) => {
      const { size, mtimeMs } = await stat(path.join(dir, name));
      return { file: path.join(dir, name), bytes: size, used: mtimeMs };
    }),
  );
  return kept.sort((a, b) => b.used - a.used);
}

async function remove({ file }: Kept): Promise<void> {
  await rm(file, { force: true });
  if (file.endsWith('.u8')) await rm(recordOf(file), { force: true });
}

/** Removes the packs longest unused until the rest fits. */
async function prune(dir: string, key: string): Promise<void> {
  let total = Math.min(LIMIT, (await stat(path.join(dir, `${key}.u8`))).size);
  for (const pack of await keptBut(dir, key)) {
    if (pack.bytes > LIMIT) {
      if (Date.now() - pack.used > UNUSED_MS) await remove(pack);
      continue;
    }
    total += pack.bytes;
    if (total > LIMIT) await remove(pack);
  }
}

/** Sees that the disk has room for a pack; other packs make it, longest unused first, where that is enough. */
async function requireDisk({ dir, key, count, size }: CacheEntry): Promise<void> {
  const bytes = packBytes(count, size) + count;
  let free = await diskFree(dir);
  if (free >= bytes) return;
  const others = (await keptBut(dir, key)).reverse();
  if (free + others.reduce((sum, o) => sum + o.bytes, 0) >= bytes)
    for (const pack of others) {
      await remove(pack);
      free = await diskFree(dir);
      if (free >= bytes) return;
    }
  refuseDisk(count, size, dir, free);
}
