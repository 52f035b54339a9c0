// Augmentation read back from what it does to pictures that say where each pixel comes from.
import { createHash } from 'node:crypto';
import { augmentPreset, augmentWith, ImageStore, type Augment, type AugmentSettings } from 'mnv2-torch';

const EPOCHS = 400;
const plain = { scale: [1, 1, 1], shift: [0, 0, 0], seed: 3 };

/** Pixel (x, y) is [step * x, step * y, 0]: bilinear sampling reads its own coordinates. */
function ramp(height: number, width: number, step: number): ImageStore {
  const store = new ImageStore({ count: 1, height, width, channels: 3 });
  store.put(
    0,
    Uint8Array.from({ length: height * width * 3 }, (_, i) => {
      const pixel = Math.floor(i / 3);
      return i % 3 === 0 ? step * (pixel % width) : i % 3 === 1 ? step * Math.floor(pixel / width) : 0;
    }),
  );
  return store;
}
const flat = (value: number, side = 40): ImageStore => {
  const store = new ImageStore({ count: 1, height: side, width: side, channels: 3 });
  store.put(0, new Uint8Array(side * side * 3).fill(value));
  return store;
};
const each = <T>(f: (epoch: number) => T): T[] => Array.from({ length: EPOCHS }, (_, epoch) => f(epoch));
const quantile = (values: number[], q: number): number =>
  [...values].sort((a, b) => a - b)[Math.floor(q * values.length)]!;

test('aerial gives the bytes that the preset basic gave before it was called so', () => {
  const digests = [
    [24, 24],
    [12, 20],
  ].map(([height, width]) => {
    using store = new ImageStore({ count: 5, height: height!, width: width!, channels: 3 });
    const size = height! * width! * 3;
    for (let i = 0; i < 5; i++)
      store.put(
        i,
        Uint8Array.from({ length: size }, (_, j) => (j * 31 + i * 77 + (j >> 3) * 5) % 256),
      );
    const hash = createHash('sha256');
    for (let epoch = 0; epoch < 20; epoch++)
      for (let i = 0; i < 5; i++)
        hash.update(store.load(i, { scale: [1], shift: [0], augment: augmentPreset('aerial')!, seed: 9, epoch }));
    return hash.digest('hex').slice(0, 16);
  });
  expect(digests).toEqual(['78f90e17c6c2be61', '8df3cf3d1d1d5881']);
});

test('settings are filled in and refused by name', () => {
  expect(augmentWith({ flips: false })).toEqual(augmentWith({}));
  expect(augmentWith({ flips: 'horizontal' })).toMatchObject({
    flips: 'horizontal',
    turns: false,
    cropMin: 1,
    erase: 0,
  });
  for (const [settings, message] of [
    [{ flips: true }, /expected flips as false, 'none', 'horizontal' or 'both', got true/],
    [{ flips: 'vertical' }, /flips.*vertical/],
    [{ cropMin: 0 }, /cropMin/],
    [{ cropMin: 0.9, cropMax: 0.5 }, /cropMin of at most cropMax, got 0.9 and 0.5/],
    [{ ratioMin: 2 }, /ratioMin of at most ratioMax/],
    [{ erase: 1.5 }, /erase as a number from 0 to 1, got 1.5/],
  ] as const)
    expect(() => augmentWith(settings as AugmentSettings)).toThrow(message);
});

test('horizontal flips mirror left and right alone, in the images that flip both ways too', () => {
  using store = ramp(8, 8, 10);
  const corner = (augment: Augment, epoch: number): string =>
    [...store.load(0, { ...plain, augment, epoch }).slice(0, 2)].join();
  const both = each((epoch) => corner(augmentWith({ flips: 'both' }), epoch));
  const horizontal = each((epoch) => corner(augmentWith({ flips: 'horizontal' }), epoch));
  expect(new Set(both)).toEqual(new Set(['0,0', '0,70', '70,0', '70,70']));
  expect(horizontal).toEqual(both.map((xy) => `${xy.split(',')[0]},0`));
  const mirrored = horizontal.filter((xy) => xy === '70,0').length;
  expect(Math.abs(mirrored / EPOCHS - 0.5)).toBeLessThan(0.1);
});

