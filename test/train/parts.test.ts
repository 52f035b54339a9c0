// The parts of a recipe, each seen in what a training does to the weights and in how it ends.
import path from 'node:path';
import {
  BatchNorm2d,
  completeCheckpoint,
  Conv2d,
  DivergedError,
  evaluate,
  exp,
  GlobalAveragePool,
  Linear,
  loadCheckpoint,
  MobileNetV2,
  Module,
  mul,
  constant,
  syntheticScenes,
  Trainer,
  UsageError,
  type Dataset,
  type Hook,
  type Tensor,
  type TensorData,
  type TrainerOptions,
  type TrainEvent,
  type TrainResult,
} from 'mnv2-torch';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('parts');
let data: Dataset;
beforeAll(async () => {
  data = await syntheticScenes({ size: 32, perClass: 4 });
});
afterAll(() => data.dispose());

class Tiny extends Module {
  conv = new Conv2d(3, 6, 3, { stride: 4, bias: true });
  norm = new BatchNorm2d(6);
  pool = new GlobalAveragePool();
  head = new Linear(6, 21);
  forward(x: Tensor): Tensor {
    return this.head.call(this.pool.call(this.norm.call(this.conv.call(x))));
  }
}
class Plain extends Module {
  pool = new GlobalAveragePool();
  head = new Linear(3, 21);
  forward(x: Tensor): Tensor {
    return this.head.call(this.pool.call(x));
  }
}
const trainer = (options: TrainerOptions, model: Module = new Tiny()): Trainer =>
  new Trainer(model, data, { epochs: 2, batchSize: 16, lr: 0.01, threads: 1, ...options });

type Values = Map<string, Float32Array>;
const floats = (tensors: ReadonlyMap<string, TensorData>): Values =>
  new Map([...tensors].filter(([, t]) => t.dtype === 'float32').map(([n, t]) => [n, t.data as Float32Array]));
/** Weights before the first step, and after each epoch. */
class Witness implements Hook {
  readonly seen: Values[] = [];
  began: Hook['began'] = async ({ weights }) => void this.seen.push(floats(await weights.get()));
  epochEnded: Hook['epochEnded'] = async ({ weights }) => void this.seen.push(floats(await weights.get()));
}
async function trained(options: TrainerOptions, model?: Module): Promise<{ seen: Values[]; result: TrainResult }> {
  const witness = new Witness();
  const result = await trainer({ ...options, hooks: [witness] }, model).fit();
  result.dispose();
  return { seen: witness.seen, result };
}
const moved = (a: Values, b: Values): string[] =>
  [...a].filter(([name, v]) => v.some((x, i) => x !== b.get(name)![i])).map(([name]) => name);
const farthest = (a: Values, b: Values): number =>
  Math.max(...[...a].flatMap(([name, v]) => [...v].map((x, i) => Math.abs(x - b.get(name)![i]!))));

test('ema: what is written and validated is a replay’s average, running statistics included', async () => {
  const out = at('ema');
  const decay = 0.7;
  let [replay, n] = [new Map() as Values, 0];
  const follow = async ({ weights, step }: { weights: { get(): Promise<Map<string, TensorData>> }; step: number }) => {
    if (step === n) return; // the pause before an epoch's end and the end itself
    const d = Math.min(decay, (1 + ++n) / (10 + n));
    for (const [name, now] of floats(await weights.get()))
      replay.set(
        name,
        replay.get(name)!.map((v, i) => d * v + (1 - d) * now[i]!),
      );
  };
  const hook: Hook = {
    began: async ({ weights }) => void (replay = floats(await weights.get())),
    paused: follow,
    epochEnded: follow,
  };
  const result = await trainer({ ema: decay, out, saveEvery: { steps: 1 }, hooks: [hook] }).fit();
  const last = await loadCheckpoint(path.join(out, 'last.safetensors'));
  expect(n).toBe(8);
  expect(farthest(floats(last.tensors), replay)).toBeLessThan(1e-6);
  expect(replay.get('norm.running_mean')).not.toEqual(new Float32Array(6));
  const { val } = await data.ready();
  const judged = { store: data.store, indices: val, labels: data.labels };
  const checkpoint = completeCheckpoint(last, { model: new Tiny() });
  const { loss, accuracy } = await evaluate({ checkpoint, ...judged });
  expect(loss).toBeCloseTo(result.history[1]!.valid.loss, 5);
  expect(accuracy).toBeCloseTo(result.history[1]!.valid.accuracy, 10);
  expect((await evaluate({ checkpoint: result, ...judged })).loss).toBeCloseTo(result.best!.loss, 5);
  result.dispose();
});

