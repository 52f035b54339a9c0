// Figures of several labels, against numbers worked out by hand (scikit-learn gives the same).
import {
  averagePrecision,
  bestThreshold,
  multilabelEvaluationOf,
  multilabelFigures,
  labelMistakes,
} from '../../dist/infer/multilabel.js';

const f32 = (...values: number[]): Float32Array => Float32Array.from(values);

test('average precision is a sum of steps; images of one probability come together', () => {
  // Hits at places 1 and 3 of 4: (1/1 + 2/3) / 2.
  expect(averagePrecision(f32(0.9, 0.8, 0.7, 0.1), f32(1, 0, 1, 0))).toBeCloseTo(5 / 6, 12);
  // scikit-learn's own example: average_precision_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) = 0.8333.
  expect(averagePrecision(f32(0.1, 0.4, 0.35, 0.8), f32(0, 0, 1, 1))).toBeCloseTo(0.8333333, 6);
  // All tied: the precision of taking all.
  expect(averagePrecision(f32(0.5, 0.5, 0.5, 0.5), f32(1, 0, 0, 0))).toBeCloseTo(0.25, 12);
  expect(averagePrecision(f32(0.5, 0.4), f32(0, 0))).toBe(0);
});

test('the threshold of the highest F1 lies half way between the probabilities it parts', () => {
  expect(bestThreshold(f32(0.9, 0.8, 0.3, 0.1), f32(1, 1, 0, 0))).toBeCloseTo(0.55, 6);
  // Taking three: precision 2/3, recall 1, F1 0.8; taking one: 2/3.
  expect(bestThreshold(f32(0.9, 0.8, 0.6, 0.2), f32(1, 0, 1, 0))).toBeCloseTo(0.4, 6);
  // The lowest probability is among those to take: half way to 0.
  expect(bestThreshold(f32(0.9, 0.4), f32(0, 1))).toBeCloseTo(0.2, 6);
  expect(bestThreshold(f32(0.9, 0.8), f32(0, 0))).toBe(0.5);
  expect(bestThreshold(f32(0.9, 0.8), f32(1, 1))).toBe(0.5);
});

test('F1, accuracy and loss at thresholds of their own', () => {
  const probabilities = f32(0.9, 0.2, 0.6, 0.7, 0.1, 0.4);
  const truth = f32(1, 0, 0, 1, 1, 1);
  const of = multilabelFigures(['a', 'b'], probabilities, truth, [0.5, 0.3]);
  // a is given to 1 and 2, its own are 1 and 3; b is given to 2 and 3, both its own.
  expect(of.classes).toMatchObject([
    { label: 'a', precision: 0.5, recall: 0.5, f1: 0.5, support: 2, threshold: 0.5 },
    { label: 'b', precision: 1, recall: 1, f1: 1, support: 2, threshold: 0.3 },
  ]);
  expect(of.classes[0]!.ap).toBeCloseTo((1 + 2 / 3) / 2, 12);
  expect(of).toMatchObject({ macroF1: 0.75, microF1: 0.75, images: 3 });
  expect(of.accuracy).toBeCloseTo(1 / 3, 12);
  const losses = [0.9, 0.8, 0.4, 0.7, 0.1, 0.4].map((p) => -Math.log(p));
  expect(of.loss).toBeCloseTo(losses.reduce((a, v) => a + v, 0) / 6, 5);
});

test('a label nobody has, and nobody is given, counts in no mean', () => {
  const of = multilabelFigures(['a', 'b'], f32(0.9, 0.1, 0.1, 0.2), f32(1, 0, 0, 0), [0.5, 0.5]);
  expect(of).toMatchObject({ mAP: 1, macroF1: 1 });
  expect(of.classes[1]).toMatchObject({ ap: 0, f1: 0, support: 0 });
});

test('image by image: what is missed and what is wrong, the highest loss first', () => {
  const of = multilabelEvaluationOf(
    ['a', 'b'],
    Int32Array.of(7, 3, 5),
    f32(0.9, 0.9, 0.2, 0.2, 0.9, 0.1),
    f32(1, 0, 1, 1, 1, 0),
    [0.5, 0.5],
  );
  expect(of.judged.map(({ row, missed, wrong }) => ({ row, missed, wrong }))).toEqual([
    { row: 7, missed: [], wrong: [1] },
    { row: 3, missed: [0, 1], wrong: [] },
    { row: 5, missed: [], wrong: [] },
  ]);
  expect(labelMistakes(of.judged).map((j) => j.row)).toEqual([3, 7]);
});
