// The Trainer as a program uses it: what it returns, what it refuses, and that every way out leaves the weights on disk.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {
  adamw,
  Classifier,
  completeCheckpoint,
  BatchNorm2d,
  Conv2d,
  DivergedError,
  evaluate,
  GlobalAveragePool,
  Linear,
  loadCheckpoint,
  MobileNetV2,
  Module,
  ReLU,
  Sequential,
  syntheticScenes,
  Trainer,
  UsageError,
  type Dataset,
  type MobileNet,
  type Tensor,
  type TrainEvent,
  type TrainerOptions,
  type TrainResult,
} from 'mnv2-torch';
import { changing } from '../../dist/train/state.js';
import { bytesOf } from '../support/numeric.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('trainer');
let data: Dataset;
beforeAll(async () => {
  data = await syntheticScenes({ size: 32, perClass: 6 });
});
afterAll(() => data.dispose());

/** A network of one's own, small: most of what a Trainer does is the same for any. */
class Tiny extends Module {
  conv = new Conv2d(3, 8, 3, { stride: 4 });
  norm = new BatchNorm2d(8);
  act = new ReLU();
  pool = new GlobalAveragePool();
  head = new Linear(8, 21);
  forward(x: Tensor): Tensor {
    return this.head.call(this.pool.call(this.act.call(this.norm.call(this.conv.call(x)))));
  }
}

const small = (): MobileNet => MobileNetV2({ numClasses: 21, widthMult: 0.35 });
const trainer = (options: TrainerOptions = {}, model: Module = new Tiny()): Trainer =>
  new Trainer(model, data, { epochs: 2, batchSize: 32, lr: 1e-3, seed: 3, ...options });
const numbers = async ({ weights }: TrainResult): Promise<Buffer> =>
  Buffer.concat([...(await weights.get()).values()].map(({ data }) => bytesOf(data)));
const names = (out: string): string[] => fs.readdirSync(out).sort();
const RUN = ['best.safetensors', 'config.json', 'last.safetensors', 'metrics.jsonl', 'split.json', 'state.safetensors'];

describe('what a training returns', () => {
  let result: TrainResult;
  const events: TrainEvent[] = [];
  beforeAll(async () => {
    result = await trainer({ epochs: 3 }, small()).fit({ onEvent: (event) => events.push(event) });
  });
  afterAll(() => result.dispose());

  test('model, weights and history, without a folder', () => {
    expect(result.model).toBeInstanceOf(Module);
    expect(result.history.map((e) => e.epoch)).toEqual([1, 2, 3]);
    expect(result.history).toEqual(events.filter((e) => e.event === 'epoch'));
    const accuracies = result.history.map((e) => e.valid.accuracy);
    expect(result.best).toMatchObject({ accuracy: Math.max(...accuracies) });
    expect(result.best!.epoch).toBe(accuracies.indexOf(Math.max(...accuracies)) + 1);
    expect([result.stopped, result.checkpoints]).toEqual([false, { best: null, last: null }]);
    expect(events.map((e) => e.event).filter((e) => e !== 'progress')).toEqual([
      'start',
      'data',
      'epoch',
      'epoch',
      'epoch',
      'done',
    ]);
  });
  test('its weights are the best epoch’s: evaluating them gives that epoch’s figures', async () => {
    const { val } = await data.ready();
    const { accuracy, loss } = await evaluate({
      checkpoint: result,
      store: data.store,
      indices: val,
      labels: data.labels,
    });
    expect(accuracy).toBeCloseTo(result.best!.accuracy, 10);
    expect(loss).toBeCloseTo(result.best!.loss, 4);
  });
  test('they classify, are saved, and are trained on', async () => {
    const image = data.store.get(5);
    const file = at('mine.safetensors');
    await result.save(file);
    const sharp = (await import('sharp')).default;
    const png = await sharp(image, { raw: { width: 32, height: 32, channels: 3 } })
      .png()
      .toBuffer();
    const [one, two] = [await Classifier.from(result), await Classifier.load(file)];
    expect(await one.classify(png)).toEqual(await two.classify(png));
    one.dispose();
    two.dispose();
    const more = await trainer(
      { epochs: 1, weights: result.weights, lr: 1e-9, schedule: { kind: 'constant' } },
      small(),
    ).fit();
    const first = (await result.weights.get(['classifier.1.weight'])).get('classifier.1.weight')!.data as Float32Array;
    const then = (await more.weights.get(['classifier.1.weight'])).get('classifier.1.weight')!.data as Float32Array;
    expect(Math.max(...then.map((v, i) => Math.abs(v - first[i]!)))).toBeLessThan(1e-6);
    more.dispose();
  });
  test('an iteration returns the same', async () => {
    const training = trainer({ epochs: 3 }, small())[Symbol.asyncIterator]();
    let next = await training.next();
    while (!next.done) next = await training.next();
    expect((await numbers(next.value)).equals(await numbers(result))).toBe(true);
    next.value.dispose();
  });
  test('interrupted for checkpoints or not, every byte is the same', async () => {
    const out = at('interrupted');
    const often = await trainer({ epochs: 3, out, saveEvery: 0.001 }, small()).fit();
    expect((await numbers(often)).equals(await numbers(result))).toBe(true);
    const figures = (r: TrainResult) => r.history.map((e) => [e.train.loss, e.train.accuracy, e.valid.loss]);
    expect(figures(often)).toEqual(figures(result));
    expect(names(out)).toEqual(RUN);
    often.dispose();
  });
  test('one at a time', async () => {
    const one = trainer({ epochs: 1 }, small());
    const first = one.fit();
    await expect(one.fit()).rejects.toThrow(/training already/);
    (await first).dispose();
    (await one.fit()).dispose();
  });
});

