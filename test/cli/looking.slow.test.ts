// What the command line shows of single images: eval's mistakes and CSV, predict's explanations.
import fs from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import { cli } from '../support/cli.ts';
import { imageFolder } from '../support/image-folder.ts';
import { networkFile } from '../support/network-file.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('looking');
const CLASSES = ['cat', 'dog, wet', 'emu "tall"'];
const run = (...args: string[]) => {
  const { status, stdout, stderr } = cli(args, { cwd: at() });
  return { status, stdout, stderr };
};
interface Mistake {
  file: string;
  label: string;
  predicted: string;
  probability: number;
  loss: number;
}

beforeAll(async () => {
  await imageFolder(at('images'), { classes: CLASSES, perClass: 3 });
  await networkFile(at('net.safetensors'), { widthMult: 0.25, classes: CLASSES });
});

/** Splits one line of CSV as RFC 4180 has it. */
const fields = (line: string): string[] =>
  [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(([, quoted, plain]) =>
    quoted !== undefined ? quoted.replaceAll('""', '"') : plain!,
  );

test('eval --csv: a line an image, every field as it was, the losses those of the mean', () => {
  const { status, stdout, stderr } = run('eval', 'net.safetensors', 'images', '--device', 'cpu', '--csv', '--quiet');
  expect([status, stderr]).toEqual([0, '']);
  const [head, ...rows] = stdout.trimEnd().split('\r\n').map(fields);
  expect(head).toEqual(['file', 'label', 'predicted', 'probability', 'loss']);
  expect(rows.map(([file]) => file).sort()).toEqual(
    CLASSES.flatMap((c) => [0, 1, 2].map((i) => `${c}/${i}.png`)).sort(),
  );
  for (const [file, label, predicted] of rows) {
    expect(label).toBe(path.dirname(file!));
    expect(CLASSES).toContain(predicted);
  }
  const json = JSON.parse(run('eval', 'net.safetensors', 'images', '--device', 'cpu', '--json', '--quiet').stdout) as {
    loss: number;
    accuracy: number;
    mistakes?: Mistake[];
    calibration: { ece: number; bins: unknown[] };
  };
  expect(rows.reduce((a, r) => a + Number(r[4]), 0) / 9).toBeCloseTo(json.loss, 6);
  expect(rows.filter((r) => r[1] === r[2]).length / 9).toBeCloseTo(json.accuracy, 12);
  expect(json.mistakes).toBeUndefined();
  expect(json.calibration.bins).toHaveLength(15);
});

test('eval --mistakes: the wrong files, highest loss first, as text and as JSON', () => {
  const args = ['eval', 'net.safetensors', 'images', '--device', 'cpu', '--mistakes', '--quiet'];
  const text = run(...args).stdout;
  const { accuracy, mistakes } = JSON.parse(run(...args, '--json').stdout) as { accuracy: number; mistakes: Mistake[] };
  expect(mistakes.length).toBe(Math.round(9 * (1 - accuracy)));
  expect(mistakes.length).toBeGreaterThan(0);
  expect(mistakes.map((m) => m.loss)).toEqual(mistakes.map((m) => m.loss).sort((a, b) => b - a));
  const listed = text.split('\n').filter((l) => l.endsWith('.png'));
  expect(listed.map((l) => l.slice(l.search(/(cat|dog, wet|emu "tall")\/\d\.png$/)))).toEqual(
    mistakes.map((m) => m.file),
  );
});

test('eval: --csv stands alone', () => {
  for (const other of ['--json', '--mistakes']) {
    const { status, stderr } = run('eval', 'net.safetensors', 'images', '--csv', other);
    expect([status, stderr]).toEqual([
      2,
      expect.stringMatching(/--csv lists every image; leave --json and --mistakes out/),
    ]);
  }
});

test('predict --explain: a picture beside each answer, two of one name kept apart', async () => {
  await sharp({ create: { width: 90, height: 40, channels: 3, background: '#283' } })
    .png()
    .toFile(at('wide.png'));
  const images = ['wide.png', 'images/cat/0.png', `images/${CLASSES[1]}/0.png`, 'none.png'];
  const { status, stdout, stderr } = run('predict', 'net.safetensors', ...images, '--explain', 'out/deep', '--json');
  expect([status, stderr]).toEqual([4, expect.stringMatching(/none\.png: no such file/)]);
  const explained = stdout
    .trim()
    .split('\n')
    .map((l) => (JSON.parse(l) as { explained: string }).explained);
  expect(explained.map((f) => path.basename(f)).sort()).toEqual(['0-2.png', '0.png', 'wide.png']);
  expect(fs.readdirSync(at('out', 'deep')).sort()).toEqual(['0-2.png', '0.png', 'wide.png']);
  const { width, height } = await sharp(at('out', 'deep', 'wide.png')).metadata();
  expect([width, height]).toEqual([90, 40]);
});
test('predict --explain: standard input too; a folder that cannot be made is refused first', () => {
  const input = fs.readFileSync(at('images', 'cat', '1.png'));
  const { status, stdout } = cli(['predict', 'net.safetensors', '-', '--explain', 'from-stdin'], { cwd: at(), input });
  expect([status, stdout]).toEqual([0, expect.stringMatching(/^-\n/)]);
  expect(fs.existsSync(at('from-stdin', 'stdin.png'))).toBe(true);
  const refused = run('predict', 'net.safetensors', 'wide.png', '--explain', 'net.safetensors/x');
  expect([refused.status, refused.stdout]).toEqual([2, '']);
  expect(refused.stderr).toMatch(/--explain net\.safetensors\/x: cannot be made/);
});
