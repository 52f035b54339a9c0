// Folders of every kind of image, splits, duplicates, the cache of packs, and what the native store does to pixels.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import { decodeImage, ImageFolder, syntheticScenes, type Split } from 'mnv2-torch';
import { native } from '../../dist/native/load.js';
import { augmentPreset, augmentWith } from '../../dist/data/augment.js';
import { splitToJSON } from '../../dist/data/split-file.js';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mnv2-data-'));
const at = (...parts: string[]): string => path.join(root, ...parts);
const cacheDir = at('cache');
afterAll(() => fs.rmSync(root, { recursive: true }));

/** A picture of one colour with a mark, so that no two are the same. */
async function picture(file: string, n: number, shape: { width?: number; height?: number } = {}): Promise<void> {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const { width = 20, height = 16 } = shape;
  const mark = await sharp({
    create: {
      width: 2,
      height: 2,
      channels: 3,
      background: { r: (n * 37) % 256, g: (n * 91) % 256, b: (n * 53) % 256 },
    },
  })
    .png()
    .toBuffer();
  await sharp({ create: { width, height, channels: 3, background: { r: 10, g: (n * 5) % 256, b: 200 } } })
    .composite([{ input: mark, left: n % 10, top: 3 }])
    .toFile(file);
}
async function folder(name: string, classes: Record<string, number>): Promise<string> {
  let n = 0;
  for (const [c, count] of Object.entries(classes))
    for (let i = 0; i < count; i++) await picture(at(name, c, `${i}.png`), n++);
  return at(name);
}
const parts = (s: Split): number[][] => [s.train, s.val, s.test].map((p) => [...p]);

