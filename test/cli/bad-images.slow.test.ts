// Pictures that cannot be read as they were saved, and splits that are none, from the command line.
import fs from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import { Random } from '../../dist/random.js';
import { cli } from '../support/cli.ts';
import { imageFolder } from '../support/image-folder.ts';
import { networkFile } from '../support/network-file.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('bad-images');
const run = (...args: string[]) => cli(args, { cwd: at() });
const evaluation = (...args: string[]) =>
  run('eval', 'net.safetensors', 'images', '--json', '--quiet', '--device', 'cpu', ...args);

beforeAll(async () => {
  await networkFile(at('net.safetensors'), { widthMult: 0.25 });
  await imageFolder(at('images'), { classes: ['cat', 'dog'], perClass: 2 });
  const [random, side] = [new Random(3), 200];
  const noise = Uint8Array.from({ length: side * side * 3 }, () => 256 * random.next());
  const jpeg = await sharp(noise, { raw: { width: side, height: side, channels: 3 } })
    .jpeg()
    .toBuffer();
  jpeg.fill(0x55, jpeg.length >> 1, (jpeg.length >> 1) + 3000);
  fs.writeFileSync(at('images', 'cat', 'damaged.jpg'), jpeg);
});

test('eval stops for them, leaves them out with --skip-bad, or takes what is left with --allow-damaged', () => {
  const stopped = evaluation();
  expect(stopped.stderr).toMatch(/^mnv2-torch: 1 of 5 images .*:\n {2}cat\/damaged.jpg: /);
  expect([stopped.status, stopped.stdout]).toEqual([4, '']);
  expect(JSON.parse(evaluation('--skip-bad').stdout)).toMatchObject({ images: 4 });
  expect(JSON.parse(evaluation('--allow-damaged').stdout)).toMatchObject({ images: 5 });
  // 200 x 200 is more than was allowed, the others are 32 x 32.
  const few = evaluation('--skip-bad', '--allow-damaged', '--max-pixels', '2000');
  expect(JSON.parse(few.stdout)).toMatchObject({ images: 4 });
});

test('predict answers for the others; --skip-bad makes them no failure', () => {
  const images = ['images/cat/damaged.jpg', 'images/cat/0.png'];
  const predict = (...args: string[]) => run('predict', 'net.safetensors', ...images, '--json', ...args);
  const answered = (stdout: string) => stdout.match(/"image":"[^"]*"/g)!.map((m) => m.slice(9, -1));
  const strict = predict();
  expect([strict.status, answered(strict.stdout)]).toEqual([4, ['images/cat/0.png']]);
  expect(strict.stderr).toMatch(/^mnv2-torch: images\/cat\/damaged.jpg: /);
  const lenient = predict('--skip-bad');
  expect([lenient.status, lenient.stderr, lenient.stdout]).toEqual([0, strict.stderr, strict.stdout]);
  const rest = predict('--allow-damaged');
  expect([rest.status, rest.stderr, answered(rest.stdout)]).toEqual([0, '', images]);
  const small = predict('--allow-damaged', '--max-pixels', '2000');
  expect(small.stderr).toMatch(/damaged.jpg: it is 200 x 200, more than 2000 pixels/);
  expect(small.status).toBe(4);
});

test.each([
  ['a list', '[1, 2]'],
  ['null', 'null'],
  ['parts of another kind', '{"train": 3, "val": ["cat/0.png"]}'],
  ['names of another kind', '{"train": [], "val": [{}]}'],
  ['a file that is not there', '{"train": [], "val": ["cat/9.png"]}'],
  ['a file twice', '{"train": [], "val": ["cat/0.png", "cat/0.png"]}'],
  ['no JSON', 'split'],
])('eval --split with %s is refused in one line', (_, text) => {
  fs.writeFileSync(at('split.json'), text);
  const { status, stderr } = evaluation('--split', 'split.json', '--skip-bad');
  expect(stderr).toMatch(/^mnv2-torch: split\.json.*\n$/);
  expect(status).toBe(4);
});

test('train takes them, or not, by the same options', () => {
  const train = (out: string, ...args: string[]) =>
    run(
      ...[
        'train',
        'images',
        '--size',
        '32',
        '--width',
        '0.25',
        '--epochs',
        '1',
        '--batch-size',
        '3',
        '--device',
        'cpu',
      ],
      ...['--quiet', '--json', '--out', out, ...args],
    );
  const images = ({ stdout }: { stdout: string }): unknown =>
    (stdout.split('\n').map((l) => (l ? JSON.parse(l) : {})) as { event: string; images: object }[]).find(
      (e) => e.event === 'data',
    )?.images;
  expect(train('strict').status).toBe(4);
  expect(fs.existsSync(at('strict'))).toBe(false);
  expect(images(train('lenient', '--allow-damaged'))).toEqual({ train: 3, valid: 2, test: 0 });
  const config = JSON.parse(fs.readFileSync(path.join(at('lenient'), 'config.json'), 'utf8')) as unknown;
  expect(config).toMatchObject({ allowDamaged: true, skipBad: false, maxPixels: 1e8 });
});
