// The learning-rate range test: its curve, where it is cut, and what it suggests.
import { findRate, MobileNetV2, syntheticScenes, type Dataset } from 'mnv2-torch';
import { plot } from '../../dist/report/plot.js';
import { curveOf } from '../../dist/train/rate-finder.js';
import { cli } from '../support/cli.ts';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('rate-finder');

let data: Dataset;
beforeAll(async () => {
  data = await syntheticScenes({ size: 32, perClass: 6 });
  await data.ready();
});
afterAll(() => data.dispose());
const model = () => MobileNetV2({ numClasses: 21, widthMult: 0.1 });

test('the smoothed loss is the running mean free of bias; the curve ends where it breaks', () => {
  const losses = [3, 2.5, 2, 1.5, 1, 1, 40, 50, NaN, 1];
  const rates = losses.map((_, i) => 10 ** (i - 6));
  const { smoothed, rates: kept, suggestion } = curveOf(rates, losses);
  let mean = 0;
  const fair = losses.map((l, i) => (mean = 0.9 * mean + 0.1 * l) / (1 - 0.9 ** (i + 1)));
  expect(smoothed).toHaveLength(6);
  smoothed.forEach((v, i) => expect(v).toBeCloseTo(fair[i]!, 12));
  expect(fair[6]! > 4 * fair[5]!).toBe(true);
  expect(kept).toEqual(rates.slice(0, 6));
  expect(suggestion).toBeCloseTo(rates[5]! / 10, 15);
  expect(curveOf([1, 2, 3], [2, 2, 2.1]).suggestion).toBeUndefined();
  expect(curveOf([1, 2], [NaN, 1])).toMatchObject({ rates: [], suggestion: undefined });
});
test('rates grow by a factor; the same seed gives the same curve; more steps than an epoch go on', async () => {
  const options = { batchSize: 32, steps: 10, from: 1e-4, to: 1e-1, seed: 3 };
  const first = await findRate(model(), data, options);
  expect(await findRate(model(), data, options)).toEqual(first);
  expect(first.rates).toHaveLength(10); // an epoch has three
  first.rates.forEach((rate, i) => expect(rate).toBeCloseTo(1e-4 * 1000 ** (i / 9), 12));
  expect(first.losses[0]).toBeGreaterThan(2);
});
test('a rate that breaks the loss ends it early', async () => {
  const { rates, losses } = await findRate(model(), data, {
    optimizer: 'sgd',
    batchSize: 32,
    steps: 12,
    from: 1,
    to: 1e30,
  });
  expect(rates.length).toBeLessThan(12);
  expect(losses.every(Number.isFinite)).toBe(true);
});
test('what cannot be is refused', async () => {
  await expect(findRate(model(), data, { steps: 3 })).rejects.toThrow(/steps: expected a whole number of at least 10/);
  await expect(findRate(model(), data, { from: 2, to: 1 })).rejects.toThrow(
    /from: expected a rate below the last one, 1, got 2/,
  );
  await expect(findRate(model(), data, { batchSize: 0 })).rejects.toThrow(/batchSize/);
});

test('a plot: a dot a column at its height, ends and mark on the axis', () => {
  const lines = plot([1, 10, 100], [3, 2, 1], { width: 5, height: 3, logarithmic: true, mark: 10 });
  expect(lines).toEqual(['    3.00 │•', '         │  •', '    1.00 │    •', '         └──▲──', '          1 100']);
});

test('mnv2-torch lr-find draws and says what to type', async () => {
  const images = await imageFolder(at('images'), { classes: ['a', 'b', 'c'], perClass: 8 });
  const args = ['lr-find', images, '--size', '32', '--width', '0.1', '--steps', '12', '--batch-size', '8', '--quiet'];
  const { status, stdout } = cli(args);
  expect(stdout).toMatch(
    /^loss, smoothed, over the learning rate\n[\s\S]*└─+[\s\S]*(suggested: --lr|the loss never fell)/,
  );
  expect(status).toBe(0);
  expect(cli([...args, '--lr', '1'])).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('Unknown argument: lr') as string,
  });
});