test('accumulate: two batches of 8 are one of 16, at its rates', async () => {
  const [large, small] = [await trained({}, new Plain()), await trained({ batchSize: 8, accumulate: 2 }, new Plain())];
  expect(farthest(small.seen[2]!, large.seen[2]!)).toBeLessThan(1e-5);
  expect(farthest((await trained({ batchSize: 8 }, new Plain())).seen[2]!, large.seen[2]!)).toBeGreaterThan(1e-3);
});

/** An epoch in which what decays loses a tenth a step. */
const decay: TrainerOptions = {
  optimizer: 'adamw',
  lr: 1e-3,
  weightDecay: 100,
  epochs: 1,
  schedule: 'constant',
  warmUp: 0,
};
test('weight decay leaves norms and biases alone, unless all are to decay', async () => {
  const [some, all] = [await trained(decay), await trained({ ...decay, decayAll: true })];
  const size = (values: Values, name: string): number => Math.max(...values.get(name)!.map(Math.abs));
  for (const { seen } of [some, all])
    expect(size(seen[1]!, 'conv.weight')).toBeLessThan(0.8 * size(seen[0]!, 'conv.weight'));
  expect(size(some.seen[1]!, 'norm.weight')).toBeGreaterThan(0.99);
  expect(size(all.seen[1]!, 'norm.weight')).toBeLessThan(0.8);
});

test('spareDepthwise: kernels of depthwise layers do not decay, all others do', async () => {
  const small = (): Module => MobileNetV2({ numClasses: 21, widthMult: 0.25, dropout: 0 });
  const [spared, all] = [await trained({ ...decay, spareDepthwise: true }, small()), await trained(decay, small())];
  const left = ({ seen }: typeof all, name: string): number => {
    const [before, after] = [seen[0]!, seen[1]!].map((of) => Math.hypot(...of.get(name)!));
    return after! / before!;
  };
  const [depthwise, pointwise] = ['features.2.conv.1.0.weight', 'features.2.conv.2.weight'];
  expect(left(spared, depthwise)).toBeGreaterThan(0.95);
  expect(left(all, depthwise)).toBeLessThan(0.8);
  expect(left(spared, pointwise)).toBeCloseTo(left(all, pointwise), 1);
});

test('clip and backboneRate reach the weights', async () => {
  const small = (): Module => MobileNetV2({ numClasses: 21, widthMult: 0.25, dropout: 0 });
  const { seen } = await trained({ backboneRate: 0, epochs: 1 }, small());
  expect(moved(seen[0]!, seen[1]!).filter((n) => !n.includes('running'))).toEqual([
    'classifier.1.weight',
    'classifier.1.bias',
  ]);
  expect(() => trainer({ backboneRate: 0.1 })).toThrow(/backboneRate: this model does not say which part is its head/);
  const sgd = { optimizer: 'sgd', weightDecay: 0, epochs: 1, schedule: 'constant', warmUp: 0 } as const;
  const clipped = await trained({ ...sgd, clip: 1e-9 }, new Plain());
  expect(farthest(clipped.seen[0]!, clipped.seen[1]!)).toBeLessThan(1e-8);
  expect(farthest(clipped.seen[0]!, (await trained(sgd, new Plain())).seen[1]!)).toBeGreaterThan(1e-4);
});

test('bn frozen: statistics stay, scale and shift are trained', async () => {
  const [train, frozen] = [await trained({}), await trained({ bn: 'frozen' })];
  expect(moved(train.seen[0]!, train.seen[2]!)).toEqual(expect.arrayContaining(['norm.running_mean', 'norm.weight']));
  const changed = moved(frozen.seen[0]!, frozen.seen[2]!);
  expect(changed).toEqual(expect.arrayContaining(['norm.weight', 'norm.bias', 'conv.weight', 'head.weight']));
  expect(changed.filter((name) => name.includes('running'))).toEqual([]);
});

