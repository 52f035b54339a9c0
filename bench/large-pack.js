#!/usr/bin/env node
// Trains from a pack that is larger than memory and prints what memory holds meanwhile: anonymous pages, which nothing
// can drop, beside those of the mapped pack, which the system drops when it wants. The images are a folder of links to
// one tiny file; the pack is made here, a sparse file in which every image has pixels of its own, so that nothing is
// decoded, the disk holds 4 KiB an image, and everything a training does with its images is done.
//   node bench/large-pack.js [--images 200000] [--seconds 60] [--freeze none|features] [--keep <folder>]
import { link, mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { clearInterval, setInterval } from 'node:timers';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { ImageFolder, MobileNetV2, Trainer } from '../dist/index.js';
import { contentKey } from '../dist/data/pack-cache.js';
import { DEFAULT_MAX_PIXELS } from '../dist/data/decode.js';

const { values } = parseArgs({
  options: {
    images: { type: 'string', default: '200000' },
    seconds: { type: 'string', default: '60' },
    freeze: { type: 'string', default: 'none' },
    keep: { type: 'string' },
  },
});
const [count, seconds, size, classes] = [Number(values.images), Number(values.seconds), 224, 100];
const bytes = size * size * 3;
const GIB = 2 ** 30;

/** What /proc says this process holds, GiB. */
async function memory() {
  const text = await readFile('/proc/self/status', 'utf8');
  const of = (key) => (Number(new RegExp(`${key}:\\s+(\\d+)`).exec(text)[1]) * 1024) / GIB;
  return { anonymous: of('RssAnon'), mapped: of('RssFile') };
}

async function makeFolder(folder) {
  const names = Array.from({ length: classes }, (_, c) => `class${String(c).padStart(3, '0')}`);
  for (const name of names) await mkdir(path.join(folder, name), { recursive: true });
  // A file takes so many links and no more.
  const each = 30_000;
  for (let i = 0; i < count; i += each) {
    const image = path.join(folder, `.${i}.png`);
    await sharp({ create: { width: 8, height: 8, channels: 3, background: '#456' } }).toFile(image);
    for (let k = i; k < Math.min(count, i + each); k++)
      await link(image, path.join(folder, names[k % classes], `${String(k).padStart(7, '0')}.png`));
  }
}

/** A pack of these files as packing them would leave it, but for the pixels. */
async function makePack(folder, cacheDir) {
  const { files, paths } = await listed(folder);
  const key = await contentKey(files, paths, size, undefined);
  await mkdir(cacheDir, { recursive: true });
  const file = await open(path.join(cacheDir, `${key}.u8`), 'w');
  await file.truncate(count * bytes);
  const some = Buffer.alloc(64);
  for (let row = 0; row < count; row++) {
    some.writeUInt32LE(row);
    some.fill(row % 251, 4);
    await file.write(some, 0, some.length, row * bytes);
  }
  await file.close();
  const record = { count, size, maxPixels: DEFAULT_MAX_PIXELS, damaged: [], root: folder };
  await writeFile(path.join(cacheDir, `${key}.json`), JSON.stringify(record));
}

/** The files of the folder in the order a data set has them. */
async function listed(folder) {
  const data = await ImageFolder.open(folder, { size: 1, cache: 'off', skipBad: true });
  const { files } = data;
  data.ready().catch(() => {});
  data.dispose();
  return { files, paths: files.map((file) => path.join(folder, file)) };
}

const work = values.keep ?? (await mkdtemp(path.join(os.tmpdir(), 'mnv2-large-')));
const [folder, cacheDir] = [path.join(work, 'images'), path.join(work, 'packs')];
const peak = { anonymous: 0, mapped: 0 };
const say = async (what) => {
  const now = await memory();
  const text = (m) => `${m.anonymous.toFixed(2)} GiB anonymous, ${m.mapped.toFixed(2)} GiB mapped`;
  console.log(`${what.padEnd(34)} ${text(now)}; so far at most ${text(peak)}`);
};
const timer = setInterval(async () => {
  const now = await memory();
  for (const key of Object.keys(peak)) peak[key] = Math.max(peak[key], now[key]);
}, 100);
timer.unref();

try {
  console.log(
    `${count} images of ${size} px: ${((count * bytes) / 1e9).toFixed(1)} GB; memory ${(os.totalmem() / GIB).toFixed(1)} GiB, free ${(os.freemem() / GIB).toFixed(1)} GiB`,
  );
  if (values.keep === undefined || !(await readFile(path.join(work, 'made'), 'utf8').catch(() => ''))) {
    await makeFolder(folder);
    await makePack(folder, cacheDir);
    await writeFile(path.join(work, 'made'), 'yes');
  }
  await say('made');
  let since = performance.now();
  const took = () => `${((performance.now() - since) / 1000).toFixed(1)} s`;
  const data = await ImageFolder.open(folder, { size, cacheDir });
  await say(`opened, ${took()}`);
  since = performance.now();
  await data.ready();
  await say(`compared and split, ${took()}`);
  since = performance.now();
  const stop = new AbortController();
  const model = MobileNetV2({ numClasses: classes, widthMult: 0.35 });
  const options = { epochs: 1, freeze: values.freeze, signal: stop.signal, out: path.join(work, `run-${process.pid}`) };
  let [first, last] = [undefined, undefined];
  for await (const event of new Trainer(model, data, options)) {
    if (event.event === 'data') await say(`prepared, ${took()}`);
    if (event.event !== 'progress' || (event.phase !== 'train' && event.phase !== 'cache')) continue;
    const now = { done: event.done, at: performance.now(), unit: event.phase === 'train' ? 16 : 1 };
    if (first?.unit !== now.unit) first = now;
    last = now;
    if (now.at - first.at > seconds * 1000) stop.abort();
  }
  const rate = ((last.done - first.done) * last.unit) / ((last.at - first.at) / 1000);
  await say(`${values.freeze === 'none' ? 'trained' : 'features'}, ${rate.toFixed(0)} images/s`);
  data.dispose();
  process.exitCode = peak.anonymous < 2 ? 0 : 1;
} finally {
  clearInterval(timer);
  if (values.keep === undefined) await rm(work, { recursive: true, force: true });
}
