// Manifests: formats, columns said and guessed, labels by task, parts, groups, and what is refused with its line.
import fs from 'node:fs';
import path from 'node:path';
import { ImageManifest, type ImageManifestOptions, type ListedImages } from 'mnv2-torch';
import { dataChanges, fingerprintFrom, fingerprintOf, fingerprintTensors } from '../../dist/data/fingerprint.js';
import { rowsOf } from '../../dist/data/listing.js';
import { openImages } from '../../dist/data/sources/open-images.js';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('manifest');
const FILES = ['fox', 'owl'].flatMap((name) => [0, 1, 2, 3].map((i) => `${name}/${i}.png`));
const labelOf = (file: string): string => path.dirname(file);

beforeAll(() => imageFolder(at('images'), { classes: ['fox', 'owl'], perClass: 4, size: 8 }));

function write(name: string, text: string | readonly string[]): string {
  const file = at('images', name);
  fs.writeFileSync(file, typeof text === 'string' ? text : text.join('\n'));
  return file;
}
const open = (file: string, options: Partial<ImageManifestOptions> = {}): Promise<ListedImages> =>
  ImageManifest.open(file, { size: 8, cache: 'off', ...options });

interface Read {
  files: readonly string[];
  classes: readonly string[];
  labels: number[];
  targets: number[] | undefined;
  notes: readonly string[];
  skipped: readonly object[];
  train: string[];
  val: string[];
  test: string[];
}
async function read(file: string, options: Partial<ImageManifestOptions> = {}): Promise<Read> {
  const data = await open(file, options);
  try {
    const split = await data.ready();
    const { files, classes, labels, targets, notes, skipped } = data;
    const names = (rows: Int32Array): string[] => Array.from(rows, (row) => files[row]!);
    return {
      ...{ files, classes, labels: [...labels], targets: targets && [...targets], notes, skipped },
      ...{ train: names(split.train), val: names(split.val), test: names(split.test) },
    };
  } finally {
    data.dispose();
  }
}

