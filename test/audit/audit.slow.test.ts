// audit on folders made for it: every kind of copy is found and told from different pictures; counts, sides, sizes.
import fs from 'node:fs';
import path from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { audit, loadCheckpoint, type Audit, type Finding, type FindingKind } from 'mnv2-torch';
import { Fingerprints, POSES } from '../../dist/audit/fingerprint.js';
import { flatters, nearest, orderShare, unitVectors } from '../../dist/audit/neighbours.js';
import { glance } from '../../dist/audit/finding.js';
import { sceneSvg } from '../../dist/data/sources/scenes.js';
import { Engine } from '../../dist/engine/engine.js';
import { ImageStore } from '../../dist/engine/images.js';
import { Random } from '../../dist/random.js';
import { auditPage } from '../../dist/report/audit-page.js';
import { cli } from '../support/cli.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { networkFile } from '../support/network-file.ts';

const at = temporaryFolder('audit');
const scene = (name: string, i: number, size = 64): Sharp =>
  sharp(Buffer.from(sceneSvg(name, new Random(3, name, i), size))).flatten({ background: '#000' });
async function write(image: Sharp, ...file: string[]): Promise<void> {
  fs.mkdirSync(path.dirname(at(...file)), { recursive: true });
  await image.toFile(at(...file));
}
const NAMES = ['beach', 'harbor', 'river'];
/** Twelve scenes a class, no two alike. */
async function scenes(folder: string): Promise<void> {
  for (const name of NAMES)
    for (let i = 0; i < 12; i++) await write(scene(name, i).png(), folder, name, `${name}${i}.png`);
}
const look = (folder: string, options = {}): Promise<Audit> =>
  audit(at(folder), { size: 48, cache: 'off', ...options });
const of = ({ findings }: { findings: readonly Finding[] }, kind: FindingKind): Finding[] =>
  findings.filter((f) => f.kind === kind);

beforeAll(() => scenes('plain'));

test('different pictures: counts and sides, and nothing is found', async () => {
  const report = await look('plain', { valSplit: 0.25 });
  expect(report.classes).toEqual(NAMES.map((label) => ({ label, images: 12, train: 9, val: 3, test: 0, grey: 0 })));
  expect(report).toMatchObject({ images: 36, split: { kind: 'random', train: 27, val: 9 }, leakage: null, ignored: 0 });
  expect(report.pixels).toEqual({ width: [64, 64, 64], height: [64, 64, 64] });
  expect(report.findings).toEqual([]);
});

