// A training that was interrupted and goes on ends as one that never was: whole files are compared, byte for byte.
import fs from 'node:fs';
import path from 'node:path';
import {
  BatchNorm2d,
  DataError,
  GlobalAveragePool,
  Linear,
  MobileNetV2,
  Module,
  readSafetensors,
  syntheticScenes,
  Trainer,
  UsageError,
  type Dataset,
  type MobileNet,
  type Tensor,
  type TrainEvent,
  type TrainerOptions,
} from 'mnv2-torch';
import { Random } from '../../dist/random.js';
import { bytesOf } from '../support/numeric.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('resume');
let data: Dataset;
beforeAll(async () => {
  data = await syntheticScenes({ size: 32, perClass: 4 });
});
afterAll(() => data.dispose());

const EPOCHS = 3;
const STEPS = 4; // 63 images in batches of 16
const network = (dropout = 0.2): MobileNet => MobileNetV2({ numClasses: 21, widthMult: 0.25, dropout });
const trainer = (options: TrainerOptions, model = network()): Trainer =>
  new Trainer(model, data, { epochs: EPOCHS, batchSize: 16, seed: 3, threads: 2, saveEvery: { steps: 1 }, ...options });

/** Aborts once step `step` has been saved, which is between two steps. */
async function interrupted(options: TrainerOptions, step: number): Promise<TrainEvent> {
  const abort = new AbortController();
  const hook = {
    paused: (state: { step: number }) => void (state.step === step && abort.abort()),
    epochEnded: (state: { step: number }) => void (state.step === step && abort.abort()),
  };
  let last!: TrainEvent;
  const fit = trainer({ ...options, hooks: [hook], signal: abort.signal });
  (await fit.fit({ onEvent: (event) => (last = event) })).dispose();
  return last;
}
const bytes = (folder: string, name: string): string => fs.readFileSync(path.join(folder, name)).toString('hex');
/** Lines of metrics.jsonl without what a clock says. */
function metrics(folder: string): unknown[] {
  const lines = fs.readFileSync(path.join(folder, 'metrics.jsonl'), 'utf8').trim().split('\n');
  return lines.map((line) =>
    JSON.parse(line, (key, value: unknown) => (/^(seconds|imagesPerSecond)$/.test(key) ? 0 : value)),
  );
}
/** Tensors of a state, and what of its metadata no clock says. */
async function state(folder: string): Promise<unknown> {
  const { tensors, metadata } = await readSafetensors(path.join(folder, 'state.safetensors'));
  const position = metadata['position']!.replaceAll(/"(seconds|imagesPerSecond)":[\d.e+-]+/g, '');
  return [[...tensors].map(([name, { data }]) => [name, bytesOf(data).toString('hex')]), position];
}

const places = (step: number): string =>
  step % STEPS === 0
    ? `the end of epoch ${step / STEPS}`
    : `step ${step % STEPS} of ${STEPS} in epoch ${Math.ceil(step / STEPS)}`;

// Each is interrupted four times: at seeded steps within an epoch, one of them within the last, and at an epoch's end.
test.each<[string, TrainerOptions]>([
  ['all of it, with dropout', { optimizer: 'adamw' }],
  ['augmented', { augment: 'strong', optimizer: 'sgd' }],
  [
    'mixed, the classes balanced',
    { augment: 'photo', mixup: 0.4, cutmix: 1, sampler: 'balanced', classWeights: 'balanced' },
  ],
  ['a head on cached features in augmented views', { freeze: 'features', augment: 'aerial', views: 2 }],
  ['some blocks on cached features', { freeze: 12, optimizer: 'rmsprop', labelSmoothing: 0.1 }],
  [
    'the head first, then all with averages, gathered and clipped gradients',
    {
      headEpochs: 1,
      epochs: 2,
      ema: 0.8,
      accumulate: 3,
      clip: 1,
      optimizer: 'adamw',
      bestBy: 'loss',
      backboneRate: 0.5,
    },
  ],
])('%s: interrupted again and again, every byte is the same', async (name, options) => {
  const [whole, out] = [at(name, 'whole'), at(name, 'parts')];
  const result = await trainer({ ...options, out: whole }).fit();
  result.dispose();
  const random = new Random(name, 'interruptions');
  const within = (epoch: number): number => (epoch - 1) * STEPS + random.whole(1, STEPS - 1);
  const steps = [within(1), STEPS, within(2), within(3)];
  for (const [i, step] of steps.entries()) {
    const from = i === 0 ? { out } : { resume: out };
    expect(await interrupted({ ...options, ...from }, step)).toMatchObject({ event: 'stopped' });
  }
  const events: TrainEvent[] = [];
  const resumed = await trainer({ ...options, resume: out }).fit({ onEvent: (event) => events.push(event) });
  resumed.dispose();
  expect(events[0]).toMatchObject({ event: 'start', notes: [`the run goes on from ${places(steps[3]!)}`], out });
  expect(events.flatMap((e) => (e.event === 'epoch' ? [e.epoch] : []))).toEqual([3]);
  for (const file of ['last.safetensors', 'best.safetensors', 'split.json'])
    expect([file, bytes(out, file) === bytes(whole, file)]).toEqual([file, true]);
  expect(metrics(out)).toEqual(metrics(whole));
  expect(await state(out)).toEqual(await state(whole));
  expect(resumed.best).toEqual(result.best);
  expect(resumed.history).toHaveLength(EPOCHS);
});

