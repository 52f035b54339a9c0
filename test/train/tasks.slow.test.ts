// Several labels an image, and numbers, through the whole of a training: losses against their formulas, what is learned,
// what a checkpoint keeps of it, resuming, reports and exports.
import fs from 'node:fs';
import path from 'node:path';
import {
  compile,
  completeCheckpoint,
  constant,
  evaluateMultilabel,
  evaluateRegression,
  exportOnnx,
  exportTorchScript,
  findRate,
  GlobalAveragePool,
  htmlReport,
  Linear,
  loadCheckpoint,
  MobileNetV2,
  Module,
  tensorboard,
  tensorData,
  Trainer,
  UsageError,
  type Dataset,
  type Tensor,
  type TrainEvent,
  type TrainerOptions,
} from 'mnv2-torch';
import { lossesOf, PLAIN, type Objective } from '../../dist/train/task.js';
import { bestMetadata } from '../../dist/train/events.js';
import { closingText, LastAnswers } from '../../dist/report/closing.js';
import { taskFromMetadata, taskToMetadata, type LearnedTask } from '../../dist/weights/task.js';
import { labelledScenes, measuredScenes } from '../support/tasks.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('tasks');
const SIZE = 32;
let labelled: Dataset;
let measured: Dataset;
beforeAll(async () => {
  [labelled, measured] = [
    await labelledScenes({ size: SIZE, perClass: 8 }),
    await measuredScenes({ size: SIZE, perClass: 8 }),
  ];
});
afterAll(() => [labelled, measured].forEach((data) => data.dispose()));

/** Linear in a picture's mean colour, which is learned in no time. */
class MeanColour extends Module {
  pool = new GlobalAveragePool();
  head: Linear;
  constructor(outputs: number) {
    super();
    this.head = new Linear(3, outputs);
  }
  forward(x: Tensor): Tensor {
    return this.head.call(this.pool.call(x));
  }
}
const quick = (data: Dataset, options: TrainerOptions) =>
  new Trainer(new MeanColour(data.classes.length), data, { epochs: 25, batchSize: 8, lr: 0.05, ...options });

const model = (data: Dataset) => MobileNetV2({ numClasses: data.classes.length, widthMult: 0.25 });
const trainer = (data: Dataset, options: TrainerOptions) =>
  new Trainer(model(data), data, { epochs: 2, batchSize: 32, seed: 3, lr: 0.003, ...options });

/** [loss, what is counted] of outputs and targets, both [2, 3]. */
async function losses(objective: Partial<Objective>, outputs: number[], targets: number[]): Promise<number[]> {
  const { loss, correct } = lossesOf(constant(outputs, [2, 3]), 3, { ...PLAIN, ...objective });
  const { loss: l, correct: c } = await compile({ loss, correct }).run({
    target: tensorData(Float32Array.from(targets), [2, 3]),
  });
  return [Number(l!.data[0]), Number(c!.data[0])];
}
const OUTPUTS = [2, -1, 0.5, -3, 0.25, 1];
const meanOf = (values: number[]): number => values.reduce((a, v) => a + v, 0) / values.length;

describe('losses', () => {
  const targets = [1, 0, 0, 0, 1, 1];
  const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
  const task: LearnedTask = { kind: 'multilabel', thresholds: [0.5, 0.5, 0.5] };

  test('binary cross entropy; right is who has all labels right', async () => {
    const bce = OUTPUTS.map((x, i) => -Math.log(targets[i] === 1 ? sigmoid(x) : 1 - sigmoid(x)));
    const [loss, right] = await losses({ task }, OUTPUTS, targets);
    expect(loss).toBeCloseTo(meanOf(bce), 6);
    expect(right).toBe(1); // the second image; the first is given the third label
  });
  test('weights multiply what having a label costs; smoothing moves both answers to the middle', async () => {
    const [weights, labelSmoothing] = [Float32Array.of(3, 1, 0.5), 0.2];
    const bce = OUTPUTS.map((x, i) => {
      const t = targets[i]! * 0.8 + 0.1;
      return -weights[i % 3]! * t * Math.log(sigmoid(x)) - (1 - t) * Math.log(1 - sigmoid(x));
    });
    const [loss] = await losses({ task, weights, labelSmoothing }, OUTPUTS, targets);
    expect(loss).toBeCloseTo(meanOf(bce), 6);
  });
  test.each(['mse', 'huber'] as const)(
    '%s in standard deviations; errors in the own unit are counted',
    async (kind) => {
      const [mean, scale] = [
        [10, 0, -5],
        [2, 100, 0.5],
      ];
      const truth = OUTPUTS.map((x, i) => mean[i % 3]! + scale[i % 3]! * (x + [0.3, -2, 1.5, 0, -0.7, 4][i]!));
      const errors = [0.3, 2, 1.5, 0, 0.7, 4];
      const each = errors.map((e) => (kind === 'mse' ? e * e : e <= 1 ? 0.5 * e * e : e - 0.5));
      const [loss, counted] = await losses({ task: { kind: 'regression', mean, scale }, loss: kind }, OUTPUTS, truth);
      expect(loss).toBeCloseTo(meanOf(each), 4);
      expect(counted).toBeCloseTo(errors.reduce((a, e, i) => a + e * scale[i % 3]!, 0) / 3, 2);
    },
  );
});

