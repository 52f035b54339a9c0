// train --folds, --split and --group: real trainings one after the other, and what their folders and figures say.
import fs from 'node:fs';
import path from 'node:path';
import { cli, shortTraining } from '../support/cli.ts';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('folds');
const SMALL = [...shortTraining(6), '--no-report'];
const read = <T>(...file: string[]): T => JSON.parse(fs.readFileSync(at(...file), 'utf8')) as T;
interface SplitJson {
  kind: string;
  folds?: number;
  fold?: number;
  group?: object;
  val: string[];
}
beforeAll(() => imageFolder(at('images'), { classes: ['blue', 'red'], perClass: 12 }));

test('--folds trains one network a fold, and tells mean and interval; a fold is evaluated on what it held back', () => {
  const all = cli([
    'train',
    at('images'),
    ...SMALL,
    '--split',
    'blocked',
    '--folds',
    '3',
    '--out',
    at('runs'),
    '--json',
  ]);
  expect(all.stderr).toMatch(/fold 2 of 3: .*fold-2/);
  expect(all.status).toBe(0);
  const events = all.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { event: string });
  const last = events.at(-1) as {
    event: string;
    runs: { accuracy: number; loss: number; out: string }[];
    accuracy: { mean: number; half: number };
  };
  expect(events.filter((e) => e.event === 'repetition')).toMatchObject([
    { name: 'fold 1' },
    { name: 'fold 2' },
    { name: 'fold 3' },
  ]);
  expect(last).toMatchObject({ event: 'repeats', runs: [{ out: at('runs', 'fold-1') }, {}, {}] });
  const mean = last.runs.reduce((a, r) => a + r.accuracy, 0) / 3;
  expect(last.accuracy.mean).toBeCloseTo(mean, 12);
  const splits = [1, 2, 3].map((i) => read<SplitJson>('runs', `fold-${i}`, 'split.json'));
  expect(splits.map(({ kind, folds, fold }) => [kind, folds, fold])).toEqual(
    [0, 1, 2].map((fold) => ['blocked', 3, fold]),
  );
  expect(splits.flatMap((s) => s.val).sort()).toEqual(
    ['blue', 'red'].flatMap((c) => Array.from({ length: 12 }, (_, i) => `${c}/${i}.png`)).sort(),
  );
  expect(read('runs', 'fold-3', 'config.json')).toMatchObject({ split: 'blocked', folds: 3, fold: 3 });

  const fold = at('runs', 'fold-2');
  const judged = cli(['eval', fold, at('images'), '--split', path.join(fold, 'split.json'), '--json']);
  const { images, accuracy } = JSON.parse(judged.stdout) as { images: number; accuracy: number };
  expect([images, accuracy]).toEqual([8, last.runs[1]!.accuracy]);
  const again = cli(['train', at('images'), ...SMALL, '--folds', '3', '--out', at('runs')]);
  expect(again.stderr).toMatch(/fold-1: a run is already there/);
  expect(again.status).toBe(2);
});

test('--fold trains one of them, from a config file too; --group keeps groups whole', () => {
  const config = at('config.yaml');
  fs.writeFileSync(config, "group: '(\\d)\\.png$'\nfolds: 5\nfold: 2\n");
  const { status, stderr } = cli(['train', at('images'), ...SMALL, '--config', config, '--out', at('one')]);
  expect(stderr).toMatch(/16|18|20 images to train on/);
  expect(status).toBe(0);
  const { val, ...split } = read<SplitJson>('one', 'split.json');
  expect(split).toMatchObject({ kind: 'group', group: { pattern: '(\\d)\\.png$' }, folds: 5, fold: 1 });
  const digits = new Set(val.map((f) => f.at(-5)));
  const images = ['blue', 'red'].flatMap((c) => Array.from({ length: 12 }, (_, i) => `${c}/${i}.png`));
  expect([...val].sort()).toEqual(images.filter((f) => digits.has(f.at(-5))).sort());
});

test.each([
  [['--fold', '2'], /--fold 2: expected --folds beside it/],
  [['--folds', '3', '--fold', '4'], /--fold: expected at most 3/],
  [['--folds', '1'], /--folds: expected a whole number of at least 2/],
  [['--split', 'blocked', '--group', 'folder'], /group: expected none with split 'blocked'/],
])('%j is refused', (args, message) => {
  const { status, stderr } = cli(['train', at('images'), ...SMALL, '--out', at('none'), ...args]);
  expect(stderr).toMatch(message);
  expect(status).toBe(2);
});

test('--repeat trains with a seed and a split each; a run’s config.json is one of them', () => {
  const all = cli(['train', at('images'), ...SMALL, '--seed', '3', '--repeat', '2', '--out', at('repeats'), '--quiet']);
  expect(all.stdout).toMatch(/seed 3[^]*seed 4[^]*±/);
  expect(all.status).toBe(0);
  const config = (seed: number): Record<string, unknown> => read('repeats', `seed-${seed}`, 'config.json');
  expect(config(4)).toEqual({ ...config(3), seed: 4 });
  expect(config(3)).not.toHaveProperty('repeat');
  expect(read<SplitJson>('repeats', 'seed-3', 'split.json').val).not.toEqual(
    read<SplitJson>('repeats', 'seed-4', 'split.json').val,
  );
  // One of them by itself is the same training.
  const one = cli(['train', at('images'), ...SMALL, '--seed', '4', '--out', at('alone'), '--quiet']);
  expect(one.status).toBe(0);
  const best = (...folder: string[]): Buffer => fs.readFileSync(path.join(at(...folder), 'best.safetensors'));
  expect(best('alone').equals(best('repeats', 'seed-4'))).toBe(true);
  const both = cli(['train', at('images'), '--repeat', '2', '--folds', '2']);
  expect([both.status, both.stderr]).toEqual([2, expect.stringContaining('--repeat: expected it or --folds')]);
});
