// What a training tells a hook: when, and of every validation image what the model said of it.
import path from 'node:path';
import {
  Flatten,
  Linear,
  MobileNetV2,
  Sequential,
  syntheticScenes,
  Trainer,
  UsageError,
  type Beginning,
  type Dataset,
  type EpochEvent,
  type Hook,
  type Outputs,
  type TrainerOptions,
} from 'mnv2-torch';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('hooks');
let data: Dataset;
beforeAll(async () => {
  data = await syntheticScenes({ size: 32, perClass: 6 });
});
afterAll(() => data.dispose());

const head = (): Sequential => new Sequential(new Flatten(), new Linear(3 * 32 * 32, 21));
const trainer = (options: TrainerOptions): Trainer =>
  new Trainer(head(), data, { epochs: 2, batchSize: 16, lr: 1e-3, seed: 3, ...options });

/** Writes down what it hears. */
class Listener implements Hook {
  heard: string[] = [];
  beginning?: Beginning;
  epochs: [EpochEvent, Outputs][] = [];
  began: Hook['began'] = (state, beginning) => {
    this.beginning = beginning;
    this.heard.push(`began ${state.step}`);
  };
  epochEnded: Hook['epochEnded'] = (state, event, outputs) => {
    this.heard.push(`epoch ${state.epoch}`);
    this.epochs.push([event, outputs]);
  };
  ended: Hook['ended'] = (_state, ending) => void this.heard.push(ending.how);
}

/** Written from the definition: of each class, 2 TP / (2 TP + FP + FN). */
function f1(truth: number[], said: number[], classes: number): number {
  const each = Array.from({ length: classes }, (_, c) => {
    const right = truth.filter((t, i) => t === c && said[i] === c).length;
    const wrong = truth.filter((t, i) => (t === c) !== (said[i] === c)).length;
    return 2 * right + wrong === 0 ? NaN : (2 * right) / (2 * right + wrong);
  }).filter((v) => !Number.isNaN(v));
  return each.reduce((a, v) => a + v, 0) / each.length;
}

test('a hook hears in order, with and without a run folder', async () => {
  for (const out of [undefined, at('order')]) {
    const hook = new Listener();
    (await trainer({ hooks: [hook], ...(out && { out }) }).fit()).dispose();
    expect(hook.heard).toEqual(['began 0', 'epoch 1', 'epoch 2', 'done']);
    const { settings, out: folder, split } = hook.beginning!;
    expect(folder).toBe(out);
    expect(JSON.parse(JSON.stringify(settings))).toMatchObject({
      epochs: 2,
      seed: 3,
      about: { classes: data.classes },
    });
    expect(settings).not.toHaveProperty('hooks');
    expect(split).toEqual(await data.ready());
  }
});

test('outputs give the epoch’s accuracy, loss and macro F1; interrupted for checkpoints they are the same bytes', async () => {
  const [plain, often] = [new Listener(), new Listener()];
  (await trainer({ hooks: [plain], epochs: 3 }).fit()).dispose();
  (await trainer({ hooks: [often], epochs: 3, out: path.join(at('often')), saveEvery: 0 }).fit()).dispose();
  const { val } = await data.ready();
  const truth = [...val].map((row) => data.labels[row]!);
  for (const [event, { indices, answers }] of plain.epochs) {
    expect(indices).toEqual(val);
    const rows = truth.map((_, i) => [...answers.subarray(21 * i, 21 * i + 21)]);
    for (const row of rows) expect(row.reduce((a, v) => a + v, 0)).toBeCloseTo(1, 5);
    const said = rows.map((row) => row.indexOf(Math.max(...row)));
    const mean = (values: number[]): number => values.reduce((a, v) => a + v, 0) / values.length;
    expect(event.valid.accuracy).toBeCloseTo(mean(truth.map((t, i) => Number(t === said[i]))), 12);
    expect(event.valid.loss).toBeCloseTo(mean(truth.map((t, i) => -Math.log(rows[i]![t]!))), 4);
    expect(event.valid.macroF1).toBeCloseTo(f1(truth, said, 21), 12);
    expect(event.valid.macroF1).not.toBe(event.valid.accuracy);
  }
  expect(often.epochs.map(([, o]) => o)).toEqual(plain.epochs.map(([, o]) => o));
});

test('what a hook throws ends the training; the others hear of it, and it is the error that is thrown', async () => {
  const hook = new Listener();
  const broken: Hook = {
    epochEnded() {
      throw new Error('no room for the report');
    },
    ended() {
      throw new Error('another one');
    },
  };
  await expect(trainer({ hooks: [broken, hook] }).fit()).rejects.toThrow('no room for the report');
  expect(hook.heard).toEqual(['began 0', 'failed']);
});

test('no list of hooks', () => {
  const make = (): Trainer => new Trainer(MobileNetV2({ numClasses: 21 }), data, { hooks: [7] as never });
  expect(make).toThrow(UsageError);
  expect(make).toThrow('hooks: expected a list of hooks, got [7]');
});