test('labels are learned; the checkpoint keeps thresholds, and evaluates to the figures the training told', async () => {
  const out = path.join(at('labels'));
  const events: TrainEvent[] = [];
  const result = await quick(labelled, { out, classWeights: 'balanced' }).fit({
    onEvent: (e) => events.push(e),
  });
  const own = new MeanColour(6);
  const checkpoint = completeCheckpoint(await loadCheckpoint(out), { model: own });
  expect(checkpoint.task).toEqual(result.task);
  expect(checkpoint.metadata).toMatchObject({ task: 'multilabel', mAP: String(result.best!.mAP) });
  const { val } = await labelled.ready();
  const { store, targets } = labelled;
  const judged = await evaluateMultilabel({ checkpoint, store, indices: val, targets: targets! });
  const best = result.history[result.best!.epoch - 1]!.valid;
  expect(judged.mAP).toBeCloseTo(best.mAP!, 6);
  expect(judged.loss).toBeCloseTo(best.loss, 4);
  // No threshold does better on the images they were chosen on than the chosen ones.
  const { thresholds } = checkpoint.task as Extract<LearnedTask, { kind: 'multilabel' }>;
  expect(judged.classes.map((c) => c.threshold)).toEqual(thresholds);
  expect(judged.macroF1).toBeGreaterThanOrEqual(best.macroF1 - 1e-6);
  expect(judged.mAP).toBeGreaterThan(1.5 * meanOf(judged.classes.map((c) => c.support / val.length)));
  expect(events.find((e) => e.event === 'data')).toMatchObject({ task: 'multilabel', classes: 6 });
  result.dispose();
});

test('numbers are learned in their own units', async () => {
  const result = await quick(measured, {}).fit();
  const { val } = await measured.ready();
  const { store, targets } = measured;
  const judged = await evaluateRegression({ checkpoint: result, store, indices: val, targets: targets! });
  const best = result.history[result.best!.epoch - 1]!.valid;
  expect(judged.mae / best.mae!).toBeCloseTo(1, 4);
  expect(judged.r2).toBeCloseTo(best.r2!, 4);
  expect(judged.r2).toBeGreaterThan(0.9);
  expect(best.accuracy).toBeNaN();
  result.dispose();
});

test.each([
  ['labels', () => labelled, quick, { classWeights: 'balanced' }],
  ['numbers', () => measured, trainer, { loss: 'huber', freeze: 'features' }],
] as [string, () => Dataset, typeof quick, TrainerOptions][])(
  '%s: interrupted within an epoch and resumed, every byte is the same',
  async (name, data, make, options) => {
    const [whole, out] = [at(`${name}-whole`), at(`${name}-parts`)];
    (await make(data(), { ...options, epochs: 3, out: whole }).fit()).dispose();
    const abort = new AbortController();
    let steps = 0;
    const hook = { paused: () => void (++steps === 5 && abort.abort()) };
    const settings = { ...options, epochs: 3, saveEvery: { steps: 1 } } as const;
    const half = await make(data(), { ...settings, out, hooks: [hook], signal: abort.signal }).fit();
    expect(half.stopped).toBe(true);
    half.dispose();
    (await make(data(), { ...settings, resume: out }).fit()).dispose();
    for (const file of ['last.safetensors', 'best.safetensors']) {
      const [a, b] = [whole, out].map((folder) => fs.readFileSync(path.join(folder, file)));
      expect([file, a!.equals(b!)]).toEqual([file, true]);
    }
    // A run that is done still knows what it has learned.
    const done = await make(data(), { ...settings, resume: out }).fit();
    const kept = await loadCheckpoint(path.join(out, 'best.safetensors'));
    expect(done.task).toEqual(kept.task);
    done.dispose();
  },
);

