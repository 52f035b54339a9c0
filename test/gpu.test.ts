// Smoke tests on a CUDA device (`npm run test:gpu`); skipped, saying why, where there is none.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Classifier, compile, constant, depthwiseConv2d, Engine, gradients, input, mul, MobileNetV2, sum, syntheticScenes, Trainer, Weights, crossEntropy, sgd, tensorData, type DepthwiseRoute, type Tensor } from 'mnv2-torch';
import { native } from '../dist/native.js';

const devices = native().cudaDevices();
const why = native().buildInfo().cuda === null ? 'the addon is built without CUDA' : devices.length === 0 ? 'no CUDA device is visible' : '';
if (why) console.warn(`GPU tests skipped: ${why}`);
else console.warn(`GPU tests on ${devices[0]!.name}, capability ${devices[0]!.capability}`);
const onGpu = why ? describe.skip : describe;

const wave = (n: number, seed: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(seed + i * 0.7));
const count = (shape: number[]): number => shape.reduce((a, b) => a * b, 1);

onGpu('depthwise convolution against the CPU in double precision', () => {
  // Channels, side and stride of MobileNet V2's depthwise layers at 64 pixels, and odd ones.
  const shapes = [[32, 32, 1], [96, 32, 2], [144, 16, 1], [144, 16, 2], [192, 8, 1], [192, 8, 2], [384, 4, 1], [576, 4, 2], [960, 2, 1], [17, 7, 2], [33, 9, 1]] as const;
  const routes: DepthwiseRoute[] = ['auto', 'cudnn', 'native', 'fused'];
  test.each(shapes.flatMap(([c, side, stride]) => routes.flatMap((route) => (['symmetric', 'tf-same'] as const).map((padding) => [c, side, stride, route, padding] as const))))(
    '%d channels, %d pixels, stride %d, route %s, padding %s',
    async (c, side, stride, route, padding) => {
      const [xs, ws] = [[2, c, side, side], [c, 1, 3, 3]];
      const values = [wave(count(xs), 1), wave(count(ws), 2)] as const;
      const results = async (engine: Engine, dtype: 'float32' | 'float64', precision: 'fp32' | 'bf16'): Promise<Record<string, number[]>> => {
        const [x, w] = [input('x', xs, dtype), input('w', ws, dtype)];
        const y = depthwiseConv2d(x, w, { stride, padding: padding === 'symmetric' ? 1 : 'tf-same', route });
        const seedling = dtype === 'float64' ? Float64Array.from(wave(count([...y.shape]), 3)) : wave(count([...y.shape]), 3);
        const [dx, dw] = gradients(sum(mul(y, constant(seedling, y.shape))), [x, w]) as [Tensor, Tensor];
        const as = (v: Float32Array): Float32Array | Float64Array => (dtype === 'float64' ? Float64Array.from(v) : v);
        using program = compile({ y, dx, dw }, { engine, precision });
        const out = await program.run({ x: tensorData(as(values[0]), xs), w: tensorData(as(values[1]), ws) });
        return Object.fromEntries(Object.entries(out).map(([k, v]) => [k, Array.from(v.data, Number)]));
      };
      using cpu = new Engine({ device: 'cpu' });
      using gpu = new Engine({ device: 'cuda' });
      const expected = await results(cpu, 'float64', 'fp32');
      for (const [precision, tolerance] of [['fp32', 1e-4], ['bf16', 3e-2]] as const) {
        const got = await results(gpu, 'float32', precision);
        for (const [name, values] of Object.entries(expected)) {
          const scale = Math.max(...values.map(Math.abs));
          expect(Math.max(...values.map((v, i) => Math.abs(v - got[name]![i]!))) / scale).toBeLessThan(tolerance);
        }
      }
    },
  );
});