test('headEpochs: the head alone moves, then all of it, as one training', async () => {
  const model = MobileNetV2({ numClasses: 21, widthMult: 0.25 }).freezeBackbone(3);
  const trainable = model.trainable();
  const { seen, result } = await trained({ headEpochs: 2, epochs: 1 }, model);
  expect(moved(seen[0]!, seen[2]!)).toEqual(['classifier.1.weight', 'classifier.1.bias']);
  const later = moved(seen[2]!, seen[3]!);
  expect(later.filter((name) => !name.includes('running'))).toEqual(trainable); // what was frozen stays frozen
  expect(model.trainable()).toEqual(trainable);
  expect(result.history.map((e) => [e.epoch, e.epochs])).toEqual([
    [1, 3],
    [2, 3],
    [3, 3],
  ]);
  expect(result.history[0]!.lr).toBe(2e-3); // a head's
  const make = (): Trainer => trainer({ headEpochs: 1, freeze: 'features' }, model);
  expect(make).toThrow(UsageError);
  expect(() => trainer({ headEpochs: 1 })).toThrow(/headEpochs: this model has no freezeBackbone/);
});

test.each(['accuracy', 'macroF1', 'loss'] as const)('bestBy %s', async (bestBy) => {
  const { result } = await trained({ bestBy, epochs: 6, lr: 0.3, optimizer: 'sgd' });
  const of = result.history.map((e) => (bestBy === 'loss' ? -e.valid.loss : e.valid[bestBy]));
  expect(result.best!.epoch).toBe(1 + of.indexOf(Math.max(...of)));
});

test('patience: it ends, done, once no epoch was better for so long', async () => {
  const events: TrainEvent[] = [];
  const still: TrainerOptions = { lr: 1e-12, epochs: 50, patience: 3 };
  const result = await trainer(still, new Plain()).fit({ onEvent: (event) => events.push(event) });
  result.dispose();
  expect([result.history.length, result.stopped]).toEqual([4, false]);
  expect(events.at(-1)).toMatchObject({ event: 'done', why: 'no epoch was better than epoch 1 for 3' });
});

test('timeBudget: it ends within an epoch, validated and saved; there is nothing to go on with but more time', async () => {
  const out = at('time');
  const events: TrainEvent[] = [];
  const long: TrainerOptions = { epochs: 1_000_000, out, timeBudget: 0.4 };
  const result = await trainer(long).fit({ onEvent: (event) => events.push(event) });
  result.dispose();
  const { epoch } = result.history.at(-1)!;
  expect(result.stopped).toBe(false);
  expect(events.at(-1)).toMatchObject({
    event: 'done',
    why: `the time of 0.4 s is used up after epoch ${epoch} of 1000000`,
  });
  expect((await loadCheckpoint(path.join(out, 'last.safetensors'))).metadata['epoch']).toBe(String(epoch));
  const { out: _, ...again } = long;
  const more = await trainer({ ...again, resume: out }).fit();
  more.dispose();
  expect(more.history).toHaveLength(epoch);
  await expect(trainer({ timeBudget: 1e-6 }).fit()).rejects.toThrow(
    /timeBudget: 0\.000001 s were used up before the first step/,
  );
});

test('a loss that is not finite: the module that went first is named', async () => {
  class Boom extends Module {
    forward(x: Tensor): Tensor {
      return exp(mul(x, constant(1e4)));
    }
  }
  class Fragile extends Tiny {
    boom = new Boom();
    override forward(x: Tensor): Tensor {
      return this.head.call(this.boom.call(this.pool.call(this.norm.call(this.conv.call(x)))));
    }
  }
  const error = await trainer({}, new Fragile())
    .fit()
    .catch((e: unknown) => e as Error);
  expect(error).toBeInstanceOf(DivergedError);
  expect((error as Error).message).toMatch(
    /at step 1 of epoch 1 \(learning rate \S+\); the output of 'boom' was the first that was not finite\. Try a lower --lr/,
  );
});