describe('what is frozen', () => {
  const trainable = (model: Module): string[] => model.trainable();
  test('options leave the model alone: what the caller froze stays frozen', () => {
    const model = small().freezeBackbone(5);
    const before = trainable(model);
    const made = trainer({}, model);
    expect(trainable(model)).toEqual(before);
    expect(made.options.freeze).toBeUndefined();
    trainer({ freeze: 'features' }, model);
    expect(trainable(model)).toEqual(before); // not before it trains
  });
  test('it is frozen in training too, and `freeze` overrides it', async () => {
    const model = small().freezeBackbone('features');
    const result = await trainer({ epochs: 1 }, model).fit();
    expect(trainable(model)).toEqual(['classifier.1.weight', 'classifier.1.bias']);
    expect(changing(model)).toEqual(['classifier.1.weight', 'classifier.1.bias']);
    expect(result.history).toHaveLength(1);
    result.dispose();
    (await trainer({ epochs: 1, freeze: 'none' }, model).fit()).dispose();
    expect(trainable(model).length).toBeGreaterThan(100);
  });
  test('a head alone is given a head’s learning rate, however it was frozen', () => {
    const rate = (model: Module, options: TrainerOptions): number => new Trainer(model, data, options).options.lr;
    expect(rate(small(), { freeze: 'features' })).toBe(2e-3);
    expect(rate(small().freezeBackbone('features'), {})).toBe(2e-3);
    expect(rate(small(), {})).toBe(3e-3);
  });
});

