// Training state as named tensors: what is written to a fresh program makes its next updates bit for bit those the first
// would have taken; what copies share and what they do not.
import {
  adam,
  adamw,
  compile,
  crossEntropy,
  Dropout,
  Engine,
  Flatten,
  GlobalAveragePool,
  input,
  InvertedResidual,
  Linear,
  rmsprop,
  Sequential,
  sgd,
  tensorData,
  Weights,
  type BlockStyle,
  type OptimizerSpec,
  type Program,
  type TensorData,
} from 'mnv2-torch';
import { bytesOf } from '../support/numeric.ts';

const style: BlockStyle = { padding: 'symmetric', bnEps: 1e-5, bnMomentum: 0.1, activation: 'relu6' };
// Convolutions, BatchNorm with running statistics, and dropout, whose masks depend on the step.
const model = new Sequential(
  new InvertedResidual(4, 4, 1, 2, style),
  new GlobalAveragePool(),
  new Flatten(),
  new Dropout(0.3),
  new Linear(4, 3),
);
const parameters = [...model.namedParameters()].filter(([, p]) => p.kind !== 'buffer').map(([name]) => name);
const shape = [5, 4, 6, 6];
const batch = (step: number): Record<string, TensorData> => ({
  x: tensorData(
    Float32Array.from({ length: 5 * 144 }, (_, i) => Math.sin(i * 0.37 + step)),
    shape,
  ),
  label: { data: BigInt64Array.of(0n, 1n, 2n, BigInt(step % 3), 1n), shape: [5], dtype: 'int64' },
});

function training(weights: Weights, optimizer: OptimizerSpec): Program {
  const logits = model.train().call(input('x', [-1, ...shape.slice(1)]));
  const loss = crossEntropy(logits, input('label', [-1], 'int64'));
  return compile({ loss }, { weights, train: { loss: 'loss', parameters, optimizer } });
}
async function steps(program: Program, first: number, count: number): Promise<void> {
  for (let step = first; step < first + count; step++) await program.run(batch(step), { lr: 0.05, step, seed: 7 });
}
const bytes = (values: ReadonlyMap<string, TensorData>): Record<string, string> =>
  Object.fromEntries([...values].map(([name, { data }]) => [name, bytesOf(data).toString('hex')]));
const entries = (values: ReadonlyMap<string, TensorData>) => [...values].map(([name, value]) => ({ name, ...value }));

const optimizers: [string, OptimizerSpec, string[]][] = [
  ['sgd', sgd(), []],
  ['sgd with momentum', sgd({ momentum: 0.9, weightDecay: 1e-3 }), ['momentum']],
  ['sgd with nesterov', sgd({ momentum: 0.9, nesterov: true }), ['momentum']],
  ['adam', adam(), ['firstMoment', 'secondMoment']],
  ['adamw', adamw(), ['firstMoment', 'secondMoment']],
  ['rmsprop', rmsprop(), ['momentum', 'squareAverage']],
  ['rmsprop without momentum', rmsprop({ momentum: 0 }), ['squareAverage']],
];

