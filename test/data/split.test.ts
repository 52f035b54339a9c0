// Kinds of split: what is held back, what stays together, cross-validation, and what a split file keeps of it.
import fs from 'node:fs';
import path from 'node:path';
import { ImageFolder, syntheticScenes, type ImageFolderOptions, type Split, type SplitOptions } from 'mnv2-torch';
import { naturalOrder } from '../../dist/data/natural-order.js';
import { splitFromFile, splitToJSON } from '../../dist/data/split-file.js';
import { splitImages } from '../../dist/data/split.js';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('split');
const open = (dir: string, options: Partial<ImageFolderOptions> = {}): Promise<ImageFolder> =>
  ImageFolder.open(dir, { size: 8, cache: 'off', ...options });
const ascending = (rows: Iterable<number>): number[] => [...rows].sort((a, b) => a - b);
const range = (n: number): number[] => [...Array(n).keys()];

/** Files without pixels: `counts` a class, names `<class>/<class><i>.jpg`, all different unless `sameAs` says. */
function listing(counts: readonly number[], name = (c: number, i: number): string => `c${c}/c${c}_${i}.jpg`) {
  const files = counts.flatMap((n, c) => range(n).map((i) => name(c, i)));
  const labels = Int32Array.from(counts.flatMap((n, c) => Array<number>(n).fill(c)));
  return {
    classes: counts.map((_, c) => `c${c}`),
    files,
    labels,
    rows: range(files.length),
    sameAs: range(files.length),
  };
}
const divide = (data: ReturnType<typeof listing>, options: SplitOptions, notes: string[] = []): Split =>
  splitImages(data, options, (sentence) => notes.push(sentence));
const countOf = (rows: Int32Array, labels: Int32Array, c: number): number => rows.filter((r) => labels[r] === c).length;

test('natural order: digits are numbers of any length, the rest is text', () => {
  const names = ['b10', 'b2', 'a9', 'b2x', 'b', '10/1', '9/2', '9/10', 'b02', `b1${'0'.repeat(40)}`];
  const sorted = ['9/2', '9/10', '10/1', 'a9', 'b', 'b02', 'b2', 'b2x', 'b10', `b1${'0'.repeat(40)}`];
  expect(Array.from(naturalOrder(names), (i) => names[i])).toEqual(sorted);
});

describe('random', () => {
  test('is what it was before there were kinds', () => {
    const { train, val } = divide(listing([10, 7, 4]), { seed: 3, valSplit: 0.3 });
    expect([...val]).toEqual([0, 4, 6, 10, 13, 18]);
    expect(train).toHaveLength(15);
  });
});

describe('blocked', () => {
  const data = listing([40, 25, 12]);
  /** Steps along the circle of a class's numbers that cross from one side to the other. */
  const borders = (val: Int32Array, c: number): number => {
    const first = data.labels.indexOf(c);
    const sides = range(data.labels.filter((l) => l === c).length).map((i) => val.includes(first + i));
    return sides.filter((side, i) => side !== sides[(i + 1) % sides.length]).length;
  };
  test('holds back one run of each class, wherever the seed begins it', () => {
    const starts = new Set<string>();
    for (let seed = 0; seed < 30; seed++) {
      const { val, train, kind } = divide(data, { split: 'blocked', seed });
      expect(kind).toBe('blocked');
      expect(ascending([...val, ...train])).toEqual(data.rows);
      for (const c of [0, 1, 2]) expect(borders(val, c)).toBe(2);
      expect([0, 1, 2].map((c) => countOf(val, data.labels, c))).toEqual([12, 8, 4]);
      starts.add(String(val));
    }
    expect(starts.size).toBeGreaterThan(25);
    expect(String(divide(data, { split: 'blocked', seed: 4 }).val)).toBe(
      String(divide(data, { split: 'blocked', seed: 4 }).val),
    );
  });
  test('goes by numbers, not by the order files were listed in', () => {
    const plain = listing([30]);
    const shuffled = { ...plain, files: plain.files.map((_, i) => plain.files[(i * 7) % 30]!) };
    const { val } = divide(shuffled, { split: 'blocked', seed: 1 });
    const numbers = ascending(Array.from(val, (r) => Number(/_(\d+)/.exec(shuffled.files[r]!)![1])));
    const gaps = numbers.map((n, i) => (numbers[(i + 1) % numbers.length]! - n + 30) % 30).filter((gap) => gap !== 1);
    expect(gaps).toHaveLength(1);
  });
  test('keeps equal pictures on one side, and the shares all the same', () => {
    const twins = { ...data, sameAs: data.rows.map((r) => (r % 5 === 4 ? r - 3 : r)) };
    for (let seed = 0; seed < 20; seed++) {
      const { val } = divide(twins, { split: 'blocked', seed });
      for (const r of twins.rows) expect(val.includes(r)).toBe(val.includes(twins.sameAs[r]!));
      expect(Math.abs(countOf(val, data.labels, 0) - 12)).toBeLessThanOrEqual(1);
    }
  });
});

