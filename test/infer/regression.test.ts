// Figures of numbers, against ones worked out by hand.
import { furthestOff, regressionEvaluationOf, regressionFigures, spreadOf } from '../../dist/infer/regression.js';

const f32 = (...values: number[]): Float32Array => Float32Array.from(values);

test('errors, R² and bias of each number, and their means', () => {
  // scikit-learn's own example: r2_score([3, -0.5, 2, 7], [2.5, 0.0, 2, 8]) = 0.9486.
  const of = regressionFigures(['a'], f32(2.5, 0, 2, 8), f32(3, -0.5, 2, 7));
  expect(of.numbers[0]).toMatchObject({ name: 'a', mae: 0.5, bias: 0.25 });
  expect(of.r2).toBeCloseTo(0.9486081, 6);
  expect(of.rmse).toBeCloseTo(Math.sqrt(0.375), 12);
  const two = regressionFigures(['a', 'b'], f32(1, 10, 2, 10), f32(1, 20, 2, 40));
  expect(two).toMatchObject({ mae: 10, images: 2 });
  expect(two.numbers[1]).toMatchObject({ mae: 20, bias: -20, r2: 1 - 1000 / 200 });
});

test('a number that never varies is met or not', () => {
  expect(regressionFigures(['a'], f32(5, 5), f32(5, 5)).r2).toBe(1);
  expect(regressionFigures(['a'], f32(5, 6), f32(5, 5)).r2).toBe(0);
  expect(spreadOf(f32(5, 1, 5, 3), 2)).toEqual({ mean: [5, 2], scale: [1, 1] });
});

test('images furthest off, each number in its own spread', () => {
  const truth = f32(0, 0, 1, 1000, 2, 2000);
  const of = regressionEvaluationOf(['a', 'b'], Int32Array.of(4, 5, 6), f32(0, 900, 3, 1000, 2, 2000), truth);
  // One is off by 900 of b's 816, the other by 2 of a's 0.816.
  expect(furthestOff(of.judged).map((j) => j.row)).toEqual([5, 4, 6]);
});