test('reports tell each task by its own figures', async () => {
  for (const [data, words] of [
    [labelled, ['mAP', 'Average precision', 'Threshold', 'missed:']],
    [measured, ['Mean absolute error', 'R²', 'answers over truth', 'Furthest off']],
  ] as const) {
    const [file, answers] = [path.join(at(`report-${data.task}`), 'report.html'), new LastAnswers()];
    fs.mkdirSync(path.dirname(file), { recursive: true });
    const hooks = [answers, htmlReport({ file }), tensorboard({ folder: path.dirname(file) })];
    let done: TrainEvent | undefined;
    (await trainer(data, { hooks }).fit({ onEvent: (event) => (done = event) })).dispose();
    const page = fs.readFileSync(file, 'utf8');
    for (const word of words) expect(page).toContain(word);
    expect(/.*(NaN|>undefined).*/.exec(page)?.[0]).toBeUndefined();
    if (done?.event !== 'done') throw new Error('not done');
    const event = { ...done, checkpoint: 'best.safetensors' };
    const { task, history } = answers;
    const text = closingText({
      event,
      history,
      evaluation: answers.evaluation(),
      task,
      report: undefined,
      colours: false,
    });
    expect(text).toMatch(
      data.task === 'multilabel'
        ? /weakest labels +AP .*\n(.+\n)+best validation mAP \d/
        : /mae +rmse +r2 +bias\n.*brightness/s,
    );
    expect(text).not.toMatch(/NaN|undefined/);
  }
});

test('exports give what the checkpoint does: sigmoids, and numbers in their units', async () => {
  for (const data of [labelled, measured]) {
    const result = await quick(data, { epochs: 1 }).fit();
    const file = path.join(at(`export-${data.task}`), 'x.safetensors');
    fs.mkdirSync(path.dirname(file), { recursive: true });
    await result.save(file);
    const model = new MeanColour(data.classes.length);
    const checkpoint = completeCheckpoint(await loadCheckpoint(file), { model });
    const compared = data.task === 'multilabel' ? 'probabilities' : 'numbers';
    expect(await exportOnnx(checkpoint, `${file}.onnx`)).toMatchObject({ agrees: true, compared });
    expect(await exportTorchScript(checkpoint, `${file}.pt`)).toMatchObject({ agrees: true, compared });
    result.dispose();
  }
});

test('a rate is found for other tasks too', async () => {
  const { losses } = await findRate(model(measured), measured, { batchSize: 8, steps: 12 });
  expect(losses.every(Number.isFinite)).toBe(true);
});

test.each<[string, () => Dataset, TrainerOptions, string]>([
  ['mixup of labels', () => labelled, { mixup: 0.2 }, "mixup: expected none for the task 'multilabel'"],
  [
    'weights of numbers',
    () => measured,
    { classWeights: 'balanced', labelSmoothing: 0.1 },
    'labelSmoothing, classWeights: expected none',
  ],
  ['accuracy of numbers', () => measured, { bestBy: 'accuracy' }, 'bestBy: expected one of loss, mae, r2'],
  ['a loss of labels', () => labelled, { loss: 'huber' }, "loss: expected none for the task 'multilabel'"],
  [
    'targets that are missing',
    () => ({ ...labelled, targets: undefined }) as unknown as Dataset,
    {},
    'targets: expected 1008 values',
  ],
])('%s: refused', async (_name, data, options, message) => {
  await expect((async () => trainer(data(), options).fit())()).rejects.toThrow(message);
  await expect((async () => trainer(data(), options).fit())()).rejects.toThrow(UsageError);
});

test('figures of the best epoch are the same before and after a resumed run has read them', () => {
  const best = { accuracy: NaN, mae: 0.5, r2: -0.25 };
  expect(bestMetadata(best)).toEqual({ mae: '0.5', r2: '-0.25' });
  expect(bestMetadata(JSON.parse(JSON.stringify(best)) as typeof best)).toEqual(bestMetadata(best));
});

test('metadata of a task reads back, and what does not fit is named', () => {
  const tasks: LearnedTask[] = [
    { kind: 'multiclass' },
    { kind: 'multilabel', thresholds: [0.25, 0.5] },
    { kind: 'regression', mean: [1e5, -3], scale: [0.5, 2] },
  ];
  for (const task of tasks) expect(taskFromMetadata(taskToMetadata(task), 2, 'x')).toEqual(task);
  expect(() => taskFromMetadata({ task: 'guessing' }, 2, 'x')).toThrow(
    "x: metadata 'task': expected one of multiclass",
  );
  expect(() => taskFromMetadata({ task: 'multilabel', task_thresholds: '[0.5]' }, 2, 'x')).toThrow(
    "x: metadata 'task_thresholds': expected a JSON array of 2 probabilities from 0 to 1, got",
  );
  expect(() => taskFromMetadata({ task: 'regression', task_mean: '[1]', task_scale: '[0]' }, 1, 'x')).toThrow(
    "'task_scale': expected a JSON array of 1 numbers above 0",
  );
});
