// How a folder is understood, which splits are refused, and options: all of it before a single picture is trained on.
import fs from 'node:fs';
import path from 'node:path';
import { decodeImage, ImageFolder, syntheticScenes, type ImageFolderOptions } from 'mnv2-torch';
import { splitFromFile } from '../../dist/data/split-file.js';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('layout');
const open = (dir: string, options: Partial<ImageFolderOptions> = {}): Promise<ImageFolder> =>
  ImageFolder.open(dir, { size: 8, cache: 'off', ...options });
const usageError = (message: RegExp): object => ({
  name: 'UsageError',
  message: expect.stringMatching(message) as string,
});
let shades = 0;
/** Class folders below `dir`, one name a class; no two pictures of this file are alike. */
async function classes(dir: string, names: readonly string[], perClass = 4): Promise<void> {
  await imageFolder(dir, { classes: names.map((n) => `${n}`), perClass, size: 10 + ++shades });
}

describe('parts', () => {
  const sides = async (dir: string, options?: Partial<ImageFolderOptions>): Promise<Record<string, string[]>> => {
    const data = await open(dir, options);
    const split = await data.ready();
    const of = (rows: Int32Array): string[] =>
      [...new Set(Array.from(rows, (i) => data.files[i]!.split('/')[0]!))].sort();
    const result = {
      classes: data.classes,
      train: of(split.train),
      val: of(split.val),
      test: of(split.test),
      notes: [...data.notes],
    };
    data.dispose();
    return result;
  };
  test('train/ and test/: train/ is divided, test/ kept apart, and it is said', async () => {
    for (const part of ['train', 'test']) await classes(at('tt', part), ['x', 'y']);
    expect(await sides(at('tt'))).toEqual({
      classes: ['x', 'y'],
      train: ['train'],
      val: ['train'],
      test: ['test'],
      notes: ['there is no val/: a share of train/ is held back to validate on; test/ is kept apart'],
    });
  });
  test('train/ alone; other names and cases of parts', async () => {
    await classes(at('alone', 'train'), ['x', 'y']);
    expect(await sides(at('alone'))).toMatchObject({ classes: ['x', 'y'], train: ['train'], val: ['train'], test: [] });
    for (const part of ['Training', 'VALID', 'Test']) await classes(at('case', part), ['x', 'y']);
    expect(await sides(at('case'))).toMatchObject({ train: ['Training'], val: ['VALID'], test: ['Test'], notes: [] });
  });
  test('a class may be called train, or test', async () => {
    await classes(at('vehicles'), ['bus', 'train']);
    expect((await sides(at('vehicles')))['classes']).toEqual(['bus', 'train']);
    await classes(at('exams'), ['homework', 'test', 'train']);
    expect((await sides(at('exams')))['classes']).toEqual(['homework', 'test', 'train']);
  });
  test('pictures without classes: passed over in test/, refused in train/ and val/', async () => {
    await classes(at('flat', 'train'), ['x', 'y']);
    await classes(at('flat'), ['test']);
    expect(await sides(at('flat'))).toMatchObject({ classes: ['x', 'y'], test: [] });
    await classes(at('flat'), ['val']);
    await expect(open(at('flat'))).rejects.toThrow(
      /flat\/val holds images but no class folders; expected val\/<class>/,
    );
    await classes(at('flat2'), ['train', 'test']);
    await expect(open(at('flat2'))).rejects.toThrow(/flat2\/test holds images but no class folders/);
  });
  test('no train/: refused for training, read for evaluation', async () => {
    await classes(at('held', 'test'), ['x', 'y']);
    await expect(open(at('held'))).rejects.toThrow(
      /has test\/ but no train\/ with class folders; expected train\/<class>/,
    );
    expect(await sides(at('held'), { allowOneClass: true })).toMatchObject({
      classes: ['x', 'y'],
      train: [],
      test: ['test'],
    });
  });
  test('an empty validation part is refused, whatever emptied it', async () => {
    for (const part of ['train', 'val']) await classes(at('bad-val', part), ['x', 'y'], 3);
    for (const c of ['x', 'y']) for (const i of [0, 1, 2]) fs.writeFileSync(at('bad-val/val', c, `${i}.png`), 'words');
    const bad = await open(at('bad-val'), { skipBad: true });
    await expect(bad.ready()).rejects.toMatchObject({
      name: 'DataError',
      message: expect.stringMatching(/bad-val leaves no images to validate on; training needs both/) as string,
    });
    await expect(bad.packed(bad.files.length)).resolves.toBeUndefined();
    bad.dispose();

    fs.mkdirSync(at('copies/x'), { recursive: true });
    fs.mkdirSync(at('copies/y'), { recursive: true });
    await classes(at('one'), ['x', 'y'], 1);
    for (const c of ['x', 'y'])
      for (const i of [0, 1, 2]) fs.copyFileSync(at('one', c, '0.png'), at('copies', c, `${i}.png`));
    const copies = await open(at('copies'));
    await expect(copies.ready()).rejects.toThrow(/identical images stay together\) leaves no images to validate on/);
    copies.dispose();
  });
});

