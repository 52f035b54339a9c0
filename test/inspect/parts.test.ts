// The measures by themselves: effective rank, 8-bit rounding, interval arithmetic.
import {
  add,
  avgPool2d,
  BatchNorm2d,
  compile,
  concat,
  constant,
  Conv2d,
  conv2d,
  input,
  maxPool2d,
  MobileNetV1,
  MobileNetV2,
  MobileNetV3Small,
  mul,
  parameter,
  relu,
  Sequential,
  silu,
  sub,
  tensorData,
  Weights,
  type Module,
  type Tensor,
} from 'mnv2-torch';
import { topological } from '../../dist/graph/order.js';
import { boundsOf } from '../../dist/inspect/bounds.js';
import { deadShareOf } from '../../dist/inspect/dead.js';
import { valuesOf } from '../../dist/inspect/layers.js';
import { effectiveRank } from '../../dist/inspect/rank.js';
import { rangeRatio, restored, rounded } from '../../dist/inspect/rounding.js';
import { ranges } from '../../dist/nn/whole-numbers.js';
import { Random } from '../../dist/random.js';

const random = (seed: number, count: number): Float64Array => {
  const stream = new Random(seed, 'inspect');
  return Float64Array.from({ length: count }, () => 2 * stream.next() - 1);
};

describe('effective rank', () => {
  const rankOf = (singular: readonly number[]): number => {
    const sum = singular.reduce((a, b) => a + b);
    return Math.exp(-singular.reduce((a, s) => a + (s / sum) * Math.log(s / sum), 0));
  };
  test('of what is equal in all directions it is the rank, of one direction 1, of nothing 0', () => {
    expect(effectiveRank([2, 0, 0, 0, 2, 0, 0, 0, 2], 3, 3)).toBeCloseTo(3, 12);
    expect(effectiveRank([1, 2, 3, 2, 4, 6], 2, 3)).toBeCloseTo(1, 6);
    expect(effectiveRank(new Float32Array(12), 3, 4)).toBe(0);
    expect(effectiveRank([3, 0, 0, 1], 2, 2)).toBeCloseTo(rankOf([3, 1]), 12);
    expect(effectiveRank([5], 1, 1)).toBeCloseTo(1, 12);
  });
  test.each([
    [7, 24],
    [24, 7],
    [40, 40],
    [1, 9],
  ])('of %i x %i with known singular values', (rows, columns) => {
    const singular = Array.from({ length: Math.min(rows, columns) }, (_, i) => 1 + i * i);
    // U S V', U and V reflections.
    const reflect = (n: number, seed: number): number[][] => {
      const v = random(seed, n);
      const length = v.reduce((a, x) => a + x * x, 0);
      return Array.from({ length: n }, (_, i) =>
        Array.from({ length: n }, (_, j) => Number(i === j) - (2 * v[i]! * v[j]!) / length),
      );
    };
    const [u, v] = [reflect(rows, rows), reflect(columns, 100 + columns)];
    const matrix = Float64Array.from({ length: rows * columns }, (_, at) => {
      const [i, j] = [Math.floor(at / columns), at % columns];
      return singular.reduce((a, s, k) => a + u[i]![k]! * s * v[j]![k]!, 0);
    });
    expect(effectiveRank(matrix, rows, columns)).toBeCloseTo(rankOf(singular), 8);
  });
});

test('rounding: the nearest integer, halves to the even one, never beyond 127, and back', () => {
  const weight = Float64Array.from([127, -63.5, 62.5, 0.5, 1.5, -127]);
  expect([...rounded(weight, 1, 'perTensor').integers]).toEqual([127, -64, 62, 0, 2, -127]);
  const rows = Float64Array.from([4, -2, 0, 0, 1, 0.001]);
  const tensor = rounded(rows, 3, 'perTensor');
  expect([...tensor.integers]).toEqual([127, -64, 0, 0, 32, 0]);
  expect([...restored(tensor)][4]).toBeCloseTo((32 * 4) / 127, 12);
  const channel = rounded(rows, 3, 'perChannel');
  expect([...channel.integers]).toEqual([127, -64, 0, 0, 127, 0]);
  expect([...channel.scale]).toEqual([4 / 127, 0, 1 / 127]);
  expect([...ranges(rows, 3)]).toEqual([4, 0, 1]);
  expect(rangeRatio(ranges(rows, 3))).toBe(4);
  expect(rangeRatio(Float64Array.of(8, 1, 3, 1))).toBe(4);
  expect(rangeRatio(Float64Array.of(8, 0, 0))).toBeNull();
});

