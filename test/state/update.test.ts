// From gradients to an update: several batches as one, long gradients cut, parameters with rates and decay of their own,
// running averages. Each is compared with arithmetic written out here.
import {
  adamw,
  compile,
  crossEntropy,
  Engine,
  gradients,
  input,
  Linear,
  Module,
  relu,
  rmsprop,
  RowStore,
  sgd,
  tensorData,
  Weights,
  type LoopOptions,
  type OptimizerSpec,
  type Program,
  type Tensor,
  type TrainOptions,
} from 'mnv2-torch';

class Net extends Module {
  first = new Linear(6, 5);
  second = new Linear(5, 3);
  forward(x: Tensor): Tensor {
    return this.second.call(relu(this.first.call(x)));
  }
}
const model = new Net();
const logits = model.call(input('x', [-1, 6]));
const loss = crossEntropy(logits, input('label', [-1], 'int64'));
const parameters = model.trainable();
const ROWS = 20;
const pixels = Float32Array.from({ length: ROWS * 6 }, (_, i) => 3 * Math.sin(i * 1.7));
const labels = BigInt64Array.from({ length: ROWS }, (_, i) => BigInt((i * i) % 3));
let bind: LoopOptions['bind'];
beforeAll(async () => {
  const engine = Engine.default();
  bind = {
    x: { rows: await RowStore.from(engine, pixels, [ROWS, 6], 'float32') },
    label: { rows: await RowStore.from(engine, labels, [ROWS], 'int64') },
  };
});
const order = Int32Array.from({ length: ROWS }, (_, i) => (i * 7) % ROWS);

interface Training {
  weights: Weights;
  program: Program;
  values(): Promise<Record<string, number[]>>;
}
async function training(more: Partial<TrainOptions> & { optimizer: OptimizerSpec }): Promise<Training> {
  const weights = await Weights.init(model, { seed: 4 });
  const program = compile({ loss }, { weights, train: { loss: 'loss', parameters, ...more } });
  const values = async () =>
    Object.fromEntries([...(await weights.get())].map(([n, { data }]) => [n, [...(data as Float32Array)]]));
  return { weights, program, values };
}
const step = (program: Program, options: Partial<LoopOptions> = {}) =>
  program.loop({ order, batchSize: ROWS, bind, lr: 0.1, ...options });
/** Of the mean loss over all rows, at these weights. */
async function gradientAt(weights: Weights): Promise<Record<string, number[]>> {
  const parts = [...model.namedParameters()].map(([, p]) => p.tensor);
  const names = [...model.namedParameters()].map(([name]) => name);
  const outputs = gradients(loss, parts);
  using program = compile(Object.fromEntries(names.map((n, i) => [`d:${n}`, outputs[i]!])), { weights });
  const feeds = { x: tensorData(pixels, [ROWS, 6]), label: { data: labels, shape: [ROWS], dtype: 'int64' as const } };
  const found = await program.run(feeds);
  return Object.fromEntries(names.map((n) => [n, [...(found[`d:${n}`]!.data as Float32Array)]]));
}
function expectClose(a: Record<string, number[]>, b: Record<string, number[]>, most = 2e-6): void {
  for (const name of Object.keys(b))
    b[name]!.forEach((v, i) =>
      expect([name, Math.abs(v - a[name]![i]!) < most * (1 + Math.abs(v))]).toEqual([name, true]),
    );
}
const moved = (a: Record<string, number[]>, b: Record<string, number[]>): Record<string, number[]> =>
  Object.fromEntries(Object.entries(a).map(([name, v]) => [name, v.map((x, i) => b[name]![i]! - x)]));

