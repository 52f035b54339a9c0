// MixUp and CutMix in loops: pixels and targets against the formulas, computed here from what comes back.
import {
  augmentWith,
  compile,
  constant,
  Engine,
  ImageStore,
  input,
  mul,
  RowStore,
  type LoopOptions,
  type Mix,
} from 'mnv2-torch';

const COUNT = 11;
const HEIGHT = 10;
const WIDTH = 14;
const AREA = HEIGHT * WIDTH;
const order = Int32Array.of(3, 0, 7, 10, 1, 2, 9, 8, 6, 5, 4);

let store: ImageStore;
let labels: RowStore;
beforeAll(async () => {
  store = new ImageStore({ count: COUNT, height: HEIGHT, width: WIDTH, channels: 3 });
  // No two pixels of neighbours are the same, so that each says whose it is.
  for (let i = 0; i < COUNT; i++)
    store.put(
      i,
      Uint8Array.from({ length: AREA * 3 }, (_, j) => i * 20 + (j % 19)),
    );
  labels = await RowStore.from(
    Engine.default(),
    BigInt64Array.from({ length: COUNT }, (_, i) => BigInt(i)),
    [COUNT],
    'int64',
  );
});
afterAll(() => {
  store.dispose();
  labels.dispose();
});

/** A mixed loop's images [N][pixel][channel], and its targets [N][class]; every image is a class of its own. */
async function mixed(mix: Mix | undefined, rest: Partial<LoopOptions> = {}) {
  const image = mul(input('image', [-1, 3, HEIGHT, WIDTH]), constant(1));
  using program = compile({ image, target: mul(input('target', [-1, COUNT]), constant(1)) });
  const { rows } = await program.loop({
    order,
    batchSize: 5,
    bind: {
      image: { images: store, scale: [1], shift: [-7] },
      target: { targets: labels, classes: COUNT },
    },
    rows: ['image', 'target'],
    seed: 1,
    ...(mix && { mix }),
    ...rest,
  });
  const n = rest.order?.length ?? order.length;
  const pixels = rows['image']!.data;
  const target = rows['target']!.data as Float32Array;
  return Array.from({ length: n }, (_, i) => ({
    /** [pixel][channel] */
    pixels: Array.from({ length: AREA }, (_, p) => [0, 1, 2].map((c) => Number(pixels[(i * 3 + c) * AREA + p]))),
    target: Array.from(target.subarray(i * COUNT, (i + 1) * COUNT), Number),
  }));
}
type Row = Awaited<ReturnType<typeof mixed>>[number];

/** Place of the partner in the order: the next of the batch, for the last the first. */
const partnerOf = (place: number, batchSize = 5, of = order): number => {
  const first = place - (place % batchSize);
  const size = Math.min(batchSize, of.length - first);
  return first + ((place - first + 1) % size);
};
const plain = (place: number): number[][] => {
  const bytes = store.get(order[place]!);
  return Array.from({ length: AREA }, (_, p) => [0, 1, 2].map((c) => bytes[3 * p + c]! - 7));
};
/** The share of its own, read from the target; what is left must be the partner's. */
function shareOf(row: Row, place: number, batchSize = 5): number {
  const own = order[place]!;
  const partner = order[partnerOf(place, batchSize)]!;
  const share = row.target[own]!;
  expect(share).toBeGreaterThanOrEqual(0);
  expect(row.target[partner]).toBeCloseTo(partner === own ? 1 : 1 - share, 5);
  expect(row.target.filter((v, c) => v !== 0 && c !== own && c !== partner)).toEqual([]);
  return share;
}
const worst = (a: number[][], b: number[][]): number =>
  Math.max(...a.map((v, p) => Math.max(...v.map((x, c) => Math.abs(x - b[p]![c]!)))));

/** Whether it is blended by this share, as MixUp's formula says. */
const blended = (row: Row, place: number, share: number): boolean => {
  const [a, b] = [plain(place), plain(partnerOf(place))];
  return (
    worst(
      row.pixels,
      a.map((v, p) => v.map((x, c) => share * x + (1 - share) * b[p]![c]!)),
    ) < 1e-3
  );
};
/** Whether it is one rectangle of the partner whose area is what the target says. */
function cut(row: Row, place: number, share: number): boolean {
  const [a, b] = [plain(place), plain(partnerOf(place))];
  const whose = row.pixels.map((v, p) =>
    v.join() === a[p]!.join() ? 'own' : v.join() === b[p]!.join() ? 'partner' : '?',
  );
  const from = [...whose.keys()].filter((p) => whose[p] === 'partner');
  const [xs, ys] = [from.map((p) => p % WIDTH), from.map((p) => Math.floor(p / WIDTH))];
  const box = from.length && (Math.max(...xs) - Math.min(...xs) + 1) * (Math.max(...ys) - Math.min(...ys) + 1);
  return !whose.includes('?') && box === from.length && Math.abs(1 - from.length / AREA - share) < 1e-6;
}

test('MixUp blends each image with the next of its batch, and the targets with the same shares', async () => {
  const rows = await mixed({ mixup: 1 });
  const shares = rows.map((row, place) => shareOf(row, place));
  // The third batch is the rest of eleven: one image, which stays as it is.
  expect(shares[10]).toBe(1);
  expect(worst(rows[10]!.pixels, plain(10))).toBe(0);
  for (const [place, row] of rows.entries()) expect(blended(row, place, shares[place]!)).toBe(true);
  expect(new Set(shares.slice(0, 10)).size).toBe(10);
});

