// `mnv2-torch embed` and `similar`: vectors in a file NumPy reads, and the pictures most like one.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import sharp from 'sharp';
import { Classifier } from 'mnv2-torch';
import { NpyFile } from '../../dist/infer/npy-file.js';
import { Nearest } from '../../dist/infer/nearest-pictures.js';
import { cli } from '../support/cli.ts';
import { smallCheckpoint } from '../support/checkpoint.ts';
import { imageFolder } from '../support/image-folder.ts';
import { findPython } from '../support/python.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('embed');
const run = (...args: string[]) => cli(args, { cwd: at() });
const FILES = ['x', 'y'].flatMap((c) => [0, 1, 2].map((i) => `photos/${c}/${i}.png`));
beforeAll(async () => {
  await smallCheckpoint(at('net.safetensors'));
  await imageFolder(at('photos'), { classes: ['x', 'y'], perClass: 3 });
  fs.writeFileSync(at('photos', 'y', 'text.png'), 'no picture');
});

/** What NumPy would make of the file: its shape and its rows. */
function npy(file: string): { head: string; shape: number[]; rows: Float32Array[] } {
  const bytes = fs.readFileSync(at(file));
  expect(bytes.toString('latin1', 0, 8)).toBe('\x93NUMPY\x01\x00');
  const start = 10 + bytes.readUInt16LE(8);
  expect(start % 64).toBe(0);
  const head = bytes.toString('latin1', 10, start);
  const shape = /'shape': \((\d+), (\d+)\)/.exec(head)!.slice(1).map(Number) as [number, number];
  const all = new Float32Array(new Uint8Array(bytes.subarray(start)).buffer);
  expect(all).toHaveLength(shape[0] * shape[1]);
  return {
    head,
    shape,
    rows: Array.from({ length: shape[0] }, (_, i) => all.subarray(i * shape[1], (i + 1) * shape[1])),
  };
}

describe('embed', () => {
  test('a row an image in the file, the names beside it; what cannot be read is named, exit 4', async () => {
    const { status, stdout, stderr } = run('embed', 'net.safetensors', 'photos', '--out', 'features.npy', '--json');
    expect(stderr).toMatch(/^mnv2-torch: photos\/y\/text\.png: .*\n$/);
    expect(status).toBe(4);
    expect(JSON.parse(stdout)).toEqual({ file: 'features.npy', names: 'features.json', images: 6, width: 1280 });
    expect(JSON.parse(fs.readFileSync(at('features.json'), 'utf8'))).toEqual(FILES);
    const { head, shape, rows } = npy('features.npy');
    expect(head).toMatch(/^\{'descr': '<f4', 'fortran_order': False, 'shape': \(6, 1280\), \} *\n$/);
    expect(shape).toEqual([6, 1280]);
    using classifier = await Classifier.load(at('net.safetensors'));
    for (const [i, file] of FILES.entries()) expect(rows[i]).toEqual(await classifier.embed(at(file)));
  });
  test('--module, --normalize', async () => {
    const args = [
      'embed',
      'net.safetensors',
      'photos/x',
      '--out',
      'early.npy',
      '--module',
      'features.1',
      '--normalize',
    ];
    expect(run(...args).stdout).toBe('early.npy: float32 [3, 2048]; the names are in early.json\n');
    using classifier = await Classifier.load(at('net.safetensors'));
    const expected = await classifier.embed(at(FILES[0]!), { module: 'features.1', normalize: true });
    expect(npy('early.npy').rows[0]).toEqual(expected);
  });
  test('where no image can be read nothing is written, and nothing is left', () => {
    fs.mkdirSync(at('bare'));
    const { status, stderr } = run('embed', 'net.safetensors', 'photos/y/text.png', '--out', 'bare/none.npy');
    expect([status, stderr]).toEqual([4, expect.stringContaining('at least one image that can be read')]);
    expect(fs.readdirSync(at('bare'))).toEqual([]);
  });
  test.each([
    [['photos'], /--out is needed/],
    [['photos', '--out', 'features.bin'], /--out: expected a name that ends in \.npy/],
    [['photos', '--out', 'f.npy', '--module', 'featurs.1'], /module: expected .* Did you mean 'features\.1'/],
  ])('%p is refused', (args, message) => {
    const { status, stdout, stderr } = run('embed', 'net.safetensors', ...args);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(message);
  });
  const [python, without] = findPython('numpy');
  (without ? test.skip : test)(`NumPy reads it${without}`, async () => {
    const file = await NpyFile.create(at('small.npy'));
    for (let i = 0; i < 3; i++) await file.append(`a "name" ${i}\n`, Float32Array.of(i, 0.1, -Infinity));
    expect(file.shape).toEqual([3, 3]);
    await file.end();
    const code =
      'import json, numpy as n; a = n.load("small.npy"); print(json.dumps([a.shape, str(a.dtype), a[:, :2].tolist(), bool(n.isneginf(a[:, 2]).all()), json.load(open("small.json"))]))';
    const { stdout } = spawnSync(python, ['-c', code], { cwd: at(), encoding: 'utf8' });
    const tenth = Math.fround(0.1);
    const names = [0, 1, 2].map((i) => `a "name" ${i}\n`);
    expect(JSON.parse(stdout)).toEqual([[3, 3], 'float32', [0, 1, 2].map((i) => [i, tenth]), true, names]);
  });
});

