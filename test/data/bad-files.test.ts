// Files that are not what their names say, and pictures that are not what was saved: refused by name, left out or kept.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { decodeImage, ImageFolder, type ImageFolderOptions } from 'mnv2-torch';
import { native } from '../../dist/native/load.js';
import { scanFolder } from '../../dist/data/sources/folder-scan.js';
import { sceneSvg } from '../../dist/data/sources/scenes.js';
import { Random } from '../../dist/random.js';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('bad');
const plain = (name: string): Promise<string> => imageFolder(at(name), { classes: ['a', 'b'], perClass: 3, size: 16 });
const open = (dir: string, options: Partial<ImageFolderOptions> = {}): Promise<ImageFolder> =>
  ImageFolder.open(dir, { size: 16, cache: 'off', ...options });
/** A picture with something to see in every corner. */
const scene = (side: number, seed = 1): Sharp => sharp(Buffer.from(sceneSvg('harbor', new Random(seed), side)));

/** Overwrites `length` bytes in the middle. */
function overwritten(bytes: Buffer, kind: 'random' | 'zeros' | 'text' | 'elsewhere', length: number, seed = 1): Buffer {
  const copy = Buffer.from(bytes);
  const [random, from] = [new Random(seed), bytes.length >> 1];
  for (let i = 0; i < length; i++) {
    copy[from + i] = {
      random: () => random.whole(0, 255),
      zeros: () => 0,
      text: () => random.whole(32, 122),
      elsewhere: () => bytes[from - length - 100 + i]!,
    }[kind]();
  }
  return copy;
}

describe('what is no regular file', () => {
  const kinds: [string, string, (file: string) => unknown, RegExp][] = [
    ['a pipe', 'x.jpg', (file) => execFileSync('mkfifo', [file]), /a named pipe, not a file/],
    ['a device', 'x.jpg', (file) => fs.symlinkSync('/dev/zero', file), /a device, not a file/],
    ['a folder', 'x.jpg', (file) => fs.mkdirSync(file), /a folder, not a file/],
    ['a dangling link', 'x.jpg', (file) => fs.symlinkSync('nowhere.jpg', file), /a symbolic link to nothing/],
    ['a loop of links', 'x.jpg', (file) => fs.symlinkSync('x.jpg', file), /symbolic links in a circle/],
  ];
  test.each(kinds)(
    '%s is refused by name, alone and in a folder',
    async (title, name, make, message) => {
      const dir = await plain(title.replaceAll(' ', '-'));
      const file = path.join(dir, 'a', name);
      make(file);
      await expect(decodeImage(file, 16)).rejects.toMatchObject({
        name: 'DataError',
        message: expect.stringMatching(message) as string,
        files: [file],
      });
      if (title === 'a folder') return; // in a class folder, more images may be in it
      const data = await open(dir);
      await expect(data.ready()).rejects.toThrow(/1 of 7 images cannot be read:\n {2}a\/x\.jpg: /);
      data.dispose();
      const rest = await open(dir, { skipBad: true });
      await rest.ready();
      expect(rest.skipped).toEqual([{ file: 'a/x.jpg', reason: expect.stringMatching(message) as string }]);
      rest.dispose();
    },
    20_000,
  );
  test('a pipe does not hang the look for a pack in the cache either', async () => {
    const dir = await plain('cached-pipe');
    execFileSync('mkfifo', [path.join(dir, 'b', 'x.png')]);
    const data = await open(dir, { cache: 'auto', cacheDir: at('cache') });
    await expect(data.ready()).rejects.toThrow(/b\/x\.png: a named pipe/);
    data.dispose();
  }, 20_000);
  test('a socket', async () => {
    const server = net.createServer().listen(at('s.png'));
    await new Promise((resolve) => server.once('listening', resolve));
    await expect(decodeImage(at('s.png'), 8)).rejects.toThrow(/s\.png: a socket, not a file/);
    server.close();
  });
  test('a class folder that is a broken link, and one that cannot be read, are named', async () => {
    const dir = await plain('links');
    fs.symlinkSync('gone', path.join(dir, 'c'));
    fs.symlinkSync('d', path.join(dir, 'd'));
    const data = await open(dir);
    await expect(data.ready()).rejects.toThrow(
      /cannot be read:\n {2}c: a symbolic link to nothing\n {2}d: symbolic links in a circle/,
    );
    data.dispose();
    const rest = await open(dir, { skipBad: true });
    await rest.ready();
    expect(rest.skipped.map((s) => s.file)).toEqual(['c', 'd']);
    rest.dispose();

    // Root may read everything: what it sees as somebody else is asked for.
    const locked = await plain('locked');
    for (const folder of [at(), locked]) fs.chmodSync(folder, 0o755);
    fs.chmodSync(path.join(locked, 'b'), 0);
    const root = process.getuid!() === 0;
    if (root) process.seteuid!(65534);
    try {
      const { unlisted, classes } = await scanFolder(locked, true);
      expect(classes).toEqual(['a']);
      expect(unlisted).toEqual([{ file: 'b', reason: 'the folder: no permission to read it' }]);
    } finally {
      if (root) process.seteuid!(0);
      fs.chmodSync(path.join(locked, 'b'), 0o755);
    }
  });
  test('hidden folders hold no images', async () => {
    const dir = await plain('hidden');
    fs.cpSync(path.join(dir, 'b'), path.join(dir, 'a', '.ipynb_checkpoints'), { recursive: true });
    const data = await open(dir);
    expect(data.files).toHaveLength(6);
    await data.ready();
    data.dispose();
  });
});

