// Smoke tests on a CUDA device (`npm run test:gpu`); skipped, saying why, where there is none.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import * as t from 'mnv2-torch';
import {
  Engine,
  type Binding,
  type DepthwiseRoute,
  type MobileNet,
  type Tensor,
  type TensorData,
  type Weights,
} from 'mnv2-torch';
import { augmentPreset } from '../../dist/data/augment.js';
import { native } from '../../dist/native/load.js';
import { ImageStore } from '../../dist/engine/images.js';
import { OPS } from '../../dist/graph/op-names.js';
import { flatten } from '../../dist/engine/program.js';
import { noGpu, off } from '../support/gpu.ts';

const onGpu = noGpu ? describe.skip : describe;
const gpu = (): Engine => new Engine({ device: 'cuda' });

type As = (values: ArrayLike<number>) => Float32Array | Float64Array;
const singles: As = (v) => Float32Array.from(v);
const doubles: As = (v) => Float64Array.from(v);
const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
/** Spread over (-2, 2) without a pattern. */
const numbers = (n: number, seed: number): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => (((i + 1) * 2654435761 + seed * 97654321) % 4294967291) / 1073741822 - 2);
type Values = Record<string, TensorData>;
function close(got: Values, expected: Values, tolerance: number, what = ''): void {
  for (const [name, { data, shape }] of Object.entries(expected)) {
    expect(got[name]!.shape).toEqual(shape);
    const worst = off(got[name]!.data, data);
    if (!(worst < tolerance))
      throw new Error(`${what} ${name}: off by ${worst} of its largest value, expected less than ${tolerance}`);
  }
}
/** TensorFloat-32 keeps ten bits of each factor: cuDNN's float32 convolutions, as in PyTorch. */
const TF32 = 3e-3;
const BF16 = 3e-2;

/** Channels, side and stride of every depthwise layer of both networks at 224 pixels, as recorded. */
const mobileNetShapes = [t.MobileNetV1(), t.MobileNetV2()].flatMap((model) => {
  const { nodes } = flatten({ y: model.call(t.input('image', [-1, 3, 224, 224])) });
  return nodes
    .filter((n) => n.op === 'depthwiseConv2d')
    .map((n) => `${nodes[n.inputs[0]!]!.shape.slice(1, 3).join()},${(n.attrs['stride'] as number[])[0]}`);
});
const shapes = [...new Set([...mobileNetShapes, '17,7,2', '33,9,1', '40,15,2', '1,5,1'])].map(
  (s) => s.split(',').map(Number) as [number, number, number],
);
test('the networks have 18 different depthwise layers', () => {
  expect(new Set(mobileNetShapes).size).toBe(18);
});

onGpu('depthwise convolution against the CPU in double precision', () => {
  const routes: DepthwiseRoute[] = ['auto', 'cudnn', 'native', 'fused'];
  const cases = shapes.flatMap(([c, side, stride]) =>
    ([1, 'tf-same'] as const).map((padding) => [c, side, stride, padding] as const),
  );
  test.each(cases)(
    '%d channels, %d pixels, stride %d, padding %s: every route, layout and precision, forward and both gradients',
    async (c, side, stride, padding) => {
      const [xs, ws] = [
        [2, c, side, side],
        [c, 1, 3, 3],
      ];
      const [xv, wv] = [numbers(count(xs), 1), numbers(count(ws), 2)];
      const results = async (
        engine: Engine,
        as: As,
        precision: 'fp32' | 'bf16',
        route: DepthwiseRoute,
        planar: boolean,
      ): Promise<Values> => {
        const dtype = as === doubles ? 'float64' : 'float32';
        // A 4-D feed becomes channels_last; a flat one, reshaped, stays NCHW.
        const given = t.input('x', planar ? [count(xs)] : xs, dtype);
        const w = t.input('w', ws, dtype);
        const y = t.depthwiseConv2d(planar ? t.reshape(given, xs) : given, w, { stride, padding, route });
        const [dx, dw] = t.gradients(t.sum(t.mul(y, t.constant(as(numbers(count(y.shape), 3)), y.shape))), [
          given,
          w,
        ]) as [Tensor, Tensor];
        using program = t.compile({ y, dx, dw }, { engine, precision });
        const out = await program.run({
          x: t.tensorData(as(xv), planar ? [count(xs)] : xs),
          w: t.tensorData(as(wv), ws),
        });
        return { ...out, dx: { ...out['dx']!, shape: xs } };
      };
      using cpu = new Engine({ device: 'cpu' });
      using device = gpu();
      const expected = await results(cpu, doubles, 'fp32', 'auto', false);
      for (const route of routes) {
        for (const planar of [false, true]) {
          const what = `${route}, ${planar ? 'NCHW' : 'channels_last'}`;
          close(await results(device, singles, 'fp32', route, planar), expected, route === 'fused' ? 1e-4 : TF32, what);
          close(await results(device, singles, 'bf16', route, planar), expected, BF16, what);
        }
      }
    },
  );
});

