// int8 steps against the same quantised graph run node by node: between two steps are whole numbers, so the two agree,
// but for halves that are met from two sides.
import {
  add,
  compile,
  constant,
  conv2d,
  depthwiseConv2d,
  dequantize,
  Engine,
  fakeQuantize,
  globalAveragePool,
  ImageStore,
  input,
  linear,
  quantize,
  relu,
  relu6,
  tensorData,
  Weights,
  type Conv2dOptions,
  type Tensor,
} from 'mnv2-torch';
import { native } from '../../dist/native/load.js';
import { exportCheckpoint } from '../support/export-checkpoint.ts';
import { apart, count, wave } from '../support/networks.ts';
import { pictures, scaled } from '../support/own-checkpoint.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('int8-steps');

const SCALE = 0.02;
/** Rounded to bytes of this scale. */
const bytes = (x: Tensor, scale = SCALE, zero = 128): Tensor =>
  fakeQuantize(x, constant([scale]), constant([zero]), { qmin: 0, qmax: 255 });

let seed = 0;
/** int8 weights with a scale an output channel, of which the sums have about x's size. */
function weights(shape: number[]): Tensor {
  const each = count(shape.slice(1));
  const whole = Int8Array.from(wave(count(shape), ++seed), (v) => Math.round(95 * v));
  const scales = Array.from({ length: shape[0]! }, (_, i) => (1 + (i % 3) / 4) / (90 * Math.sqrt(each)));
  return dequantize(constant(whole, shape), constant(scales), { axis: 0 });
}
const bias = (n: number): Tensor =>
  constant(
    wave(n, ++seed).map((v) => v / 5),
    [n],
  );

const dense = (x: Tensor, out: number, options: Conv2dOptions & { size?: number } = {}): Tensor => {
  const { size = 1, ...rest } = options;
  return conv2d(x, weights([out, x.shape[1]!, size, size]), { bias: bias(out), ...rest });
};
const depthwise = (x: Tensor, options: Conv2dOptions = {}): Tensor =>
  depthwiseConv2d(x, weights([x.shape[1]!, 1, 3, 3]), { bias: bias(x.shape[1]!), padding: 1, ...options });

/** An inverted residual of a value that is bytes already. */
function inverted(x: Tensor, out: number, mid: number, options: Conv2dOptions = {}): Tensor {
  const wide = bytes(relu6(dense(x, mid)), 6 / 255, 0);
  const narrow = bytes(dense(bytes(relu6(depthwise(wide, options)), 6 / 255, 0), out));
  return out === x.shape[1] && !options.stride ? bytes(add(x, narrow), 1.87 * SCALE, 120) : narrow;
}

async function both(y: Record<string, Tensor>, shape: number[], engine: Engine, seed = 5) {
  using held = await Weights.init({ state: () => [] }, { engine });
  const x = tensorData(wave(count(shape), seed), shape);
  const run = async (fuse: boolean) => {
    using program = compile(y, { weights: held, fuse });
    return { out: await program.run({ x }), plan: program.plan() };
  };
  return { plain: await run(false), fused: await run(true) };
}

