#!/usr/bin/env node
// Trains from a pack that is larger than memory and prints what memory holds meanwhile: anonymous pages, which nothing
// can drop, beside those of the mapped pack, which the system drops when it wants. The pack is made here: a sparse file
// in which every image has pixels of its own, so that nothing is decoded, the disk holds 4 KiB an image, and everything
// a training does with its images is done: compared, split, hashed for the state, gathered in random order.
//   node bench/large-pack.js [--images 200000] [--seconds 60] [--freeze none|features]
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { clearInterval, setInterval } from 'node:timers';
import { parseArgs } from 'node:util';
import { ImageStore, MobileNetV2, Trainer } from '../dist/index.js';
import { PackedImages, settled, shapeOf } from '../dist/data/pack.js';
import { splitImages } from '../dist/data/split.js';

const { values } = parseArgs({
  options: {
    images: { type: 'string', default: '200000' },
    seconds: { type: 'string', default: '60' },
    freeze: { type: 'string', default: 'none' },
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

/** The pixels, as packing leaves them. */
async function makePack(name) {
  const file = await open(name, 'w');
  await file.truncate(count * bytes);
  const some = Buffer.alloc(64);
  for (let row = 0; row < count; row++) {
    some.writeUInt32LE(row);
    some.fill(row % 251, 4);
    await file.write(some, 0, some.length, row * bytes);
  }
  await file.close();
}

/** The data set a folder of so many images makes, its pack found in the cache. */
function opened(file) {
  const names = Array.from({ length: classes }, (_, c) => `class${String(c).padStart(3, '0')}`);
  const labels = Int32Array.from({ length: count }, (_, row) => Math.floor((row * classes) / count));
  const files = Array.from(labels, (label, row) => `${names[label]}/${String(row).padStart(7, '0')}.jpg`);
  const source = {
    classes: names,
    files,
    labels,
    split: async ({ rows, duplicates, note }) =>
      splitImages({ classes: names, files, labels, rows, sameAs: await duplicates() }, {}, note),
  };
  const store = new ImageStore({ ...shapeOf(count, size), file });
  return new PackedImages(source, { size }, { store, full: { damaged: [] }, ...settled });
}

const work = await mkdtemp(path.join(os.tmpdir(), 'mnv2-large-'));
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
  await makePack(path.join(work, 'pack.u8'));
  await say('made');
  let since = performance.now();
  const took = () => `${((performance.now() - since) / 1000).toFixed(1)} s`;
  const data = opened(path.join(work, 'pack.u8'));
  await data.ready();
  await say(`compared and split, ${took()}`);
  since = performance.now();
  const stop = new AbortController();
  const model = MobileNetV2({ numClasses: classes, widthMult: 0.35 });
  const options = { epochs: 1, freeze: values.freeze, signal: stop.signal, out: path.join(work, 'run') };
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
  await rm(work, { recursive: true, force: true });
}