describe.each(optimizers)('%s', (_, optimizer, slots) => {
  test('lists its entries before the first step, zeros', async () => {
    using weights = await Weights.init(model, { seed: 1 });
    using program = training(weights, optimizer);
    const names = parameters.flatMap((name) => slots.map((slot) => `optimizer.${name}.${slot}`));
    expect(program.state.names()).toEqual([...names, 'optimizer.updates']);
    const values = await program.state.get();
    const updates = values.get('optimizer.updates')!;
    expect([updates.dtype, updates.shape, [...updates.data]]).toEqual(['int64', [], [0n]]);
    const shapes = await weights.get(parameters);
    for (const name of parameters) {
      for (const slot of slots) {
        const value = values.get(`optimizer.${name}.${slot}`)!;
        expect(value.shape).toEqual(shapes.get(name)!.shape);
        expect((value.data as Float32Array).every((v) => v === 0)).toBe(true);
      }
    }
  });

  test('goes on from written state as if it had never stopped', async () => {
    using straight = await Weights.init(model, { seed: 1 });
    using whole = training(straight, optimizer);
    await steps(whole, 0, 7);

    using before = await Weights.init(model, { seed: 1 });
    using first = training(before, optimizer);
    await steps(first, 0, 3);
    // Through the host, as a checkpoint goes, into programs and weights that have other values.
    const [weights, state] = [await before.get(), await first.state.get()];
    using after = await Weights.init(model, { seed: 2 });
    using second = training(after, optimizer);
    await steps(second, 0, 1);
    await after.set(entries(weights));
    await second.state.set(entries(state));
    await steps(second, 3, 4);

    expect(bytes(await after.get())).toEqual(bytes(await straight.get()));
    expect(bytes(await second.state.get())).toEqual(bytes(await whole.state.get()));
    expect((await second.state.get(['optimizer.updates'])).get('optimizer.updates')!.data[0]).toBe(7n);
  });
});

test('without the optimizer’s state a resumed training is another one', async () => {
  using straight = await Weights.init(model, { seed: 1 });
  using whole = training(straight, adam());
  await steps(whole, 0, 3);
  using after = await straight.copy();
  using second = training(after, adam());
  await steps(whole, 3, 1);
  await steps(second, 3, 1);
  expect(bytes(await after.get())).not.toEqual(bytes(await straight.get()));
});

test('loops count their updates, runs without a learning rate do not', async () => {
  using weights = await Weights.init(model, { seed: 1 });
  using program = training(weights, sgd());
  await program.run(batch(0));
  await steps(program, 0, 2);
  expect([...(await program.state.get()).values()].map(({ data }) => data[0])).toEqual([2n]);
});

test('copies are made on the engine and do not change with their source', async () => {
  using weights = await Weights.init(model, { seed: 1 });
  using program = training(weights, sgd({ momentum: 0.9 }));
  await steps(program, 0, 2);
  using kept = await weights.copy();
  const there = bytes(await weights.get());
  expect(kept.names()).toEqual(weights.names());
  expect(bytes(await kept.get())).toEqual(there);

  using branch = training(kept, sgd({ momentum: 0.9 }));
  await branch.state.copyFrom(program.state);
  await steps(program, 2, 2);
  expect(bytes(await kept.get())).toEqual(there);
  await steps(branch, 2, 2);
  expect(bytes(await kept.get())).toEqual(bytes(await weights.get()));
  expect(bytes(await branch.state.get())).toEqual(bytes(await program.state.get()));
});

test('what does not fit is refused by name', async () => {
  using weights = await Weights.init(model, { seed: 1 });
  using program = training(weights, sgd({ momentum: 0.9 }));
  const value = { data: Float32Array.of(1), shape: [1], dtype: 'float32' as const };
  await expect(program.state.set([{ name: 'optimizer.nothing.momentum', ...value }])).rejects.toThrow(
    /^'optimizer.nothing.momentum': expected optimizer\.0\.conv.*momentum, .* and \d+ more$/,
  );
  const first = program.state.names()[0]!;
  await expect(program.state.set([{ name: first, ...value }])).rejects.toThrow(
    `'${first}': expected shape [8, 4, 1, 1], got [1]`,
  );
  await expect(weights.get(['nothing'])).rejects.toMatchObject({ code: 'USAGE' });
  using plain = compile({ y: model.eval().call(input('x', shape)) }, { weights });
  expect(plain.state.names()).toEqual([]);
  await expect(plain.state.set([{ name: 'w', ...value }])).rejects.toThrow(
    "'w': expected no name, as this set is empty",
  );
  using other = new Engine({ threads: 1 });
  using elsewhere = await Weights.init(model, { engine: other });
  await expect(elsewhere.copyFrom(weights)).rejects.toThrow('belong to another engine');
  weights.dispose();
  expect(() => weights.names()).toThrow(/disposed/);
});