// Each op: input shapes, and what is recorded of them. Outputs that are no floats have no gradient.
type Record1 = (x: Tensor[], as: As) => Tensor;
const state = (as: As, [weight, bias]: Tensor[]): t.BatchNormState => ({
  weight: weight!,
  bias: bias!,
  runningMean: t.constant(as(numbers(5, 8))),
  runningVar: t.constant(as([1, 2, 3, 4, 5])),
});
const opCases: Record<string, [number[][], Record1][]> = {
  add: [[[[2, 3], [3]], ([a, b]) => t.add(a!, b!)]],
  argmax: [[[[4, 9]], ([a]) => t.argmax(a!)]],
  avgPool2d: [[[[1, 2, 5, 5]], ([a]) => t.avgPool2d(a!, { kernel: 3, stride: 2, padding: 1 })]],
  batchNorm2d: [true, false].map((training) => [
    [[3, 5, 4, 3], [5], [5]],
    ([a, w, b], as) => t.batchNorm2d(a!, state(as, [w!, b!]), { training, eps: 1e-3 }),
  ]),
  binaryCrossEntropyWithLogits: [
    [
      [[3, 4]],
      ([a], as) =>
        t.binaryCrossEntropyWithLogits(a!, t.constant(as([0, 1, 0, 1, 1, 0, 0.5, 0, 1, 1, 0, 0]), [3, 4]), {
          weight: t.constant(as([1, 2, 3, 4])),
          posWeight: t.constant(as([2, 1, 1, 3])),
        }),
    ],
  ],
  cast: [
    [[[7]], ([a]) => t.cast(a!, 'int64')],
    [[[7]], ([a]) => t.cast(t.cast(a!, 'float32'), 'bfloat16')],
  ],
  concat: [
    [
      [
        [2, 3],
        [4, 3],
      ],
      ([a, b]) => t.concat([a!, b!]),
    ],
  ],
  conv2d: [
    [[[2, 3, 17, 16], [8, 3, 3, 3], [8]], ([a, w, b]) => t.conv2d(a!, w!, { stride: 2, padding: 'tf-same', bias: b! })],
    [
      [
        [2, 24, 7, 9],
        [16, 24, 1, 1],
      ],
      ([a, w]) => t.conv2d(a!, w!),
    ],
    [
      [
        [2, 8, 6, 6],
        [8, 4, 3, 3],
      ],
      ([a, w]) => t.conv2d(a!, w!, { groups: 2, padding: 1 }),
    ],
  ],
  crossEntropy: [
    [
      [[3, 4]],
      ([a], as) =>
        t.crossEntropy(a!, t.constant(BigInt64Array.of(0n, 3n, 1n)), {
          labelSmoothing: 0.1,
          weight: t.constant(as([1, 2, 3, 4])),
        }),
    ],
    [
      [
        [3, 4],
        [3, 4],
      ],
      ([a, b]) => t.crossEntropy(a!, t.softmax(b!), { labelSmoothing: 0.1 }),
    ],
  ],
  depthwiseConv2d: [
    [[[2, 6, 7, 7], [12, 1, 3, 3], [12]], ([a, w, b]) => t.depthwiseConv2d(a!, w!, { padding: 1, bias: b! })],
  ],
  dequantize: [
    [[[3]], ([scale]) => t.dequantize(t.constant(Int8Array.of(-127, 3, 90, 7, 1, 0), [3, 2]), scale!, { axis: 0 })],
  ],
  div: [[[[2, 3], [3]], ([a, b], as) => t.div(a!, t.add(b!, t.constant(as([3]))))]],
  equal: [[[[9]], ([a], as) => t.equal(t.relu(a!), t.constant(as([0])))]],
  exp: [[[[9]], ([a]) => t.exp(a!)]],
  fakeQuantize: [
    [[[2, 3, 5, 4]], ([a], as) => t.fakeQuantize(a!, t.constant(as([0.3])), t.constant(as([2])), { qmin: 0, qmax: 7 })],
    [
      [[3, 2, 3, 3], [3]],
      ([a, s], as) =>
        t.fakeQuantize(a!, t.add(t.mul(s!, s!), t.constant(as([0.1]))), t.constant(as([0, 0, 0])), {
          qmin: -7,
          qmax: 7,
          axis: 0,
        }),
    ],
  ],
  globalAveragePool: [[[[2, 3, 5, 4]], ([a]) => t.globalAveragePool(a!)]],
  hardsigmoid: [[[[9]], ([a], as) => t.hardsigmoid(t.mul(a!, t.constant(as([2]))))]],
  hardswish: [[[[9]], ([a], as) => t.hardswish(t.mul(a!, t.constant(as([2]))))]],
  hardtanh: [[[[9]], ([a]) => t.hardtanh(a!)]],
  layerNorm: [[[[5, 8], [8], [8]], ([a, w, b]) => t.layerNorm(a!, [8], { weight: w!, bias: b! })]],
  linear: [[[[5, 7], [4, 7], [4]], ([a, w, b]) => t.linear(a!, w!, b!)]],
  log: [[[[9]], ([a], as) => t.log(t.add(t.mul(a!, a!), t.constant(as([0.5]))))]],
  logSoftmax: [[[[3, 4]], ([a]) => t.logSoftmax(a!)]],
  matmul: [
    [
      [
        [2, 3, 5],
        [5, 4],
      ],
      ([a, b]) => t.matmul(a!, b!),
    ],
  ],
  max: [[[[3, 8]], ([a]) => t.max(a!, { dims: [1] })]],
  maxPool2d: [[[[1, 2, 6, 6]], ([a]) => t.maxPool2d(a!, { kernel: 3, stride: 2, padding: 1 })]],
  mean: [[[[3, 8]], ([a]) => t.mean(a!, { dims: [0] })]],
  meanSquaredError: [
    [
      [
        [3, 8],
        [3, 8],
      ],
      ([a, b]) => t.meanSquaredError(a!, b!),
    ],
  ],
  min: [[[[3, 8]], ([a]) => t.min(a!, { dims: [1] })]],
  mul: [
    [
      [
        [2, 3],
        [2, 1],
      ],
      ([a, b]) => t.mul(a!, b!),
    ],
  ],
  pad2d: [[[[1, 2, 3, 3]], ([a]) => t.pad2d(a!, [1, 0, 2, 1], 0.5)]],
  permute: [[[[2, 3, 4]], ([a]) => t.permute(a!, [2, 0, 1])]],
  relu: [[[[9]], ([a]) => t.relu(a!)]],
  relu6: [[[[9]], ([a], as) => t.relu6(t.mul(a!, t.constant(as([5]))))]],
  reshape: [[[[2, 6]], ([a]) => t.reshape(a!, [3, -1])]],
  sigmoid: [[[[9]], ([a]) => t.sigmoid(a!)]],
  silu: [[[[9]], ([a]) => t.silu(a!)]],
  slice: [[[[9]], ([a]) => t.slice(a!, { dim: 0, start: 1, step: 2 })]],
  softmax: [[[[3, 4]], ([a]) => t.softmax(a!)]],
  sub: [[[[2, 3], [3]], ([a, b]) => t.sub(a!, b!)]],
  sum: [[[[3, 8]], ([a]) => t.sum(a!, { dims: [1] })]],
};
test('every op has a case for the device', () => {
  expect([...Object.keys(opCases), 'dropout'].sort()).toEqual([...OPS].sort());
});
onGpu('ops against the CPU in double precision', () => {
  test.each(Object.entries(opCases))('%s', async (op, cases) => {
    using cpu = new Engine({ device: 'cpu' });
    using device = gpu();
    for (const [shapes, f] of cases) {
      const results = async (engine: Engine, as: As, precision: 'fp32' | 'bf16'): Promise<Values> => {
        const inputs = shapes.map((shape, i) => t.input(`x${i}`, shape, as === doubles ? 'float64' : 'float32'));
        const y = f(inputs, as);
        const differentiable = y.dtype === 'float32' || y.dtype === 'float64';
        const loss = differentiable && t.sum(t.mul(y, t.constant(as(numbers(count(y.shape), 9)), y.shape)));
        const gradients = loss ? Object.fromEntries(t.gradients(loss, inputs).map((g, i) => [`d${i}`, g])) : {};
        using program = t.compile({ y, ...gradients }, { engine, precision });
        return program.run(
          Object.fromEntries(
            shapes.map((shape, i) => [`x${i}`, t.tensorData(as(numbers(count(shape), i + 2)), shape)]),
          ),
        );
      };
      const expected = await results(cpu, doubles, 'fp32');
      const convolves = op === 'conv2d' || op === 'depthwiseConv2d';
      close(await results(device, singles, 'fp32'), expected, op === 'cast' ? 1e-2 : convolves ? TF32 : 1e-4, 'fp32');
      close(await results(device, singles, 'bf16'), expected, BF16, 'bf16');
    }
  });
  test('dropout depends on seed and step alone, and keeps its share', async () => {
    using engine = gpu();
    using program = t.compile({ y: t.dropout(t.constant(new Float32Array(4000).fill(1)), 0.4) }, { engine });
    const draw = async (seed: number, step: number): Promise<string> =>
      String((await program.run({}, { seed, step })).y!.data);
    const first = await draw(1, 2);
    for (let i = 0; i < 5; i++) expect(await draw(1, 2)).toBe(first); // captured from the fourth on
    expect(await draw(1, 3)).not.toBe(first);
    expect(await draw(2, 2)).not.toBe(first);
    expect(Math.abs(first.split(',').filter((v) => v !== '0').length - 2400)).toBeLessThan(160);
  });
});