describe('decoding', () => {
  const rgb = { create: { width: 8, height: 8, channels: 3 as const, background: { r: 200, g: 100, b: 50 } } };
  const first = async (bytes: Buffer | string, size = 4): Promise<number[]> => [
    ...(await decodeImage(bytes, size)).subarray(0, 3),
  ];
  test.each([
    ['png', () => sharp(rgb).png().toBuffer()],
    ['webp, lossless', () => sharp(rgb).webp({ lossless: true }).toBuffer()],
    ['tiff', () => sharp(rgb).tiff().toBuffer()],
    ['16-bit png', () => sharp(rgb).toColourspace('rgb16').png().toBuffer()],
  ])('%s keeps its colour', async (_name, make) => {
    expect(await first(await make())).toEqual([200, 100, 50]);
  });
  test('jpeg nearly does', async () => {
    const got = await first(await sharp(rgb).jpeg({ quality: 95 }).toBuffer());
    for (const [i, v] of [200, 100, 50].entries()) expect(Math.abs(got[i]! - v)).toBeLessThanOrEqual(3);
  });
  test('greyscale becomes three equal channels, transparency black, CMYK and EXIF rotation are undone', async () => {
    const grey = await first(await sharp(rgb).greyscale().png().toBuffer());
    expect(new Set(grey).size).toBe(1);
    expect(
      await first(
        await sharp({ create: { width: 4, height: 4, channels: 4, background: { r: 255, g: 255, b: 255, alpha: 0 } } })
          .png()
          .toBuffer(),
      ),
    ).toEqual([0, 0, 0]);
    const cmyk = await first(await sharp(rgb).toColourspace('cmyk').jpeg().toBuffer());
    expect(Math.abs(cmyk[0]! - 200)).toBeLessThan(25);
    const halves = await sharp({ create: { width: 8, height: 8, channels: 3, background: '#000' } })
      .composite([
        {
          input: await sharp({ create: { width: 8, height: 4, channels: 3, background: '#fff' } })
            .png()
            .toBuffer(),
          top: 0,
          left: 0,
        },
      ])
      .png()
      .toBuffer();
    const turned = await decodeImage(await sharp(halves).withMetadata({ orientation: 6 }).png().toBuffer(), 8);
    expect([turned[3 * 7]!, turned[0]!]).toEqual([255, 0]); // the white half lies right
  });
  test('an image already at the size is not resampled', async () => {
    const noise = Buffer.from(Uint8Array.from({ length: 12 * 12 * 3 }, (_, i) => (i * 97) % 256));
    const png = await sharp(noise, { raw: { width: 12, height: 12, channels: 3 } })
      .png()
      .toBuffer();
    expect(Buffer.from(await decodeImage(png, 12)).equals(noise)).toBe(true);
  });
  test.each([
    [37, 53, 16, 'f82579676a80c026'],
    [11, 7, 24, '93c334e7ef54f16e'],
    [16, 40, 16, '953d2aff282509ce'],
    [40, 16, 16, '0c3ad824ecde2ae5'],
    [100, 100, 99, '50afbc42e9d8a517'],
  ])('%d x %d to %d: the bytes of Pillow 12.3’s bilinear resize', async (width, height, size, digest) => {
    const pixels = Buffer.from(
      Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 97 + ((i * i) >> 7)) % 256),
    );
    const png = await sharp(pixels, { raw: { width, height, channels: 3 } })
      .png()
      .toBuffer();
    expect(
      createHash('sha256')
        .update(await decodeImage(png, size))
        .digest('hex')
        .slice(0, 16),
    ).toBe(digest);
  });
  test('a large JPEG is shrunk while decoding, to nearly the same pixels', async () => {
    const [width, height, size] = [640, 512, 32];
    const ramp = Buffer.from(
      Uint8Array.from(
        { length: width * height * 3 },
        (_, i) => 255 * (0.5 + 0.5 * Math.sin((i % (width * 3)) / 200 + i / (width * 900))),
      ),
    );
    const image = sharp(ramp, { raw: { width, height, channels: 3 } });
    const [jpeg, png] = await Promise.all([
      image.clone().jpeg({ quality: 95 }).toBuffer(),
      image.clone().png().toBuffer(),
    ]);
    const [shrunk, whole] = [await decodeImage(jpeg, size), await decodeImage(png, size)];
    expect(jpeg.length).toBeGreaterThan(2 * size * size);
    expect(Math.max(...shrunk.map((v, i) => Math.abs(v - whole[i]!)))).toBeLessThan(8);
  });
  test('what is no image is a DataError naming it', async () => {
    fs.writeFileSync(at('no.png'), 'words');
    await expect(decodeImage(at('no.png'), 8)).rejects.toMatchObject({
      name: 'DataError',
      message: expect.stringContaining('no.png') as string,
    });
    await expect(decodeImage(at('absent.png'), 8)).rejects.toThrow(/no such file/);
  });
});