describe('damaged JPEG', () => {
  const damage = (bytes: Uint8Array): Promise<string> => native().jpegDamage(bytes);
  const variants: [string, (image: Sharp) => Sharp][] = [
    ['baseline', (i) => i.jpeg({ quality: 90 })],
    ['progressive', (i) => i.jpeg({ quality: 90, progressive: true })],
    ['4:4:4', (i) => i.jpeg({ quality: 95, chromaSubsampling: '4:4:4' })],
    ['tuned, progressive', (i) => i.jpeg({ quality: 90, mozjpeg: true })],
    ['grey', (i) => i.greyscale().jpeg({ quality: 90, progressive: true })],
    ['CMYK', (i) => i.toColourspace('cmyk').jpeg({ quality: 90 })],
  ];
  test.each(variants)('%s: whole ones pass, of any size; overwritten ones do not', async (_name, encode) => {
    for (const [w, h] of [
      [1, 1],
      [7, 9],
      [16, 17],
      [65, 31],
      [200, 100],
    ] as const)
      expect(await damage(await encode(scene(256, w).resize(w, h, { fit: 'fill' })).toBuffer())).toBe('');
    const whole = await encode(scene(320)).toBuffer();
    for (const kind of ['random', 'zeros', 'text', 'elsewhere'] as const) {
      const bad = overwritten(whole, kind, Math.min(3000, whole.length >> 2));
      const found =
        (await damage(bad)) !== '' ||
        (await sharp(bad, { failOn: 'error' })
          .toBuffer()
          .catch(() => true)) === true;
      expect([kind, found]).toEqual([kind, true]);
    }
  });
  test('restart markers out of order, or missing, are seen', async () => {
    // sharp writes none: a picture of restart intervals is made from rows of one, each a scan of its own length.
    const rows = await Promise.all(
      [0, 1, 2, 3].map((n) =>
        scene(64, n)
          .resize(64, 16, { fit: 'fill' })
          .jpeg({ optimiseCoding: false, chromaSubsampling: '4:2:0' })
          .toBuffer(),
      ),
    );
    const startOf = (b: Buffer): number => b.indexOf(Buffer.of(0xff, 0xda));
    const [first] = rows as [Buffer];
    const head = Buffer.from(first.subarray(0, startOf(first)));
    const frame = head.indexOf(Buffer.of(0xff, 0xc0));
    head.writeUInt16BE(64, frame + 5);
    const interval = Buffer.of(0xff, 0xdd, 0, 4, 0, 4); // four units of 16 pixels a row
    const scanHead = first.subarray(startOf(first), startOf(first) + 14);
    const data = rows.map((b) => b.subarray(startOf(b) + 14, -2));
    const joined = (markers: readonly number[]): Buffer =>
      Buffer.concat([
        head,
        interval,
        scanHead,
        ...data.flatMap((d, i) => (i === 0 ? [d] : [Buffer.of(0xff, markers[i - 1]!), d])),
        Buffer.of(0xff, 0xd9),
      ]);
    const whole = joined([0xd0, 0xd1, 0xd2]);
    expect((await sharp(whole, { failOn: 'warning' }).metadata()).height).toBe(64);
    expect(await damage(whole)).toBe('');
    expect(await damage(joined([0xd0, 0xd2, 0xd1]))).toMatch(/line 17 of 64: a restart marker is missing/);
    expect(await damage(joined([0xd0, 0xd9, 0xd2]))).toMatch(/of 64: a restart marker is missing/);
  });
  test('odd metadata, padding and what comes after the picture are no damage', async () => {
    const whole = await scene(128).jpeg().toBuffer();
    const [start, end] = [whole.subarray(0, 2), whole.subarray(-2)];
    const segment = (marker: number, body: Buffer): Buffer =>
      Buffer.concat([Buffer.of(0xff, marker, (body.length + 2) >> 8, (body.length + 2) & 255), body]);
    const exif = segment(0xe1, Buffer.from('Exif\0\0MM\0*nonsense nonsense nonsense'));
    const adobe = segment(0xee, Buffer.from('Adobe\0d\0\0\0\0\x07', 'latin1'));
    for (const odd of [
      Buffer.concat([start, exif, whole.subarray(2)]),
      Buffer.concat([start, adobe, whole.subarray(2)]),
      Buffer.concat([start, segment(0xe3, Buffer.alloc(9)), Buffer.alloc(5, 1), whole.subarray(2)]),
      Buffer.concat([whole.subarray(0, -2), Buffer.alloc(16), end]),
      Buffer.concat([whole.subarray(0, -2), Buffer.alloc(7, 0xff), end]),
      Buffer.concat([whole, whole.subarray(0, 900), Buffer.from('and more')]),
    ]) {
      expect(await damage(odd)).toBe('');
      expect(await decodeImage(odd, 32)).toHaveLength(32 * 32 * 3);
    }
  });
  test('any bytes give an answer', async () => {
    const seeds = await Promise.all([scene(96).jpeg().toBuffer(), scene(96).jpeg({ progressive: true }).toBuffer()]);
    let found = 0;
    for (let i = 0; i < 2000; i++) {
      const [random, bytes] = [new Random('mutation', i), Buffer.from(seeds[i % 2]!)];
      for (let k = random.whole(1, 8); k > 0; k--)
        bytes[random.whole(2, (random.chance(0.5) ? 700 : bytes.length) - 1)] = random.whole(0, 255);
      const cut = random.chance(0.3) ? bytes.subarray(0, random.whole(0, bytes.length)) : bytes;
      if ((await damage(cut)) !== '') found++;
    }
    expect(found).toBeGreaterThan(800);
    expect(await damage(new Uint8Array(0))).toBe('');
    expect(() => native().jpegDamage('words' as never)).toThrow(/Uint8Array/);
  });
});