describe('similar', () => {
  test('the most alike first, not the picture itself; a sheet of them', async () => {
    fs.copyFileSync(at('photos/x/1.png'), at('photos/y/copy & <more>.png'));
    const args = ['similar', 'net.safetensors', 'photos/x/1.png', 'photos', '--top', '6', '--skip-bad'];
    const { status, stdout } = run(...args, '--out', 'sheet.png', '--json');
    expect(status).toBe(0);
    const { query, found, sheet } = JSON.parse(stdout) as {
      query: string;
      sheet: string;
      found: { name: string; similarity: number }[];
    };
    expect([query, sheet]).toEqual(['photos/x/1.png', 'sheet.png']);
    expect(found[0]).toMatchObject({ name: 'photos/y/copy & <more>.png', similarity: expect.closeTo(1, 5) });
    expect(found.map((f) => f.name).sort()).toEqual([...FILES, found[0]!.name].filter((f) => f !== query).sort());
    expect(found.map((f) => f.similarity)).toEqual(found.map((f) => f.similarity).sort((a, b) => b - a));
    using classifier = await Classifier.load(at('net.safetensors'));
    const [a, b] = [await classifier.embed(at(query)), await classifier.embed(at(found[3]!.name))];
    const dot = (u: Float32Array, v: Float32Array): number => u.reduce((sum, x, i) => sum + x * v[i]!, 0);
    expect(found[3]!.similarity).toBeCloseTo(dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)), 5);
    const { data, info } = await sharp(at('sheet.png')).raw().toBuffer({ resolveWithObject: true });
    expect([info.width, info.height, info.channels]).toEqual([20 + 5 * 220, 20 + 2 * 266, 3]);
    // The query and the copy of it beside it, in their frames' middle.
    const pixel = (x: number, y: number): number[] => [...data.subarray(3 * (y * info.width + x)).subarray(0, 3)];
    expect(pixel(120, 120)).toEqual(pixel(340, 120));
    expect(pixel(120, 120)).not.toEqual([255, 255, 255]);
  });
  test('as a table; a query that cannot be read ends it', () => {
    const { status, stdout } = run('similar', 'net.safetensors', 'photos/x/1.png', 'photos/x/*.png', '--top', '1');
    expect([status, stdout]).toEqual([0, expect.stringMatching(/^[01]\.\d{3} {2}photos\/x\/[02]\.png\n$/)]);
    const none = run('similar', 'net.safetensors', 'none.png', 'photos');
    expect([none.status, none.stdout, none.stderr]).toEqual([4, '', 'mnv2-torch: none.png: no such file\n']);
  });
  test('keeps the nearest of any number, of equals the first', () => {
    const nearest = new Nearest(Float32Array.of(1, 0), 3);
    for (const [i, s] of [0.1, 0.9, 0.5, 0.9, -1, 0.5, 0.95].entries()) nearest.look(String(i), Float32Array.of(s, 0));
    expect(nearest.found.map((f) => f.name)).toEqual(['6', '1', '3']);
  });
});
