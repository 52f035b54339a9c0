// The engine as callers meet it: the queue, disposal, errors with their module path, loops, worker threads, and what
// is left of the event loop while it works.
import { execFileSync } from 'node:child_process';
import { Worker } from 'node:worker_threads';
import type { Program } from '../../dist/engine/program.js';
import { compile } from '../../dist/engine/program.js';
import { Engine } from '../../dist/engine/engine.js';
import { RowStore } from '../../dist/engine/rows.js';
import { Weights, type NamedData } from '../../dist/engine/weights.js';
import { add, crossEntropy, dropout, linear, mean, mul, relu, reshape, sub, sum } from '../../dist/graph/ops.js';
import { adam, adamw, rmsprop, sgd, type OptimizerSpec } from '../../dist/engine/optimizer.js';
import { constant, input, record, tensorData, withPath, type Tensor } from '../../dist/graph/tensor.js';

const parameter = (name: string, shape: number[]): Tensor => record('parameter', [], { name }, shape, 'float32');
const named = (name: string, values: number[], shape: number[]): NamedData => ({
  name,
  data: Float32Array.from(values),
  shape,
  dtype: 'float32',
});
const holding = (...entries: NamedData[]) => ({ state: () => entries });

/** Fits y = x w to two examples; the loss and gradient are easy to follow by hand. */
async function line(optimizer: OptimizerSpec): Promise<{ weights: Weights; program: Program }> {
  const weights = await Weights.init(holding(named('w', [0, 0], [1, 2])));
  const error = sub(linear(input('x', [-1, 2]), parameter('w', [1, 2])), input('y', [-1, 1]));
  const loss = mean(mul(error, error));
  return { weights, program: compile({ loss }, { weights, train: { loss: 'loss', parameters: ['w'], optimizer } }) };
}
const feeds = { x: tensorData([1, 0, 0, 1], [2, 2]), y: tensorData([3, -2], [2, 1]) };

describe('optimizers', () => {
  // Each written out for one parameter pair: the independent computation.
  type Step = (g: number, s: { w: number; m: number; v: number }, t: number) => void;
  const lr = 0.05;
  const cases: [string, OptimizerSpec, Step][] = [
    ['sgd', sgd(), (g, s) => (s.w -= lr * g)],
    [
      'sgd with momentum and decay',
      sgd({ momentum: 0.9, weightDecay: 0.01 }),
      (g, s) => {
        s.m = 0.9 * s.m + g + 0.01 * s.w;
        s.w -= lr * s.m;
      },
    ],
    [
      'sgd with nesterov',
      sgd({ momentum: 0.9, nesterov: true }),
      (g, s) => {
        s.m = 0.9 * s.m + g;
        s.w -= lr * (g + 0.9 * s.m);
      },
    ],
    [
      'adam',
      adam(),
      (g, s, t) => {
        s.m = 0.9 * s.m + 0.1 * g;
        s.v = 0.999 * s.v + 0.001 * g * g;
        s.w -= (lr * (s.m / (1 - 0.9 ** t))) / (Math.sqrt(s.v / (1 - 0.999 ** t)) + 1e-8);
      },
    ],
    [
      'adamw',
      adamw({ weightDecay: 0.1 }),
      (g, s, t) => {
        s.w *= 1 - lr * 0.1;
        s.m = 0.9 * s.m + 0.1 * g;
        s.v = 0.999 * s.v + 0.001 * g * g;
        s.w -= (lr * (s.m / (1 - 0.9 ** t))) / (Math.sqrt(s.v / (1 - 0.999 ** t)) + 1e-8);
      },
    ],
    [
      'rmsprop, TensorFlow epsilon',
      rmsprop({ weightDecay: 0 }),
      (g, s) => {
        s.v = 0.9 * s.v + 0.1 * g * g;
        s.m = 0.9 * s.m + g / Math.sqrt(s.v + 1e-3);
        s.w -= lr * s.m;
      },
    ],
    [
      'rmsprop, PyTorch epsilon',
      rmsprop({ alpha: 0.99, eps: 1e-8, momentum: 0, weightDecay: 0, epsInsideSqrt: false }),
      (g, s) => {
        s.v = 0.99 * s.v + 0.01 * g * g;
        s.w -= (lr * g) / (Math.sqrt(s.v) + 1e-8);
      },
    ],
  ];
  test.each(cases)('%s follows its formula for 20 steps', async (_name, spec, step) => {
    const { weights, program } = await line(spec);
    const targets = [3, -2];
    const state = targets.map(() => ({ w: 0, m: 0, v: 0 }));
    for (let t = 1; t <= 20; t++) {
      const { loss } = await program.run(feeds, { lr });
      const expected = state.reduce((a, s, i) => a + (s.w - targets[i]!) ** 2 / 2, 0);
      expect(Math.abs(Number(loss!.data[0]) - expected)).toBeLessThan(1e-4);
      state.forEach((s, i) => step(s.w - targets[i]!, s, t)); // d/dw of mean((w - y)^2) over two examples
    }
    const w = (await weights.get(['w'])).get('w')!;
    state.forEach((s, i) => expect(Math.abs(Number(w.data[i]) - s.w)).toBeLessThan(1e-4));
    program.dispose();
    weights.dispose();
  });
});

