// fromImages: back-pressure, ends of every kind, what an item may be, and that order does not matter.
import fs from 'node:fs';
import { setImmediate as soon, setTimeout as later } from 'node:timers/promises';
import { decodeImage, fromImages, ImageFolder, type FromImagesOptions, type ImageItem } from 'mnv2-torch';
import { imageFolder } from '../support/image-folder.ts';
import { held } from '../support/memory.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('stream');
const cacheDir = at('pixels');
const options = { size: 8, cacheDir };
const raw = (value: number, side = 8): ImageItem['image'] => ({
  data: new Uint8Array(side * side * 3).fill(value),
  width: side,
  height: side,
  channels: 3,
});
/** So many items, of two classes in turn. */
function* items(count: number): Generator<ImageItem> {
  for (let i = 0; i < count; i++) yield { image: raw(i), label: i % 2 ? 'odd' : 'even' };
}
const left = (): string[] => (fs.existsSync(cacheDir) ? fs.readdirSync(cacheDir) : []);
afterEach(() => expect(left()).toEqual([]));

test('rows come by class and name, with their own pixels, whatever order they were given in', async () => {
  const all = [...items(31)];
  const data = await fromImages(all, { ...options, concurrency: 3 });
  const split = await data.ready();
  expect(data.classes).toEqual(['even', 'odd']);
  expect(data.files.slice(14, 18)).toEqual(['image-000029', 'image-000031', 'image-000002', 'image-000004']);
  data.files.forEach((name, row) => expect(data.store.get(row)[0]).toBe(Number(name.slice(6)) - 1));
  expect(split.train.length + split.val.length).toBe(31);
  expect(data.decodeSeconds).toBeGreaterThan(0);
  data.dispose();
});

test('paths, bytes and pixels of a folder are the folder, bad files and all', async () => {
  const dir = await imageFolder(at('images'), { classes: ['a', 'b'], perClass: 3, size: 12 });
  fs.writeFileSync(at('images', 'a', 'bad.png'), 'no image');
  const folder = await ImageFolder.open(dir, { size: 8, cache: 'off', skipBad: true });
  await folder.ready();
  const list = [...(await ImageFolder.list(dir))].reverse();
  const given: [string, (path: string) => ImageItem['image']][] = [
    ['paths', (path) => path],
    ['bytes', (path) => fs.readFileSync(path)],
  ];
  for (const [, read] of given) {
    const data = await fromImages(
      list.map((image) => ({ ...image, image: read(image.image) })),
      { ...options, skipBad: true },
    );
    await data.ready();
    expect([data.files, data.classes, [...data.labels]]).toEqual([folder.files, folder.classes, [...folder.labels]]);
    expect(data.skipped).toEqual(folder.skipped);
    for (const row of data.files.keys()) expect(data.store.hash(row)).toBe(folder.store.hash(row));
    data.dispose();
  }
  const strict = await fromImages(list, options);
  await expect(strict.ready()).rejects.toThrow(/1 of 7 images cannot be read:\n {2}a\/bad\.png: /);
  strict.dispose();
  folder.dispose();
});

test('pixels: grey, with opacity, of another size', async () => {
  const grey = { data: Uint8Array.of(9, 9, 9, 9), width: 2, height: 2, channels: 1 } as const;
  const clear = { data: Uint8Array.of(200, 100, 50, 128), width: 1, height: 1, channels: 4 } as const;
  const data = await fromImages(
    [
      { image: grey, label: 'x' },
      { image: clear, label: 'y' },
    ],
    { ...options, allowOneClass: true },
  );
  expect([...data.store.get(0)].every((v) => v === 9)).toBe(true);
  expect([...data.store.get(1).subarray(0, 3)]).toEqual([100, 50, 25]);
  data.dispose();
});

test('no more is taken than is worked on, one after the other', async () => {
  let [asked, asking, most] = [0, 0, 0];
  let done = 0;
  const slow: AsyncIterable<ImageItem> = {
    [Symbol.asyncIterator]: () => {
      const source = items(40);
      return {
        async next() {
          expect(asking++).toBe(0);
          await Promise.resolve();
          asking--;
          const result = source.next();
          if (!result.done) most = Math.max(most, ++asked - done);
          return result;
        },
      };
    },
  };
  const data = await fromImages(slow, { ...options, concurrency: 4, onProgress: () => done++ });
  expect(most).toBeLessThanOrEqual(4);
  expect(most).toBeGreaterThan(1);
  expect(asked).toBe(40);
  data.dispose();
});

test('what was given is let go of: memory does not grow with the number of images', async () => {
  const [side, count] = [128, 1200];
  function* many(): Generator<ImageItem> {
    for (let i = 0; i < count; i++) yield { image: raw(i, side), label: `${i % 2}` };
  }
  const measured: number[] = [];
  const data = await fromImages(many(), {
    ...options,
    onProgress: ({ done }) => {
      if (done % 300 === 0) measured.push(held());
    },
  });
  // From the first measure to the last 44 MB were given.
  expect(measured.length).toBeGreaterThanOrEqual(4);
  expect(measured[3]! - measured[0]!).toBeLessThan(15e6);
  data.dispose();
});