/** As small as a training can be. */
class Tiny extends Module {
  pool = new GlobalAveragePool();
  head: Linear;
  constructor(readonly classes = 21) {
    super();
    this.head = new Linear(3, classes);
  }
  forward(x: Tensor): Tensor {
    return this.head.call(this.pool.call(x));
  }
}
const tiny = (options: TrainerOptions, images = data, model: Module = new Tiny()): Trainer =>
  new Trainer(model, images, { epochs: 2, batchSize: 32, lr: 0.01, threads: 1, ...options });
const message = (training: Trainer): Promise<Error> =>
  training.fit().then(
    () => new Error('it went on'),
    (error: unknown) => error as Error,
  );

describe('a run that is done', () => {
  const out = at('done');
  beforeAll(async () => (await tiny({ out, schedule: { kind: 'constant' } }).fit()).dispose());
  const stamps = (): unknown[] => fs.readdirSync(out).map((f) => [f, fs.statSync(path.join(out, f)).mtimeMs]);

  test('is left as it is: nothing to do is said, its best weights are there', async () => {
    const before = stamps();
    const events: TrainEvent[] = [];
    const result = await tiny({ resume: out, schedule: { kind: 'constant' } }).fit({ onEvent: (e) => events.push(e) });
    const best = await readSafetensors(path.join(out, 'best.safetensors'));
    for (const [name, { data: d }] of await result.weights.get())
      expect([...d]).toEqual([...best.tensors.get(name)!.data]);
    expect(result).toMatchObject({ stopped: false, checkpoints: { best: path.join(out, 'best.safetensors') } });
    expect(result.history.map((e) => e.epoch)).toEqual([1, 2]);
    result.dispose();
    expect(events.map((e) => e.event)).toEqual(['start', 'done']);
    expect(events[0]).toMatchObject({ notes: ['the run is done: all 2 epochs are trained, nothing is left to do'] });
    expect(stamps()).toEqual(before);
  });
  test('takes more epochs where its schedule is the same for any number of them', async () => {
    const [four, more] = [at('four'), at('more')];
    fs.cpSync(out, more, { recursive: true });
    const constant = { epochs: 4, schedule: { kind: 'constant' } } as const;
    (await tiny({ ...constant, out: four }).fit()).dispose();
    (await tiny({ ...constant, resume: more }).fit()).dispose();
    expect(bytes(more, 'last.safetensors')).toBe(bytes(four, 'last.safetensors'));
    expect(metrics(more).slice(2)).toEqual(metrics(four).slice(2));
  });
});