describe('other formats', () => {
  const half = (b: Buffer): Buffer => b.subarray(0, b.length >> 1);
  const text = (b: Buffer): Buffer => overwritten(b, 'text', Math.min(400, b.length >> 2));
  test.each<[string, (i: Sharp) => Sharp, (b: Buffer) => Buffer]>([
    ['png, overwritten', (i) => i.png(), text],
    ['png, one bit', (i) => i.png(), (b) => (b.writeUInt8(b[b.length >> 1]! ^ 1, b.length >> 1), b)],
    ['png, cut', (i) => i.png(), half],
    ['webp, cut', (i) => i.webp(), half],
    ['tiff (LZW), overwritten', (i) => i.tiff({ compression: 'lzw' }), text],
    ['tiff, cut', (i) => i.tiff({ compression: 'lzw' }), half],
    ['gif, overwritten', (i) => i.gif(), (b) => overwritten(b, 'zeros', b.length >> 2)],
    ['gif, cut', (i) => i.gif(), half],
    ['avif, overwritten', (i) => i.avif({ effort: 0 }), text],
    ['jpeg, cut', (i) => i.jpeg(), half],
  ])('%s', async (_name, encode, harm) => {
    const bytes = await encode(scene(128)).toBuffer();
    expect(await decodeImage(Buffer.from(bytes), 32)).toHaveLength(3072);
    await expect(decodeImage(harm(bytes), 32)).rejects.toThrow(/^image: /);
  });
  test('metadata of PNG may be odd', async () => {
    const png = await scene(64).png().toBuffer();
    const chunk = Buffer.from([0, 0, 0, 9, ...Buffer.from('tEXtComment\0x'), 1, 2, 3, 4]); // with a wrong checksum
    expect(await decodeImage(Buffer.concat([png.subarray(0, 33), chunk, png.subarray(33)]), 16)).toHaveLength(768);
  });
  test('what is left of a damaged picture is the same every time', async () => {
    const png = overwritten(await scene(200).png().toBuffer(), 'random', 300);
    const jpeg = await scene(200).jpeg().toBuffer();
    for (const bytes of [png, half(jpeg), overwritten(jpeg, 'text', 2000)]) {
      await expect(decodeImage(bytes, 64)).rejects.toThrow(/^image: damaged/);
      const [first, ...others] = await Promise.all(
        Array.from({ length: 6 }, () => decodeImage(bytes, 64, { allowDamaged: true })),
      );
      for (const other of others) expect(Buffer.compare(other, first!)).toBe(0);
    }
  });
});