describe('refused before any work', () => {
  const bad: [TrainerOptions, RegExp][] = [
    [{ epochs: 1.5 }, /epochs: expected a whole number of at least 1, got 1.5/],
    [{ epochs: NaN }, /epochs: .*NaN/],
    [{ batchSize: 0 }, /batchSize: .* got 0/],
    [{ lr: 'abc' as never }, /lr: expected a number above 0, got 'abc'/],
    [{ lr: Infinity }, /lr: .*Infinity/],
    [{ warmUp: NaN }, /warmUp: expected epochs, a number of at least 0, got NaN/],
    [{ weightDecay: -1 }, /weightDecay: .* got -1/],
    [{ labelSmoothing: 1 }, /labelSmoothing: expected a share of at least 0 and below 1, got 1/],
    [
      { seed: 1e20 },
      /seed: expected a whole number of at least 0 and at most 9007199254740991, got 100000000000000000000/,
    ],
    [{ threads: 10_000 }, /threads: expected a whole number of at least 1 and at most \d+, got 10000/],
    [{ views: -1 }, /views: /],
    [{ saveEvery: NaN }, /saveEvery: expected seconds, a number of at least 0, or a text/],
    [{ freeze: 'all' as never }, /freeze: expected features, none or a number of blocks, got 'all'/],
    [{ freeze: 99 }, /freeze: expected 'features', 'none' or a number of blocks from 0 to 19, got 99/],
    [{ optimizer: 'adm' as never }, /optimizer: expected sgd, adam, adamw or rmsprop, got 'adm'/],
    [{ optimizer: { kind: 'lion' } as never }, /optimizer.kind: expected sgd, adam, adamw or rmsprop, got 'lion'/],
    [{ schedule: { kind: 'step', every: 0, factor: 0.1 } }, /schedule.every: expected epochs, a number above 0, got 0/],
    [
      { schedule: { kind: 'cosin' } as never },
      /schedule.kind: expected constant, cosine, linear, step, .* or one-cycle, got 'cosin'/,
    ],
    [{ precision: 'fp16' as never }, /precision: expected fp32 or bf16, got 'fp16'/],
    [{ preprocess: {} as never }, /preprocess: `size` is not a whole number/],
    [{ preprocess: { size: 64, scale: 'x/127.5-1' } }, /preprocess: expected the data's size of 32 pixels, got 64/],
    [{ device: 'tpu' }, /device: expected auto, cpu, cuda or cuda:n, got 'tpu'/],
    [{ augment: 'wild' as never }, /augment: expected none, photo, aerial, strong, got 'wild'/],
    [{ augment: { flip: true } as never }, /augment: .*flip/],
    [{ augment: { scaleMin: 0 } }, /augment: .*scaleMin/],
    [{ epoch: 3 } as never, /there is no 'epoch'. Did you mean epochs\?/],
    [{ signal: {} as never }, /signal: expected an AbortSignal/],
    [{ out: 7 as never }, /out: expected a folder's path, got 7/],
    [{ weights: {} as never }, /weights: expected what loadCheckpoint\(\) or fit\(\) gives/],
    [null as never, /expected an object of options, got null/],
  ];
  test.each(bad)('%j', (options, message) => {
    const make = (): Trainer => new Trainer(small(), data, options);
    expect(make).toThrow(UsageError);
    expect(make).toThrow(message);
  });
  test('freeze, for a network that has none of it', () => {
    expect(() => trainer({ freeze: 1 }, new Sequential(new Linear(1, 1)))).toThrow(/no freezeBackbone\(\)/);
  });
  test('schedules: constant, linear, step, and adamw as a value', () => {
    const { options } = trainer({ optimizer: adamw({ weightDecay: 0.1 }), schedule: { kind: 'linear', warmUp: 1 } });
    expect([options.optimizer, options.schedule]).toMatchObject([{ weightDecay: 0.1 }, { kind: 'linear', warmUp: 1 }]);
  });
});

describe('every way out leaves best and last on disk', () => {
  const loads = async (out: string): Promise<void> => {
    for (const name of ['best', 'last'])
      expect((await loadCheckpoint(path.join(out, `${name}.safetensors`))).classes).toHaveLength(21);
  };
  const lastLine = (out: string): Record<string, unknown> =>
    JSON.parse(fs.readFileSync(path.join(out, 'metrics.jsonl'), 'utf8').trim().split('\n').at(-1)!) as Record<
      string,
      unknown
    >;

  test('done', async () => {
    const out = at('done');
    const result = await trainer({ out }).fit();
    expect(names(out)).toEqual(RUN);
    expect(result.checkpoints).toEqual({
      best: path.join(out, 'best.safetensors'),
      last: path.join(out, 'last.safetensors'),
    });
    await loads(out);
    const { metadata } = await loadCheckpoint(path.join(out, 'last.safetensors'));
    expect(metadata).toMatchObject({ epoch: '2', step: String(2 * 3) });
    result.dispose();
  });
  test('break and throw in the iteration stop the training', async () => {
    for (const how of ['break', 'throw'] as const) {
      const out = at(how);
      const iterate = async (): Promise<void> => {
        for await (const event of trainer({ epochs: 100_000, out })) {
          if (event.event !== 'epoch' || event.epoch < 2) continue;
          if (how === 'break') break;
          throw new Error('mine');
        }
      };
      if (how === 'break') await iterate();
      else await expect(iterate()).rejects.toThrow(/^mine$/);
      expect(names(out)).toEqual(RUN);
      expect(lastLine(out)).toMatchObject({ event: 'stopped' });
      await loads(out);
    }
  });
  test('a throw in onEvent', async () => {
    const out = at('onevent');
    const onEvent = (event: TrainEvent): void => {
      if (event.event === 'epoch') throw new Error('mine');
    };
    await expect(trainer({ epochs: 100_000, out }).fit({ onEvent })).rejects.toThrow(/^mine$/);
    expect(names(out)).toEqual(RUN);
  });
  test('an aborted signal', async () => {
    const out = at('aborted');
    const abort = new AbortController();
    const result = await trainer({ epochs: 100_000, out, signal: abort.signal }).fit({
      onEvent: (event) => event.event === 'epoch' && event.epoch === 3 && abort.abort(),
    });
    expect(result.stopped).toBe(true);
    expect(result.history.length).toBeGreaterThanOrEqual(3);
    await loads(out);
    result.dispose();
  });
  test('aborted in the first epoch: what was trained, and no best', async () => {
    const out = at('first');
    const slow = MobileNetV2({ numClasses: 21 }); // an epoch lasts well beyond its first report
    const abort = new AbortController();
    const result = await trainer({ batchSize: 2, out, signal: abort.signal }, slow).fit({
      onEvent: (event) => event.event === 'progress' && event.phase === 'train' && abort.abort(),
    });
    expect(names(out)).toEqual(RUN.filter((n) => n !== 'best.safetensors'));
    expect([result.best, result.checkpoints.best]).toEqual([undefined, null]);
    expect(lastLine(out)).toMatchObject({ event: 'stopped', epoch: 0 });
    expect((await loadCheckpoint(result.checkpoints.last!)).metadata).toMatchObject({ epoch: '0' });
    result.dispose();
  });
  test('aborted before the first step: nothing was trained, nothing is left', async () => {
    const out = at('never/deeper');
    const result = await trainer({ out, signal: AbortSignal.abort() }).fit();
    expect([result.stopped, result.history]).toEqual([true, []]);
    expect(fs.existsSync(at('never'))).toBe(false);
    result.dispose();
  });
  test('diverged after a good epoch: both are good, and the message names a file that is there', async () => {
    const out = at('diverged');
    // A rate that is fine for an epoch, then explodes.
    const options: TrainerOptions = {
      epochs: 5,
      optimizer: 'sgd',
      lr: 1e-3,
      schedule: { kind: 'step', every: 1, factor: 1e33 },
      out,
    };
    const error = await trainer(options, small())
      .fit()
      .then(
        () => undefined,
        (e: unknown) => e as DivergedError,
      );
    expect(error).toBeInstanceOf(DivergedError);
    const named = /; the best checkpoint so far is (\S+)$/.exec(error!.message)![1]!;
    expect(named).toBe(path.join(out, 'best.safetensors'));
    expect(lastLine(out)).toMatchObject({ event: 'diverged' });
    await loads(out);
    for (const { data: d, dtype } of (await loadCheckpoint(path.join(out, 'last.safetensors'))).tensors.values()) {
      if (dtype === 'float32') expect((d as Float32Array).every((v) => Number.isFinite(v))).toBe(true);
    }
  });
  test('exploded after a good epoch, every number finite: it ends, and the good epoch is kept', async () => {
    const out = at('exploded-finite');
    // A linear head never overflows: its loss grows with the rate.
    const schedule = { kind: 'step', every: 1, factor: 1e7 } as const;
    const head: TrainerOptions = { freeze: 'features', optimizer: 'sgd', lr: 1e-3, schedule, out };
    const fit = trainer({ epochs: 5, ...head }, small()).fit();
    const error = await fit.catch((e: unknown) => e as Error);
    expect(error).toBeInstanceOf(DivergedError);
    expect((error as Error).message).toMatch(
      /^the loss exploded: \S+ over epoch 2, where guessing gets 3\.04\. Try a lower --lr .*best checkpoint so far is/,
    );
    expect((await loadCheckpoint(path.join(out, 'best.safetensors'))).metadata).toMatchObject({ epoch: '1' });
  });
  test('diverged at once: the message names no file', async () => {
    const out = at('exploded');
    const error = await trainer({ optimizer: 'sgd', lr: 1e30, out }, small())
      .fit()
      .catch((e: unknown) => e as Error);
    expect((error as Error).message).toMatch(/stopped being finite .*Try a lower --lr \(it was 1e\+30\)$/);
    expect(names(out)).toEqual(['config.json', 'metrics.jsonl', 'split.json', 'state.safetensors']);
  });
  test('a process that leaves the iteration ends by itself', () => {
    const code = `
      import { MobileNetV2, syntheticScenes, Trainer } from 'mnv2-torch';
      const data = await syntheticScenes({ size: 32, perClass: 2 });
      const model = MobileNetV2({ numClasses: 21, widthMult: 0.35 });
      for await (const event of new Trainer(model, data, { epochs: 1e6, batchSize: 8 })) if (event.event === 'epoch') break;
      console.log('left');`;
    const run = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8', timeout: 60_000 });
    expect([run.stdout, run.status, run.signal]).toEqual(['left\n', 0, null]);
  });
});

test('an empty part to validate on is refused, not reported as success', async () => {
  const split = await data.ready();
  const empty: Dataset = {
    ...data,
    packed: (n) => data.packed(n),
    ready: () => Promise.resolve({ ...split, val: new Int32Array(0) }),
  };
  const out = at('empty');
  await expect(new Trainer(small(), empty, { out }).fit()).rejects.toThrow(/no images to validate on/);
  expect(fs.existsSync(out)).toBe(false);
});

test('a last batch of one is refused at once where its statistics cannot be taken', async () => {
  const { train } = await data.ready();
  await expect(trainer({ batchSize: train.length - 1 }, small()).fit()).rejects.toThrow(
    /leave a batch of one, whose statistics 'features[.\w]+' cannot take .* expected another batch size/,
  );
  (await trainer({ epochs: 1, batchSize: train.length - 1, freeze: 'features' }, small()).fit()).dispose();
});

describe('one run a folder', () => {
  /** A file in a folder of its own. */
  const run = (folder: string, file: string): string => {
    fs.mkdirSync(at(folder), { recursive: true });
    fs.writeFileSync(at(folder, file), '');
    return at(folder, file);
  };
  test('two trainings into one folder: the second is refused and names the first', async () => {
    const out = at('shared');
    const one = trainer({ epochs: 100_000, out })[Symbol.asyncIterator]();
    await one.next();
    await expect(trainer({ out }).fit()).rejects.toThrow(
      new RegExp(`process ${process.pid} is writing a run there; choose another folder`),
    );
    await one.return(undefined as never);
    expect(names(out)).not.toContain('.lock');
  });
  test('a lock whose process is gone is taken over', async () => {
    const out = at('stale');
    const module = new URL('../../dist/cache/live-process.js', import.meta.url).href;
    const code = `const { processMark } = await import('${module}'); process.stdout.write(await processMark())`;
    const { stdout: mark } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
    expect(mark).toMatch(/^\d+-\d+-/);
    fs.mkdirSync(out);
    fs.writeFileSync(path.join(out, '.lock'), JSON.stringify({ mark, pid: 1, host: 'here' }));
    (await trainer({ epochs: 1, out }).fit()).dispose();
    expect(names(out)).toEqual(RUN);
  });
  test.each([
    ['a run', () => path.dirname(run('existing', 'config.json')), /a run is already there/],
    ['below a file', () => path.join(run('plain', 'file'), 'sub/run'), /file is a file; choose another folder/],
    ['where nothing can be made', () => '/proc/mnv2/run', /--out \/proc\/mnv2\/run: .* cannot be written to/],
  ])('%s', async (_what, out, message) => {
    await expect(trainer({ out: out() }).fit()).rejects.toThrow(message);
    await expect(trainer({ out: out() }).fit()).rejects.toThrow(UsageError);
  });
});

test('a network of one’s own trains', async () => {
  const out = at('own');
  const result = await trainer({ epochs: 1, out }).fit();
  expect((await loadCheckpoint(path.join(out, 'best.safetensors'))).metadata['arch']).toBe('Tiny');
  const classifier = await Classifier.load(out, { model: new Tiny() });
  expect(classifier.classes).toHaveLength(21);
  classifier.dispose();
  const { val } = await data.ready();
  const checkpoint = completeCheckpoint(await loadCheckpoint(out), { model: new Tiny() });
  const { accuracy } = await evaluate({ checkpoint, store: data.store, indices: val, labels: data.labels });
  expect(accuracy).toBeCloseTo(result.best!.accuracy, 10);
  result.dispose();
});