describe('image folders', () => {
  test('classes and files are sorted, the split is stratified, seeded and complete', async () => {
    const dir = await folder('plain', { b: 10, a: 20 });
    fs.writeFileSync(at('plain', 'a', 'readme.txt'), '');
    const open = async (seed: number): Promise<[ImageFolder, Split]> => {
      const data = await ImageFolder.open(dir, { size: 8, seed, cache: 'off' });
      return [data, await data.ready()];
    };
    const [data, split] = await open(1);
    expect(data.classes).toEqual(['a', 'b']);
    expect(data.ignored).toBe(1);
    expect(data.files[20]).toBe('b/0.png');
    const per = (p: Int32Array, c: number): number => [...p].filter((i) => data.labels[i] === c).length;
    expect([per(split.val, 0), per(split.val, 1)]).toEqual([6, 3]);
    expect([...split.train, ...split.val].sort((x, y) => x - y)).toEqual([...data.files.keys()]);
    const [again, other] = [(await open(1))[1], (await open(2))[1]];
    expect(parts(again)).toEqual(parts(split));
    expect(parts(other)).not.toEqual(parts(split));
    data.dispose();
  });
  test('identical pictures stay on one side, whatever their format', async () => {
    const dir = await folder('twins', { a: 12, b: 12 });
    for (let i = 0; i < 6; i++)
      await sharp(at('twins', 'a', `${i}.png`))
        .tiff({ compression: 'lzw' })
        .toFile(at('twins', 'a', `copy${i}.tif`));
    for (let seed = 0; seed < 5; seed++) {
      const data = await ImageFolder.open(dir, { size: 20, seed, cache: 'off' });
      const split = await data.ready();
      const side = new Map(
        [...split.train]
          .map((i) => [data.files[i]!, 'train'])
          .concat([...split.val].map((i) => [data.files[i]!, 'val'])) as [string, string][],
      );
      for (let i = 0; i < 6; i++) expect(side.get(`a/copy${i}.tif`)).toBe(side.get(`a/${i}.png`));
      data.dispose();
    }
  });
  test('train, val and test folders are used as they are', async () => {
    for (const part of ['train', 'val', 'test'])
      for (const c of ['x', 'y'])
        for (let i = 0; i < 3; i++) await picture(at('parted', part, c, `${i}.png`), i + part.length);
    const data = await ImageFolder.open(at('parted'), { size: 8, cache: 'off' });
    const split = await data.ready();
    expect(parts(split).map((p) => p.length)).toEqual([6, 6, 6]);
    expect([...split.val].every((i) => data.files[i]!.startsWith('val/'))).toBe(true);
    data.dispose();
    fs.rmSync(at('parted', 'val', 'y'), { recursive: true });
    await expect(ImageFolder.open(at('parted'), { size: 8, cache: 'off' })).rejects.toThrow(/lacks the classes y/);
  });
  test('a split file gives the same split again, and names what is missing', async () => {
    const dir = await folder('again', { a: 6, b: 6 });
    const data = await ImageFolder.open(dir, { size: 8, seed: 3, cache: 'off' });
    const split = await data.ready();
    fs.writeFileSync(at('split.json'), JSON.stringify(splitToJSON(data, split)));
    const second = await ImageFolder.open(dir, { size: 8, seed: 9, cache: 'off', splitFile: at('split.json') });
    expect(parts(await second.ready())).toEqual(parts(split));
    fs.rmSync(at('again', 'a', '0.png'));
    const third = await ImageFolder.open(dir, { size: 8, cache: 'off', splitFile: at('split.json') });
    await expect(third.ready()).rejects.toThrow(/names 1 files that are not in the data: a\/0.png/);
    for (const d of [data, second, third]) d.dispose();
  });
  test.each([
    ['one class', { only: 4 }, /has one class \(only\)/],
    ['a lonely image', { a: 1, b: 3 }, /too few images to train on and validate: a has one/],
  ])('%s is refused', async (name, classes, message) => {
    const dir = await folder(name.replaceAll(' ', '-'), classes);
    await expect(ImageFolder.open(dir, { size: 8, cache: 'off' })).rejects.toThrow(message);
  });
  test('the cache: a second opening decodes nothing, a changed file everything', async () => {
    const dir = await folder('cached', { a: 5, b: 5 });
    const open = async (): Promise<{ steps: number; pixels: Buffer }> => {
      let steps = 0;
      const data = await ImageFolder.open(dir, { size: 8, cacheDir, onProgress: () => steps++ });
      await data.ready();
      const pixels = Buffer.concat(Array.from(data.files, (_, i) => data.store.get(i)));
      data.dispose();
      return { steps, pixels };
    };
    const [first, second] = [await open(), await open()];
    expect([first.steps, second.steps]).toEqual([10, 1]);
    expect(second.pixels.equals(first.pixels)).toBe(true);
    await picture(at('cached', 'a', '0.png'), 99);
    expect((await open()).steps).toBe(10);
    // A pack cut short is not used.
    const pack = fs
      .readdirSync(cacheDir)
      .filter((f) => f.endsWith('.u8'))
      .map((f) => path.join(cacheDir, f));
    for (const f of pack) fs.truncateSync(f, 10);
    const repaired = await open();
    expect(repaired.steps).toBe(10);
    expect(fs.readdirSync(cacheDir).some((f) => f.includes('.tmp'))).toBe(false);
  });
});