test('CutMix shows the partner in one rectangle, and the targets say its real area', async () => {
  const rows = await mixed({ cutmix: 1 });
  const shares = rows.map((row, place) => shareOf(row, place));
  for (const [place, row] of rows.entries()) expect(cut(row, place, shares[place]!)).toBe(true);
  expect(shares.filter((s) => s < 1).length).toBeGreaterThan(6);
});

test('with both, each image takes one of them, about as often', async () => {
  let [blends, cuts] = [0, 0];
  for (let firstStep = 0; firstStep < 40; firstStep += 2) {
    const rows = await mixed({ mixup: 1, cutmix: 1 }, { order: order.slice(0, 10), firstStep });
    for (const [place, row] of rows.entries()) {
      const share = shareOf(row, place);
      if (share === 1) continue;
      const [blend, rectangle] = [blended(row, place, share), cut(row, place, share)];
      expect(blend !== rectangle).toBe(true);
      if (blend) blends++;
      else cuts++;
    }
  }
  expect(Math.abs(blends / (blends + cuts) - 0.5)).toBeLessThan(0.15);
});

test.each([0.2, 1, 4])('shares of own follow Beta(alpha, alpha), alpha %p', async (alpha) => {
  const shares: number[] = [];
  for (let firstStep = 0; firstStep < 240; firstStep += 2) {
    const rows = await mixed({ mixup: alpha }, { order: order.slice(0, 10), firstStep });
    rows.forEach((row, place) => shares.push(row.target[order[place]!]!));
  }
  const mean = shares.reduce((a, b) => a + b, 0) / shares.length;
  const variance = shares.reduce((a, b) => a + (b - mean) ** 2, 0) / shares.length;
  expect(Math.abs(mean - 0.5)).toBeLessThan(0.04);
  expect(Math.abs(variance * 4 * (2 * alpha + 1) - 1)).toBeLessThan(0.12);
});

test('depends on seed and step alone: not on where a loop is interrupted, nor on the number of threads', async () => {
  const whole = await mixed({ mixup: 0.4, cutmix: 1 });
  const first = await mixed({ mixup: 0.4, cutmix: 1 }, { order: order.slice(0, 5) });
  const rest = await mixed({ mixup: 0.4, cutmix: 1 }, { order: order.slice(5), firstStep: 1 });
  expect([...first, ...rest]).toEqual(whole);
  expect(await mixed({ mixup: 0.4, cutmix: 1 }, { seed: 2 })).not.toEqual(whole);
  expect(await mixed({ mixup: 0.4, cutmix: 1 }, { firstStep: 1 })).not.toEqual(whole);
  const engine = new Engine({ threads: 1 });
  const program = compile({ image: mul(input('image', [-1, 3, HEIGHT, WIDTH]), constant(1)) }, { engine });
  const { rows } = await program.loop({
    order,
    batchSize: 5,
    bind: { image: { images: store, scale: [1], shift: [-7] } },
    rows: ['image'],
    seed: 1,
    mix: { mixup: 0.4, cutmix: 1 },
  });
  const one = (place: number, p: number): number => rows['image']!.data[place * 3 * AREA + p] as number;
  expect(whole.every((row, place) => row.pixels.every((v, p) => v[0] === one(place, p)))).toBe(true);
  program.dispose();
  engine.dispose();
});

test('without mixing, targets are one at the label and the images as they are', async () => {
  const rows = await mixed(undefined);
  expect(rows.map((row) => row.target.indexOf(1))).toEqual([...order]);
  expect(rows.every((row) => row.target.reduce((a, b) => a + b) === 1)).toBe(true);
  expect(rows.every((row, place) => worst(row.pixels, plain(place)) === 0)).toBe(true);
  expect(await mixed({ mixup: 0, cutmix: 0 })).toEqual(rows);
});

test('eachStep draws an image anew in every step', async () => {
  using program = compile({ image: mul(input('image', [-1, 3, HEIGHT, WIDTH]), constant(1)) });
  const augment = augmentWith({ brightness: 0.5 });
  const loop = async (eachStep: boolean): Promise<number[]> => {
    const image = { images: store, scale: [1], shift: [0], augment, epoch: 3, eachStep };
    const { rows } = await program.loop({
      order: Int32Array.of(5, 5, 5),
      batchSize: 1,
      bind: { image },
      rows: ['image'],
      firstStep: 3,
    });
    return [0, 1, 2].map((n) => rows['image']!.data[n * 3 * AREA] as number);
  };
  const [same, fresh] = [await loop(false), await loop(true)];
  expect(new Set(same).size).toBe(1);
  expect(new Set(fresh).size).toBe(3);
  expect(fresh[0]).toBe(same[0]); // step 3 draws as epoch 3
});

test('what cannot be mixed is refused', async () => {
  await expect(mixed(0.2 as never)).rejects.toThrow(/mix: expected \{ mixup\?, cutmix\? \}, got 0.2/);
  await expect(mixed({ mixup: -1 })).rejects.toThrow(/mix.mixup: expected a number from 0 to 100/);
  using program = compile({ target: mul(input('target', [-1, 3]), constant(1)) });
  const bind = { target: { targets: labels, classes: 3 } };
  const loop = (rest: Partial<LoopOptions>) => program.loop({ order, batchSize: 5, bind, rows: ['target'], ...rest });
  await expect(loop({})).rejects.toThrow(/'target' takes labels from 0 to 2, its store has 10/);
  const few = { target: { targets: labels, classes: COUNT } };
  await expect(loop({ bind: few, mix: { mixup: 1 } })).rejects.toThrow(/expected an input of images to mix/);
  const wrong = await RowStore.from(Engine.default(), Float32Array.of(1, 2), [2], 'float32');
  await expect(loop({ bind: { target: { targets: wrong, classes: 3 } } })).rejects.toThrow(/int64 labels/);
  wrong.dispose();
});
