// Mixing, class weights and the balanced order as the Trainer uses them: a step's update against its formula.
import {
  compile,
  Engine,
  GlobalAveragePool,
  input,
  Linear,
  MobileNetV2,
  Module,
  mul,
  constant,
  RowStore,
  sgd,
  syntheticScenes,
  Trainer,
  Weights,
  type Dataset,
  type Tensor,
  type TrainEvent,
  type TrainerOptions,
} from 'mnv2-torch';
import { balancedOrder, classWeightsOf } from '../../dist/train/balance.js';
import { shuffled } from '../../dist/train/schedule.js';

const K = 21;
const SEED = 5;
const WEIGHTS = Array.from({ length: K }, (_, c) => 0.3 + ((c * 7) % 5) / 2);
let data: Dataset;
beforeAll(async () => {
  data = await syntheticScenes({ size: 32, perClass: 4 });
  await data.ready();
  // Classes of different sizes: two thirds of the images are of one.
  data.labels.forEach((label, row) => (data.labels[row] = label < 14 ? 0 : label));
});
afterAll(() => data.dispose());

/** Logits are linear in an image's mean colour: gradients fit on a line. */
class MeanColour extends Module {
  pool = new GlobalAveragePool();
  head = new Linear(3, K);
  forward(x: Tensor): Tensor {
    return this.head.call(this.pool.call(x));
  }
}

/** Mean colours [n][3] and targets [n][K] of the first step, whose mixing has a test of its own. */
async function firstBatch(order: Int32Array, mix: { mixup?: number; cutmix?: number }) {
  const truth = BigInt64Array.from(data.labels, BigInt);
  using labels = await RowStore.from(Engine.default(), truth, [truth.length], 'int64');
  const colour = new GlobalAveragePool().call(input('image', [-1, 3, 32, 32]));
  using program = compile({ colour, target: mul(input('target', [-1, K]), constant(1)) });
  const { rows } = await program.loop({
    order,
    batchSize: order.length,
    bind: {
      image: { images: data.store, scale: [1 / 127.5], shift: [-1] },
      target: { targets: labels, classes: K },
    },
    rows: ['colour', 'target'],
    seed: SEED,
    mix,
  });
  const [colours, targets] = [rows['colour']!.data, rows['target']!.data];
  return Array.from(order, (_, i) => ({
    x: Array.from({ length: 3 }, (_, c) => Number(colours[3 * i + c])),
    target: Array.from({ length: K }, (_, c) => Number(targets[K * i + c])),
  }));
}

test.each<[string, Pick<TrainerOptions, 'mixup' | 'cutmix' | 'labelSmoothing' | 'classWeights' | 'sampler'>]>([
  ['labels', {}],
  ['mixup', { mixup: 0.5 }],
  ['cutmix and smoothing', { cutmix: 1, labelSmoothing: 0.1 }],
  ['both, smoothing and class weights', { mixup: 0.3, cutmix: 1, labelSmoothing: 0.2, classWeights: WEIGHTS }],
  ['class weights and smoothing over labels', { labelSmoothing: 0.1, classWeights: WEIGHTS }],
  ['balanced weights', { classWeights: 'balanced' }],
  ['balanced order', { sampler: 'balanced' }],
])('the first update: %s', async (_, options) => {
  const lr = 0.7;
  const { train } = await data.ready();
  const { labels } = data;
  const batchSize = train.length;
  const recipe = { epochs: 1, batchSize, lr, seed: SEED, optimizer: sgd(), schedule: { kind: 'constant' } } as const;
  const before = await Weights.init(new MeanColour(), { seed: SEED });
  const start = await before.get();
  before.dispose();
  const result = await new Trainer(new MeanColour(), data, { ...recipe, ...options }).fit();
  const end = await result.weights.get();
  result.dispose();

  const { mixup = 0, cutmix = 0, labelSmoothing: e = 0, classWeights } = options;
  const order = options.sampler ? balancedOrder(train, labels, SEED, 1) : shuffled(train, SEED, 1);
  const batch = await firstBatch(order, { mixup, cutmix });
  const size = (c: number): number => train.filter((row) => labels[row] === c).length;
  const weight =
    classWeights === 'balanced'
      ? Array.from({ length: K }, (_, c) => (size(c) ? train.length / (8 * size(c)) : 0))
      : (classWeights ?? new Array<number>(K).fill(1));
  const first = Array.from(start.get('head.weight')!.data, Number);
  const bias = Array.from(start.get('head.bias')!.data, Number);
  // PyTorch's mean: over labels it is weighted, over probabilities it is one by N.
  const mixed = mixup > 0 || cutmix > 0;
  const total = mixed ? batch.length : batch.reduce((a, { target }) => a + weight[target.indexOf(1)]!, 0);
  const expected = [...first];
  let loss = 0;
  for (const { x, target } of batch) {
    const logits = bias.map((b, c) => b + x.reduce((a, v, j) => a + v * first[3 * c + j]!, 0));
    const scale = logits.reduce((a, v) => a + Math.exp(v), 0);
    const wanted = target.map((t, c) => (weight[c]! * ((1 - e) * t + e / K)) / total);
    const mass = wanted.reduce((a, v) => a + v, 0);
    logits.forEach((v, c) => {
      const p = Math.exp(v) / scale;
      loss -= wanted[c]! * Math.log(p);
      x.forEach((of, j) => (expected[3 * c + j]! -= lr * (mass * p - wanted[c]!) * of));
    });
  }
  const moved = Array.from(end.get('head.weight')!.data, Number);
  const apart = (a: number[], b: number[]): number => Math.max(...a.map((v, i) => Math.abs(v - b[i]!)));
  expect(apart(moved, expected)).toBeLessThan(2e-6);
  expect(apart(moved, first)).toBeGreaterThan(1e-3);
  expect(result.history[0]!.train.loss).toBeCloseTo(loss, 5);
});

