// Settings from one schema: what a config file may say, what is refused where, and what schedules and presets mean.
import fs from 'node:fs';
import { learningRates, PRESETS, type Schedule } from 'mnv2-torch';
import { readConfig, runSchema } from '../../dist/cli/run-settings.js';
import { mistakes } from '../../dist/schema.js';
import { settingsSchema } from '../../dist/train/settings.js';
import { cli } from '../support/cli.ts';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('settings');
const write = (name: string, text: string): string => (fs.writeFileSync(at(name), text), at(name));

describe('a config file', () => {
  test('YAML and JSON say the same', async () => {
    const yaml = write('a.yaml', 'epochs: 3 # few\noptimizer: {kind: sgd, momentum: 0.5}\nschedule: one-cycle\n');
    const json = write('a.json', '{"epochs":3,"optimizer":{"kind":"sgd","momentum":0.5},"schedule":"one-cycle"}');
    expect(await readConfig(yaml)).toEqual({
      epochs: 3,
      optimizer: { kind: 'sgd', momentum: 0.5 },
      schedule: 'one-cycle',
    });
    expect(await readConfig(json)).toEqual(await readConfig(yaml));
    expect(await readConfig(write('empty.yaml', '# nothing\n'))).toEqual({});
  });
  test.each([
    ['epoch: 3', ":1: there is no 'epoch'. Did you mean epochs?"],
    [
      '\nschedule:\n  kind: step\n  every: 0\n  factor: 1',
      ':4: schedule.every: expected epochs, a number above 0, got 0',
    ],
    ['schedule: { kind: cosin }', /:1: schedule\.kind: expected constant, .* or one-cycle, got 'cosin'/],
    ['lr: fast', ":1: lr: expected a number above 0, got 'fast'"],
    ['optimizer: { kind: sgd, momentm: 1 }', ":1: optimizer: there is no 'momentm'. Did you mean momentum?"],
    ['augment: { flip: true }', /:1: augment: there is no 'flip'/],
    ['preprocess: { size: 0 }', /:1: preprocess: `size` is not a whole number of pixels/],
    ['- a list', ':1: expected settings by their names, got ["a list"]'],
    ['a: [1,', /:\d+: /],
    ['epochs: 1\nepochs: 2', /:2: .*unique/],
  ])('%j', async (text, message) => {
    const file = write('bad.yaml', text);
    const error = await readConfig(file).catch((e: unknown) => e as Error);
    expect((error as Error).name).toBe('UsageError');
    if (typeof message === 'string') expect((error as Error).message).toContain(`${file}${message}`);
    else expect((error as Error).message).toMatch(message);
  });
  test('all mistakes are told at once', async () => {
    const file = write('worse.yaml', 'lr: -1\nepochs: 1.5\n');
    await expect(readConfig(file)).rejects.toThrow(`2 things cannot be used:\n  ${file}:2: epochs`);
  });
  test('what is no file is refused, not waited for; aliases do not grow without end', async () => {
    await expect(readConfig(at())).rejects.toThrow(/a folder, not a file/);
    await expect(readConfig(at('nowhere.yaml'))).rejects.toThrow(/ENOENT/);
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x,x]',
      ...[...'bcdefgh'].map((c, i) => {
        const before = String.fromCharCode(c.charCodeAt(0) - 1);
        return `${c}: &${c} [${`*${before},`.repeat(9)}*${before}] # ${i}`;
      }),
    ].join('\n');
    await expect(readConfig(write('bomb.yaml', bomb))).rejects.toThrow(/alias/i);
  });
  test('a run’s config.json, passed back in, makes the same checkpoint and the same config.json; flags count before it', async () => {
    const images = await imageFolder(at('images'), { classes: ['a', 'b', 'c'], perClass: 6 });
    const first = write(
      'run.yaml',
      'size: 32\nwidth: 0.1\nepochs: 1\nfreeze: features\noptimizer: sgd\nschedule: step\n',
    );
    const train = (...args: string[]): unknown => cli(['train', images, '--quiet', ...args]);
    expect(train('--config', first, '--out', at('one'))).toMatchObject({ status: 0 });
    expect(train('--config', at('one', 'config.json'), '--out', at('two'))).toMatchObject({ status: 0 });
    for (const file of ['best.safetensors', 'last.safetensors', 'config.json'])
      expect(fs.readFileSync(at('two', file)).equals(fs.readFileSync(at('one', file)))).toBe(true);
    expect(train('--config', at('one', 'config.json'), '--out', at('three'), '--lr', '0.5')).toMatchObject({
      status: 0,
    });
    const config = (run: string): Record<string, unknown> =>
      JSON.parse(fs.readFileSync(at(run, 'config.json'), 'utf8')) as Record<string, unknown>;
    expect(config('three')).toEqual({ ...config('one'), lr: 0.5 });
  });
});

test('presets are settings anybody could write', () => {
  for (const { settings } of Object.values(PRESETS)) expect(mistakes(settingsSchema, settings)).toEqual([]);
  expect(mistakes(runSchema, { preset: 'quick' })).toMatchObject([{ path: ['preset'] }]);
});

describe('schedules', () => {
  const rates = (schedule: Schedule, epochs = 10, stepsPerEpoch = 4): number[] => [
    ...learningRates(schedule, { lr: 2, epochs, stepsPerEpoch }, 0, epochs * stepsPerEpoch),
  ];
  test('the formulas', () => {
    expect(rates({ kind: 'constant' })).toEqual(new Array(40).fill(2));
    rates({ kind: 'polynomial', power: 3 }).forEach((v, i) => expect(v).toBeCloseTo(2 * (1 - i / 40) ** 3, 12));
    rates({ kind: 'exponential', factor: 0.98 }).forEach((v, i) => expect(v).toBeCloseTo(2 * 0.98 ** (i / 4), 12));
    rates({ kind: 'exponential', factor: 0.5, every: 2 }).forEach((v, i) =>
      expect(v).toBeCloseTo(2 * 0.5 ** (i / 8), 12),
    );
    rates({ kind: 'step', every: 3, factor: 0.1 }).forEach((v, i) =>
      expect(v).toBeCloseTo(2 * 0.1 ** Math.floor(i / 12), 12),
    );
  });
  test('one-cycle rises from a 25th to the top and falls to a 10,000th of where it began', () => {
    const all = rates({ kind: 'one-cycle' }, 100, 10);
    const top = all.indexOf(Math.max(...all));
    expect(all[0]).toBeCloseTo(2 / 25, 12);
    expect([top, all[top]]).toEqual([300, 2]);
    expect(all.at(-1)! / (2 / 25)).toBeLessThan(2e-3);
    expect(all.slice(0, top)).toEqual(all.slice(0, top).sort((a, b) => a - b));
    expect(all.slice(top)).toEqual(all.slice(top).sort((a, b) => b - a));
    expect(Math.max(...rates({ kind: 'one-cycle', rise: 0.5 }, 2, 2))).toBe(2);
  });
  test('warm-up rises in a line to the highest rate, then the schedule begins', () => {
    const all = rates({ kind: 'linear', warmUp: 2 });
    expect(all.slice(0, 9)).toEqual([0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2]);
    expect(all[9]).toBeCloseTo(2 * (1 - 1 / 32), 12);
  });
  test('what is none is refused', () => {
    expect(() => rates({ kind: 'sawtooth' } as never)).toThrow(/schedule\.kind: expected constant/);
    expect(() => rates({ kind: 'cosine' }, NaN)).toThrow(/course\.epochs: expected epochs, a number above 0, got NaN/);
  });
});