const block = 'conv2d\\+relu6\\+depthwiseConv2d\\+relu6\\+conv2d';
const fast = native().buildInfo().int8 !== 'plain';
(fast ? describe : describe.skip)(fast ? 'int8 steps' : 'int8 steps (skipped: none on this CPU)', () => {
  const [one, two] = [new Engine({ threads: 1 }), new Engine({ threads: 2 })];
  afterAll(() => [one, two].forEach((engine) => engine.dispose()));

  test.each<[string, number[], (x: Tensor) => Tensor, RegExp]>([
    ['inverted residual', [3, 8, 14, 14], (x) => inverted(bytes(x), 8, 48), new RegExp(`^int8 ${block}\\+add$`)],
    ['stride 2', [2, 7, 15, 13], (x) => inverted(bytes(x), 11, 29, { stride: 2 }), new RegExp(`^int8 ${block}$`)],
    [
      'padded as TensorFlow does',
      [1, 8, 20, 20],
      (x) => inverted(bytes(x), 24, 40, { stride: 2, padding: 'tf-same' }),
      new RegExp(`^int8 ${block}$`),
    ],
    [
      'a stem, which rounds the image itself',
      [2, 3, 30, 34],
      (x) => {
        const wide = bytes(relu6(dense(bytes(x), 16, { size: 3, stride: 2, padding: 1 })), 6 / 255, 0);
        return bytes(dense(bytes(relu6(depthwise(wide)), 6 / 255, 0), 8));
      },
      /^int8 conv2d\+relu6\+depthwiseConv2d\+relu6\+conv2d$/,
    ],
    [
      'depthwise separable, ReLU',
      [5, 24, 9, 7],
      (x) => bytes(relu(dense(bytes(relu(depthwise(bytes(x))), 6 / 255, 0), 40)), 6 / 255, 3),
      /^int8 depthwiseConv2d\+relu\+conv2d\+relu$/,
    ],
  ])('%s', async (_, shape, make, plan) => {
    const y = make(input('x', [-1, ...shape.slice(1)]));
    const { plain, fused } = await both({ y }, shape, two);
    expect(fused.plan.at(-1)).toMatch(plan);
    expect(fused.plan.every((line) => line.startsWith('int8 '))).toBe(true);
    const [a, b] = [plain.out['y']!.data as Float32Array, fused.out['y']!.data as Float32Array];
    const step = Math.max(...a.map((v, i) => Math.abs(v - b[i]!))) / SCALE;
    expect(step).toBeLessThan(1.9); // a residual sum's steps are 1.87 times as large
    expect(a.filter((v, i) => v !== b[i]).length / a.length).toBeLessThan(0.03);
    expect(new Set(b).size).toBeGreaterThan(20);

    // The same bits on one thread, and alone.
    const { fused: alone } = await both({ y }, shape, one);
    expect(alone.out['y']!.data).toEqual(b);
    using held = await Weights.init({ state: () => [] }, { engine: two });
    using program = compile({ y }, { weights: held });
    const each = count(shape.slice(1));
    const first = await program.run({ x: tensorData(wave(count(shape), 5).slice(0, each), [1, ...shape.slice(1)]) });
    expect(first['y']!.data).toEqual(b.slice(0, first['y']!.data.length));
  });

  test('a value that is fetched is float, and splits no other bytes', async () => {
    const middle = inverted(bytes(input('x', [-1, 8, 10, 10])), 8, 32);
    const end = inverted(middle, 8, 32);
    const { plain, fused } = await both({ end, middle }, [2, 8, 10, 10], two);
    for (const name of ['end', 'middle'])
      expect(apart(plain.out[name]!.data, fused.out[name]!.data)).toBeLessThan(0.05);
    expect(fused.out['middle']!.dtype).toBe('float32');
    const inside = bytes(relu6(dense(bytes(input('x', [-1, 8, 10, 10])), 16)), 6 / 255, 0);
    const y = bytes(dense(bytes(relu6(depthwise(inside)), 6 / 255, 0), 8));
    const split = await both({ y, inside }, [1, 8, 10, 10], two);
    expect(split.fused.plan.filter((line) => line.startsWith('int8 '))).toHaveLength(3);
    expect(apart(split.plain.out['inside']!.data, split.fused.out['inside']!.data)).toBeLessThan(0.01);
  });

  test('global mean and last layer; what a layer in float reads is float', async () => {
    const value = bytes(relu6(dense(bytes(input('x', [-1, 8, 6, 6])), 20)), 6 / 255, 0);
    const pooled = bytes(globalAveragePool(value), 3 / 255, 0);
    const logits = linear(pooled, weights([5, 20]), bias(5));
    const other = linear(pooled, constant(wave(60, 2), [3, 20]));
    const { plain, fused } = await both({ logits, other }, [3, 8, 6, 6], two);
    expect(fused.plan).toEqual([
      'int8 fakeQuantize',
      'int8 conv2d+relu6',
      'int8 globalAveragePool',
      'int8 linear',
      'linear',
    ]);
    for (const name of ['logits', 'other'])
      expect(apart(plain.out[name]!.data, fused.out[name]!.data)).toBeLessThan(0.02);
  });

  test('scales too far apart for whole numbers are computed in float', async () => {
    const x = bytes(input('x', [-1, 4, 5, 5]));
    const tiny = dequantize(constant(new Int8Array(16).fill(1), [4, 4, 1, 1]), constant([1e-12, 1, 1, 1]), { axis: 0 });
    const y = bytes(conv2d(x, tiny, { bias: constant([1, 0, 0, 0]) }));
    const { plain, fused } = await both({ y }, [1, 4, 5, 5], two);
    expect(fused.out['y']!.data).toEqual(plain.out['y']!.data);
  });

  const size = 32;
  test.each([
    ['mobilenet_v1', 13 + 2],
    ['mobilenet_v2', 18 + 2],
  ] as const)('all of %s runs in int8', async (arch, steps) => {
    const store = new ImageStore({ count: 8, height: size, width: size, channels: 3 });
    const { data } = pictures(8, size);
    for (let i = 0; i < 8; i++) store.put(i, (data as Uint8Array).subarray(i * size ** 2 * 3, (i + 1) * size ** 2 * 3));
    const { checkpoint } = await quantize(
      await exportCheckpoint(at(`${arch}.safetensors`), { arch, widthMult: 0.35 }),
      { store },
    );
    const y = checkpoint.model.eval().call(input('image', [-1, 3, size, size]));
    const state = () => [...checkpoint.tensors].map(([name, t]) => ({ name, ...t }));
    using held = await Weights.init({ state });
    using fused = compile({ y }, { weights: held });
    using plain = compile({ y }, { weights: held, fuse: false });
    const image = scaled(pictures(3, size));
    expect(fused.plan().filter((line) => line.startsWith('int8 '))).toHaveLength(steps);
    expect(fused.plan()).toHaveLength(steps);
    const [a, b] = [(await plain.run({ image }))['y']!, (await fused.run({ image }))['y']!];
    expect(apart(a.data, b.data)).toBeLessThan(0.15);
  });
});