describe('loops', () => {
  const rows = 10;
  const features = Float32Array.from({ length: rows * 2 }, (_, i) => Math.sin(i));

  test('train on row stores exactly as single runs do, and report every step', async () => {
    const single = await line(sgd({ momentum: 0.9 }));
    const looped = await line(sgd({ momentum: 0.9 }));
    const engine = Engine.default();
    const x = await RowStore.from(engine, features, [rows, 2], 'float32');
    const y = await RowStore.from(engine, features.slice(0, rows), [rows, 1], 'float32');
    const order = Int32Array.from([3, 1, 4, 9, 2, 6, 5, 8, 7, 0]);
    const expected: number[] = [];
    for (let s = 0; s < 4; s++) {
      const batch = [...order.slice(s * 3, s * 3 + 3)];
      const { loss } = await single.program.run(
        {
          x: tensorData(
            batch.flatMap((i) => [features[2 * i]!, features[2 * i + 1]!]),
            [batch.length, 2],
          ),
          y: tensorData(
            batch.map((i) => features[i]!),
            [batch.length, 1],
          ),
        },
        { lr: 0.1 },
      );
      expected.push(Number(loss!.data[0]));
    }
    const result = await looped.program.loop({
      order,
      batchSize: 3,
      bind: { x: { rows: x }, y: { rows: y } },
      lr: 0.1,
      stack: ['loss'],
    });
    expect(result.steps).toBe(4);
    expect(result.examples).toBe(rows);
    expect([...result.stack['loss']!]).toEqual(expected);
    for (const it of [single, looped]) it.program.dispose();
    x.dispose();
    y.dispose();
  });

  test('write batched outputs to a store at their own rows, and return them in visiting order', async () => {
    const engine = Engine.default();
    const source = await RowStore.from(
      engine,
      Float32Array.from({ length: 6 }, (_, i) => i),
      [6, 1],
      'float32',
    );
    const target = new RowStore(engine, { rows: 9, shape: [1], dtype: 'float32' });
    using program = compile({ y: mul(input('x', [-1, 1]), constant(10)) });
    const order = Int32Array.from([5, 0, 3]);
    const { rows: out } = await program.loop({
      order,
      batchSize: 2,
      bind: { x: { rows: source } },
      rows: ['y'],
      into: { y: { store: target, offset: 3 } },
    });
    expect([...out['y']!.data]).toEqual([50, 0, 30]);
    const stored = (await target.get()).data;
    expect([stored[8], stored[3], stored[6]]).toEqual([50, 0, 30]);
  });

  test('stop between steps when aborted, and keep what was done', async () => {
    const { program } = await line(sgd());
    const engine = Engine.default();
    const x = await RowStore.from(engine, features, [rows, 2], 'float32');
    const y = await RowStore.from(engine, features.slice(0, rows), [rows, 1], 'float32');
    const order = new Int32Array(3_000_000);
    const abort = new AbortController();
    const running = program.loop({
      order,
      batchSize: 1,
      bind: { x: { rows: x }, y: { rows: y } },
      lr: 0.001,
      stack: ['loss'],
      signal: abort.signal,
      progressMs: 5,
      onProgress: () => abort.abort(),
    });
    const result = await running;
    expect(result.stopped).toBe(true);
    expect(result.steps).toBeGreaterThan(0);
    expect(result.steps).toBeLessThan(3_000_000);
    expect(result.stack['loss']).toHaveLength(result.steps);
  });

  test('say at which step a loss stopped being finite', async () => {
    const { program } = await line(sgd());
    const engine = Engine.default();
    const x = await RowStore.from(engine, Float32Array.from([1, 1, 1, Infinity, 1, 1]), [3, 2], 'float32');
    const y = await RowStore.from(engine, new Float32Array(3), [3, 1], 'float32');
    const result = await program.loop({
      order: Int32Array.from([0, 1, 2]),
      batchSize: 1,
      bind: { x: { rows: x }, y: { rows: y } },
      lr: 0.1,
      stack: ['loss'],
      finite: 'loss',
    });
    expect(result.diverged).toBe(1);
    expect(result.steps).toBe(2);
  });

  test('refuse an order outside of the store before anything runs', async () => {
    const { program } = await line(sgd());
    const x = new RowStore(Engine.default(), { rows: 2, shape: [2], dtype: 'float32' });
    const y = new RowStore(Engine.default(), { rows: 2, shape: [1], dtype: 'float32' });
    await expect(
      program.loop({ order: Int32Array.from([2]), batchSize: 1, bind: { x: { rows: x }, y: { rows: y } }, lr: 1 }),
    ).rejects.toThrow(/has 2 examples, the order asks for number 2/);
  });
});

