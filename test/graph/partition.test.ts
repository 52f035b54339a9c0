// The frozen prefix: where the cut falls, and that computing it once changes no loss.
import {
  add,
  batchNorm2d,
  compile,
  dropout,
  input,
  MobileNetV2,
  mul,
  parameter,
  relu,
  splitFrozen,
  syntheticScenes,
  tensorData,
  Trainer,
  Weights,
  type TrainEvent,
} from 'mnv2-torch';

test('stops before the first trainable parameter, dropout and batch statistics', () => {
  const x = input('x', [-1, 2, 4, 4]);
  const p = (name: string): ReturnType<typeof parameter> => parameter(name, [2]);
  const norm = (t: typeof x, training: boolean): typeof x =>
    batchNorm2d(t, { weight: p('w'), bias: p('b'), runningMean: p('m'), runningVar: p('v') }, { training });
  const cut = (y: typeof x, trainable: string[]): string[] =>
    Object.values(splitFrozen({ y }, trainable, 'x').prefix).map((t) => t.op);
  expect(cut(relu(norm(x, false)), [])).toEqual(['relu']);
  expect(cut(relu(norm(relu(x), false)), ['w'])).toEqual(['relu']);
  expect(cut(relu(norm(relu(x), true)), [])).toEqual(['relu']);
  expect(cut(relu(dropout(x, 0.5)), [])).toEqual([]);
});

test('a value read on both sides of the cut is kept once', () => {
  const x = input('x', [-1, 3]);
  const shared = relu(x);
  const { prefix, suffix } = splitFrozen({ y: add(mul(shared, parameter('w', [3])), shared) }, ['w'], 'x');
  expect(Object.keys(prefix)).toEqual(['frozen.0']);
  expect(suffix['y']!.inputs[1]).toBe(suffix['y']!.inputs[0]!.inputs[0]);
});

test('prefix and suffix together compute what the whole did', async () => {
  const model = MobileNetV2({ numClasses: 5, widthMult: 0.35 }).freezeBackbone(6).eval();
  const weights = await Weights.init(model, { seed: 3 });
  const y = model.call(input('image', [-1, 3, 64, 64]));
  const { prefix, suffix } = splitFrozen({ y }, model.trainable(), 'image');
  expect(prefix['frozen.0']!.shape).toEqual([-1, 16, 8, 8]); // features.5's output
  const image = tensorData(
    Float32Array.from({ length: 2 * 3 * 64 * 64 }, (_, i) => Math.sin(i)),
    [2, 3, 64, 64],
  );
  using whole = compile({ y }, { weights });
  using first = compile(prefix, { weights });
  using rest = compile(suffix, { weights });
  const expected = (await whole.run({ image }))['y']!.data;
  const got = Array.from((await rest.run(await first.run({ image })))['y']!.data, Number);
  expect(Math.max(...got.map((v, i) => Math.abs(v - Number(expected[i]))))).toBeLessThan(1e-5);
  weights.dispose();
});

test.each([
  ['features', 0.2],
  [16, 0],
] as const)('cached or not, freezing %s gives the same losses step by step in fp32', async (freeze, drop) => {
  const losses = async (cache: 'auto' | 'off'): Promise<number[]> => {
    const data = await syntheticScenes({ size: 32, perClass: 4, seed: 2 });
    const model = MobileNetV2({ numClasses: 21, widthMult: 0.35, dropout: drop });
    const seen: number[] = [];
    // One step an epoch: every loss is an event.
    for await (const event of new Trainer(model, data, { freeze, cache, epochs: 6, batchSize: 64, lr: 1e-3, seed: 4 }))
      if (event.event === 'epoch') seen.push(event.train.loss, event.valid.loss);
    data.dispose();
    return seen;
  };
  const [cached, plain] = [await losses('auto'), await losses('off')];
  expect(cached).toHaveLength(12);
  for (const [i, v] of cached.entries()) expect(Math.abs(v - plain[i]!)).toBeLessThan(1e-4);
});

test('the cache is announced, and absent when it is off', async () => {
  const events = async (cache: 'auto' | 'off'): Promise<TrainEvent['event'][]> => {
    const data = await syntheticScenes({ size: 32, perClass: 2 });
    const seen: TrainEvent['event'][] = [];
    for await (const e of new Trainer(MobileNetV2({ numClasses: 21, widthMult: 0.35 }), data, {
      freeze: 'features',
      cache,
      epochs: 1,
    }))
      seen.push(e.event);
    data.dispose();
    return seen;
  };
  expect(await events('auto')).toContain('cached');
  expect(await events('off')).not.toContain('cached');
});