onGpu('batches made on the device', () => {
  const [height, width] = [33, 29];
  const bytes = (seed: number): Uint8Array =>
    Uint8Array.from(
      { length: height * width * 3 },
      (_, j) =>
        128 +
        90 * Math.sin(0.21 * (Math.floor(j / 3) % width) + seed) +
        30 * Math.cos(0.17 * Math.floor(j / 3 / width) + (j % 3)),
    );
  const scaling = { scale: [1 / 127.5, 1 / 120, 1 / 110], shift: [-1, -0.9, -1.1] };
  const made = (rows: number, size = { height, width }): ImageStore =>
    new ImageStore({ count: rows, ...size, channels: 3 });
  const filled = (rows: number): ImageStore => {
    const store = made(rows);
    for (let i = 0; i < rows; i++) store.put(i, bytes(i));
    return store;
  };
  const viewer = (engine: Engine, precision: 'fp32' | 'bf16' = 'fp32', h = height, w = width) =>
    t.compile({ y: t.mul(t.input('image', [-1, 3, h, w]), t.constant(1)) }, { engine, precision });
  /** What the CPU makes of these rows, [N, C, H, W]. */
  const expected = (
    store: ImageStore,
    order: Int32Array,
    options: Omit<Extract<Binding, { images: unknown }>, 'images'>,
  ): Float32Array => {
    const area = store.height * store.width;
    const out = new Float32Array(order.length * 3 * area);
    order.forEach((row, n) =>
      store
        .load(row, { seed: 0, epoch: 0, ...options })
        .forEach((v, j) => (out[(n * 3 + (j % 3)) * area + Math.floor(j / 3)] = v)),
    );
    return out;
  };
  test.each(
    (['none', 'photo', 'aerial', 'strong'] as const).flatMap((preset) =>
      (['fp32', 'bf16'] as const).map((precision) => [preset, precision] as const),
    ),
  )('augmentation %s, %s: as the CPU makes them of the same seeds', async (preset, precision) => {
    using engine = gpu();
    using program = viewer(engine, precision);
    const store = filled(40);
    const augment = augmentPreset(preset);
    for (const epoch of [1, 2]) {
      const order = Int32Array.from({ length: 100 }, (_, i) => (i * 13 + epoch) % 40);
      const options = { ...scaling, seed: 7, epoch, ...(augment && { augment }) };
      const { rows } = await program.loop({
        order,
        batchSize: 16,
        bind: { image: { images: store, ...options } },
        rows: ['y'],
      });
      expect(off(rows['y']!.data, expected(store, order, options))).toBeLessThan(precision === 'bf16' ? 8e-3 : 1e-3);
    }
    store.dispose();
  });
  test.each(['fp32', 'bf16'] as const)('mixtures and their targets, %s: as the CPU makes them', async (precision) => {
    const store = filled(40);
    const order = Int32Array.from({ length: 37 }, (_, i) => (i * 13) % 40);
    const mixed = async (engine: Engine) => {
      const y = t.mul(t.input('image', [-1, 3, height, width]), t.constant(1));
      const target = t.mul(t.input('target', [-1, 5]), t.constant(1));
      using program = t.compile({ y, target }, { engine, precision });
      const truth = BigInt64Array.from({ length: 40 }, (_, i) => BigInt(i % 5));
      using labels = await t.RowStore.from(engine, truth, [40], 'int64');
      const { rows } = await program.loop({
        order,
        batchSize: 8,
        bind: { image: { images: store, ...scaling }, target: { targets: labels, classes: 5 } },
        rows: ['y', 'target'],
        seed: 4,
        mix: { mixup: 0.5, cutmix: 1 },
      });
      return rows;
    };
    using engine = gpu();
    using host = new t.Engine({ device: 'cpu' });
    const [got, wanted] = [await mixed(engine), await mixed(host)];
    expect(off(got['y']!.data, wanted['y']!.data)).toBeLessThan(precision === 'bf16' ? 2e-2 : 1e-5);
    expect(off(got['target']!.data, wanted['target']!.data)).toBeLessThan(precision === 'bf16' ? 1e-2 : 1e-6);
    store.dispose();
  });
  test('a store is taken as it fills, sees later changes, and is freed with its owner', async () => {
    using engine = gpu();
    using program = viewer(engine);
    const store = made(400);
    const before = (await engine.memory()).allocated;
    const check = async (order: Int32Array): Promise<void> => {
      const { rows } = await program.loop({
        order,
        batchSize: 8,
        bind: { image: { images: store, ...scaling } },
        rows: ['y'],
      });
      expect(off(rows['y']!.data, expected(store, order, scaling))).toBeLessThan(1e-5);
    };
    for (let i = 0; i < 20; i++) store.put(i, bytes(i));
    await check(Int32Array.from({ length: 20 }, (_, i) => i));
    for (let i = 20; i < 400; i++) store.put(i, bytes(i));
    await check(Int32Array.from({ length: 400 }, (_, i) => 399 - i));
    store.put(5, bytes(1000));
    await check(Int32Array.of(4, 5, 5, 6));
    const resident = 400 * height * width * 3;
    expect((await engine.memory()).allocated - before).toBeGreaterThanOrEqual(resident);
    store.dispose();
    expect((await engine.memory()).allocated - before).toBeLessThan(resident);
  });
  test('of a store larger than the card allows, each batch is sent', async () => {
    using engine = gpu();
    const size = { height: 1024, width: 1024 };
    const rows = Math.ceil((native().cudaDevices()[0]!.memory * 0.6) / (1024 * 1024 * 3));
    let store: ImageStore;
    try {
      store = made(rows, size); // address space: only the pages written are memory
    } catch {
      return console.warn('skipped: this system grants no address space as large as the card');
    }
    const picture = Uint8Array.from({ length: 1024 * 1024 * 3 }, (_, j) => (j * 31) % 251);
    const order = Int32Array.of(rows - 1, 3, 3, 0, 77, 12);
    for (const row of order)
      store.put(
        row,
        picture.map((v) => v ^ (row & 255)),
      );
    using program = viewer(engine, 'fp32', 1024, 1024);
    const before = (await engine.memory()).allocated;
    const options = { ...scaling, augment: augmentPreset('aerial')!, seed: 3, epoch: 1 };
    const { rows: out } = await program.loop({
      order,
      batchSize: 4,
      bind: { image: { images: store, ...options } },
      rows: ['y'],
    });
    expect(off(out['y']!.data, expected(store, order, options))).toBeLessThan(1e-5);
    expect((await engine.memory()).allocated - before).toBeLessThan(2 ** 30);
    store.dispose();
  });
});