describe('copies', () => {
  const kinds: [string, (image: Sharp) => Sharp, string][] = [
    ['saved anew', (image) => image.jpeg({ quality: 50 }), 'as it is'],
    ['half as large', (image) => image.resize(32, 32).png(), 'as it is'],
    ['brightened', (image) => image.linear(0.8, 40).jpeg({ quality: 90 }), 'as it is'],
    ['without colours', (image) => image.greyscale().png(), 'as it is'],
    ['mirrored', (image) => image.flop().png(), 'mirrored'],
    ['turned', (image) => image.rotate(90).jpeg({ quality: 80 }), 'turned by 270°'],
    ['upside down', (image) => image.rotate(180).png(), 'turned by 180°'],
  ];
  test('saved anew, resized, brightened, grey, mirrored, turned: each is found, with its pose, and nothing else', async () => {
    fs.cpSync(at('plain'), at('copies'), { recursive: true });
    for (const [i, [name, change]] of kinds.entries())
      await write(change(sharp(at('plain', 'beach', `beach${i}.png`))), 'copies', 'river', `${name}.png`);
    const { nearDuplicates, duplicates, findings, grey } = await look('copies');
    expect(duplicates).toEqual([]);
    const found = nearDuplicates.map(({ files: [a, b], pose, contradiction }) => ({ a, b, pose, contradiction }));
    const expected = kinds.map(([name, , pose], i) => ({
      ...{ a: `beach/beach${i}.png`, b: `river/${name}.png` },
      ...{ pose, contradiction: true },
    }));
    expect(found.sort((x, y) => (x.a < y.a ? -1 : 1))).toEqual(expected);
    expect(of({ findings }, 'contradiction')[0]!.text).toMatch(
      /^7 pictures are in two classes: beach\/beach\d.png ~ river/,
    );
    expect(grey).toEqual(['river/without colours.png']);
  });
  test('equal pixels, in two classes and on two sides of a given split', async () => {
    fs.cpSync(at('plain'), at('given', 'train'), { recursive: true });
    for (const name of NAMES)
      for (let i = 0; i < 4; i++) await write(scene(name, 100 + i).png(), 'given', 'val', name, `${i}.png`);
    fs.copyFileSync(at('plain', 'beach', 'beach4.png'), at('given', 'val', 'beach', 'beach4.png'));
    fs.copyFileSync(at('plain', 'river', 'river2.png'), at('given', 'train', 'harbor', 'a<b>&.png'));
    const report = await look('given');
    expect(report.duplicates).toEqual([
      { files: ['train/beach/beach4.png', 'val/beach/beach4.png'], contradiction: false, leak: true },
      { files: ['train/harbor/a<b>&.png', 'train/river/river2.png'], contradiction: true, leak: false },
    ]);
    expect(report.split).toMatchObject({ train: 37, val: 13 });
    expect(of(report, 'leak')).toMatchObject([{ files: ['train/beach/beach4.png', 'val/beach/beach4.png'] }]);
    const page = await auditPage(report);
    expect(page.match(/<img src="data:image\/jpeg;base64,/g)).toHaveLength(4);
    expect(page).toContain('trained on and held back');
    expect(page).toContain('train/harbor/a&lt;b&gt;&amp;.png');
    expect(page).not.toContain('a<b>');
  });
  test('poses: how a picture lies is told by the name, for all eight', async () => {
    const store = new ImageStore({ count: 9, height: 64, width: 64, channels: 3 });
    const raw = async (image: Sharp): Promise<Uint8Array> => image.raw().toBuffer();
    const original = (): Sharp => sharp(at('plain', 'beach', 'beach4.png'));
    store.put(8, await raw(original()));
    for (let pose = 0; pose < 8; pose++) {
      // Laid back: the turn is undone first, then the mirror image.
      const turned = await original()
        .rotate(-90 * (pose % 4))
        .png()
        .toBuffer();
      store.put(pose, await raw(pose < 4 ? sharp(turned) : sharp(turned).flop()));
    }
    const prints = await Fingerprints.take(store, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    for (const pose of POSES.keys()) {
      const distances = [...POSES.keys()].map((p) => prints.distance(8, pose, p));
      expect(distances[pose]).toBe(0);
      expect(distances.filter((d) => d <= 8)).toEqual([0]);
      expect(prints.likeness(8, pose, pose)).toBeGreaterThan(0.999);
    }
    store.dispose();
  });
});

test('what a folder may suffer from: each is a finding, once', async () => {
  fs.cpSync(at('plain'), at('ill'), { recursive: true });
  const bad = (...file: string[]): string => at('ill', ...file);
  fs.writeFileSync(bad('beach', 'words.jpg'), 'no picture');
  const whole = await scene('beach', 50).jpeg().toBuffer();
  fs.writeFileSync(bad('beach', 'cut.jpg'), whole.subarray(0, Math.floor(whole.length * 0.6)));
  fs.writeFileSync(bad('beach', 'notes.txt'), '');
  await write(scene('river', 40, 24).png(), 'ill', 'river', 'tiny.png');
  await write(scene('river', 41, 200).resize(200, 64, { fit: 'fill' }).png(), 'ill', 'river', 'long.png');
  await write(scene('harbor', 42).greyscale().png(), 'ill', 'harbor', 'grey.png');
  for (let i = 0; i < 3; i++) await write(scene('forest', i).png(), 'ill', 'forest', `${i}.png`);
  const report = await look('ill');
  expect(report.unreadable.map((f) => f.file)).toEqual(['beach/words.jpg']);
  expect(report.damaged.map((f) => f.file)).toEqual(['beach/cut.jpg']);
  expect(report).toMatchObject({
    ignored: 1,
    grey: ['harbor/grey.png'],
    small: ['river/tiny.png'],
    elongated: ['river/long.png'],
  });
  expect(report.findings.map((f) => f.kind)).toEqual([
    ...['unreadable', 'damaged', 'tiny-class', 'imbalance', 'grey', 'small', 'elongated'],
  ]);
  const { status, stdout, stderr } = cli(['audit', at('ill'), '--size', '48', '--quiet']);
  expect(stderr).toBe('');
  expect(status).toBe(4);
  // What a decoder says of a cut file differs with what it met before.
  for (const { text } of report.findings) expect(stdout).toContain(`- ${text.split(' (')[0]}`);
  expect(cli(['audit', at('ill'), '--size', '48', '--skip-bad', '--quiet']).status).toBe(0);
});

test('one class, or one image a class: said, not refused', async () => {
  await write(scene('beach', 0).png(), 'lone', 'beach', '0.png');
  expect(of(await look('lone'), 'unsplittable')[0]!.text).toMatch(/there is one class \(beach\)/);
  await write(scene('river', 0).png(), 'lone', 'river', '0.png');
  const report = await look('lone');
  expect(report.split).toBeNull();
  expect(of(report, 'unsplittable')[0]!.text).toMatch(/too few readable images .*: beach, river/);
  const { status, stderr } = cli(['audit', at('nowhere')]);
  expect(stderr).toMatch(/nowhere does not exist/);
  expect(status).toBe(4);
});

describe('neighbours', () => {
  const files = Array.from({ length: 60 }, (_, i) => `c/${i}.png`);
  const data = { files, labels: new Int32Array(60) };
  /** Points on a circle: by number, or shuffled. */
  const circle = (order: readonly number[]) => {
    const angle = (i: number): number => (2 * Math.PI * order[i]!) / 60;
    return unitVectors(
      [...files.keys()],
      Float32Array.from({ length: 120 }, (_, k) => (k % 2 === 0 ? Math.cos(angle(k >> 1)) : Math.sin(angle(k >> 1)))),
      2,
    );
  };
  test('the nearest is found, and whether it is near by number', async () => {
    using engine = new Engine();
    const all = circle([...files.keys()]);
    const found = await nearest(engine, all, all, data.labels);
    for (const i of files.keys()) expect([(i + 59) % 60, (i + 1) % 60]).toContain(found.any[i]);
    expect(found.cosine[0]).toBeCloseTo(Math.cos((2 * Math.PI) / 60), 5);
    const order = orderShare(data, all.rows, found.own, all.rows);
    expect(order.images).toBe(60);
    expect(order.share).toBeGreaterThan(0.95);
    expect(order.chance).toBeCloseTo((6 * 60 - 12) / 60 / 59, 6);
    expect(flatters(order)).toBe(true);
    const shuffled = circle(new Random(1).shuffle([...files.keys()]));
    const other = await nearest(engine, shuffled, shuffled, data.labels);
    expect(flatters(orderShare(data, shuffled.rows, other.own, shuffled.rows))).toBe(false);
  });
  test('of another class counts for the nearest, not for the nearest of its own', async () => {
    using engine = new Engine();
    const vectors = unitVectors([0, 1, 2], Float32Array.of(1, 0, 1, 0.1, 0, 1), 2);
    const { any, own } = await nearest(engine, vectors, vectors, [0, 1, 0]);
    expect([...any]).toEqual([1, 0, 1]);
    expect([...own]).toEqual([2, -1, 0]);
  });
  test('--weights: measured by the features of a network, on the command line as well', async () => {
    const weights = await networkFile(at('network.safetensors'), { widthMult: 0.25 });
    const report = await audit(at('plain'), { size: 32, cache: 'off', weights: await loadCheckpoint(weights) });
    const { threshold, splits, order, classes } = report.leakage!;
    expect(threshold).toBeLessThan(1);
    expect(splits.map((s) => [s.kind, s.images])).toEqual([
      ['random', 12],
      ['blocked', 12],
    ]);
    expect(classes.map((c) => c.label)).toEqual(NAMES);
    expect(order.images).toBe(36);
    const page = at('page.html');
    const { status, stdout, stderr } = cli(['audit', at('plain'), '--weights', weights, '--json', '--report', page]);
    expect(stderr).toMatch(/features: 100%/);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ images: 36, leakage: { order: JSON.parse(JSON.stringify(order)) } });
    expect(fs.readFileSync(page, 'utf8')).toContain('Nearest training images');
  });
});

test('the glance of a training: small and uneven classes, and pictures in two classes', () => {
  const labels = Int32Array.from({ length: 40 }, (_, i) => (i < 4 ? 0 : 1));
  const files = Array.from(labels, (l, i) => `${l}/${i}`);
  const sameAs = labels.map((_, i) => (i === 20 ? 2 : i));
  const found = glance({ classes: ['few', 'many'], files, labels }, [Int32Array.from(labels.keys())], sameAs);
  expect(found.map((f) => f.text)).toEqual([
    '1 class has fewer than 10 images: few (4)',
    'many has 9.0 times the images of few (36 and 4)',
    '1 picture is in two classes: 0/2 = 1/20',
  ]);
  const val = Int32Array.of(0, 1, 4, 5);
  expect(
    glance({ classes: ['a', 'b'], files, labels: labels.map((_, i) => i % 2) }, [labels.map((_, i) => i), val]),
  ).toEqual([]);
});

test.each<[string[], number, RegExp]>([
  [
    ['--split', 'blokked', '--group', 'site'],
    2,
    /blocked\?\n.*--group: expected 'folder' .* or a pattern with one capture group, such as .*, got 'site'/,
  ],
  [['--split', 'group'], 2, /split 'group': expected group/],
  [['--group', 'folder'], 0, /nothing can be trained and validated: group: 36 files lie in no folder/],
])('%j', (args, code, message) => {
  const { status, stderr, stdout } = cli(['audit', at('plain'), '--size', '8', '--quiet', ...args]);
  expect(stderr + stdout).toMatch(message);
  expect(status).toBe(code);
});