describe('folds', () => {
  const sites = listing([40, 25, 12], (c, i) => `c${c}/s${i % 11}-${i}.jpg`);
  const kinds: [string, SplitOptions][] = [
    ['random', {}],
    ['blocked', { split: 'blocked' }],
    ['group', { group: { pattern: 's(\\d+)-' } }],
  ];
  test.each(kinds)('%s: each image is validated on once, every class in its share', (kind, options) => {
    const splits = range(5).map((fold) => divide(sites, { ...options, folds: 5, fold, seed: 2 }));
    expect(ascending(splits.flatMap((s) => [...s.val]))).toEqual(sites.rows);
    for (const [fold, split] of splits.entries()) {
      expect(ascending([...split.train, ...split.val])).toEqual(sites.rows);
      expect(split).toMatchObject({ folds: 5, fold, ratio: 0.2, seed: 2 });
      const away = [40, 25, 12].map((n, c) => Math.abs(countOf(split.val, sites.labels, c) - n / 5));
      expect(Math.max(...away)).toBeLessThan(kind === 'group' ? 6 : 1);
      expect(Math.min(...[0, 1, 2].map((c) => countOf(split.val, sites.labels, c)))).toBeGreaterThan(0);
    }
    const other = divide(sites, { ...options, folds: 5, fold: 0, seed: 3 });
    expect(String(other.val)).not.toBe(String(splits[0]!.val));
  });
  test('blocked: a fold is one run of each class, however the seed turns them', () => {
    for (const fold of range(5)) {
      const numbers = ascending(divide(listing([40]), { split: 'blocked', folds: 5, fold, seed: 9 }).val);
      const next = new Set(numbers.map((n) => (n + 1) % 40));
      expect(numbers.filter((n) => !next.has(n))).toHaveLength(1);
    }
  });
  test('a class of one picture in many copies has nothing to train on in one of the folds', () => {
    const copies = { ...listing([6, 4]), sameAs: [0, 1, 2, 3, 4, 5, 6, 6, 6, 6] };
    expect(() => divide(copies, { folds: 2, fold: 0 })).toThrow(/the images of c1 are all the same picture/);
  });
});

describe('group', () => {
  const sideOf = (split: Split, files: readonly string[], name: RegExp): string[] => {
    const of = (rows: Int32Array, side: string): string[] =>
      Array.from(rows).some((r) => name.test(files[r]!)) ? [side] : [];
    return [...of(split.train, 'train'), ...of(split.val, 'val')];
  };
  test('no group is on both sides, across classes too; classes keep their shares where groups allow', () => {
    const data = listing([60, 36, 36], (c, i) => `c${c}/s${i % 12}_${i}.jpg`);
    const seen = new Set<string>();
    for (let seed = 0; seed < 10; seed++) {
      const notes: string[] = [];
      const split = divide(data, { split: 'group', group: { pattern: 's(\\d+)_' }, seed, valSplit: 0.25 }, notes);
      for (const s of range(12)) expect(sideOf(split, data.files, new RegExp(`/s${s}_`))).toHaveLength(1);
      expect([0, 1, 2].map((c) => countOf(split.val, data.labels, c) / countOf(split.train, data.labels, c))).toEqual(
        Array(3).fill(1 / 3),
      );
      expect(notes).toEqual([]);
      seen.add(String(split.val));
    }
    expect(seen.size).toBeGreaterThan(5);
  });
  test('what cannot be even is said', () => {
    const data = listing([20, 20], (c, i) => `c${c}/${c === 0 ? (i < 18 ? 'big' : 'small') : `g${i}`}/${i}.jpg`);
    const notes: string[] = [];
    const { val } = divide(data, { group: { folder: true } }, notes);
    expect([2, 18]).toContain(countOf(val, data.labels, 0));
    expect(notes).toEqual([expect.stringMatching(/^groups kept whole leave .* than 30%: c0 (10|90)%$/)]);
  });
  test('groups that share a picture stay together', () => {
    const data = listing([12, 12], (c, i) => `c${c}/${c}g${i % 6}/${i}.jpg`);
    const sameAs = data.rows.map((r) => (r === 13 ? 0 : r)); // of 1g1 and 0g0
    for (let seed = 0; seed < 10; seed++) {
      const split = divide({ ...data, sameAs }, { group: { folder: true }, seed });
      expect(sideOf(split, data.files, /0g0|1g1/)).toHaveLength(1);
    }
  });
  test.each<[string, SplitOptions, RegExp]>([
    ['one group a class', { group: { pattern: '(c)1_|(?:x)' } }, /group: 20 files do not match .*: c0\/c0_0.jpg/],
    [
      'no folder',
      { group: { folder: true } },
      /group: 40 files lie in no folder below their class folder: c0\/c0_0.jpg/,
    ],
    ['one group', { group: { pattern: '(c)' } }, /group: c0, c1 have one group only; expected at least two a class/],
  ])('%s is refused', (_name, options, message) => {
    expect(() => divide(listing([20, 20]), options)).toThrow(message);
  });
});