describe('a random resized crop', () => {
  /** The window of each epoch, in pixels between the centres of the outermost ones. */
  function windows(store: ImageStore, step: number, settings: AugmentSettings) {
    const { height: rows, width: columns } = store;
    return each((epoch) => {
      const pixels = store.load(0, { ...plain, augment: augmentWith(settings), epoch });
      const at = (x: number, y: number) => pixels.subarray(3 * (y * columns + x), 3 * (y * columns + x) + 2);
      const [left, top] = [...at(0, 0)].map((v) => v / step) as [number, number];
      const [right, bottom] = [...at(columns - 1, rows - 1)].map((v) => v / step) as [number, number];
      // What lies between is linear: one affine map, bilinearly read.
      const [x, y] = [...at(columns >> 2, rows >> 2)].map((v) => v / step) as [number, number];
      expect(x).toBeCloseTo(left + ((right - left) * (columns >> 2)) / (columns - 1), 3);
      expect(y).toBeCloseTo(top + ((bottom - top) * (rows >> 2)) / (rows - 1), 3);
      const [width, height] = [(right - left) / (columns - 1), (bottom - top) / (rows - 1)];
      return { left, top, right, bottom, area: width * height, ratio: (width * columns) / (height * rows) };
    });
  }

  test('lies inside the image, its area uniform, its ratio even on a logarithmic scale, its place anywhere', () => {
    using store = ramp(48, 48, 5);
    const all = windows(store, 5, { cropMin: 0.25, cropMax: 0.75 });
    for (const w of all) {
      expect(Math.min(w.left, w.top)).toBeGreaterThanOrEqual(-1e-4);
      expect(Math.max(w.right, w.bottom)).toBeLessThanOrEqual(47 + 1e-4);
      expect(w.ratio).toBeGreaterThan(3 / 4 - 1e-3);
      expect(w.ratio).toBeLessThan(4 / 3 + 1e-3);
    }
    const areas = all.map((w) => w.area);
    for (const q of [0.1, 0.25, 0.5, 0.75, 0.9])
      expect(Math.abs(quantile(areas, q) - (0.25 + 0.5 * q))).toBeLessThan(0.04);
    const ratios = all.filter((w) => w.area < 0.7).map((w) => Math.log(w.ratio) / Math.log(4 / 3));
    for (const q of [0.25, 0.5, 0.75]) expect(Math.abs(quantile(ratios, q) - (2 * q - 1))).toBeLessThan(0.15);
    const places = all.map((w) => w.left / (47 - (w.right - w.left)));
    for (const q of [0.1, 0.5, 0.9]) expect(Math.abs(quantile(places, q) - q)).toBeLessThan(0.07);
  });

  test('keeps its area where the image forces the ratio, and is the whole image at 1', () => {
    using store = ramp(20, 40, 6);
    for (const w of windows(store, 6, { cropMin: 0.9, cropMax: 0.9 })) {
      expect(w.area).toBeCloseTo(0.9, 3);
      expect(Math.min(w.left, w.top)).toBeGreaterThanOrEqual(-1e-4);
      expect(w.right).toBeLessThanOrEqual(39 + 1e-4);
      expect(w.bottom).toBeLessThanOrEqual(19 + 1e-4);
    }
    const whole = store.load(0, { ...plain, augment: augmentWith({ ratioMin: 0.2 }), epoch: 1 });
    expect(Buffer.from(Uint8Array.from(whole)).equals(store.get(0))).toBe(true);
  });

  test('changes no other draw: flips, colour and erasing are those without it', () => {
    using store = ramp(16, 16, 10);
    using grey = flat(100);
    for (let epoch = 0; epoch < 40; epoch++) {
      const mirrored = (settings: AugmentSettings): boolean => {
        const row = store.load(0, { ...plain, augment: augmentWith(settings), epoch });
        return row[0]! > row[3 * 15]!;
      };
      expect(mirrored({ flips: 'horizontal', cropMin: 0.3 })).toBe(mirrored({ flips: 'horizontal' }));
      const coloured = (settings: AugmentSettings): number =>
        grey.load(0, { ...plain, augment: augmentWith({ brightness: 0.3, ...settings }), epoch }).find((v) => v !== 0)!;
      expect(coloured({ cropMin: 0.3, erase: 1 })).toBeCloseTo(coloured({}), 3);
      const blank = (settings: AugmentSettings): number[] =>
        [...grey.load(0, { ...plain, augment: augmentWith({ erase: 0.5, ...settings }), epoch }).keys()].filter(
          (_, i, all) => all[i] === 0,
        );
      expect(blank({ cropMin: 0.3, flips: 'both' })).toEqual(blank({}));
    }
  });
});