describe('formats', () => {
  const rows = FILES.map((file) => ({ file, label: labelOf(file) }));
  const shuffled = [5, 2, 7, 0, 3, 6, 1, 4].map((i) => rows[i]!);
  const table = (delimiter: string, end = '\n'): string =>
    ['file,label', ...shuffled.map(({ file, label }) => `${file},${label}`)].join(end).replaceAll(',', delimiter);
  test.each([
    ['plain.csv', table(',')],
    ['bom.csv', `\ufeff${table(',', '\r\n')}\r\n`],
    ['quoted.csv', table(',').replace('owl/1.png,owl', '"./owl/1.png", "owl"').replace('file,', '"file" ,')],
    ['semicolons.csv', table(';')],
    ['tabs.tsv', table('\t')],
    ['list.json', JSON.stringify(shuffled, null, 2)],
    ['lines.ndjson', shuffled.map((row) => JSON.stringify(row)).join('\n')],
    ['more.jsonl', `${shuffled.map((row) => JSON.stringify(row)).join('\n\n')}\n`],
    ['absolute.csv', table(',').replaceAll(/(fox|owl)\//g, `${at('images')}/$1/`)],
  ])('%s: rows in any order are the folder', async (name, text) => {
    const { files, classes, labels, notes } = await read(write(name, text));
    expect(files).toEqual(FILES);
    expect(classes).toEqual(['fox', 'owl']);
    expect(labels).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
    expect(notes).toEqual([`${at('images', name)}: images in column 'file', labels in column 'label', by their names`]);
  });
  test('a table without a line of names', async () => {
    const file = write(
      'bare.csv',
      rows.map((row) => `${row.label},${row.file}`),
    );
    const { files, notes } = await read(file);
    expect(files).toEqual(FILES);
    expect(notes[0]).toMatch(/images in column '2', labels in column '1', by the look of the first line/);
    const wide = write(
      'wide.csv',
      rows.map((row) => `${row.file},x,${row.label}`),
    );
    await expect(open(wide)).rejects.toThrow(
      /wide\.csv:1: the first line holds an image, .* by its number, such as --columns label=3/,
    );
    expect((await read(wide, { columns: { label: '3' } })).classes).toEqual(['fox', 'owl']);
  });
  test('paths relative to another root, and outside of it', async () => {
    const file = at('elsewhere.csv');
    fs.writeFileSync(file, ['path,class', ...FILES.map((name) => `${name},${labelOf(name)}`)].join('\n'));
    expect((await read(file, { root: at('images') })).files).toEqual(FILES);
    const up = write('fox/up.csv', ['path,class', ...FILES.map((name) => `../${name},${labelOf(name)}`)]);
    expect((await read(up)).files.slice(3, 5)).toEqual(['3.png', '../owl/0.png']);
  });
});

describe('columns', () => {
  const said = (file: string): string =>
    `${file},${labelOf(file)},${file.includes('0') ? 'Validation' : ''},${file[4]}`;
  test('said ones count before guessed ones; parts in any case; a part is none where that is said', async () => {
    const file = write('said.csv', ['label,kind,set,site', ...FILES.map(said)]);
    const columns = { image: 'label', label: 'kind' };
    const { val, train, notes } = await read(file, { columns });
    expect(val).toEqual(['fox/0.png', 'owl/0.png']);
    expect(train).toHaveLength(6);
    expect(notes).toEqual([`${file}: parts in column 'set', by their names`]);
    await expect(open(file, { columns, split: 'blocked' })).rejects.toThrow(
      /said\.csv says which images are validated on: expected no split, group or folds/,
    );
    const { val: drawn } = await read(file, {
      columns: { ...columns, split: '' },
      group: { column: 'site' },
      valSplit: 0.25,
    });
    expect(drawn).toHaveLength(2);
    expect(new Set(drawn.map((name) => name[4])).size).toBe(1);
    const grouped = open(file, { columns: { ...columns, split: '' }, group: { column: 'sight' } }).then((d) =>
      d.ready(),
    );
    await expect(grouped).rejects.toThrow(/group: there is no column 'sight'; expected set, site/);
  });
  test('train and test without val: a share is held back, and it is said', async () => {
    const file = write('tested.csv', [
      'file,label,split',
      ...FILES.map((f) => `${f},${labelOf(f)},${f.includes('3') ? 'TEST' : 'train'}`),
    ]);
    const { test: kept, val, train, notes } = await read(file);
    expect([kept, val.length, train.length]).toEqual([['fox/3.png', 'owl/3.png'], 2, 4]);
    expect(notes[1]).toMatch(/tested\.csv marks no images val: .*; those of test are kept apart/);
  });
});

describe('several labels an image', () => {
  const tags = ['a|b', 'a', 'b;c', '', 'a', 'a', 'b', 'a | b'];
  const task = 'multilabel';
  const expected = {
    classes: ['a', 'b', 'c'],
    targets: [1, 1, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 1, 1, 0],
    // the rarest label: b of four, c of one; 3 where there is none
    labels: [1, 0, 2, 3, 0, 0, 1, 1],
  };
  const lists = tags.map((cell) =>
    cell
      .split(/[|;]/)
      .map((t) => t.trim())
      .filter(Boolean),
  );
  test.each<[string, () => string, Partial<ImageManifestOptions>]>([
    ['cells', () => write('cells.csv', ['file,tags', ...FILES.map((f, i) => `${f},${tags[i]}`)]), {}],
    ['lists', () => write('lists.json', JSON.stringify(FILES.map((file, i) => ({ file, tags: lists[i] })))), {}],
    [
      'another separator',
      () => write('blanks.csv', ['file,tags', ...FILES.map((f, i) => `${f},${lists[i]!.join(' ')}`)]),
      { separator: ' ' },
    ],
    [
      'a row a label',
      () =>
        write('long.csv', ['file,label', ...FILES.flatMap((f, i) => [`${f},`, ...lists[i]!.map((l) => `${f},${l}`)])]),
      {},
    ],
    [
      'columns of 0 and 1',
      () =>
        write('hot.csv', [
          'file,c,a,b',
          ...FILES.map((f, i) => `${f},${['c', 'a', 'b'].map((l) => Number(lists[i]!.includes(l))).join()}`),
        ]),
      { columns: { label: ['c', 'a', 'b'] } },
    ],
  ])('%s', async (_, file, options) => {
    expect(await read(file(), { task, ...options })).toMatchObject(expected);
  });
  test('a split keeps them even, and a label of one image is no obstacle', async () => {
    const file = write('even.csv', ['file,tags', ...FILES.map((f, i) => `${f},${tags[i]}`)]);
    const { train, val } = await read(file, { task, valSplit: 0.3 });
    expect(train.length + val.length).toBe(8);
    expect(val.length).toBeGreaterThan(0);
    for (const fold of [0, 1]) expect((await read(file, { task, folds: 2, fold })).val.length).toBeGreaterThan(1);
  });
});

describe('numbers', () => {
  const rows = FILES.map((file, i) => `${file},${(i * 5) % 8},${i / 4},${i % 4}`);
  const file = (): string => write('numbers.csv', ['file,age,weight,patient', ...rows]);
  test('one or several, in the order given; so few images are one part', async () => {
    const one = await read(file(), { task: 'regression', columns: { label: 'age' } });
    expect(one).toMatchObject({
      classes: ['age'],
      targets: [0, 5, 2, 7, 4, 1, 6, 3],
      labels: FILES.map(() => 0),
    });
    const two = await read(file(), { task: 'regression', columns: { label: ['weight', 'age'] } });
    expect(two.classes).toEqual(['weight', 'age']);
    expect(two.targets!.slice(0, 4)).toEqual([0, 0, 0.25, 5]);
  });
  test('a split keeps the parts of the first number even, of ten images each at least', () => {
    const list = (count: number) =>
      rowsOf({
        ...{ task: 'regression', from: 'x', partFolders: false, unlisted: [], notes: [] },
        images: Array.from({ length: count }, (_, i) => ({
          ...{ name: String(i).padStart(3, '0'), image: '', label: { age: (i * 7) % count } },
        })),
      });
    const ages = (count: number) => list(count).labels.map((_, i) => (i * 7) % count);
    expect(list(45).labels).toEqual(ages(45).map((age) => Math.floor((4 * age) / 45)));
    expect(list(300).labels).toEqual(ages(300).map((age) => Math.floor(age / 30)));
  });
  test('groups are kept whole', async () => {
    const options = { columns: { label: 'age' }, group: { column: 'patient' }, valSplit: 0.25 } as const;
    const { val } = await read(file(), { task: 'regression', ...options });
    expect(val.map((name) => FILES.indexOf(name) % 4)).toEqual([expect.any(Number), expect.any(Number)]);
    expect(new Set(val.map((name) => FILES.indexOf(name) % 4)).size).toBe(1);
  });
  test('a fingerprint holds them, and tells which changed', async () => {
    const take = async (text: readonly string[]) => {
      const data = await open(write('prints.csv', ['file,value', ...text]), { task: 'regression' });
      const print = fingerprintFrom(fingerprintTensors(await fingerprintOf(data, await data.ready())));
      data.dispose();
      return print;
    };
    const plain = FILES.map((name, i) => `${name},${i}`);
    const before = await take(plain);
    expect(dataChanges(before, await take(plain))).toEqual([]);
    expect(dataChanges(before, await take([`${FILES[0]},0.5`, ...plain.slice(1)]))).toEqual([
      '1 file with other targets (fox/0.png)',
    ]);
  });
});

test('files that are missing are told together, or left out', async () => {
  const file = write('missing.csv', [
    'file,label',
    ...FILES.map((f) => `${f},${labelOf(f)}`),
    'fox/9.png,fox',
    'gone.png,owl',
  ]);
  const data = await open(file);
  await expect(data.ready()).rejects.toThrow(
    /2 of 10 images cannot be read:\n {2}fox\/9\.png: no such file\n {2}gone\.png: no such file\n.*--skip-bad/,
  );
  data.dispose();
  expect((await read(file, { skipBad: true })).skipped).toHaveLength(2);
});

test('rows that say the same again are counted once', async () => {
  const file = write('again.csv', ['file,label', ...FILES.map((f) => `${f},${labelOf(f)}`), 'fox/../fox/1.png,fox']);
  const { files, notes } = await read(file);
  expect(files).toEqual(FILES);
  expect(notes[1]).toMatch(/again\.csv: 1 row names a file again; with the same label: counted once/);
});

describe('refused, with the line', () => {
  const rows = FILES.map((f) => `${f},${labelOf(f)}`);
  test.each<[string, string | readonly string[], Partial<ImageManifestOptions>, RegExp]>([
    [
      'two.csv',
      ['file,label', ...rows, 'fox/1.png,owl'],
      {},
      /two\.csv:3 and 10: fox\/1\.png is labelled 'fox' and 'owl'; expected one label/,
    ],
    [
      'parts.csv',
      ['file,label,split', 'a.png,x,train', 'a.png,x,val'],
      {},
      /parts\.csv:2 and 3: a\.png is in train and in val/,
    ],
    [
      'empty.csv',
      ['file,label', rows[0]!, '"fox/1.png",'],
      {},
      /empty\.csv:3: expected a label, got '' in column 'label'/,
    ],
    ['nameless.csv', ['file,label', ',fox'], {}, /nameless\.csv:2: expected the path of an image, got ''/],
    [
      'url.csv',
      ['file,label', rows[0]!, 'https://example.com/a.png,fox'],
      {},
      /url\.csv:3: expected a path, got the URL/,
    ],
    [
      'part.csv',
      ['file,label,split', 'a.png,x,dev'],
      {},
      /part\.csv:2: expected train, val or test, or nothing, got 'dev'; .*--columns split=/,
    ],
    [
      'cells.csv',
      ['file,label', rows[0]!, 'a.png,x,y'],
      {},
      /cells\.csv:3: expected 2 cells, as the first line has, got 3/,
    ],
    ['quote.csv', ['file,label', 'a.png,"x'], {}, /quote\.csv:\d: .*[Qq]uote/],
    [
      'twice.csv',
      ['file,label,file'],
      {},
      /twice\.csv:1: expected a name of its own for each column, got 'file' twice/,
    ],
    ['unknown.csv', ['here,there', 'a.png,x'], {}, /unknown\.csv:1: .*/],
    ['alone.csv', ['file,label'], {}, /alone\.csv: expected a row an image, found none/],
    ['nothing.csv', '', {}, /nothing\.csv: expected a row an image, found an empty file/],
    ['one.csv', ['file,label', ...rows.slice(0, 4)], {}, /one\.csv has one class \(fox\)/],
    ['lone.csv', ['file,label', ...rows.slice(0, 5)], {}, /too few images to train on and validate: owl has one/],
    [
      'untrained.csv',
      ['file,label,split', ...rows.map((r) => `${r},${r.endsWith('owl') ? 'val' : 'train'}`)],
      {},
      /untrained\.csv has no images to train on of owl/,
    ],
    [
      'nan.csv',
      ['file,value', 'fox/0.png,1e-3', 'a.png,1', 'b.png,n/a'],
      { task: 'regression' },
      /nan\.csv:4: expected a number, got 'n\/a' in column 'value'/,
    ],
    [
      'blank.csv',
      ['file,value', 'a.png,1', 'b.png,'],
      { task: 'regression' },
      /blank\.csv:3: expected a number, got ''/,
    ],
    [
      'hot.csv',
      ['file,a,b', 'a.png,1,2'],
      { task: 'multilabel', columns: { label: ['a', 'b'] } },
      /hot\.csv:2: expected 1 or 0, got '2' in column 'b'/,
    ],
    ['broken.json', '[\n{"file": "a.png",}\n]', {}, /broken\.json:2: not JSON/],
    ['object.json', '{"file": "a.png"}', {}, /object\.json:1: expected a list of objects, .* got one object/],
    [
      'odd.json',
      '[\n  {"file": "a],[.png", "label": "x\\""},\n\n  "b.png"\n]',
      {},
      /odd\.json:4: expected an object an image/,
    ],
    [
      'label.json',
      '[{"file": "a.png", "label": "x"},\n{"file": "b.png"}]',
      {},
      /label\.json:2: expected a label, got ''/,
    ],
    ['broken.ndjson', '{"file": "a.png", "label": "x"}\n\n{"file"', {}, /broken\.ndjson:3: not JSON/],
    ['named.txt', 'file,label', {}, /named\.txt: expected a manifest named \*\.csv, \*\.tsv/],
  ])('%s', async (name, text, options, message) => {
    await expect(open(write(name, text), options)).rejects.toMatchObject({
      name: 'DataError',
      message: expect.stringMatching(message) as string,
    });
  });
  test('bytes that are no UTF-8; a file that is not there', async () => {
    fs.writeFileSync(at('latin.csv'), Buffer.from('file,label\ncaf\xe9.png,x\n', 'latin1'));
    await expect(open(at('latin.csv'))).rejects.toThrow(/latin\.csv: expected text in UTF-8/);
    await expect(open(at('none.csv'))).rejects.toThrow(/none\.csv: cannot read the manifest: no such file/);
  });
  test.each<[Partial<ImageManifestOptions>, RegExp]>([
    [
      { columns: { label: 'lable' } },
      /columns: .*options\.csv has no column 'lable' for the label; did you mean label\?/,
    ],
    [{ columns: { label: ['label', 'file'] } }, /columns: expected one column of labels for the task multiclass/],
    [{ columns: { labels: 'x' } as never }, /columns: expected names such as/],
    [{ task: 'detection' as never }, /task: expected multiclass, multilabel, regression/],
    [{ separator: ';' }, /separator: expected none but for the task multilabel/],
    [{ group: { column: '' } }, /group: expected \{ folder: true \}/],
  ])('%j', async (options, message) => {
    const file = write('options.csv', ['file,label', ...rows]);
    await expect(open(file, options)).rejects.toMatchObject({
      name: 'UsageError',
      message: expect.stringMatching(message) as string,
    });
  });
});

test('by a path alone: a manifest by its name, else a folder, which has one class an image and no columns', async () => {
  const all = { size: 8, cache: 'off' } as const;
  const rows = ['file,label', ...FILES.map((name) => `${name},${labelOf(name)}`)];
  for (const path of [write('path.CSV', rows), at('images')]) {
    const data = await openImages(path, all);
    await data.ready();
    expect([data.files, data.root]).toEqual([FILES, at('images')]);
    data.dispose();
  }
  await expect(openImages(at('images'), { ...all, task: 'multilabel' })).rejects.toThrow(
    /task multilabel: expected a manifest \(\.csv, .*\), got the folder .*, whose images have one class each/,
  );
  await expect(openImages(at('images'), { ...all, columns: { label: 'x' } })).rejects.toThrow(
    /columns: expected a manifest .* got the folder/,
  );
});