describe('of a folder', () => {
  const build = async (): Promise<string> => {
    for (const site of ['north', 'south', 'east', 'west']) {
      await imageFolder(at('made', site), {
        classes: ['a', 'b'],
        perClass: 4,
        size: 10 + site.length + (site.charCodeAt(0) % 7),
      });
      for (const c of ['a', 'b']) {
        fs.mkdirSync(at('sites', c), { recursive: true });
        fs.renameSync(at('made', site, c), at('sites', c, site));
      }
    }
    return at('sites');
  };
  test('groups by folder; split.json keeps kind, rule and fold, and gives the same split again', async () => {
    const dir = await build();
    const options = { split: 'group', group: { folder: true }, folds: 4, fold: 2, seed: 5 } as const;
    const data = await open(dir, options);
    const split = await data.ready();
    expect(split.val).toHaveLength(8);
    expect(new Set(Array.from(split.val, (r) => data.files[r]!.split('/')[1])).size).toBe(1);
    const json = splitToJSON(data, split);
    expect(json).toMatchObject({ kind: 'group', group: { folder: true }, folds: 4, fold: 2, seed: 5, ratio: 0.25 });
    fs.writeFileSync(at('split.json'), JSON.stringify(json));
    expect(await splitFromFile(at('split.json'), data.files)).toEqual(split);
    const again = await open(dir, { splitFile: at('split.json') });
    expect(await again.ready()).toEqual(split);
    // Files of before there were kinds.
    const { kind: _k, group: _g, folds: _f, fold: _n, ...old } = json;
    fs.writeFileSync(at('split.json'), JSON.stringify(old));
    expect(await splitFromFile(at('split.json'), data.files)).toMatchObject({ val: split.val, ratio: 0.25 });
    for (const [wrong, message] of [
      [{ kind: 'odd' }, /expected 'kind' as one of random, blocked, group, got 'odd'/],
      [{ folds: 4, fold: 4 }, /expected 'fold' as a whole number below 'folds', got 4/],
      [{ folds: 1, fold: 0 }, /expected 'folds' as a whole number of at least 2, got 1/],
      [{ group: 'a' }, /expected 'group' as/],
    ] as const) {
      fs.writeFileSync(at('split.json'), JSON.stringify({ ...old, ...wrong }));
      await expect(splitFromFile(at('split.json'), data.files)).rejects.toThrow(message);
    }
    for (const d of [data, again]) d.dispose();
  });
  test('below train/ as well, whose val/ cannot be split', async () => {
    const dir = at('parted');
    fs.cpSync(at('sites'), path.join(dir, 'train'), { recursive: true });
    const data = await open(dir, { group: { folder: true }, valSplit: 0.25 });
    const { val } = await data.ready();
    expect(new Set(Array.from(val, (r) => data.files[r]!.split('/')[2])).size).toBe(1);
    data.dispose();
    fs.cpSync(at('sites'), path.join(dir, 'val'), { recursive: true });
    await expect(open(dir, { split: 'blocked' })).rejects.toThrow(/has a val\/ of its own/);
    const given = await open(dir, { split: 'random' });
    expect((await given.ready()).kind).toBeUndefined();
    given.dispose();
  });
  test('built-in scenes can be cut into folds', async () => {
    const vals: number[] = [];
    for (const fold of [0, 1]) {
      const data = await syntheticScenes({ size: 8, perClass: 2, split: 'blocked', folds: 2, fold });
      vals.push(...(await data.ready()).val);
      data.dispose();
    }
    expect(ascending(vals)).toEqual(range(42));
  });
  test.each<[Partial<ImageFolderOptions>, RegExp]>([
    [{ split: 'blokked' as never }, /split: expected random, blocked, group, got 'blokked'/],
    [{ split: 'group' }, /split 'group': expected group as/],
    [{ split: 'blocked', group: { folder: true } }, /group: expected none with split 'blocked'/],
    [{ group: { folder: false } as never }, /group: expected \{ folder: true \} or \{ pattern/],
    [{ group: { pattern: '(' } }, /group: expected a regular expression, got '\('/],
    [{ group: { pattern: 'a' } }, /expected a pattern with one capture group, such as 'site\(\\d\+\)', got 'a' with 0/],
    [{ group: { pattern: '(a)(b)' } }, /with 2$/],
    [{ folds: 5 }, /expected folds and fold together, got folds 5 and fold undefined/],
    [{ fold: 0 }, /expected folds and fold together/],
    [{ folds: 1, fold: 0 }, /folds: expected a whole number from 2 to 1000, got 1/],
    [{ folds: 3, fold: 3 }, /fold: expected a whole number from 0 to 2, got 3/],
    [{ splitFile: 'x.json', split: 'blocked' }, /splitFile: expected no split, group or folds beside it/],
  ])('%j is refused before any work', async (options, message) => {
    await expect(open(at('nowhere'), options)).rejects.toMatchObject({
      name: 'UsageError',
      message: expect.stringMatching(message) as string,
    });
  });
});
