// What a training says of its data before it begins: real trainings of a frozen network on pictures whose numbers tell
// where they were taken, and on the same pictures without that.
import fs from 'node:fs';
import sharp from 'sharp';
import { createModel, ImageFolder, Trainer, type SplitOptions, type TrainEvent } from 'mnv2-torch';
import { Random } from '../../dist/random.js';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('first-look');
const [CLASSES, IMAGES, SIZE] = [['a', 'b'], 40, 32] as const;

/** A camera that moves on: a bright spot goes round, a little further in each picture. */
async function film(folder: string, order: readonly number[]): Promise<void> {
  for (const [c, name] of CLASSES.entries()) {
    fs.mkdirSync(at(folder, name), { recursive: true });
    for (const [number, place] of order.entries()) {
      const angle = (2 * Math.PI * place) / IMAGES;
      const [x, y] = [SIZE / 2 + 10 * Math.cos(angle), SIZE / 2 + 10 * Math.sin(angle)];
      const spot = `<circle cx="${x}" cy="${y}" r="7" fill="${c === 0 ? '#fd4' : '#4df'}"/>`;
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${SIZE}" height="${SIZE}"><rect width="100%" height="100%" fill="#234"/>${spot}</svg>`;
      await sharp(Buffer.from(svg))
        .png()
        .toFile(at(folder, name, `${number}.png`));
    }
  }
}
const inOrder = Array.from({ length: IMAGES }, (_, i) => i);
beforeAll(async () => {
  await film('film', inOrder);
  await film('shuffled', new Random(3).shuffle([...inOrder]));
});

async function notes(folder: string, split: SplitOptions = {}): Promise<string[]> {
  const data = await ImageFolder.open(at(folder), { size: SIZE, cache: 'off', ...split });
  const model = createModel('mobilenet_v2', { numClasses: 2, widthMult: 0.5 });
  const events: TrainEvent[] = [];
  const trainer = new Trainer(model, data, { freeze: 'features', epochs: 1, threads: 1 });
  (await trainer.fit({ onEvent: (event) => void events.push(event) })).dispose();
  data.dispose();
  return events.flatMap((event) => (event.event === 'data' ? event.notes : []));
}
const FLATTERS =
  /^a random split flatters here: for \d+% of the validation images the nearest training image of the class lies within 3 file numbers, where chance gives \d+%; --split blocked/;

test('a film split at random flatters, by its frozen features; in runs, or in another order, it does not', async () => {
  expect(await notes('film')).toEqual([expect.stringMatching(FLATTERS)]);
  expect(await notes('film', { split: 'blocked' })).toEqual([]);
  expect(await notes('shuffled')).toEqual([]);
});

test('small classes and pictures in two classes are named', async () => {
  for (const name of CLASSES) fs.mkdirSync(at('few', name), { recursive: true });
  for (let i = 0; i < 30; i++) fs.copyFileSync(at('shuffled', 'a', `${i}.png`), at('few', 'a', `${i}.png`));
  for (let i = 0; i < 5; i++) fs.copyFileSync(at('shuffled', 'b', `${i}.png`), at('few', 'b', `${i}.png`));
  fs.copyFileSync(at('few', 'a', '7.png'), at('few', 'b', 'seven.png'));
  expect(await notes('few')).toEqual([
    '1 class has fewer than 10 images: b (6)',
    'a has 5.0 times the images of b (30 and 6)',
    '1 picture is in two classes: a/7.png = b/seven.png',
  ]);
});
