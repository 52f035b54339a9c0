// A manifest where commands take a folder: train, eval and audit as a user types them.
import fs from 'node:fs';
import path from 'node:path';
import { cli } from '../support/cli.ts';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('cli-manifest');
const SMALL = [
  '--size',
  '32',
  '--width',
  '0.35',
  '--epochs',
  '1',
  '--batch-size',
  '8',
  '--threads',
  '1',
  '--no-report',
];
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

test.each([
  [
    ['train', at('labels.csv'), '--columns', 'image=shoot,label=hue'],
    2,
    /has no column 'shoot' for the image; did you mean shot\?/,
  ],
  [
    ['train', at('labels.csv')],
    4,
    /labels\.csv:1: expected a column for the image, such as image, .* found 'shot', 'hue', 'site'/,
  ],
  [
    ['train', at('images'), '--task', 'multilabel'],
    2,
    /task multilabel: expected a manifest \(\.csv, .*\), got the folder/,
  ],
  [['train', '--task', 'regression'], 2, /--task regression: expected a manifest, got none/],
])('%j is refused', (words, code, message) => {
  const { stderr, status } = cli([...words, '--out', at('never')]);
  expect(stderr).toMatch(message);
  expect(status).toBe(code);
  expect(fs.existsSync(at('never'))).toBe(false);
});