describe('interval arithmetic', () => {
  /** Every value of the graph on inputs of -1 to 1 lies within its bounds. Returns how often they were finite. */
  async function sound(output: Tensor, weights: Weights | undefined, size: number, channels = 3): Promise<number> {
    const values = valuesOf(weights ? await weights.get() : new Map());
    const unit = { low: new Float64Array(channels).fill(-1), high: new Float64Array(channels).fill(1) };
    const bounds = boundsOf(output, new Map([['image', unit]]), values);
    const nodes = topological([output]).filter((t) => !['parameter', 'constant', 'input', 'module'].includes(t.op));
    const program = compile(Object.fromEntries(nodes.map((t, i) => [`${i}`, t])), weights ? { weights } : {});
    const images = random(7, 2 * channels * size * size).map((v, i) => (i % 5 === 0 ? Math.sign(v) : v));
    const got = await program.run({ image: tensorData(Float32Array.from(images), [2, channels, size, size]) });
    let finite = 0;
    nodes.forEach((t, i) => {
      const { data, shape } = got[`${i}`]!;
      const { low, high } = bounds(t);
      const inner = shape.slice(2).reduce((a, b) => a * b, 1);
      (data as Float32Array).forEach((v, at) => {
        const c = Math.floor(at / inner) % shape[1]!;
        const slack = 1e-4 * Math.max(1, Math.abs(v));
        if (v < low[c]! - slack || v > high[c]! + slack) throw new Error(`${t.op} in ${t.path}: ${v} is outside`);
      });
      if (high.every(Number.isFinite) && low.every(Number.isFinite)) finite++;
    });
    program.dispose();
    return finite / nodes.length;
  }
  const jittered = async (model: Module): Promise<Weights> => {
    const weights = await Weights.init(model, { seed: 1 });
    const named = [...(await weights.get())].filter(([name]) => /bias|running_mean/.test(name));
    await weights.set(named.map(([name, t], i) => ({ name, ...t, data: Float32Array.from(random(i, t.data.length)) })));
    return weights;
  };
  test.each([
    ['V1', MobileNetV1({ numClasses: 2, widthMult: 0.25, padding: 'tf-same' })],
    ['V1 with ReLU', MobileNetV1({ numClasses: 2, widthMult: 0.25, activation: 'relu' })],
    ['V2', MobileNetV2({ numClasses: 2, widthMult: 0.25 })],
    ['V3', MobileNetV3Small({ numClasses: 2, widthMult: 0.25 })],
  ])('%s: no value of any layer leaves its bounds, all of which are finite', async (_name, model) => {
    expect(await sound(model.eval().call(input('image', [-1, 3, 32, 32])), await jittered(model), 32)).toBe(1);
  });
  test('every op it knows, broadcasting, groups and dilation; what it does not know is unbounded', async () => {
    const x = input('image', [-1, 4, 6, 6]);
    const w = constant(Float32Array.from(random(2, 8 * 2 * 9)), [8, 2, 3, 3]);
    const grouped = conv2d(x, w, { groups: 2, padding: 2, dilation: 2 });
    const scaled = sub(mul(grouped, constant([1, -2, 3, -4, 5, -6, 7, -8], [8, 1, 1])), constant(0.5));
    const columns = add(silu(scaled), constant([1, 2, 3, 4, 5, 60], [6])); // by place, not by channel
    const pooled = add(maxPool2d(columns, { kernel: 2 }), avgPool2d(columns, { kernel: 2 }));
    await sound(relu(concat([pooled, pooled])), undefined, 6, 4);
  });
  test('they are as near as they can be where nothing is shared: one pixel, one layer', async () => {
    const model = new Sequential(new Conv2d(2, 1, 1, { bias: true }), new BatchNorm2d(1, { eps: 0 })).eval();
    const weights = await Weights.init(model);
    const set = (name: string, ...values: number[]) => ({ name, ...tensorData(values) });
    await weights.set([
      { ...set('0.weight', 2, -3), shape: [1, 2, 1, 1] },
      set('0.bias', 1),
      set('1.weight', 0.5),
      set('1.bias', 10),
    ]);
    const output = model.call(input('image', [-1, 2, 1, 1]));
    const given = { low: Float64Array.of(-1, 0), high: Float64Array.of(1, 2) };
    const { low, high } = boundsOf(output, new Map([['image', given]]), valuesOf(await weights.get()))(output);
    expect([low[0], high[0]]).toEqual([10 + 0.5 * (1 - 2 - 6), 10 + 0.5 * (1 + 2 + 0)]);
    // Without a parameter nothing is known.
    const nothing = boundsOf(output, new Map([['image', given]]), () => undefined)(output);
    expect([nothing.low[0], nothing.high[0]]).toEqual([-Infinity, Infinity]);
  });
});

test('the share of dead kernels counts each once; a network without depthwise layers has none', async () => {
  const model = MobileNetV2({ numClasses: 2, widthMult: 0.25, invertedResidualSetting: [[2, 16, 1, 2]] });
  const values = new Map([...(await (await Weights.init(model)).get())]);
  const share = deadShareOf(model.eval().call(input('image', [-1, 3, 32, 32])))!;
  expect(share(valuesOf(values))).toBe(0);
  const data = (name: string): Float32Array => values.get(`features.1.conv.1.${name}`)!.data as Float32Array;
  data('0.weight').fill(0, 0, 18);
  data('1.bias').fill(-3, 1, 4); // gamma is 1: as far as it reaches
  expect(share(valuesOf(values))).toBe(4 / 16);
  expect(deadShareOf(conv2d(input('x', [-1, 1, 2, 2]), parameter('w', [1, 1, 1, 1])))).toBeUndefined();
});