test.each<[string, OptimizerSpec]>([
  ['sgd', sgd({ momentum: 0.9 })],
  ['adamw', adamw()],
  ['rmsprop', rmsprop()],
])('%s: batches of 8, 8 and 4 make the update of one of 20', async (_, optimizer) => {
  const [one, several] = [await training({ optimizer }), await training({ optimizer, accumulate: true })];
  for (let epoch = 0; epoch < 3; epoch++) {
    await step(one.program);
    await step(several.program, { batchSize: 8, updates: Uint8Array.of(0, 0, 1) });
  }
  expectClose(await several.values(), await one.values(), 2e-5);
  const { data } = (await several.program.state.get(['optimizer.updates'])).get('optimizer.updates')!;
  expect(data[0]).toBe(3n);
  // The mean of the batches' means is another gradient: the last batch has half as many images.
  const wrong = await training({ optimizer });
  for (let i = 0; i < 9; i++) await step(wrong.program, { batchSize: 8 });
  const [a, b] = [await wrong.values(), await one.values()];
  expect(Math.max(...a['first.weight']!.map((v, i) => Math.abs(v - b['first.weight']![i]!)))).toBeGreaterThan(1e-3);
});

test('gathered gradients are state: a loop cut in between, through the host, is the same bytes', async () => {
  const more = { optimizer: adamw(), accumulate: true, average: { decay: 0.9, names: parameters }, clip: 0.5 };
  const whole = await training(more);
  await step(whole.program, { batchSize: 4, updates: Uint8Array.of(0, 1, 0, 0, 1) });
  const first = await training(more);
  await step(first.program, { order: order.slice(0, 12), batchSize: 4, updates: Uint8Array.of(0, 1, 0) });
  const second = await training(more);
  const entries = (values: Map<string, { data: never }>) => [...values].map(([name, v]) => ({ name, ...v })) as never;
  await second.weights.set(entries((await first.weights.get()) as never));
  await second.program.state.set(entries((await first.program.state.get()) as never));
  await step(second.program, { order: order.slice(12), batchSize: 4, updates: Uint8Array.of(0, 1), firstStep: 3 });
  expect(await second.values()).toEqual(await whole.values());
  expect(await second.program.state.get()).toEqual(await whole.program.state.get());
  expect(whole.program.state.names()).toEqual(
    expect.arrayContaining(['optimizer.images', 'optimizer.norm', 'ema.first.bias']),
  );
});

test('clip: the norm is that of the whole gradient, and the update is as long as it may be', async () => {
  for (const most of [0.05, 1e6]) {
    const { weights, program, values } = await training({ optimizer: sgd(), clip: most });
    const [gradient, before] = [await gradientAt(weights), await values()];
    const norm = Math.sqrt(
      Object.values(gradient)
        .flat()
        .reduce((a, g) => a + g * g, 0),
    );
    await step(program);
    const { data, dtype } = (await program.state.get(['optimizer.norm'])).get('optimizer.norm')!;
    expect([dtype, Math.abs(Number(data[0]) / norm - 1) < 1e-6]).toEqual(['float64', true]);
    const factor = Math.min(1, most / (norm + 1e-6));
    const expected = Object.fromEntries(Object.entries(gradient).map(([n, g]) => [n, g.map((v) => -0.1 * factor * v)]));
    expectClose(moved(before, await values()), expected, 1e-6);
    const length =
      Math.sqrt(
        Object.values(expected)
          .flat()
          .reduce((a, v) => a + v * v, 0),
      ) / 0.1;
    expect(length).toBeCloseTo(Math.min(most, norm), 5);
  }
});

test('rates and decay of their own: w -= factor lr (g + decay w), decay where it is wanted', async () => {
  const optimizer = sgd({ weightDecay: 0.5 });
  const { weights, program, values } = await training({
    optimizer,
    rates: { 'first.weight': 0.1, 'first.bias': 0 },
    undecayed: ['first.bias', 'second.bias'],
  });
  await weights.set([{ name: 'second.bias', ...tensorData([1, 2, 3]) }]);
  const [gradient, before] = [await gradientAt(weights), await values()];
  await step(program);
  const own: Record<string, [number, number]> = {
    'first.weight': [0.1, 0.5],
    'first.bias': [0, 0],
    'second.weight': [1, 0.5],
    'second.bias': [1, 0],
  };
  const expected = Object.fromEntries(
    Object.entries(own).map(([n, [factor, decay]]) => [
      n,
      gradient[n]!.map((g, i) => -0.1 * factor * (g + decay * before[n]![i]!)),
    ]),
  );
  expectClose(moved(before, await values()), expected, 1e-6);
});