describe('errors', () => {
  test('a missing feed names the input and its shape', async () => {
    using program = compile({ y: relu(input('x', [-1, 3])) });
    await expect(program.run({})).rejects.toThrow("the input 'x' is not fed; expected [None, 3]");
  });
  test('a feed of the wrong shape says both shapes', async () => {
    using program = compile({ y: relu(input('x', [-1, 3])) });
    await expect(program.run({ x: tensorData([1, 2], [1, 2]) })).rejects.toThrow(
      'expected shape [None, 3], got [1, 2]',
    );
  });
  test('a failing node names its module', async () => {
    const labels = constant(BigInt64Array.of(7n));
    const loss = withPath('head.loss', () => crossEntropy(constant([1, 2], [1, 2]), labels));
    await expect(loss.data()).rejects.toMatchObject({ name: 'TorchError', code: 'TORCH', modulePath: 'head.loss' });
  });
  test('an unknown fetch lists what there is', async () => {
    using program = compile({ y: constant(1) });
    await expect(program.run({}, { fetch: ['z'] })).rejects.toThrow(/named 'z'. Its outputs are y/);
  });
  test('memory that is not there is an error, and the engine goes on', async () => {
    const huge = reshape(add(input('a', [-1, 1]), input('b', [1, -1])), [-1]);
    using program = compile({ y: sum(huge) });
    const n = 3_000_000; // 9e12 floats
    const a = tensorData(new Float32Array(n), [n, 1]);
    await expect(program.run({ a, b: tensorData(a.data, [1, n]) })).rejects.toMatchObject({ code: 'OUT_OF_MEMORY' });
    expect((await relu(constant([-1])).data()).data[0]).toBe(0);
  });
});

