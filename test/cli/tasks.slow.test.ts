// Several labels and numbers from the command line: train, eval and predict as a user types them.
import fs from 'node:fs';
import { cli, shortTraining } from '../support/cli.ts';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('cli-tasks');
// Batches that leave no image alone, whatever is held back.
const SMALL = shortTraining(8);
const PICTURES = Array.from({ length: 16 }, (_, i) => `${i < 8 ? 'blue' : 'red'}/${i % 8}.png`);

beforeAll(async () => {
  await imageFolder(at('images'), { classes: ['blue', 'red'], perClass: 8 });
  const labels = PICTURES.map((file, i) => `${file},${[i < 8 ? 'cold' : 'warm', ...(i % 2 ? ['odd'] : [])].join('|')}`);
  fs.writeFileSync(at('images', 'labels.csv'), ['file,labels', ...labels].join('\n'));
  const numbers = PICTURES.map((file, i) => JSON.stringify({ file, hue: i < 8 ? 240 : 0, place: 100 + i }));
  fs.writeFileSync(at('images', 'numbers.ndjson'), numbers.join('\n'));
});
const run = (...args: string[]): string => {
  const { status, stdout, stderr } = cli(args);
  if (status !== 0) throw new Error(`${args.join(' ')}: ${status}\n${stderr}`);
  return stdout;
};
const one = <T>(text: string): T => JSON.parse(text) as T;

test('several labels: trained, judged and predicted by the thresholds of the checkpoint', () => {
  const [data, out] = [at('images', 'labels.csv'), at('labels')];
  const said = run('train', data, '--task', 'multilabel', ...SMALL, '--out', out);
  expect(said).toMatch(/weakest labels +AP .*\n(.*\n)*best validation mAP \d/);
  expect(fs.readFileSync(at('labels', 'report.html'), 'utf8')).toContain('Average precision');
  const judged = one<{ task: string; classes: { label: string; threshold: number }[]; images: number }>(
    run('eval', out, data, '--json', '--quiet'),
  );
  expect(judged).toMatchObject({ task: 'multilabel', images: 16 });
  expect(judged.classes.map((c) => c.label)).toEqual(['cold', 'odd', 'warm']);
  const { predictions } = one<{ predictions: { label: string; probability: number; given: boolean }[] }>(
    run('predict', out, at('images', PICTURES[0]!), '--json'),
  );
  // All that it is given, and no other.
  const threshold = new Map(judged.classes.map((c) => [c.label, c.threshold]));
  for (const { label, probability, given } of predictions)
    expect([given, probability >= threshold.get(label)!]).toEqual([true, true]);
  const all = run('predict', out, at('images', PICTURES[0]!), '--threshold', '0', '--csv').trim().split('\r\n');
  expect(all).toHaveLength(4);
  const lines = run('eval', out, data, '--csv', '--quiet').trim().split('\r\n');
  expect(lines[0]).toBe('file,missed,wrong,loss,cold,odd,warm');
  expect(lines).toHaveLength(17);
});

test('numbers: trained, judged and predicted in their own units', () => {
  const [data, out] = [at('images', 'numbers.ndjson'), at('numbers')];
  const columns = ['--columns', 'label=hue,label=place'];
  const repeated = ['--repeat', '2', '--no-report'];
  const said = run(
    'train',
    data,
    '--task',
    'regression',
    ...columns,
    ...SMALL,
    ...repeated,
    '--loss',
    'huber',
    '--out',
    out,
  );
  expect(said).toMatch(/^ +mean absolute error +R² +loss +best epoch/);
  // The checkpoint knows the columns.
  const judged = one<object>(run('eval', at('numbers', 'seed-1'), data, '--json', '--quiet'));
  expect(judged).toMatchObject({ task: 'regression', images: 16, numbers: [{ name: 'hue' }, { name: 'place' }] });
  const { numbers } = one<{ numbers: Record<string, number> }>(
    run('predict', at('numbers', 'seed-1'), at('images', PICTURES[0]!), '--json'),
  );
  expect(Object.keys(numbers)).toEqual(['hue', 'place']);
  expect(numbers['place']).toBeGreaterThan(50);
  expect(run('predict', at('numbers', 'seed-1'), at('images', PICTURES[0]!))).toMatch(
    /\.png\n {2}hue {5}[ \d.e-]+\n {2}place {3}[ \d.]+\n$/,
  );
});

test.each([
  ['a folder', ['train', 'images', '--task', 'multilabel'], 2, /task multilabel: expected a manifest .*got the folder/],
  [
    'classes with a loss of numbers',
    ['train', 'images', '--loss', 'huber'],
    2,
    /loss: expected none for the task 'multiclass'/,
  ],
  [
    'the figure of another task',
    ['train', 'images/labels.csv', '--task', 'multilabel', '--best-by', 'mae'],
    2,
    /bestBy: expected one of mAP, macroF1, accuracy, loss/,
  ],
  [
    'copies by numbers',
    ['predict', 'numbers/seed-1', 'images', '--copy-to', 'x'],
    2,
    /--copy-to: expected a model of classes/,
  ],
  [
    'a threshold of numbers',
    ['predict', 'numbers/seed-1', 'images', '--threshold', '0.5'],
    2,
    /--threshold: expected a model of classes/,
  ],
])('%s: refused', (_name, args, status, message) => {
  const ended = cli(args, { cwd: at() });
  expect(ended.stderr).toMatch(message);
  expect(ended.status).toBe(status);
});