describe('split files', () => {
  const files = ['x/0.png', 'x/1.png', 'y/0.png', 'y/1.png'];
  const read = (content: unknown): ReturnType<typeof splitFromFile> => {
    fs.mkdirSync(at(), { recursive: true });
    fs.writeFileSync(at('split.json'), typeof content === 'string' ? content : JSON.stringify(content));
    return splitFromFile(at('split.json'), files);
  };
  test.each<[string, unknown, RegExp]>([
    ['no JSON', '{"train": [', /split\.json: not a readable split\.json/],
    ['null', null, /expected \{ "train": \[\.\.\.\], .* got null/],
    ['a list', ['x/0.png'], /expected \{ "train"/],
    ['something else', { images: [] }, /expected \{ "train"/],
    ['a text for a list', { train: 'x/0.png' }, /expected 'train' to be a list of files, got 'x\/0\.png'/],
    ['an object for a list', { val: { 0: 'x/0.png' } }, /expected 'val' to be a list of files/],
    ['numbers in a list', { train: ['x/0.png', 7] }, /expected 'train' to be a list of files, found 7 in it/],
    ['one twice', { val: ['x/0.png', 'x/0.png'] }, /names 1 files more than once: x\/0\.png \(twice in val\)/],
    ['one in two parts', { train: ['x/0.png'], val: ['x/0.png'] }, /x\/0\.png \(in train and val\)/],
    ['files that are not there', { val: ['z.png'] }, /names 1 files that are not in the data: z\.png/],
    ['a seed of its own kind', { train: [], seed: 'one' }, /expected 'seed' as a whole number, got 'one'/],
    ['a ratio above one', { train: [], ratio: 3 }, /expected 'ratio' as a number from 0 to 1, got 3/],
  ])('%s is a DataError', async (_name, content, message) => {
    await expect(read(content)).rejects.toMatchObject({
      name: 'DataError',
      message: expect.stringMatching(message) as string,
    });
  });
  test('lists may be absent; then training is refused, evaluation is not', async () => {
    expect(await read({ val: ['y/1.png', 'x/0.png'] })).toEqual({
      train: new Int32Array(0),
      val: Int32Array.of(3, 0),
      test: new Int32Array(0),
      seed: 0,
      ratio: 0,
    });
    await classes(at('data'), ['x', 'y'], 2);
    const training = await open(at('data'), { splitFile: at('split.json') });
    await expect(training.ready()).rejects.toThrow(/split\.json leaves no images to train on/);
    training.dispose();
    const evaluation = await open(at('data'), { splitFile: at('split.json'), allowOneClass: true });
    expect([...(await evaluation.ready()).val]).toEqual([3, 0]);
    evaluation.dispose();
  });
});

describe('options', () => {
  const wrong: [string, object, RegExp][] = [
    ['size', { size: 8193 }, /^size: expected a whole number from 1 to 8192, got 8193$/],
    ['size', { size: '64' }, /^size: .*got '64'$/],
    ['valSplit', { valSplit: 2 }, /^valSplit: expected a share between 0 and 1, got 2$/],
    ['valSplit', { valSplit: NaN }, /^valSplit: .*got NaN$/],
    ['seed', { seed: 1e20 }, /^seed: expected a whole number from 0 to 9007199254740991, got 100000000000000000000$/],
    ['seed', { seed: 1.5 }, /^seed: .*got 1.5$/],
    ['concurrency', { concurrency: 0 }, /^concurrency: .*got 0$/],
    ['maxPixels', { maxPixels: -1 }, /^maxPixels: .*got -1$/],
    ['cacheDir', { cacheDir: 7 }, /^cacheDir: expected a path, got 7$/],
    ['cache', { cache: 'on' }, /^cache: expected 'auto' or 'off', got 'on'$/],
    ['onProgress', { onProgress: true }, /^onProgress: expected a function, got true$/],
    ['signal', { signal: {} }, /^signal: expected an AbortSignal, got \{\}$/],
    ['skipBad', { skipBad: 'yes' }, /^skipBad: expected true or false, got 'yes'$/],
  ];
  test.each(wrong)('%s out of range is refused before any work', async (_name, options, message) => {
    await expect(open(at('not', 'there'), options)).rejects.toMatchObject(usageError(message));
  });
  test('scenes', async () => {
    await expect(syntheticScenes({ size: 4 })).rejects.toMatchObject(usageError(/^size: .* from 8 to 8192, got 4$/));
    await expect(syntheticScenes({ perClass: 1 })).rejects.toMatchObject(usageError(/^perClass: .*got 1$/));
    await expect(syntheticScenes({ valSplit: 1 })).rejects.toMatchObject(usageError(/^valSplit: .*got 1$/));
  });
  test('decodeImage', async () => {
    for (const [source, shown] of [
      [null, 'null'],
      [undefined, 'undefined'],
      [7, '7'],
      [{}, '\\{\\}'],
    ] as const)
      await expect(decodeImage(source as never, 8)).rejects.toMatchObject(
        usageError(new RegExp(`^image: expected a path, a file: URL object, the encoded bytes .*, got ${shown}$`)),
      );
    await expect(decodeImage(new Uint8Array(9), 0)).rejects.toMatchObject(usageError(/^size: /));
    await classes(at('shared'), ['x'], 1);
    const png = fs.readFileSync(at('shared/x/0.png'));
    const shared = new Uint8Array(new SharedArrayBuffer(png.length));
    shared.set(png);
    expect(Buffer.compare(await decodeImage(shared, 8), await decodeImage(png, 8))).toBe(0);
    await expect(decodeImage(png, 8, { maxPixels: 99 })).rejects.toThrow(
      /^image: it is \d+ x \d+, more than 99 pixels/,
    );
  });
  test.each([0, 1])('what onProgress throws rejects ready(); run %i', async (round) => {
    if (round === 0) await classes(at('progress'), ['x', 'y']);
    const boom = new Error('boom');
    const onProgress = (): void => {
      throw boom;
    };
    const options = { cache: 'auto', cacheDir: at('progress-cache') } as const;
    const data = await open(at('progress'), { ...options, onProgress });
    await expect(data.ready()).rejects.toBe(boom);
    data.dispose();
    // From now on there is a pack, and only one call.
    const whole = await open(at('progress'), options);
    await whole.ready();
    whole.dispose();
    expect(fs.readdirSync(path.join(at('progress-cache'))).filter((f) => f.endsWith('.tmp'))).toEqual([]);
  });
  test('an aborted signal ends decoding with its reason', async () => {
    await classes(at('aborted'), ['x', 'y']);
    const abort = new AbortController();
    const data = await open(at('aborted'), { signal: abort.signal, onProgress: () => abort.abort(), concurrency: 1 });
    await expect(data.ready()).rejects.toMatchObject({ name: 'AbortError' });
    data.dispose();
  });
});