describe('lifetime', () => {
  test('after dispose every method throws, and dispose again does nothing', async () => {
    const weights = await Weights.init(holding(named('w', [1], [1])));
    const store = new RowStore(Engine.default(), { rows: 1, shape: [1], dtype: 'float32' });
    const program = compile({ w: parameter('w', [1]) }, { weights });
    for (const it of [program, weights, store]) {
      it.dispose();
      it.dispose();
    }
    const disposed = { code: 'DISPOSED' };
    await expect(program.run()).rejects.toMatchObject(disposed);
    expect(() => program.plan()).toThrow(/disposed/);
    expect(() => weights.names()).toThrow(/disposed/);
    await expect(weights.get(['w'])).rejects.toMatchObject(disposed);
    await expect(weights.set([named('w', [1], [1])])).rejects.toMatchObject(disposed);
    expect(() => store.rows).toThrow(/disposed/);
    await expect(store.get(0, 1)).rejects.toMatchObject(disposed);
  });

  test('disposing under a running job lets it finish', async () => {
    const program = compile({ y: relu(input('x', [-1])) });
    const running = program.run({ x: tensorData([-1, 2]) });
    program.dispose();
    expect([...(await running).y!.data]).toEqual([0, 2]);
  });

  test('a disposed engine refuses new jobs', async () => {
    const engine = new Engine({ threads: 1 });
    await engine.ping();
    engine.dispose();
    engine.dispose();
    await expect(engine.ping()).rejects.toMatchObject({ code: 'DISPOSED' });
  });

  test('values fetched outlive the program they came from', async () => {
    const weights = await Weights.init(holding(named('w', [1, 2], [2])));
    const values = (await weights.get(['w'])).get('w')!.data as Float32Array;
    await weights.set([named('w', [5, 6], [2])]);
    expect([...values]).toEqual([1, 2]);
  });

  test('worker threads have engines of their own and may be ended at any time', async () => {
    const source = `
      import { parentPort } from 'node:worker_threads';
      import { compile } from '${new URL('../../dist/engine/program.js', import.meta.url).href}';
      import { constant, input, tensorData } from '${new URL('../../dist/graph/tensor.js', import.meta.url).href}';
      import { mul } from '${new URL('../../dist/graph/ops.js', import.meta.url).href}';
      const program = compile({ y: mul(input('x', [-1]), constant(2)) });
      const { y } = await program.run({ x: tensorData([21]) });
      parentPort.postMessage(y.data[0]);
      for (;;) await program.run({ x: tensorData([1]) });`;
    const workers = [0, 1].map(() => new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`)));
    const answers = await Promise.all(
      workers.map((w) => new Promise((resolve, reject) => w.once('message', resolve).once('error', reject))),
    );
    expect(answers).toEqual([42, 42]);
    await Promise.all(workers.map((w) => w.terminate()));
    expect((await relu(constant([3])).data()).data[0]).toBe(3);
  });

  test('a process ends by itself, and at process.exit() under a running loop', () => {
    const script = (ending: string): string => `
      import { compile } from '${new URL('../../dist/engine/program.js', import.meta.url).href}';
      import { Engine } from '${new URL('../../dist/engine/engine.js', import.meta.url).href}';
      import { RowStore } from '${new URL('../../dist/engine/rows.js', import.meta.url).href}';
      import { input } from '${new URL('../../dist/graph/tensor.js', import.meta.url).href}';
      import { relu } from '${new URL('../../dist/graph/ops.js', import.meta.url).href}';
      const x = await RowStore.from(Engine.default(), new Float32Array(4), [4, 1], 'float32');
      const program = compile({ y: relu(input('x', [-1, 1])) });
      const loop = program.loop({ order: new Int32Array(${ending ? 3_000_000 : 4}), batchSize: 1, bind: { x: { rows: x } } });
      ${ending || 'await loop'};
      console.log('last line');`;
    const run = (code: string): string =>
      execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8', timeout: 60_000 });
    expect(run(script(''))).toBe('last line\n');
    expect(run(script('setTimeout(() => process.exit(0), 50); await loop'))).toBe('');
  });
});

test('dropout depends on seed and step alone', async () => {
  using program = compile({ y: dropout(constant(new Float32Array(1000).fill(1)), 0.4) });
  const draw = async (seed: number, step: number): Promise<string> =>
    String((await program.run({}, { seed, step })).y!.data);
  const first = await draw(1, 2);
  expect(await draw(1, 2)).toBe(first);
  expect(await draw(1, 3)).not.toBe(first);
  expect(await draw(2, 2)).not.toBe(first);
  const kept = first.split(',').filter((v) => v !== '0').length;
  expect(Math.abs(kept - 600)).toBeLessThan(80);
});