onGpu('inference', () => {
  /** Batch statistics that are not the initial ones. */
  const lively = async (engine: Engine, model: MobileNet): Promise<Weights> => {
    const weights = await t.Weights.init(model, { engine, seed: 1 });
    const values = await weights.get();
    await weights.set(
      [...values]
        .filter(([name]) => /running_|\.1\.bias$/.test(name))
        .map(([name, v], i) => ({
          ...v,
          name,
          data: numbers(count(v.shape), i).map((x) => (name.endsWith('var') ? 1 + x * x : x / 4)),
        })),
    );
    return weights;
  };
  const feed = (n: number, size = 64): TensorData => t.tensorData(numbers(n * 3 * size * size, n), [n, 3, size, size]);
  const networks: [string, (o: t.MobileNetOptions) => MobileNet][] = [
    ['V1', (o) => t.MobileNetV1({ ...o, activation: 'relu' })],
    ['V2', (o) => t.MobileNetV2(o)],
    ['V2, ReLU6 bottlenecks', (o) => t.MobileNetV2({ ...o, linearBottleneck: false })],
  ];
  test.each(
    networks.flatMap(([name, make]) =>
      (['symmetric', 'tf-same'] as const).map((padding) => [name, padding, make] as const),
    ),
  )('%s, padding %s: folded and captured as the CPU node by node', async (_name, padding, make) => {
    const model = make({ numClasses: 9, widthMult: 0.5, padding });
    const logits = model.eval().call(t.input('image', [-1, 3, 64, 64]));
    using cpu = new Engine({ device: 'cpu' });
    using engine = gpu();
    const [host, there] = [await lively(cpu, model), await lively(engine, model)];
    using reference = t.compile({ logits }, { weights: host, fuse: false });
    for (const [precision, tolerance] of [
      ['fp32', 2e-2],
      ['bf16', 0.15],
    ] as const) {
      using program = t.compile({ logits }, { weights: there, precision });
      for (const n of [3, 1, 3, 3, 3, 3, 1])
        close(
          await program.run({ image: feed(n) }),
          await reference.run({ image: feed(n) }),
          tolerance,
          `${precision}, batch ${n}`,
        );
      // Four runs of three images, two of one.
      expect(await program.cudaGraph()).toBe('too few steps');
      await program.run({ image: feed(3) });
      expect(await program.cudaGraph()).toBe('captured');
    }
    host.dispose();
    there.dispose();
  });
  test('captured runs and loops follow the weights', async () => {
    const model = t.MobileNetV2({ numClasses: 5, widthMult: 0.35 });
    const logits = model.eval().call(t.input('image', [-1, 3, 64, 64]));
    using engine = gpu();
    const weights = await lively(engine, model);
    using captured = t.compile({ logits }, { weights });
    using plain = t.compile({ logits }, { weights, cudaGraph: false });
    const images = await t.RowStore.from(engine, numbers(24 * 3 * 64 * 64, 5), [24, 3, 64, 64], 'float32');
    const order = Int32Array.from({ length: 24 }, (_, i) => (i * 5) % 24);
    const both = async (): Promise<string[]> => {
      const seen: string[] = [];
      for (let i = 0; i < 5; i++)
        close(await captured.run({ image: feed(2) }), await plain.run({ image: feed(2) }), 1e-3, 'run');
      seen.push(await captured.cudaGraph(), await plain.cudaGraph());
      const [a, b] = await Promise.all(
        [captured, plain].map((p) =>
          p.loop({ order, batchSize: 4, bind: { image: { rows: images } }, rows: ['logits'] }),
        ),
      );
      close(a!.rows, b!.rows, 1e-3, 'loop');
      return [...seen, a!.cudaGraph, b!.cudaGraph];
    };
    expect(await both()).toEqual(['captured', '', 'captured', '']);
    const first = await captured.run({ image: feed(2) });
    const values = await weights.get();
    await weights.set(
      [...values]
        .filter(([name]) => /weight$|running_mean$/.test(name))
        .map(([name, v]) => ({ ...v, name, data: (v.data as Float32Array).map((x) => x * 0.9 + 0.01) })),
    );
    expect(await both()).toEqual(['captured', '', 'captured', '']);
    expect(off((await captured.run({ image: feed(2) })).logits!.data, first.logits!.data)).toBeGreaterThan(1e-3);
    images.dispose();
    weights.dispose();
  });
});

