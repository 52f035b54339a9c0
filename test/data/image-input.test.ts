// Pictures handed over as anything a program may have: each gives the pixels that the file gives.
import fs from 'node:fs';
import { openAsBlob } from 'node:fs';
import { pathToFileURL } from 'node:url';
import sharp from 'sharp';
import { DataError, decodeImage, UsageError, type ImageInput } from 'mnv2-torch';
import { Random } from '../../dist/random.js';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('image-input');
const [width, height, size] = [40, 30, 16];
const raw = (channels: 1 | 2 | 3 | 4) => ({ raw: { width, height, channels } });
const noise = (channels: number): Uint8Array => {
  const random = new Random(1, 'noise', channels);
  return Uint8Array.from({ length: width * height * channels }, () => random.whole(0, 255));
};
/** What a PNG of these pixels is decoded to. */
const asPng = async (data: Uint8Array, channels: 1 | 2 | 3 | 4): Promise<Uint8Array> =>
  decodeImage(await sharp(data, raw(channels)).png().toBuffer(), size);
const rgb = noise(3);
let png: Buffer;
let expected: Uint8Array;
beforeAll(async () => {
  png = await sharp(rgb, raw(3)).png().toBuffer();
  fs.writeFileSync(at('a picture.png'), png);
  expected = await decodeImage(png, size);
  expect(new Set(expected).size).toBeGreaterThan(50);
});
const same = (pixels: Uint8Array): void => expect(Buffer.compare(pixels, expected)).toBe(0);

test('paths, URL objects, bytes, Blobs and Files', async () => {
  const file = at('a picture.png');
  same(await decodeImage(file, size));
  same(await decodeImage(pathToFileURL(file), size));
  same(await decodeImage(new Uint8Array(png), size));
  same(await decodeImage(Uint8ClampedArray.from(png) as never, size));
  same(await decodeImage(new Blob([new Uint8Array(png)]), size));
  same(await decodeImage(await openAsBlob(file), size));
  const bad = new File(['no picture'], 'upload.png');
  await expect(decodeImage(bad, size)).rejects.toMatchObject({ message: expect.stringMatching(/^upload\.png: /) });
  await expect(decodeImage(new Blob([]), size)).rejects.toThrow('image: the file is empty');
  const gone = await openAsBlob(file);
  fs.appendFileSync(file, 'x');
  await expect(decodeImage(gone, size)).rejects.toThrow(DataError); // it is no longer what it was
  fs.writeFileSync(file, png);
});
test.each([1, 3, 4] as const)('raw pixels of %i channels are what a PNG of them is', async (channels) => {
  const data = noise(channels);
  const pixels = await decodeImage({ data, width, height, channels }, size);
  expect(Buffer.compare(pixels, await asPng(data, channels))).toBe(0);
  const clamped = await decodeImage({ data: Uint8ClampedArray.from(data), width, height, channels }, size);
  expect(Buffer.compare(clamped, pixels)).toBe(0);
});
test('raw pixels: part of a larger buffer, shared and resizable memory, the size asked for', async () => {
  const larger = new Uint8Array(rgb.length + 7);
  larger.set(rgb, 7);
  same(await decodeImage({ data: larger.subarray(7), width, height, channels: 3 }, size));
  const shared = new Uint8Array(new SharedArrayBuffer(rgb.length));
  shared.set(rgb);
  same(await decodeImage({ data: shared, width, height, channels: 3 }, size));
  const Resizable = ArrayBuffer as unknown as new (
    length: number,
    options: object,
  ) => ArrayBuffer & {
    resize(length: number): void;
  };
  const memory = new Resizable(rgb.length, { maxByteLength: 2 * rgb.length });
  const growing = new Uint8Array(memory);
  growing.set(rgb);
  const decoding = decodeImage({ data: growing, width, height, channels: 3 }, size);
  memory.resize(0);
  same(await decoding);
  const exact = await decodeImage({ data: rgb.subarray(0, 3 * 10 * 10), width: 10, height: 10, channels: 3 }, 10);
  expect(Buffer.compare(exact, rgb.subarray(0, 300))).toBe(0);
});
test('a sharp instance: its pipeline is honoured, and it can be used on', async () => {
  same(await decodeImage(sharp(png), size));
  const image = sharp(png).extract({ left: 5, top: 2, width: 20, height: 20 }).negate().jpeg({ quality: 1 });
  const cut = await image.clone().png().toBuffer();
  const pixels = await decodeImage(image, size);
  expect(Buffer.compare(pixels, await decodeImage(cut, size))).toBe(0);
  expect(Buffer.compare(await decodeImage(image, size), pixels)).toBe(0);
  expect((await image.png().toBuffer()).length).toBeGreaterThan(0);
  for (const channels of [1, 2, 4] as const) {
    const data = noise(channels);
    const other = await decodeImage(sharp(data, raw(channels)), size);
    expect(Buffer.compare(other, await asPng(data, channels))).toBe(0);
  }
  const piped = sharp();
  fs.createReadStream(at('a picture.png')).pipe(piped);
  same(await decodeImage(piped, size));
  await expect(decodeImage(sharp(at('nowhere.png')), size)).rejects.toThrow(DataError);
});
test.each([
  [new URL('https://example.org/a.jpg'), /file: URL, got https: \('https:\/\/example.org\/a.jpg'\); fetch it yourself/],
  [new URL('file://host/a.jpg'), /names no file here/],
  [{ data: rgb, width, height, channels: 2 }, /channels: expected 1, 3 or 4, got 2/],
  [{ data: rgb, width, height, channels: 4 }, /data: expected 4800 bytes, .* got 3600 bytes/],
  [{ data: [...rgb], width, height, channels: 3 }, /data: expected 3600 bytes/],
  [{ data: rgb, width: 0, height, channels: 3 }, /width: expected a whole number/],
  [{ data: rgb, width: 1.5, height, channels: 3 }, /width: expected a whole number/],
  [new ArrayBuffer(4), /expected a path, a file: URL object, the encoded bytes/],
  [{ width, height }, /expected a path/],
])('%# is refused in words', async (image, message) => {
  const refused = decodeImage(image as ImageInput, size);
  await expect(refused).rejects.toThrow(UsageError);
  await expect(refused).rejects.toThrow(message);
});
test('maxPixels holds for raw pixels as for files', async () => {
  const image = { data: rgb, width, height, channels: 3 } as const;
  for (const picture of [image, png])
    await expect(decodeImage(picture, size, { maxPixels: 1199 })).rejects.toThrow(
      /^image: it is 40 x 30, more than 1199/,
    );
  same(await decodeImage(image, size, { maxPixels: 1200 }));
});
