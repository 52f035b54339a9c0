// The share of dead depthwise kernels in a training's history: what inspect() says of the same weights, where kernels are
// trained, and the same after a resume.
import fs from 'node:fs';
import {
  htmlReport,
  inspect,
  MobileNetV2,
  syntheticScenes,
  tensorboard,
  Trainer,
  type Dataset,
  type EpochEvent,
  type TrainerOptions,
  type TrainResult,
} from 'mnv2-torch';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('dead-kernels');
let data: Dataset;
beforeAll(async () => {
  data = await syntheticScenes({ size: 32, perClass: 3 });
});
afterAll(() => data.dispose());

// Decay that nothing can stand: kernels and what BatchNorm gives them are gone within an epoch.
const deadly: TrainerOptions = {
  optimizer: 'adamw',
  lr: 1e-3,
  weightDecay: 950,
  decayAll: true,
  schedule: 'constant',
  warmUp: 0,
};
const fit = (options: TrainerOptions): Promise<TrainResult> => {
  const model = MobileNetV2({ numClasses: 21, widthMult: 0.25, invertedResidualSetting: [[2, 16, 2, 2]], dropout: 0 });
  return new Trainer(model, data, { epochs: 1, batchSize: 16, seed: 1, ...options }).fit();
};
const shares = (history: readonly EpochEvent[]): (number | undefined)[] => history.map((e) => e.deadKernels);

test('it is what inspect() says of the same weights: none at first, most where decay is deadly', async () => {
  const fine = await fit({ lr: 1e-5 });
  expect(shares(fine.history)).toEqual([0]);
  fine.dispose();
  const result = await fit(deadly);
  const { totals, channels } = await inspect(result);
  expect(shares(result.history)).toEqual([totals.dead / channels]);
  expect(totals.dead).toBeGreaterThan(channels / 2);
  result.dispose();
});

test('a head alone has nothing to tell, nor has who does not want to hear of it', async () => {
  for (const options of [{ freeze: 'features' }, { deadKernels: false }] as const) {
    const result = await fit(options);
    expect(result.history[0]).not.toHaveProperty('deadKernels');
    result.dispose();
  }
});

test('metrics, report and event files tell it; a run may be resumed with and without', async () => {
  const run = at('run');
  const stop = new AbortController();
  const hook = { epochEnded: () => stop.abort() };
  (await fit({ ...deadly, epochs: 3, out: run, hooks: [hook], signal: stop.signal })).dispose();
  const hooks = [htmlReport(), tensorboard()];
  const resumed = await fit({ ...deadly, epochs: 3, resume: run, hooks });
  const whole = await fit({ ...deadly, epochs: 3 });
  expect(resumed.history).toHaveLength(3);
  expect(shares(resumed.history)).toEqual(shares(whole.history));
  const lines = fs.readFileSync(`${run}/metrics.jsonl`, 'utf8').trim().split('\n');
  expect(lines.map((line) => (JSON.parse(line) as EpochEvent).deadKernels)).toEqual(shares(whole.history));
  const page = fs.readFileSync(`${run}/report.html`, 'utf8');
  expect(page).toMatch(/aria-label="Dead depthwise kernels by epoch: dead depthwise kernels from [\d.]+% to [\d.]+%"/);
  const events = fs.readdirSync(run).find((name) => name.startsWith('events.out'))!;
  expect(fs.readFileSync(`${run}/${events}`).includes('dead kernels')).toBe(true);
  resumed.dispose();
  whole.dispose();

  // The rest untold: the page draws no half of a line.
  const second = at('second');
  const again = new AbortController();
  const once = { epochEnded: () => again.abort() };
  (await fit({ ...deadly, epochs: 2, out: second, hooks: [once], signal: again.signal })).dispose();
  const untold = await fit({ ...deadly, epochs: 2, resume: second, deadKernels: false, hooks: [htmlReport()] });
  expect(untold.history.map((e) => e.deadKernels === undefined)).toEqual([false, true]);
  expect(fs.readFileSync(`${second}/report.html`, 'utf8')).not.toContain('Dead depthwise kernels');
  untold.dispose();
});
