// What tests share does what it says.
import fs from 'node:fs';
import { ImageFolder } from 'mnv2-torch';
import { cli, startCli } from './cli.ts';
import { imageFolder } from './image-folder.ts';
import { temporaryFolder } from './temporary.ts';

const at = temporaryFolder('support');

test('a folder of images: one subfolder a class, no two alike, the same every time', async () => {
  const shape = { classes: ['cat', 'dog', 'emu'], perClass: 3, size: 24 };
  const [one, two] = [await imageFolder(at('one'), shape), await imageFolder(at('two'), shape)];
  const read = (folder: string): Promise<ImageFolder> => ImageFolder.open(folder, { size: 24, cache: 'off' });
  const [first, second] = [await read(one), await read(two)];
  await Promise.all([first.ready(), second.ready()]);
  expect(first.classes).toEqual(shape.classes);
  const hashes = (data: ImageFolder): string[] => data.files.map((_, i) => data.store.hash(i));
  expect(new Set(hashes(first)).size).toBe(9);
  expect(hashes(second)).toEqual(hashes(first));
  first.dispose();
  second.dispose();
});

test('the command line, to its end and while it works', async () => {
  const whole = cli(['summary', '--width', '0.35', '--json'], { cwd: at() });
  expect([whole.status, whole.stderr]).toEqual([0, '']);
  const running = startCli(['summary', '--width', '0.35', '--json']);
  await running.seen('"total":');
  expect(await running.ended).toEqual({ status: 0, signal: null, stdout: whole.stdout, stderr: '' });
  await expect(startCli(['summary', '--width', '0']).seen('"total":')).rejects.toThrow(
    /--width: expected a number above 0/,
  );
  expect(fs.readdirSync(at())).toEqual(['one', 'two']);
});