test('erasing blanks one rectangle of 2 to 33% to 0 after normalisation, as often as it is told', () => {
  const side = 40;
  using store = flat(200, side);
  const rectangles = each((epoch) => {
    const pixels = store.load(0, {
      scale: [0.01],
      shift: [1],
      seed: 5,
      epoch,
      augment: augmentWith({ erase: 0.4, flips: 'both' }),
    });
    const blank = Array.from({ length: side * side }, (_, i) => i).filter((i) => pixels[3 * i] === 0);
    const wrong = pixels.findIndex((v, i) => Math.abs(v - (pixels[i - (i % 3)] === 0 ? 0 : 3)) > 1e-4);
    expect(wrong).toBe(-1);
    if (blank.length === 0) return undefined;
    const [xs, ys] = [blank.map((i) => i % side), blank.map((i) => Math.floor(i / side))];
    const [left, top] = [Math.min(...xs), Math.min(...ys)];
    const [width, height] = [Math.max(...xs) - left + 1, Math.max(...ys) - top + 1];
    expect(blank).toHaveLength(width * height);
    return { left, top, width, height, area: (width * height) / side ** 2 };
  }).filter((r) => r !== undefined);
  expect(Math.abs(rectangles.length / EPOCHS - 0.4)).toBeLessThan(0.08);
  for (const { width, height, area } of rectangles) {
    expect(area).toBeGreaterThan(0.02 - 0.01); // sides are whole pixels
    expect(area).toBeLessThan(0.33 + 0.02);
    expect(width / height).toBeGreaterThan(0.25);
    expect(width / height).toBeLessThan(4);
  }
  const areas = rectangles.map((r) => r.area);
  for (const q of [0.25, 0.5, 0.75]) expect(Math.abs(quantile(areas, q) - (0.02 + 0.31 * q))).toBeLessThan(0.07);
  const places = rectangles.map((r) => r.left / (side - r.width));
  for (const q of [0.25, 0.5, 0.75]) expect(Math.abs(quantile(places, q) - q)).toBeLessThan(0.15);
});

test('a symmetry is one of eight rearrangements, mirrored where it is odd, then quarter turns', () => {
  using store = ramp(6, 6, 40);
  const view = (symmetry: number): string => store.load(0, { ...plain, epoch: 0, symmetry }).join();
  const pixel = (x: number, y: number): string => `${40 * x},${40 * y},0`;
  expect(new Set(Array.from({ length: 8 }, (_, s) => view(s))).size).toBe(8);
  expect(view(0)).toBe(store.get(0).join());
  const square = Array.from({ length: 36 }, (_, i) => [i % 6, Math.floor(i / 6)] as const);
  expect(view(1)).toBe(square.map(([x, y]) => pixel(5 - x, y)).join());
  expect(view(4)).toBe(square.map(([x, y]) => pixel(5 - x, 5 - y)).join());
  using wide = ramp(4, 6, 40);
  expect(() => wide.load(0, { ...plain, epoch: 0, symmetry: 2 })).toThrow(/square images/);
  expect(wide.load(0, { ...plain, epoch: 0, symmetry: 5 })[1]).toBe(120);
});