test('mixed images are not cached, which a note says; without anything frozen there is none', async () => {
  const events: TrainEvent[] = [];
  const options = { epochs: 1, batchSize: 16, mixup: 0.2 };
  const model = (): Module => MobileNetV2({ numClasses: K, widthMult: 0.25 });
  for (const freeze of ['features', 'none'] as const) {
    const fit = new Trainer(model(), data, { ...options, freeze }).fit({ onEvent: (event) => events.push(event) });
    (await fit).dispose();
  }
  const notes = events.flatMap((e) => (e.event === 'start' ? [e.notes] : []));
  expect(notes).toEqual([['frozen features are not cached: mixup and cutmix make other images in every step'], []]);
  expect(events.some((e) => e.event === 'cached')).toBe(false);
});

describe('classes of different sizes', () => {
  // 3, 1, 0 and 8 images; rows are not numbered from 0.
  const labels = Int32Array.of(0, 3, 3, 3, 0, 3, 1, 3, 3, 3, 0, 3, 2, 2);
  const rows = Int32Array.from({ length: 12 }, (_, i) => i);

  test('balanced weights are n / (k n_c), 1 on average over the images', () => {
    const weights = [...classWeightsOf('balanced', rows, labels, 4)];
    expect(weights.map((v) => +v.toFixed(5))).toEqual(
      [12 / (3 * 3), 12 / 3, 0, 12 / (3 * 8)].map((v) => +v.toFixed(5)),
    );
    expect(rows.reduce((a, row) => a + weights[labels[row]!]!, 0) / 12).toBeCloseTo(1, 5);
    expect([...classWeightsOf([1, 2, 3, 4], rows, labels, 4)]).toEqual([1, 2, 3, 4]);
  });

  test('a balanced order has each class equally often, and repeats an image only when all of its class have come', () => {
    const order = balancedOrder(rows, labels, 1, 1);
    expect(order).toHaveLength(12);
    const times = (row: number): number => order.filter((r) => r === row).length;
    const of = (c: number): number[] => [...rows].filter((row) => labels[row] === c).map(times);
    expect(of(1)).toEqual([4]);
    expect(of(0).sort()).toEqual([1, 1, 2]);
    expect(of(3).sort()).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
    expect([...balancedOrder(rows, labels, 1, 1)]).toEqual([...order]);
    const others = [balancedOrder(rows, labels, 1, 2), balancedOrder(rows, labels, 2, 1)].map(String);
    expect(new Set([String(order), ...others]).size).toBe(3);
    // Where the images are no multiple of the classes, the classes take turns in having one more.
    const extra = new Set(
      Array.from({ length: 30 }, (_, epoch) => {
        const counts = [0, 0, 0, 0];
        for (const row of balancedOrder(rows.slice(0, 11), labels, 1, epoch)) counts[labels[row]!]!++;
        expect([...counts].sort()).toEqual([0, 3, 4, 4]);
        return counts.indexOf(3);
      }),
    );
    expect(extra.size).toBe(3);
  });

  test('weights for other classes than there are, and what is no weight, are refused', async () => {
    const fit = (classWeights: never) => new Trainer(new MeanColour(), data, { epochs: 1, classWeights }).fit();
    await expect(fit([1, 2] as never)).rejects.toThrow(/classWeights: expected 21 numbers, one a class .*, got 2/);
    await expect((async () => fit('even' as never))()).rejects.toThrow(
      /classWeights: expected balanced or .*, got 'even'/,
    );
    await expect((async () => fit([-1] as never))()).rejects.toThrow(
      /classWeights\.0: expected a number of at least 0/,
    );
  });
});
