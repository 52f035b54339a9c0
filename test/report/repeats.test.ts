// Several trainings as one figure: the mean, and an interval that is Student's.
import { estimate, repeatsTable, summarizeRepeats } from '../../dist/report/repeats.js';

const run = (i: number, accuracy: number) => ({
  ...{ name: `fold ${i}`, out: `out/fold-${i}`, epoch: 10 + i },
  ...{ accuracy, macroF1: accuracy - 0.01, loss: 1 - accuracy },
});

test('five values: the textbook interval', () => {
  const { mean, half } = estimate([1, 2, 3, 4, 5]);
  expect(mean).toBe(3);
  expect(half).toBeCloseTo((2.7764 * Math.sqrt(2.5)) / Math.sqrt(5), 3);
});
test.each([
  [2, 12.7062],
  [31, 2.0423],
  [32, 2.0395],
  [41, 2.0211],
  [121, 1.9799],
])('of %d values the quantile is %d', (n, quantile) => {
  const values = Array.from({ length: n }, (_, i) => (i % 2 === 0 ? 1 : -1));
  const mean = values.reduce((a, v) => a + v, 0) / n;
  const deviation = Math.sqrt(values.reduce((a, v) => a + (v - mean) ** 2, 0) / (n - 1));
  expect((estimate(values).half! * Math.sqrt(n)) / deviation).toBeCloseTo(quantile, 3);
});
test('a line a run, the mean, the interval; a single run has none', () => {
  const all = summarizeRepeats([run(1, 0.9), run(2, 0.94), run(3, 0.98)]);
  expect(all.accuracy!.mean).toBeCloseTo(0.94, 12);
  expect(repeatsTable(all).split('\n')).toEqual([
    '          accuracy %  macro F1 %        loss  best epoch',
    'fold 1         90.00       89.00      0.1000          11',
    'fold 2         94.00       93.00      0.0600          12',
    'fold 3         98.00       97.00      0.0200          13',
    'mean           94.00       93.00      0.0600',
    '95%           ± 9.94      ± 9.94    ± 0.0994',
    '',
  ]);
  const one = summarizeRepeats([run(1, 0.9)]);
  expect(one.accuracy).toEqual({ mean: 0.9, half: null });
  expect(repeatsTable(one)).not.toContain('±');
});
