// Names of images: files, folders, globs; lazily, sorted, whatever links there are.
import fs from 'node:fs';
import path from 'node:path';
import { walkImages } from '../../dist/data/image-walk.js';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('walk');
const put = (...names: string[]): void => {
  for (const name of names) {
    fs.mkdirSync(path.dirname(at(name)), { recursive: true });
    fs.writeFileSync(at(name), '');
  }
};
/** What is found below the temporary folder, and what is complained of. */
async function walked(named: string[], except?: string): Promise<[string[], string[]]> {
  const [found, failures]: string[][] = [[], []];
  const onFailure = (error: Error): void => void failures!.push(error.message.replaceAll(`${at()}/`, ''));
  const names = named.map((name) => at(name));
  for await (const name of walkImages(names, { onFailure, except: except && at(except) }))
    found!.push(path.relative(at(), name));
  return [found!, failures!];
}
beforeAll(() => {
  put('photos/b.jpg', 'photos/a/2.png', 'photos/a/10.PNG', 'photos/a/deep/x.webp', 'photos/notes.txt');
  put('photos/.hidden/x.jpg', 'photos/.x.jpg', 'photos/[1].jpg', 'texts/only.txt');
  fs.symlinkSync('..', at('photos/a/up'));
  fs.symlinkSync(at('texts'), at('photos/linked'));
  put('elsewhere/e.jpg');
  fs.symlinkSync(at('elsewhere'), at('photos/z'));
  fs.mkdirSync(at('empty'));
});

test('a folder is walked to its end, sorted; links are followed, not in circles; hidden files are left out', async () => {
  const below = [
    'photos/[1].jpg',
    'photos/a/10.PNG',
    'photos/a/2.png',
    'photos/a/deep/x.webp',
    'photos/b.jpg',
    'photos/z/e.jpg',
  ];
  expect(await walked(['photos'])).toEqual([below, []]);
  expect((await walked(['photos'], 'photos/a'))[0]).toEqual(below.filter((f) => !f.startsWith('photos/a/')));
});
test('files are taken as they are named, there or not, images or not', async () => {
  expect(await walked(['photos/notes.txt', 'nowhere.jpg', 'photos/b.jpg'])).toEqual([
    ['photos/notes.txt', 'nowhere.jpg', 'photos/b.jpg'],
    [],
  ]);
});
test.each([
  ['photos/*.jpg', ['photos/[1].jpg', 'photos/b.jpg']],
  ['photos/**/*.{png,PNG,webp}', ['photos/a/10.PNG', 'photos/a/2.png', 'photos/a/deep/x.webp']],
  ['photos/?/*.png', ['photos/a/2.png']],
  ['phot*/a', ['photos/a/10.PNG', 'photos/a/2.png', 'photos/a/deep/x.webp']],
  ['photos/[1].jpg', ['photos/[1].jpg']], // there is a file of that name
])('%s', async (pattern, expected) => {
  expect(await walked([pattern])).toEqual([expected, []]);
});
test('what has no image in it is told, and the rest goes on', async () => {
  const [found, failures] = await walked(['empty', 'texts', 'photos/*.gif', 'photos/b.jpg']);
  expect(found).toEqual(['photos/b.jpg']);
  expect(failures).toEqual([
    'empty: expected a folder of images, found none in it',
    'texts: expected a folder of images, found none in it',
    'photos/*.gif: expected an image, a folder, or a pattern that images match; found none',
  ]);
});
test('a folder is looked into when its turn comes', async () => {
  put('lazy/a/1.jpg', 'lazy/b/1.jpg');
  const walk = walkImages([at('lazy')], { onFailure: () => {} });
  expect((await walk.next()).value).toBe(at('lazy/a/1.jpg'));
  put('lazy/b/2.jpg');
  const rest: string[] = [];
  for await (const name of walk) rest.push(name);
  expect(rest).toEqual([at('lazy/b/1.jpg'), at('lazy/b/2.jpg')]);
});