describe('what differs is refused by name', () => {
  const out = at('terms');
  beforeAll(async () => (await tiny({ out }).fit()).dispose());
  test.each<[TrainerOptions, string]>([
    [{ batchSize: 16 }, 'resume: batchSize was 32, now 16'],
    [{ seed: 1, lr: 0.02 }, 'resume: lr was 0.01, now 0.02; seed was 0, now 1'],
    [{ optimizer: 'sgd' }, 'optimizer.kind was "adam", now "sgd"'],
    [{ weightDecay: 0.1 }, 'resume: optimizer.weightDecay was 0, now 0.1'],
    [{ augment: 'aerial' }, 'resume: augment was not set, now {"flips":"both"'],
    [
      { schedule: { kind: 'step', every: 1, factor: 0.5, warmUp: 0.2 } },
      'schedule.kind was "cosine", now "step"; schedule.every was not set',
    ],
    [{ epochs: 1, warmUp: 0.2 }, 'resume: epochs was 2, now 1'],
    [{ epochs: 3, warmUp: 0.2 }, 'resume: epochs was 2, now 3; a cosine schedule is laid out over all epochs'],
  ])('%j', async (options, expected) => {
    const error = await message(tiny({ resume: out, ...options }));
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).toContain(expected);
  });
  test('another network', async () => {
    class Wider extends Tiny {
      more = new BatchNorm2d(3);
    }
    expect((await message(tiny({ resume: out }, data, new Wider()))).message).toMatch(/more\.weight/);
    expect((await message(tiny({ resume: out, freeze: 'features' }, data, network()))).message).toMatch(
      /head\.weight|features/,
    );
  });
  test('threads are said, and nothing is refused', async () => {
    const events: TrainEvent[] = [];
    (await tiny({ resume: out, threads: 2, saveEvery: 7 }).fit({ onEvent: (e) => events.push(e) })).dispose();
    expect(JSON.stringify(events[0])).toContain('may differ, as threads was 1, now 2');
  });
  test('a folder that holds no run; the one of another; another out', async () => {
    expect((await message(tiny({ resume: at('nothing') }))).message).toMatch(
      /--resume .*nothing: expected the folder of a run/,
    );
    fs.mkdirSync(at('empty'));
    expect((await message(tiny({ resume: at('empty') }))).message).toMatch(
      /holds no run to go on with: expected state.safetensors/,
    );
    fs.writeFileSync(at('empty', 'state.safetensors'), 'no');
    expect(await message(tiny({ resume: at('empty') }))).toBeInstanceOf(DataError);
    fs.copyFileSync(path.join(out, 'best.safetensors'), at('empty', 'state.safetensors'));
    expect((await message(tiny({ resume: at('empty') }))).message).toMatch(/is no state of a training/);
    expect(() => tiny({ resume: out, out: at('other') })).toThrow(/out: a run goes on in its own folder/);
    expect(fs.readdirSync(at('empty'))).toEqual(['state.safetensors']); // no lock is left
  });
  test('a run that another training is writing', async () => {
    const folder = at('busy');
    const one = tiny({ epochs: 100_000, out: folder })[Symbol.asyncIterator]();
    let next = await one.next();
    while (!next.done && next.value.event !== 'epoch') next = await one.next();
    expect((await message(tiny({ epochs: 100_000, resume: folder }))).message).toMatch(
      /--resume .*busy: process \d+ is writing a run there/,
    );
    await one.return(undefined as never);
  });
});

describe('data that changed is refused by name', () => {
  const out = at('data');
  beforeAll(async () => {
    const abort = new AbortController();
    (await tiny({ out, hooks: [{ epochEnded: () => abort.abort() }], signal: abort.signal }).fit()).dispose();
  });
  const other = (change: Partial<Dataset>): Dataset => ({
    ...data,
    packed: (n) => data.packed(n),
    ready: () => data.ready(),
    dispose: () => undefined,
    ...change,
  });
  test.each<[string, () => Promise<Dataset>, RegExp]>([
    [
      'files',
      async () => other({ files: data.files.map((f, i) => (i < 3 ? `new${i}` : f)) }),
      /3 files gone \(agricultural\/0, agricultural\/1, agricultural\/2\); 3 files new \(new0, new1, new2\)/,
    ],
    ['order', async () => other({ files: data.files.toReversed(), labels: data.labels.toReversed() }), /another order/],
    ['labels', async () => other({ labels: data.labels.with(0, 5) }), /1 file in another class \(agricultural\/0\)/],
    [
      'classes',
      async () => other({ classes: data.classes.with(0, 'farm') }),
      /the classes were agricultural, .* now farm, .*; 4 files in another class/,
    ],
    [
      'split',
      async () => {
        const { train, val, ...rest } = await data.ready();
        return other({ ready: () => Promise.resolve({ ...rest, train: train.slice(1), val: val.with(0, train[0]!) }) });
      },
      /2 of the files used otherwise \(\w+\/\d was in training, now in validation\)/,
    ],
    [
      'pixels',
      async () => syntheticScenes({ size: 32, perClass: 4, seed: 9 }).then((d) => other({ store: d.store })),
      /84 files with other pixels/,
    ],
  ])('%s', async (_what, changed, expected) => {
    const error = await message(tiny({ resume: out }, await changed()));
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toMatch(expected);
  });
  test('and what did not change goes on', async () => {
    (await tiny({ resume: out }, other({})).fit()).dispose();
    expect(metrics(out)).toHaveLength(2);
  });
});
