// Figures of single answers against their definitions, written down anew.
import { evaluate, MobileNetV2, syntheticScenes, Trainer, type Evaluation } from 'mnv2-torch';
import { figures } from '../../dist/infer/evaluate.js';
import { calibration, judge, mistakes, type Judged } from '../../dist/infer/judged.js';
import { Random } from '../../dist/random.js';

const random = new Random(3, 'judged');
const CLASSES = ['a', 'b', 'c', 'd'];
const IMAGES = 400;
const answers = Array.from({ length: IMAGES }, () => {
  const raw = CLASSES.map(() => Math.exp(4 * random.next()));
  const total = raw.reduce((a, v) => a + v, 0);
  return raw.map((v) => v / total);
});
const labels = Int32Array.from({ length: 2 * IMAGES }, () => Math.floor(3 * random.next())); // 'd' is never there
const indices = Int32Array.from({ length: IMAGES }, (_, i) => 2 * IMAGES - 1 - 2 * i);
const judged = judge({ indices, probabilities: Float32Array.from(answers.flat()) }, labels, CLASSES.length);

test('an answer is the likeliest class; its loss is of its own', () => {
  judged.forEach((j, i) => {
    const most = Math.max(...answers[i]!);
    expect(j).toMatchObject({ row: indices[i], label: labels[indices[i]!], predicted: answers[i]!.indexOf(most) });
    expect(j.probability).toBeCloseTo(most, 6);
    expect(j.loss).toBeCloseTo(-Math.log(answers[i]![j.label]!), 5);
  });
  const [certain] = judge({ indices: Int32Array.of(0), probabilities: Float32Array.of(0, 1) }, [0], 2);
  expect(certain!.loss).toBeGreaterThan(80);
  expect(certain!.loss).toBeLessThan(Infinity);
});

test('mistakes are all the wrong answers and none of the right ones, highest loss first', () => {
  const wrong = mistakes(judged);
  expect(wrong.length).toBe(judged.filter((j) => j.label !== j.predicted).length);
  expect(wrong.length).toBeGreaterThan(100);
  wrong.forEach((w, i) => {
    expect(w.label).not.toBe(w.predicted);
    if (i > 0) expect(w.loss).toBeLessThanOrEqual(wrong[i - 1]!.loss);
  });
});

test('expected calibration error: sum over bins of share times |accuracy - confidence| (Guo et al. 2017, eq. 3)', () => {
  for (const bins of [1, 7, 15]) {
    let expected = 0;
    let counted = 0;
    const { ece, bins: got } = calibration(judged, bins);
    for (let m = 1; m <= bins; m++) {
      const inside = judged.filter((j) => j.probability > (m - 1) / bins && j.probability <= m / bins);
      counted += inside.length;
      expect(got[m - 1]!.count).toBe(inside.length);
      if (inside.length === 0) continue;
      const accuracy = inside.filter((j) => j.predicted === j.label).length / inside.length;
      const confidence = inside.reduce((a, j) => a + j.probability, 0) / inside.length;
      expect(got[m - 1]!.accuracy).toBeCloseTo(accuracy, 12);
      expect(got[m - 1]!.confidence).toBeCloseTo(confidence, 12);
      expected += (inside.length / IMAGES) * Math.abs(accuracy - confidence);
    }
    expect(counted).toBe(IMAGES);
    expect(ece).toBeCloseTo(expected, 12);
    expect(ece).toBeGreaterThan(0.01);
  }
});
test('calibration at the ends: sure and right is perfect, sure and wrong is all wrong, nothing is nothing', () => {
  const answer = (predicted: number, probability: number): Judged => ({
    row: 0,
    label: 0,
    predicted,
    probability,
    loss: 1,
  });
  expect(calibration([answer(0, 1), answer(0, 1)]).ece).toBe(0);
  expect(calibration([answer(1, 1)]).ece).toBe(1);
  expect(calibration([answer(1, 0)]).bins[0]!.count).toBe(1);
  expect(calibration([]).ece).toBe(0);
});

test('F1 is the harmonic mean of precision and recall; a class that is neither there nor predicted has 0 and counts for nothing', () => {
  const truth = [0, 0, 0, 1, 1, 2];
  const said = [0, 0, 1, 1, 0, 2];
  const { classes, macroF1 } = figures(CLASSES, truth, said, 0);
  for (const { precision, recall, f1 } of classes.slice(0, 3))
    expect(f1).toBeCloseTo((2 * precision * recall) / (precision + recall), 12);
  expect(classes.map((c) => c.f1)).toEqual([2 / 3, 0.5, 1, 0]);
  expect(macroF1).toBeCloseTo((2 / 3 + 0.5 + 1) / 3, 12);
});

test('evaluate says the same of each image, of all of them and of the bins', async () => {
  const data = await syntheticScenes({ size: 32, perClass: 4 });
  await data.ready();
  const result = await new Trainer(MobileNetV2({ numClasses: 21, widthMult: 0.25 }), data, { epochs: 1 }).fit();
  const rows = Int32Array.from({ length: 41 }, (_, i) => 2 * i);
  const e: Evaluation = await evaluate({ checkpoint: result, store: data.store, indices: rows, labels: data.labels });
  result.dispose();
  expect(e.judged.map((j) => j.row)).toEqual([...rows]);
  expect(e.judged.map((j) => j.label)).toEqual(Array.from(rows, (r) => data.labels[r]));
  expect(e.loss).toBeCloseTo(e.judged.reduce((a, j) => a + j.loss, 0) / 41, 12);
  expect(e.accuracy).toBeCloseTo(1 - mistakes(e.judged).length / 41, 12);
  expect(e.calibration.bins.reduce((a, b) => a + b.count, 0)).toBe(41);
  data.dispose();
});