describe('damaged files in a folder', () => {
  const cacheDir = at.bind(undefined, 'packs');
  beforeAll(async () => {
    const dir = await plain('damaged');
    fs.writeFileSync(path.join(dir, 'a/hurt.jpg'), overwritten(await scene(128).jpeg().toBuffer(), 'text', 1000));
    fs.writeFileSync(path.join(dir, 'b/cut.png'), (await scene(64).png().toBuffer()).subarray(0, 900));
  });
  // The second round finds the pack the first has made.
  test.each(['off', 'auto', 'auto'] as const)('cache %s: refused, left out, or kept and listed', async (cache) => {
    const options = { cache, cacheDir: cacheDir() };
    const refused = await open(at('damaged'), options);
    const error = await refused.ready().catch((e: Error) => e);
    expect(error).toMatchObject({ name: 'DataError', files: [at('damaged/a/hurt.jpg'), at('damaged/b/cut.png')] });
    expect((error as Error).message).toMatch(
      /^2 of 8 images are damaged:\n {2}a\/hurt\.jpg: damaged JPEG data near line \d+ of 128: .*\n {2}b\/cut\.png: .*\nRepair .*--skip-bad.*--allow-damaged/,
    );
    refused.dispose();

    const without = await open(at('damaged'), { ...options, skipBad: true });
    const split = await without.ready();
    expect(without.skipped.map((s) => s.file)).toEqual(['a/hurt.jpg', 'b/cut.png']);
    expect(without.damaged).toEqual([]);
    expect(split.train.length + split.val.length).toBe(6);
    without.dispose();

    const all = await open(at('damaged'), { ...options, allowDamaged: true });
    const whole = await all.ready();
    expect(all.damaged.map((s) => s.file)).toEqual(['a/hurt.jpg', 'b/cut.png']);
    expect(all.skipped).toEqual([]);
    expect(whole.train.length + whole.val.length).toBe(8);
    const hurt = all.store.get(all.files.indexOf('a/hurt.jpg'));
    expect(Buffer.compare(hurt, await decodeImage(at('damaged/a/hurt.jpg'), 16, { allowDamaged: true }))).toBe(0);
    all.dispose();
  });
});