describe('the native store', () => {
  const make = (height = 6, width = 6) => new (native().ImageStore)({ count: 3, height, width, channels: 3 });
  const bytes = (seed: number, n = 108): Uint8Array =>
    Uint8Array.from({ length: n }, (_, i) => (i * 31 + seed * 17) % 256);
  const plain = { scale: [1, 1, 1], shift: [0, 0, 0], seed: 0, epoch: 0 };
  test('normalises, and augments by (seed, epoch, image) alone', () => {
    const store = make();
    for (let i = 0; i < 3; i++) store.put(i, bytes(i));
    expect([...store.load(1, plain)]).toEqual([...bytes(1)]);
    const scaled = store.load(1, { ...plain, scale: [1 / 127.5, 2, 3], shift: [-1, 0, 1] });
    expect(scaled[0]).toBeCloseTo(bytes(1)[0]! / 127.5 - 1, 6);
    expect(scaled[4]).toBeCloseTo(bytes(1)[4]! * 2, 4);
    const strong = augmentPreset('strong')!;
    const draw = (seed: number, epoch: number, image = 0): string =>
      String(store.load(image, { ...plain, augment: strong, seed, epoch }));
    expect(draw(1, 2)).toBe(draw(1, 2));
    expect(new Set([draw(1, 2), draw(2, 2), draw(1, 3)]).size).toBe(3);
    store.dispose();
  });
  test('flips and quarter turns move pixels: eight pictures, each a rearrangement', () => {
    const store = make();
    store.put(0, bytes(0));
    const sorted = String([...bytes(0)].sort((a, b) => a - b));
    const seen = new Set<string>();
    for (let epoch = 0; epoch < 200; epoch++) {
      const drawn = [...store.load(0, { ...plain, augment: augmentPreset('aerial')!, epoch })];
      expect(String([...drawn].sort((a, b) => a - b))).toBe(sorted);
      seen.add(String(drawn));
    }
    expect(seen.size).toBe(8);
  });
  test('brightness, contrast and saturation keep to their ranges', () => {
    const store = make();
    store.put(0, new Uint8Array(108).fill(100));
    const values = Array.from(
      { length: 50 },
      (_, epoch) => store.load(0, { ...plain, augment: augmentWith({ brightness: 0.2 }), epoch })[0]!,
    );
    expect(Math.min(...values)).toBeGreaterThanOrEqual(80 - 1e-3);
    expect(Math.max(...values)).toBeLessThanOrEqual(120 + 1e-3);
    expect(new Set(values).size).toBeGreaterThan(40);
  });
  test('finds equal pixels, refuses wrong sizes, and is unusable after dispose', () => {
    const store = make();
    store.put(0, bytes(4));
    store.put(1, bytes(4));
    store.put(2, bytes(5));
    expect([store.equal(0, 1), store.equal(0, 2)]).toEqual([true, false]);
    expect(store.hash(0)).toBe(store.hash(1));
    expect(() => store.put(0, new Uint8Array(5))).toThrow(/108/);
    expect(() => store.get(3)).toThrow();
    store.dispose();
    store.dispose();
    expect(() => store.get(0)).toThrow(/disposed/);
  });
});

describe('synthetic scenes', () => {
  test('21 classes, a function of the seed, no two pictures alike', async () => {
    const draw = async (seed: number): Promise<string[]> => {
      const data = await syntheticScenes({ size: 24, perClass: 3, seed });
      const hashes = Array.from(data.files, (_, i) => data.store.hash(i));
      expect(data.classes).toHaveLength(21);
      data.dispose();
      return hashes;
    };
    const [a, b, c] = [await draw(1), await draw(1), await draw(2)];
    expect(b).toEqual(a);
    expect(new Set([...a, ...c]).size).toBe(126);
  });
});

test('sharp and the addon live in one process in either order', () => {
  const dist = new URL('../../dist/native/load.js', import.meta.url).href;
  const use = [
    `const { native } = await import('${dist}'); native().buildInfo();`,
    "const sharp = (await import('sharp')).default; await sharp({ create: { width: 2, height: 2, channels: 3, background: '#fff' } }).png().toBuffer();",
  ];
  for (const order of [use, [...use].reverse()]) {
    expect(
      execFileSync(process.execPath, ['--input-type=module', '-e', `${order.join('\n')}\nconsole.log('ok');`], {
        encoding: 'utf8',
      }),
    ).toBe('ok\n');
  }
});
