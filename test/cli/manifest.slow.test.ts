// A manifest where commands take a folder: train, eval and audit as a user types them.
import fs from 'node:fs';
import path from 'node:path';
import { planTraining, type TrainingWords } from '../../dist/cli/training.js';
import { cli, shortTraining } from '../support/cli.ts';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('cli-manifest');
const SMALL = [...shortTraining(8), '--no-report'];
const CLASSES = ['blue', 'red'];
const rows = CLASSES.flatMap((name) => Array.from({ length: 8 }, (_, i) => `${name}/${i}.png,${name},s${i % 4}`));

beforeAll(async () => {
  await imageFolder(at('images'), { classes: CLASSES, perClass: 8 });
  fs.writeFileSync(at('labels.csv'), ['shot,hue,site', ...rows.reverse()].join('\n'));
});
const COLUMNS = ['--columns', 'image=shot,label=hue', '--root', at('images')];

test('trains as the folder does, is evaluated, and config.json says how it was read', () => {
  const trained = cli(['train', at('labels.csv'), ...SMALL, ...COLUMNS, '--group', 'column:site', '--out', at('run')]);
  expect(trained.stderr).not.toMatch(/Error|expected/);
  expect(trained.status).toBe(0);
  const config = JSON.parse(fs.readFileSync(at('run', 'config.json'), 'utf8')) as object;
  expect(config).toMatchObject({
    data: path.resolve(at('labels.csv')),
    columns: 'image=shot,label=hue',
    root: path.resolve(at('images')),
    group: 'column:site',
  });
  const { val, group } = JSON.parse(fs.readFileSync(at('run', 'split.json'), 'utf8')) as {
    val: string[];
    group: object;
  };
  expect(group).toEqual({ column: 'site' });
  expect(new Set(val.map((file) => Number(/\d/.exec(file)![0]) % 4)).size).toBe(val.length / 4);
  const held = ['--split', at('run', 'split.json'), '--json', '--quiet'];
  const figures = [at('images'), at('labels.csv')].map((data) => {
    const judged = cli(['eval', at('run'), data, ...held, ...(data.endsWith('.csv') ? COLUMNS : [])]);
    expect(judged.stderr).toBe('');
    return judged.stdout;
  });
  expect(figures[0]).toMatch(/"accuracy":/);
  expect(figures[1]).toBe(figures[0]);
});

test('audit counts it, and finds what it finds in a folder', () => {
  const { stdout, status } = cli(['audit', at('labels.csv'), ...COLUMNS, '--size', '32', '--json', '--quiet']);
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    root: at('images'),
    images: 16,
    classes: [
      { label: 'blue', images: 8 },
      { label: 'red', images: 8 },
    ],
    pixels: { width: [32, 32, 32] },
  });
});

test('a column that is not there ends it before anything is written', () => {
  const columns = ['--columns', 'image=shoot,label=hue'];
  const { stderr, status } = cli(['train', at('labels.csv'), ...columns, '--out', at('never')]);
  expect(stderr).toMatch(/has no column 'shoot' for the image; did you mean shot\?/);
  expect(status).toBe(2);
  expect(fs.existsSync(at('never'))).toBe(false);
});

test('numbers cannot be learned of the built-in scenes, nor separators be used without labels', async () => {
  const plan = (words: Partial<TrainingWords>): Promise<unknown> => planTraining(words as TrainingWords, true);
  await expect(plan({ task: 'regression' })).rejects.toThrow(/--task regression: expected a manifest, got none/);
  await expect(plan({ data: at('labels.csv'), separator: ',' })).rejects.toThrow(
    /separator: expected none but for the/,
  );
});