onGpu('training', () => {
  /** Losses of `steps` of a small network with dropout and batch statistics, and its running statistics after. */
  async function losses(cudaGraph: boolean, steps: number): Promise<{ losses: number[]; variance: number[] }> {
    using engine = new Engine({ device: 'cuda' });
    const data = await syntheticScenes({ size: 32, perClass: 4 });
    const model = MobileNetV2({ numClasses: 21, widthMult: 0.35 });
    using weights = await Weights.init(model, { engine });
    const loss = crossEntropy(model.train().call(input('image', [-1, 3, 32, 32])), input('label', [-1], 'int64'));
    using program = compile({ loss }, { weights, cudaGraph, train: { loss: 'loss', parameters: model.trainable(), optimizer: sgd({ momentum: 0.9 }) } });
    const { RowStore } = await import('mnv2-torch');
    using labels = await RowStore.from(engine, BigInt64Array.from(data.labels, BigInt), [data.labels.length], 'int64');
    const order = Int32Array.from({ length: 16 * steps }, (_, i) => (i * 37) % data.labels.length);
    const bind = { image: { images: data.store, scale: [1 / 127.5], shift: [-1] }, label: { rows: labels } };
    const result = await program.loop({ order, batchSize: 16, bind, lr: 0.01, stack: ['loss'], seed: 5 });
    expect(result.cudaGraph).toBe(cudaGraph ? 'captured' : '');
    const variance = (await weights.get(['features.0.1.running_var'])).get('features.0.1.running_var')!.data;
    data.dispose();
    return { losses: [...result.stack['loss']!], variance: Array.from(variance, Number) };
  }
  test('captured steps equal plain ones over 100 steps, dropout and statistics included', async () => {
    const [captured, plain] = [await losses(true, 100), await losses(false, 100)];
    // Identical kernels in identical order; what differs are atomics inside cuDNN.
    for (const [i, v] of captured.losses.slice(0, 10).entries()) expect(Math.abs(v - plain.losses[i]!)).toBeLessThan(1e-3);
    expect(Math.abs(captured.losses.at(-1)! - plain.losses.at(-1)!)).toBeLessThan(0.5);
    for (const [i, v] of captured.variance.entries()) expect(Math.abs(v / plain.variance[i]! - 1)).toBeLessThan(0.2);
  });
  test('a short training learns, and its checkpoint answers the same on the CPU', async () => {
    const out = fs.mkdtempSync(path.join(os.tmpdir(), 'mnv2-gpu-'));
    const data = await syntheticScenes({ size: 64, perClass: 40 });
    let accuracy = 0;
    for await (const e of new Trainer(MobileNetV2({ numClasses: 21, widthMult: 0.35 }), data, { device: 'cuda', epochs: 12, batchSize: 32, lr: 4e-3, augment: 'basic', out })) {
      if (e.event === 'done') accuracy = e.best.accuracy;
    }
    expect(accuracy).toBeGreaterThan(0.5); // 1 in 21 by chance
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><rect width="64" height="64" fill="#2a6"/></svg>');
    const answer = async (device: string): Promise<number[]> => {
      using classifier = await Classifier.load(path.join(out, 'best.safetensors'), { device });
      return (await classifier.classify(svg, { topK: 21 })).sort((a, b) => (a.label < b.label ? -1 : 1)).map((p) => p.probability);
    };
    const [gpu, cpu] = [await answer('cuda'), await answer('cpu')];
    for (const [i, p] of gpu.entries()) expect(Math.abs(p - cpu[i]!)).toBeLessThan(1e-2);
    data.dispose();
    fs.rmSync(out, { recursive: true });
  });
  test('device memory stays flat over 1,000 steps', async () => {
    await losses(true, 20);
    using engine = new Engine({ device: 'cuda' });
    const before = (await engine.memory()).allocated;
    await losses(true, 1000);
    expect((await engine.memory()).allocated - before).toBeLessThan(1 << 20);
  });
  test('memory that is not there is an error, and the engine goes on', async () => {
    using engine = new Engine({ device: 'cuda' });
    using program = compile({ y: sum(mul(input('a', [-1, 1]), input('b', [1, -1]))) }, { engine });
    const n = 2_000_000;
    const data = new Float32Array(n);
    await expect(program.run({ a: tensorData(data, [n, 1]), b: tensorData(data, [1, n]) })).rejects.toMatchObject({ code: 'OUT_OF_MEMORY' });
    const { y } = await program.run({ a: tensorData([2], [1, 1]), b: tensorData([3], [1, 1]) });
    expect(y!.data[0]).toBe(6);
  });
});