onGpu('training', () => {
  /** Losses of `steps` of a small network with dropout, augmentation and batch statistics, and a running variance after. */
  async function losses(cudaGraph: boolean, steps: number): Promise<{ losses: number[]; variance: number[] }> {
    using engine = gpu();
    const scenes = await t.syntheticScenes({ size: 32, perClass: 4 });
    const model = t.MobileNetV2({ numClasses: 21, widthMult: 0.35 });
    using weights = await t.Weights.init(model, { engine });
    const loss = t.crossEntropy(model.train().call(t.input('image', [-1, 3, 32, 32])), t.input('label', [-1], 'int64'));
    using program = t.compile(
      { loss },
      {
        weights,
        cudaGraph,
        train: { loss: 'loss', parameters: model.trainable(), optimizer: t.sgd({ momentum: 0.9 }) },
      },
    );
    using labels = await t.RowStore.from(
      engine,
      BigInt64Array.from(scenes.labels, BigInt),
      [scenes.labels.length],
      'int64',
    );
    const order = Int32Array.from({ length: 16 * steps }, (_, i) => (i * 37) % scenes.labels.length);
    const bind = {
      image: {
        images: scenes.store,
        scale: [1 / 127.5],
        shift: [-1],
        augment: augmentPreset('strong')!,
        seed: 3,
        epoch: 1,
      },
      label: { rows: labels },
    };
    const result = await program.loop({ order, batchSize: 16, bind, lr: 0.01, stack: ['loss'], seed: 5 });
    expect(result.cudaGraph).toBe(cudaGraph ? 'captured' : '');
    const variance = (await weights.get(['features.0.1.running_var'])).get('features.0.1.running_var')!.data;
    scenes.dispose();
    return { losses: [...result.stack['loss']!], variance: Array.from(variance, Number) };
  }
  test.each([
    [24, 24, 1, 15, 17],
    [16, 24, 2, 14, 14],
    [8, 40, 2, 9, 21],
  ] as const)(
    'an inverted residual %d -> %d, stride %d, %d x %d: BatchNorms around the depthwise convolution as the CPU node by node',
    async (cin, cout, stride, h, w) => {
      const shape = [4, cin, h, w];
      const x = t.input('x', shape);
      const block = new t.InvertedResidual(cin, cout, stride, 6, {
        padding: 'tf-same',
        bnEps: 1e-3,
        bnMomentum: 0.1,
        activation: 'relu6',
      });
      const y = block.train().call(x);
      const parameters = [...block.namedParameters()]
        .filter(([, p]) => p.kind === 'parameter')
        .map(([name, p]) => [name, p.tensor] as const);
      const slopes = t.gradients(t.sum(t.mul(y, t.constant(numbers(count(y.shape), 3), y.shape))), [
        x,
        ...parameters.map(([, p]) => p),
      ]);
      const names = ['x', ...parameters.map(([name]) => name)];
      const results = async (engine: Engine, fuse: boolean, precision: 'fp32' | 'bf16'): Promise<Values> => {
        using weights = await t.Weights.init(block, { engine, seed: 4 });
        using program = t.compile(
          { y, ...Object.fromEntries(names.map((name, i) => [name, slopes[i]!])) },
          { weights, fuse, precision },
        );
        const out = await program.run({ x: t.tensorData(numbers(count(shape), 1), shape) });
        const statistics = [
          ...(await weights.get(
            [...block.namedParameters()].map(([name]) => name).filter((n) => n.includes('running_')),
          )),
        ];
        return { ...out, ...Object.fromEntries(statistics) };
      };
      using cpu = new Engine({ device: 'cpu' });
      using device = gpu();
      const expected = await results(cpu, false, 'fp32');
      close(await results(device, true, 'fp32'), expected, 1e-2); // rounded factors may move a value across an activation's bound
      close(await results(device, true, 'bf16'), expected, 0.25);
    },
  );
  test('captured steps equal plain ones over 100 steps, dropout, augmentation and statistics included', async () => {
    const [captured, plain] = [await losses(true, 100), await losses(false, 100)];
    // Identical kernels in identical order; what differs are atomics inside cuDNN.
    for (const [i, v] of captured.losses.slice(0, 10).entries())
      expect(Math.abs(v - plain.losses[i]!)).toBeLessThan(1e-3);
    expect(Math.abs(captured.losses.at(-1)! - plain.losses.at(-1)!)).toBeLessThan(0.5);
    for (const [i, v] of captured.variance.entries()) expect(Math.abs(v / plain.variance[i]! - 1)).toBeLessThan(0.2);
  });
  test('a short training learns, and its checkpoint answers the same on the CPU', async () => {
    const out = fs.mkdtempSync(path.join(os.tmpdir(), 'mnv2-gpu-'));
    const scenes = await t.syntheticScenes({ size: 64, perClass: 40 });
    let accuracy = 0;
    for await (const e of new t.Trainer(t.MobileNetV2({ numClasses: 21, widthMult: 0.35 }), scenes, {
      device: 'cuda',
      epochs: 12,
      batchSize: 32,
      lr: 4e-3,
      augment: 'aerial',
      out,
    })) {
      if (e.event === 'done') accuracy = e.best.accuracy;
    }
    expect(accuracy).toBeGreaterThan(0.5); // 1 in 21 by chance
    const svg = Buffer.from(
      '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><rect width="64" height="64" fill="#2a6"/></svg>',
    );
    const answer = async (device: string): Promise<number[]> => {
      using classifier = await t.Classifier.load(path.join(out, 'best.safetensors'), { device });
      return (await classifier.classify(svg, { topK: 21 }))
        .sort((a, b) => (a.label < b.label ? -1 : 1))
        .map((p) => p.probability);
    };
    const [there, here] = [await answer('cuda'), await answer('cpu')];
    for (const [i, p] of there.entries()) expect(Math.abs(p - here[i]!)).toBeLessThan(1e-2);
    scenes.dispose();
    fs.rmSync(out, { recursive: true });
  });
  test('device memory stays flat over 1,000 steps', async () => {
    await losses(true, 20);
    using engine = gpu();
    const before = (await engine.memory()).allocated;
    await losses(true, 1000);
    expect((await engine.memory()).allocated - before).toBeLessThan(1 << 20);
  });
  test('memory that is not there is an error, and the engine goes on', async () => {
    using engine = gpu();
    using program = t.compile({ y: t.sum(t.mul(t.input('a', [-1, 1]), t.input('b', [1, -1]))) }, { engine });
    const n = 2_000_000;
    const values = new Float32Array(n);
    await expect(
      program.run({ a: t.tensorData(values, [n, 1]), b: t.tensorData(values, [1, n]) }),
    ).rejects.toMatchObject({ code: 'OUT_OF_MEMORY' });
    const { y } = await program.run({ a: t.tensorData([2], [1, 1]), b: t.tensorData([3], [1, 1]) });
    expect(y!.data[0]).toBe(6);
  });
});
