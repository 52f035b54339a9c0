// A map over a picture: enlarged as between the centres of its cells, brightest where it is highest.
import sharp from 'sharp';
import { colourOf, overlay, overlayPicture, valueAt } from '../../dist/report/overlay.js';

const map = { height: 2, width: 3, values: Float32Array.of(1, 2, 4, -8, 0.5, 3) };

test('at a cell’s centre a map has its value, half way the mean of two, beyond the last centre it stays', () => {
  for (let y = 0; y < 2; y++)
    for (let x = 0; x < 3; x++)
      expect(valueAt(map, (x + 0.5) / 3, (y + 0.5) / 2)).toBeCloseTo(map.values[y * 3 + x]!, 6);
  expect(valueAt(map, 1 / 3, 0.25)).toBeCloseTo(1.5, 6);
  expect(valueAt(map, 0.5, 0.5)).toBeCloseTo(1.25, 6);
  expect(valueAt(map, 0, 0)).toBe(1);
  expect(valueAt(map, 1, 1)).toBe(3);
  // One cell is one value everywhere.
  expect(valueAt({ height: 1, width: 1, values: Float32Array.of(7) }, 0.9, 0.1)).toBe(7);
});

test('colours get lighter from black to pale yellow, for every eye', () => {
  const luminance = ([r, g, b]: [number, number, number]): number => 0.2126 * r + 0.7152 * g + 0.0722 * b;
  const steps = Array.from({ length: 101 }, (_, i) => luminance(colourOf(i / 100)));
  steps.slice(1).forEach((v, i) => expect(v).toBeGreaterThan(steps[i]!));
  expect(colourOf(-1)).toEqual(colourOf(0));
  expect(colourOf(2)).toEqual([252, 255, 164]);
});

test('the highest place is the brightest; what speaks against the class is only darkened; grey stays even', () => {
  const [width, height] = [60, 40];
  const grey = new Uint8Array(width * height * 3).fill(120);
  const out = overlay(grey, width, height, map);
  const light = (x: number, y: number): number => out[3 * (y * width + x)]! + out[3 * (y * width + x) + 1]!;
  const brightest = [...Array(width * height).keys()].reduce((best, i) =>
    light(i % width, Math.floor(i / width)) > light(best % width, Math.floor(best / width)) ? i : best,
  );
  expect(brightest % width).toBeGreaterThanOrEqual(50);
  expect(Math.floor(brightest / width)).toBeLessThanOrEqual(10);
  expect([...out.subarray(3 * 39 * width, 3 * 39 * width + 3)]).toEqual([90, 90, 91]);
  // Nothing speaks for the class: nothing glows.
  const none = overlay(grey, width, height, { height: 1, width: 1, values: Float32Array.of(-1) });
  expect(Math.max(...none)).toBeLessThan(120);
});

test('a written overlay has the picture’s proportions, turned as it is shown', async () => {
  const photo = await sharp({ create: { width: 1500, height: 700, channels: 3, background: '#456' } })
    .withExif({})
    .withMetadata({ orientation: 6 })
    .jpeg()
    .toBuffer();
  const { width, height, format } = await sharp(await overlayPicture(photo, map, { maxPixels: 1e8 })).metadata();
  expect([width, height, format]).toEqual([478, 1024, 'png']);
});
