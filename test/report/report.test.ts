// Reports as files: written whole, by a training that goes on whatever becomes of them, and by eval.
import fs from 'node:fs';
import path from 'node:path';
import {
  Flatten,
  htmlReport,
  Linear,
  MobileNetV2,
  Sequential,
  syntheticScenes,
  Trainer,
  UsageError,
  type Dataset,
} from 'mnv2-torch';
import { evaluationOf } from '../../dist/infer/evaluate.js';
import { findings } from '../../dist/report/html/findings.js';
import { lineChart, ticks } from '../../dist/report/html/charts.js';
import { percent } from '../../dist/report/html/markup.js';
import { renderPage } from '../../dist/report/html/page.js';
import type { Report } from '../../dist/report/html/data.js';
import { writeWhole } from '../../dist/weights/formats/whole-file.js';
import { cli } from '../support/cli.ts';
import { imageFolder } from '../support/image-folder.ts';
import { networkFile } from '../support/network-file.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('report');
let data: Dataset;
beforeAll(async () => {
  data = await syntheticScenes({ size: 32, perClass: 4 });
});
afterAll(() => data.dispose());

const judged = [
  { row: 0, label: 0, predicted: 0, probability: 0.9, loss: 0.1 },
  { row: 1, label: 0, predicted: 1, probability: 0.95, loss: 3 },
  { row: 2, label: 1, predicted: 0, probability: 0.6, loss: 1 },
  { row: 3, label: 1, predicted: 1, probability: 0.8, loss: 0.2 },
];
/** A small report about two classes. */
function reportOf(classes: string[], files: string[]): Report {
  const thumbnails = new Map([[1, 'data:image/jpeg;base64,AAAA']]);
  return {
    ...{ title: 'run', subtitle: 'a network', task: 'multiclass', classes, files },
    parts: [{ name: 'training', images: 80, counts: [60, 20] }],
    ...{ evaluation: evaluationOf(classes, judged), judgedOn: 'the validation images' },
    pictures: { thumbnails, large: new Map([[1, { plain: 'data:image/jpeg;base64,AAAA' }]]), exact: undefined },
    ...{ timings: [], settings: [['lr', '0.1']], fingerprint: 'ab', notes: [], written: new Date(0) },
  };
}

test('whatever a class or a file is called, a page has the elements it has for plain names', () => {
  const hostile = '</script><img src=x onerror="alert(1)"><!--\u2028';
  const elements = (page: string): string[] => [...page.matchAll(/<(\/?[a-z][a-z0-9]*|!--)/gi)].map(([, tag]) => tag!);
  const plain = renderPage(reportOf(['a', 'b'], ['a/0', 'a/1', 'b/0', 'b/1']));
  const page = renderPage(reportOf([hostile, 'b'], [hostile, `${hostile}1`, 'b/0', 'b/1']));
  expect(elements(page)).toEqual(elements(plain));
  const data = /<script type="application\/json" id="cells">([^<]*)<\/script>/.exec(page)![1]!;
  const { cells } = JSON.parse(data) as { cells: Record<string, { title: string; pictures: { file: string }[] }> };
  expect(cells['0,1']).toMatchObject({ title: `${hostile} taken for b`, pictures: [{ file: `${hostile}1` }] });
});

test('findings name what the figures show, and only that', () => {
  const said = findings(reportOf(['ant', 'bee'], ['a0', 'a1', 'b0', 'b1'])).map((f) => f.text);
  expect(said).toEqual([
    expect.stringMatching(/^1 image is taken for another class with over 90% certainty.*: a1\.$/),
    expect.stringMatching(/^ant and bee are taken for each other most: 2 of their 4 images/),
    'Uneven classes: ant has 60 training images, bee has 20.',
    expect.stringMatching(/^It is surer than it should be: 81\.3% sure on average, right 50\.0% of the time/),
  ]);
  const perfect = judged.map((j) => ({ ...j, predicted: j.label, probability: 0.99 }));
  const evaluation = evaluationOf(['ant', 'bee'], perfect);
  const report = { ...reportOf(['ant', 'bee'], []), evaluation, parts: [] };
  expect(findings(report)).toEqual([]);
});

test.each([
  [0, 1],
  [0.93, 1],
  [0.0001, 0.002],
  [2, 2],
  [0, 0],
  [-3, 712],
])('a scale from %d to %d: few round steps that hold both', (low, high) => {
  const scale = ticks(low, high);
  expect(scale[0]!).toBeLessThanOrEqual(low);
  expect(scale.at(-1)!).toBeGreaterThanOrEqual(high);
  expect(scale.length).toBeGreaterThanOrEqual(2);
  expect(scale.length).toBeLessThanOrEqual(7);
  const step = scale[1]! - scale[0]!;
  expect(step).toBeGreaterThan(0);
  scale.slice(1).forEach((v, i) => expect(v - scale[i]!).toBeCloseTo(step, 9));
});

test.each([
  [0.001, 0.003],
  [0.3, 0.95],
  [0.971, 0.98],
])('shares from %d to %d: no two labels of the scale are the same', (low, high) => {
  const lines = [{ name: 'validation', tone: 'valid', values: [low, high] }];
  const chart = String(lineChart({ title: 'Accuracy', lines, first: 1, format: percent, shares: true }));
  const labels = [...chart.matchAll(/>\s*(-?[\d.]+%)\s*<\/text>/g)].map(([, label]) => label);
  expect(labels.length).toBeGreaterThanOrEqual(2);
  expect(new Set(labels).size).toBe(labels.length);
});