test.each<[string, OptimizerSpec]>([
  ['adamw', adamw({ weightDecay: 0.5 })],
  ['rmsprop', rmsprop({ weightDecay: 0.5 })],
])('%s: what is not decayed moves as without decay, at a rate of its own', async (_, optimizer) => {
  const decaying = await training({
    optimizer,
    undecayed: ['second.bias', 'second.weight'],
    rates: { 'second.weight': 0.5 },
  });
  const plain = await training({ optimizer: { ...optimizer, weightDecay: 0 } });
  const start = await plain.values();
  await step(decaying.program);
  await step(plain.program);
  const [a, b] = [moved(start, await decaying.values()), moved(start, await plain.values())];
  expect(a['second.bias']).toEqual(b['second.bias']);
  a['second.weight']!.forEach((v, i) => expect(v).toBeCloseTo(b['second.weight']![i]! / 2, 6));
  expect(a['first.weight']).not.toEqual(b['first.weight']);
});

test("averages are those of a replay: a' = d a + (1 - d) w, d = min(decay, (1 + n) / (10 + n))", async () => {
  const names = ['first.weight', 'second.bias'];
  const { program, values } = await training({ optimizer: sgd(), average: { decay: 0.3, names } });
  const replay = await values(); // they begin as the weights
  for (let n = 1; n <= 6; n++) {
    await step(program);
    const now = await values();
    const decay = Math.min(0.3, (1 + n) / (10 + n));
    for (const name of names) replay[name] = replay[name]!.map((v, i) => decay * v + (1 - decay) * now[name]![i]!);
    const there = await program.state.get(names.map((name) => `ema.${name}`));
    const averages = Object.fromEntries(
      names.map((name) => [name, [...(there.get(`ema.${name}`)!.data as Float32Array)]]),
    );
    expectClose(averages, Object.fromEntries(names.map((name) => [name, replay[name]!])));
    if (n === 1) expect(averages['first.weight']).not.toEqual(now['first.weight']);
  }
});

test('a loss that is not finite changes nothing where it is looked for', async () => {
  const { weights, program, values } = await training({ optimizer: sgd() });
  await weights.set([{ name: 'second.bias', ...tensorData([NaN, 0, 0]) }]);
  const before = await values();
  const result = await step(program, { batchSize: 5, stack: ['loss'], finite: 'loss' });
  expect(result.diverged).toBe(0);
  expect(await values()).toEqual(before);
});

test('refused', async () => {
  const train = (more: Partial<TrainOptions>) => training({ optimizer: sgd(), ...more });
  await expect(train({ clip: 0 })).rejects.toThrow('train.clip: expected a norm above 0, got 0');
  await expect(train({ rates: { 'first.bias': -1 } })).rejects.toThrow(/train\.rates\.first\.bias: expected a factor/);
  await expect(train({ average: { decay: 1, names: [] } })).rejects.toThrow(
    /train\.average\.decay: expected .* \(0, 1\)/,
  );
  await expect(train({ average: { decay: 0.5, names: ['third'] } })).rejects.toThrow(/no parameter or buffer 'third'/);
  const { program } = await train({});
  await expect(step(program, { updates: Uint8Array.of(1) })).rejects.toThrow(/compiled without `accumulate`/);
  const gathering = await train({ accumulate: true });
  await expect(step(gathering.program, { updates: Uint8Array.of(1, 1) })).rejects.toThrow(/expected 1 `updates`/);
  await expect(step(gathering.program, { updates: [1] as never })).rejects.toThrow(/updates: expected a Uint8Array/);
});
