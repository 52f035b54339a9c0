// The ablation's bookkeeping: a killed training is done again, a finished one is not; intervals; what 8 bits make of a graph.
import fs from 'node:fs';
import path from 'node:path';
import { compile, input, MobileNetV2, tensorData, Weights, type Module, type Tensor } from 'mnv2-torch';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('ablation');
type Range = readonly [low: number, high: number];
interface Scripts {
  atLowPrecision(model: Module): Module;
  observed(logits: Tensor): Record<string, Tensor>;
  withRoundedActivations(logits: Tensor, ranges: readonly Range[]): Tensor;
  plan(): { key: string }[];
  addResult(file: string, result: object): void;
  resultsIn(file: string): unknown[];
  interval(values: readonly number[]): { mean: number; half: number; n: number } | undefined;
}
const scripts = {} as Scripts;
beforeAll(async () => {
  for (const name of ['low-precision', 'plan', 'results'])
    Object.assign(scripts, await import(path.resolve('bench', 'ablation', `${name}.js`)));
});

test('a line that was cut short is none, and spoils no other', () => {
  const file = at('results.jsonl');
  expect(scripts.resultsIn(file)).toEqual([]);
  scripts.addResult(file, { key: 'a' });
  fs.appendFileSync(file, '{"key":"b","accur');
  scripts.addResult(file, { key: 'c' });
  scripts.addResult(file, { key: 'd' });
  expect(scripts.resultsIn(file)).toEqual([{ key: 'a' }, { key: 'c' }, { key: 'd' }]);
});

test('every training is named once', () => {
  const names = scripts.plan().map(({ key }) => key);
  expect(new Set(names).size).toBe(names.length);
});

test('95% intervals are Student’s', () => {
  expect(scripts.interval([1])).toBeUndefined();
  const { mean, half } = scripts.interval([1, 2, 3])!;
  expect(mean).toBe(2);
  expect(half).toBeCloseTo(4.303 / Math.sqrt(3), 3);
  expect(scripts.interval([4, 4])).toEqual({ mean: 4, half: 0, n: 2 });
});

test('at 8 bits a network gives nearly what it gave; with coarse ranges it does not', async () => {
  const model = MobileNetV2({ numClasses: 3, widthMult: 0.25, invertedResidualSetting: [[2, 8, 2, 1]] }).eval();
  const weights = await Weights.init(model, { seed: 2 });
  const image = input('image', [-1, 3, 16, 16]);
  const logits = model.call(image);
  const feed = {
    image: tensorData(
      Float32Array.from({ length: 768 }, (_, i) => Math.sin(i)),
      [1, 3, 16, 16],
    ),
  };
  const run = async (outputs: Record<string, typeof logits>): Promise<Record<string, Float32Array>> => {
    const program = compile(outputs, { weights });
    const got = await program.run(feed);
    program.dispose();
    return Object.fromEntries(Object.entries(got).map(([name, { data }]) => [name, data as Float32Array]));
  };
  const exact = (await run({ logits }))['logits']!;
  const seen = await run(scripts.observed(logits));
  // stem; twice expansion, depthwise, projection and sum; the last convolution
  expect(Object.keys(seen)).toHaveLength(2 * 10);
  const ranges = Array.from({ length: 10 }, (_, i) => [seen[`${i} low`]![0]!, seen[`${i} high`]![0]!] as const);
  const off = (got: Float32Array): number => Math.hypot(...got.map((v, i) => v - exact[i]!)) / Math.hypot(...exact);
  const rounded = off((await run({ logits: scripts.withRoundedActivations(logits, ranges) }))['logits']!);
  expect(rounded).toBeGreaterThan(0);
  expect(rounded).toBeLessThan(0.05);
  const coarse = ranges.map(([low, high]) => [60 * low, 60 * high] as const);
  expect(off((await run({ logits: scripts.withRoundedActivations(logits, coarse) }))['logits']!)).toBeGreaterThan(
    2 * rounded,
  );
  const low = off((await run({ logits: scripts.atLowPrecision(model).call(image) }))['logits']!);
  expect(low).toBeGreaterThan(0);
  expect(low).toBeLessThan(0.1);
});
