// `mnv2-torch predict`: folders, globs, thresholds, forms of the answer, copies sorted into folders.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { cli } from '../support/cli.ts';
import { CLASSES, laidOut, smallCheckpoint } from '../support/checkpoint.ts';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('predict');
const run = (...args: string[]) => cli(['predict', 'net.safetensors', ...args], { cwd: at() });
interface Line {
  image: string;
  predictions: { label: string; probability: number }[];
  copied?: string;
}
const lines = (stdout: string): Line[] =>
  stdout
    .trim()
    .split('\n')
    .map((l) => JSON.parse(l) as Line);
/** Every image's best, as the command says it. */
let best: Map<string, { label: string; probability: number }>;
beforeAll(async () => {
  await smallCheckpoint(at('net.safetensors'));
  await imageFolder(at('photos'), { classes: ['x', 'y'], perClass: 4 });
  fs.writeFileSync(at('photos', 'x', 'text.png'), 'no picture');
  fs.writeFileSync(at('photos', 'notes.txt'), 'no picture');
  const { stdout } = run('photos', '--json', '--top', '1');
  best = new Map(lines(stdout).map(({ image, predictions }) => [image, predictions[0]!]));
  expect(best.size).toBe(8);
});

test('a folder is answered image by image; what cannot be read is named at the end, exit 4', () => {
  const { status, stdout, stderr } = run('photos', 'none.png', 'photos/y/*.png', '--json');
  const files = ['x', 'y'].flatMap((c) => [0, 1, 2, 3].map((i) => `photos/${c}/${i}.png`));
  expect(lines(stdout).map((l) => l.image)).toEqual([...files, ...files.slice(4)]);
  expect(stderr).toMatch(/^mnv2-torch: photos\/x\/text\.png: .*\nmnv2-torch: none\.png: no such file\n$/);
  expect(status).toBe(4);
});
test('--csv: a line a class of an image', () => {
  fs.copyFileSync(at('photos/x/0.png'), at('odd, "name".png'));
  const { status, stdout } = run('odd, "name".png', 'photos/y', '--csv', '--top', '2');
  expect(status).toBe(0);
  const [head, ...rows] = stdout.trimEnd().split('\r\n');
  expect(head).toBe('image,rank,label,probability');
  expect(rows).toHaveLength(10);
  const { label, probability } = best.get('photos/x/0.png')!;
  expect(rows[0]).toBe(`"odd, ""name"".png",1,${label},${probability}`);
  expect(rows[3]).toMatch(/^photos\/y\/0\.png,2,\w+,0\.\d+$/);
  const { stdout: withViews } = run('photos/y/0.png', '--csv', '--tta', 'aerial');
  expect(withViews.split('\r\n').map((l) => l.split(',').length)).toEqual([5, 5, 5, 5, 1]);
});
test('--threshold leaves classes out; an image with none is listed as such', () => {
  const sorted = [...best.values()].map((p) => p.probability).sort((a, b) => a - b);
  const threshold = (sorted[3]! + sorted[4]!) / 2;
  const above = [...best].filter(([, p]) => p.probability >= threshold);
  expect(above).toHaveLength(4);
  const args = ['photos/x/[0-9].png', 'photos/y', '--threshold', String(threshold), '--top', '1'];
  const json = run(...args, '--json');
  expect(json.status).toBe(0);
  expect(lines(json.stdout).map((l) => [l.image, l.predictions])).toEqual(
    [...best].map(([image, p]) => [image, p.probability >= threshold ? [p] : []]),
  );
  const rows = run(...args, '--csv')
    .stdout.trimEnd()
    .split('\r\n')
    .slice(1);
  expect(rows.filter((r) => r.endsWith(',,,'))).toHaveLength(4);
  expect(rows).toHaveLength(8);
  expect(run(...args).stdout.match(/^ {2}none at or above \d+\.\d%$/gm)).toHaveLength(4);
});
test('--copy-to sorts copies into class folders, overwrites nothing, and says what it left out', () => {
  const { label } = best.get('photos/x/0.png')!;
  fs.mkdirSync(at('sorted', label), { recursive: true });
  fs.writeFileSync(at('sorted', label, '0.png'), 'mine');
  const { status, stdout, stderr } = run('photos', '--copy-to', 'sorted', '--json', '--skip-bad');
  expect(status).toBe(0);
  expect(stderr).toMatch(/copied 8 images into sorted\n$/);
  expect(fs.readFileSync(at('sorted', label, '0.png'), 'utf8')).toBe('mine');
  const copies = lines(stdout);
  for (const { image, copied, predictions } of copies) {
    expect(path.dirname(copied!)).toBe(`sorted/${predictions[0]!.label}`);
    expect(fs.readFileSync(at(copied!)).equals(fs.readFileSync(at(image)))).toBe(true);
  }
  expect(new Set(copies.map((c) => c.copied)).size).toBe(8);
  expect(copies[0]!.copied).toBe(`sorted/${label}/0-2.png`);
  expect(fs.readdirSync(at('photos/x'))).toHaveLength(5);
  const none = run('photos/y', '--copy-to', 'empty', '--threshold', '1');
  expect(none.stderr).toBe('copied 0 images into empty; 4 with no class at or above 100.0% were not copied\n');
});
test('--copy-to into a folder that is looked through: copies are not looked at', () => {
  fs.cpSync(at('photos/y'), at('own'), { recursive: true });
  // A class's folder there has a picture already: it is not looked at either.
  fs.mkdirSync(at('own/sorted/old'), { recursive: true });
  fs.copyFileSync(at('photos/x/0.png'), at('own/sorted/old/mine.png'));
  const { stdout, status } = run('own', '--copy-to', 'own/sorted', '--json');
  expect([status, lines(stdout).length]).toEqual([0, 4]);
  expect(fs.readdirSync(at('own/sorted'), { recursive: true }).filter((f) => String(f).endsWith('.png'))).toHaveLength(
    5,
  );
});
test('a label of a hostile checkpoint names a folder, never a way out', async () => {
  const { header, body } = await smallCheckpoint(at('hostile.safetensors'));
  const metadata = header['__metadata__'] as Record<string, string>;
  const key = Object.keys(metadata).find((k) => metadata[k] === JSON.stringify(CLASSES))!;
  metadata[key] = JSON.stringify(['../../out', '..', '../out']);
  fs.writeFileSync(at('hostile.safetensors'), laidOut(header, body));
  const args = ['predict', 'hostile.safetensors', 'photos/y', '--copy-to', 'deep/safe/sorted'];
  const { status, stderr } = cli(args, { cwd: at() });
  expect([status, stderr]).toEqual([0, 'copied 4 images into deep/safe/sorted\n']);
  const copies = fs.readdirSync(at('deep'), { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.png'));
  expect(copies).toHaveLength(4);
  for (const copy of copies) expect(copy).toMatch(/^safe\/sorted\/(\.\._\.\._out|__|\.\._out)\/\d\.png$/);
});
test.each([
  [['-', '--copy-to', 'x'], '--copy-to copies files'],
  [['photos', '--csv', '--json'], '--csv and --json are two forms'],
  [['photos', '--copy-to', 'net.safetensors/x'], '--copy-to net.safetensors/x: cannot be made'],
])('%p is refused before anything is read', (args, message) => {
  const { status, stdout, stderr } = cli(['predict', 'net.safetensors', ...args], { cwd: at(), input: 'x' });
  expect([status, stdout, stderr]).toEqual([2, '', expect.stringContaining(message)]);
});
const terminal = spawnSync('script', ['--version']).status === 0;
(terminal ? test : test.skip)('on a terminal a bar counts the images, and answers are not written into it', () => {
  const bin = path.resolve('bin/mnv2-torch.js');
  const command = `${process.execPath} ${bin} predict net.safetensors photos --skip-bad`;
  const { stdout } = spawnSync('script', ['-qec', command, '/dev/null'], { cwd: at(), encoding: 'utf8' });
  expect(stdout).toMatch(/predict: +\d+%\|.*\| \d+\/9 \[/);
  expect(stdout).toMatch(/predict: 100%\|.*\| 9\/9 \[/);
  // What is left of a line once everything written over it is gone.
  for (const line of stdout.split('\n').map((l) => l.split('\r').filter(Boolean).at(-1) ?? ''))
    expect(/%\|/.test(line) && /png/.test(line)).toBe(false);
});
