// Lists of images: put together, chosen from and relabelled, before anything is decoded.
import fs from 'node:fs';
import type { ImageList } from 'mnv2-torch';
import { ImageFolder, ImageManifest } from 'mnv2-torch';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('lists');
const options = { size: 8, cache: 'off' } as const;
beforeAll(async () => {
  await imageFolder(at('a'), { classes: ['cat', 'dog'], perClass: 6, size: 9 });
  await imageFolder(at('b'), { classes: ['dog', 'eel'], perClass: 4, size: 10 });
});
const a = (): Promise<ImageList> => ImageFolder.list(at('a'));
const b = (): Promise<ImageList> => ImageFolder.list(at('b'));
const names = (list: ImageList): string[] => [...list].map(({ name }) => name);
const labels = (list: ImageList): unknown[] => [...new Set([...list].map(({ label }) => label))];

test('concat: names relative to what both lie in; classes are those of both, each image is decoded once', async () => {
  const both = (await a()).concat(await b());
  expect(both.length).toBe(20);
  expect(names(both).filter((_, i) => i % 6 === 0)).toEqual([
    'a/cat/0.png',
    'a/dog/0.png',
    'b/dog/0.png',
    'b/eel/2.png',
  ]);
  let decoded = 0;
  const data = await both.open({ ...options, onProgress: () => decoded++ });
  const { train, val } = await data.ready();
  expect([data.classes, train.length + val.length, decoded]).toEqual([['cat', 'dog', 'eel'], 20, 20]);
  expect(data.pathOf(12)).toBe(at('b', 'dog', '0.png'));
  data.dispose();
  await expect((await a()).concat(await a()).open(options)).rejects.toThrow(
    /has cat\/0\.png more than once \(and 11 more\)/,
  );
});

test('filter and take: classes keep their shares, parts and groups stay', async () => {
  const list = await a();
  expect(names(list.filter(({ label }, i) => label === 'dog' && i > 7))).toEqual([
    'dog/2.png',
    'dog/3.png',
    'dog/4.png',
    'dog/5.png',
  ]);
  expect(names(list.take(4))).toEqual(['cat/0.png', 'cat/3.png', 'dog/0.png', 'dog/3.png']);
  expect([list.take(100).length, list.length]).toEqual([12, 12]);
  await expect(list.filter(() => false).open(options)).rejects.toThrow(/leaves no images/);
  await expect(list.filter(({ label }) => label === 'cat').open(options)).rejects.toThrow(/has one class \(cat\)/);
});

test('filter by a column of a manifest; files that are left out are not looked at', async () => {
  const rows = ['0', '1', '2', '3'].flatMap((i) => [`a/cat/${i}.png,cat,${i}`, `a/dog/${i}.png,dog,${i}`]);
  fs.writeFileSync(at('labels.csv'), ['file,label,year', ...rows, 'gone.png,dog,9'].join('\n'));
  const list = await ImageManifest.list(at('labels.csv'));
  const data = await list.filter(({ fields }) => Number(fields!['year']) < 3).open(options);
  const { train, val } = await data.ready();
  expect([data.files.length, train.length, val.length]).toEqual([6, 4, 2]);
  data.dispose();
});

test('relabel: by a table, by a function, several labels into one', async () => {
  const list = (await a()).concat(await b());
  expect(labels(list.relabel({ eel: 'fish' }))).toEqual(['cat', 'dog', 'fish']);
  expect(labels(list.relabel({ cat: 'pet', dog: 'pet' }))).toEqual(['eel', 'pet']);
  expect(labels(list.relabel((label, { name }) => `${name[0]}-${label}`))).toEqual([
    'a-cat',
    'a-dog',
    'b-dog',
    'b-eel',
  ]);
  fs.writeFileSync(
    at('tags.json'),
    JSON.stringify([
      { file: 'a/cat/0.png', tags: ['x', 'y'] },
      { file: 'a/dog/0.png', tags: ['y'] },
    ]),
  );
  const tags = await ImageManifest.list(at('tags.json'), { task: 'multilabel' });
  expect([...tags.relabel({ x: 'y' })].map(({ label }) => label)).toEqual([['y'], ['y']]);
});

test('the group below a class folder stays where a list is put into another', async () => {
  for (const [i, part] of ['s1', 's2', 's3'].entries())
    for (const c of ['x', 'y']) {
      fs.mkdirSync(at('g', c, part), { recursive: true });
      for (const n of [0, 1])
        fs.copyFileSync(at('a', c === 'x' ? 'cat' : 'dog', `${2 * i + n}.png`), at('g', c, part, `${n}.png`));
    }
  const list = (await ImageFolder.list(at('g'))).concat((await b()).filter(() => false));
  const data = await list.open({ ...options, group: { folder: true }, valSplit: 0.3 });
  const { val } = await data.ready();
  expect(data.files[0]).toBe('g/x/s1/0.png');
  expect(new Set([...val].map((row) => data.files[row]!.split('/')[2])).size).toBe(1);
  data.dispose();
});

test('mistakes', async () => {
  const list = await a();
  fs.writeFileSync(at('n.csv'), 'file,value\na/cat/0.png,1\n');
  const other = await ImageManifest.list(at('n.csv'), { task: 'regression' });
  const usage = (message: RegExp): object => ({
    name: 'UsageError',
    message: expect.stringMatching(message) as string,
  });
  const wrong: [() => unknown, RegExp][] = [
    [() => list.relabel({ cta: 'x' }), /relabel: no image has the label 'cta'; there are cat, dog/],
    [() => list.relabel(() => ''), /relabel: expected a label in place of 'cat', got ''/],
    [() => list.take(0), /take: expected a whole number from 1/],
    [() => list.filter('cat' as never), /filter: expected a function/],
    [() => list.concat(at('b') as never), /concat: expected lists of images/],
  ];
  for (const [make, message] of wrong) {
    let error: unknown;
    try {
      make();
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject(usage(message));
  }
  expect(() => list.concat(other)).toThrow(/concat: expected lists of one task, got multiclass and regression/);
  expect(() => other.relabel({})).toThrow(/relabel: expected images with labels, got a list of numbers/);
});