test('a file is written whole: nothing beside it stays, a folder in its place is kept and named', async () => {
  fs.mkdirSync(at('whole', 'taken.html'), { recursive: true });
  await writeWhole(at('whole', 'a.html'), 'one');
  await writeWhole(at('whole', 'a.html'), 'two');
  await expect(writeWhole(at('whole', 'taken.html'), 'x')).rejects.toThrow(
    /cannot write .*taken\.html: .*no regular file/,
  );
  expect(fs.readdirSync(at('whole')).sort()).toEqual(['a.html', 'taken.html']);
  expect(fs.readFileSync(at('whole', 'a.html'), 'utf8')).toBe('two');
});

describe('a training', () => {
  const head = (): Sequential => new Sequential(new Flatten(), new Linear(3 * 32 * 32, 21));
  test('goes on when its report cannot be written, to the same weights, and says so', async () => {
    const options = { epochs: 2, lr: 1e-3, seed: 1 };
    const without = await new Trainer(head(), data, options).fit();
    const warned: string[] = [];
    const warn = (message: string): void => void warned.push(message);
    const hooks = [htmlReport({ file: at('nowhere', 'report.html'), warn })];
    const result = await new Trainer(head(), data, { ...options, hooks }).fit();
    expect(warned).toEqual([expect.stringMatching(/^the report was not written: cannot write .*nowhere/)]);
    expect(await result.weights.get()).toEqual(await without.weights.get());
    result.dispose();
    without.dispose();
  });
  test('says what it lacks where neither a file nor a run folder is named', async () => {
    const training = new Trainer(head(), data, { epochs: 1, hooks: [htmlReport()] }).fit();
    await expect(training).rejects.toThrow(UsageError);
    await expect(training).rejects.toThrow(/htmlReport: expected `file`, or a training with `out`/);
  });
  test('a network without a last pooling has its mistakes shown without maps; one stopped at once has no figures', async () => {
    const file = at('plain.html');
    (await new Trainer(head(), data, { epochs: 1, hooks: [htmlReport({ file })] }).fit()).dispose();
    const page = fs.readFileSync(file, 'utf8');
    expect(page).toContain('has no activation maps');
    expect(page).toContain('id="mistakes"');
    const signal = new AbortController();
    const stop = { began: (): void => signal.abort() };
    const hooks = [stop, htmlReport({ file })];
    (await new Trainer(head(), data, { epochs: 1, hooks, signal: signal.signal }).fit()).dispose();
    expect(fs.readFileSync(file, 'utf8')).toMatch(/stopped, 0 of 1 epoch(?!.*id="confusion")/s);
  });
  test('its figures are those of the best epoch, its maps those of the weights that are kept', async () => {
    const file = at('best.html');
    const model = MobileNetV2({ numClasses: 21, widthMult: 0.25 });
    const result = await new Trainer(model, data, { epochs: 2, batchSize: 32, hooks: [htmlReport({ file })] }).fit();
    const page = fs.readFileSync(file, 'utf8');
    // 84 images were decoded and nothing is frozen; steps are those of the epochs.
    expect(page.replace(/\s+/g, ' ')).toMatch(/decoding<\/th> ?<td>[\d.]+ m?s <small>84 images/);
    expect(page).not.toContain('frozen part');
    expect(page).toContain('training, a step');
    expect(page).toContain(`Of the validation images, after epoch ${result.best!.epoch}.`);
    expect(page).toContain(`<strong>${(100 * result.best!.accuracy).toFixed(1)}%</strong>`);
    result.dispose();
  });
});

test('the command line: train leaves a report and says where, --no-report does not; eval writes one', async () => {
  await imageFolder(at('images'), { classes: ['cat', 'dog'], perClass: 6 });
  const small = ['--size', '32', '--width', '0.25', '--epochs', '1', '--device', 'cpu', '--quiet'];
  const trained = cli(['train', 'images', ...small, '--out', 'run'], { cwd: at() });
  expect([trained.status, trained.stdout]).toEqual([0, expect.stringContaining(path.join('run', 'report.html'))]);
  expect(fs.readFileSync(at('run', 'report.html'), 'utf8')).toContain('id="curves"');
  expect(cli(['train', 'images', ...small, '--out', 'bare', '--no-report'], { cwd: at() }).status).toBe(0);
  expect(fs.existsSync(at('bare', 'report.html'))).toBe(false);
  fs.mkdirSync(at('blocked', 'report.html'), { recursive: true });
  const blocked = cli(['train', 'images', ...small, '--out', 'blocked'], { cwd: at() });
  expect(blocked.status).toBe(0);
  expect(blocked.stdout).not.toContain('report.html');
  expect(blocked.stderr).toMatch(/the report was not written: cannot write .*report\.html: .*no regular file/);
  await networkFile(at('net.safetensors'), { widthMult: 0.25, classes: ['cat', 'dog'] });
  const args = ['eval', 'net.safetensors', 'images', '--device', 'cpu', '--quiet', '--report'];
  expect(cli([...args, 'eval.html'], { cwd: at() })).toMatchObject({ status: 0, stderr: '' });
  expect(fs.readFileSync(at('eval.html'), 'utf8')).toContain('net.safetensors');
  const refused = cli([...args, 'nowhere/eval.html'], { cwd: at() });
  expect([refused.status, refused.stderr]).toEqual([4, expect.stringMatching(/cannot write nowhere\/eval\.html/)]);
});