describe('ends', () => {
  /** Items for ever, and what became of them. */
  function endless(): { source: AsyncGenerator<ImageItem>; ended: () => boolean; count: () => number } {
    let [ended, count] = [false, 0];
    async function* source(): AsyncGenerator<ImageItem> {
      try {
        for (;;) {
          await soon();
          yield { image: raw(count % 256), label: `${count++ % 3}` };
        }
      } finally {
        ended = true;
      }
    }
    return { source: source(), ended: () => ended, count: () => count };
  }
  test('an abort: the signal’s reason, and return() is called', async () => {
    const { source, ended, count } = endless();
    const stop = new AbortController();
    const going = fromImages(source, {
      ...options,
      signal: stop.signal,
      onProgress: ({ done }) => done === 20 && stop.abort(new Error('enough')),
    });
    await expect(going).rejects.toThrow('enough');
    expect(ended()).toBe(true);
    expect(count()).toBeLessThan(40);
  });
  test('an abort while nothing comes does not wait', async () => {
    const silent = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) };
    await expect(fromImages(silent, { ...options, signal: AbortSignal.timeout(20) })).rejects.toMatchObject({
      name: 'TimeoutError',
    });
    await expect(fromImages(items(4), { ...options, signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: 'AbortError',
    });
  });
  test('what the iterable throws is the cause', async () => {
    const cause = new Error('connection lost');
    async function* broken(): AsyncGenerator<ImageItem> {
      yield* items(5);
      await later(1);
      throw cause;
    }
    await expect(fromImages(broken(), options)).rejects.toMatchObject({
      name: 'DataError',
      message: 'the images failed after 5 of them: connection lost',
      cause,
    });
  });
  test('what onProgress throws ends it', async () => {
    const { source, ended } = endless();
    const onProgress = (): never => {
      throw new Error('mine');
    };
    await expect(fromImages(source, { ...options, onProgress })).rejects.toThrow('mine');
    expect(ended()).toBe(true);
  });
});

test.each<[string, unknown[], Partial<FromImagesOptions>, RegExp]>([
  ['no item', [...items(3), 7], {}, /^item 4: expected \{ image, label \}, got 7$/],
  ['no label', [{ image: raw(1), label: ' ' }], {}, /^item 1: expected a label, got ' '$/],
  ['no picture', [{ image: 7, label: 'x' }], {}, /^item 1: image: expected a path, .*, got 7$/],
  [
    'few pixels',
    [{ image: { ...(raw(1) as object), width: 9 }, label: 'x' }],
    {},
    /^item 1: image: data: expected 216 bytes, .* got 192 bytes/,
  ],
  [
    'a split',
    [{ image: raw(1), label: 'x', split: 'dev' }],
    {},
    /^item 1: expected the split train, val or test, got 'dev'$/,
  ],
  [
    'two of one name',
    [...items(4), { image: raw(9), label: 'odd', name: 'image-000001' }],
    {},
    /the stream of images has image-000001 more than once; expected each image once/,
  ],
  ['one class', [...items(1)], {}, /the stream of images has one class \(even\)/],
  ['nothing', [], {}, /the stream of images leaves no images/],
  ['labels', [...items(1)], { task: 'multilabel' }, /^item 1: expected labels, a list, got 'even'$/],
  ['a number', [{ image: raw(1), label: NaN }], { task: 'regression' }, /^item 1: expected a number, got NaN$/],
  [
    'other numbers',
    [
      { image: raw(1), label: { a: 1 } },
      { image: raw(2), label: { b: 1 } },
    ],
    { task: 'regression' },
    /^image-000002: expected the numbers a, as image-000001 has, got b$/,
  ],
])('refused: %s', async (_, given, more, message) => {
  await expect(fromImages(given as ImageItem[], { ...options, ...more })).rejects.toMatchObject({
    name: 'DataError',
    message: expect.stringMatching(message) as string,
  });
});

test('what is no iterable is a mistake of the program; a folder that cannot be written to is told', async () => {
  await expect(fromImages('images' as never, options)).rejects.toMatchObject({
    name: 'UsageError',
    message: "images: expected an iterable or async iterable of { image, label }, got 'images'",
  });
  fs.writeFileSync(at('file'), '');
  await expect(fromImages(items(4), { ...options, cacheDir: at('file') })).rejects.toThrow(/cannot keep pixels there/);
});

test('several labels, numbers, parts and groups', async () => {
  const parts = ['train', 'VAL', null, 'test'];
  const labelled = Array.from({ length: 8 }, (_, i) => ({
    image: raw(i),
    label: i % 2 ? ['a', 'b'] : [],
    split: parts[i % 4]!,
  }));
  const many = await fromImages(labelled, { ...options, task: 'multilabel' });
  const split = await many.ready();
  expect([many.classes, [...many.targets!.subarray(0, 4)]]).toEqual([
    ['a', 'b'],
    [0, 0, 1, 1],
  ]);
  expect([split.train, split.val, split.test].map((rows) => [...rows])).toEqual([
    [0, 2, 4, 6],
    [1, 5],
    [3, 7],
  ]);
  many.dispose();
  const numbers = Array.from({ length: 12 }, (_, i) => ({
    image: raw(i),
    label: i / 2,
    fields: { site: `s${i % 3}` },
  }));
  const one = await fromImages(numbers, { ...options, task: 'regression', group: { column: 'site' } });
  const { val } = await one.ready();
  expect([one.classes, [...one.targets!]]).toEqual([['value'], numbers.map(({ label }) => label)]);
  expect(new Set([...val].map((row) => row % 3)).size).toBe(1);
  one.dispose();
});

test('damage is told, and kept where that is allowed', async () => {
  const whole = await decodeImage(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>'), 64);
  const { default: sharp } = await import('sharp');
  const png = await sharp(whole, { raw: { width: 64, height: 64, channels: 3 } })
    .jpeg()
    .toBuffer();
  const cut = png.subarray(0, png.length - 20);
  const given = [...items(6), { image: cut, label: 'odd', name: 'cut' }];
  const data = await fromImages(given, { ...options, allowDamaged: true });
  await data.ready();
  expect(data.damaged.map(({ file }) => file)).toEqual(['cut']);
  data.dispose();
});
