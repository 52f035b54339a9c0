// The same images trained from a folder, from manifests, from streams and put together of halves: the same checkpoints,
// byte for byte.
import fs from 'node:fs';
import {
  BatchNorm2d,
  Conv2d,
  fromImages,
  GlobalAveragePool,
  ImageFolder,
  ImageManifest,
  Linear,
  Module,
  ReLU,
  Trainer,
  type Dataset,
  type ImageItem,
  type ListedImage,
  type Tensor,
} from 'mnv2-torch';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('sources');
const options = { size: 32, seed: 5, cacheDir: at('cache') };
let images: ListedImage[];
beforeAll(async () => {
  await imageFolder(at('images'), { classes: ['fox', 'owl', 'toad'], perClass: 6, size: 40 });
  // The same picture twice: it has to stay on one side.
  fs.copyFileSync(at('images', 'fox', '0.png'), at('images', 'fox', '00.png'));
  images = [...(await ImageFolder.list(at('images')))];
});

/** Rows in an order that is not the folder's. */
const shuffled = (): ListedImage[] => images.map((_, i) => images[(7 * i + 3) % images.length]!);
function manifest(name: string, text: (rows: readonly { file: string; label: string }[]) => string): string {
  const rows = shuffled().map(({ name: file, label }) => ({ file, label: label as string }));
  fs.writeFileSync(at('images', name), text(rows));
  return at('images', name);
}
const table = (delimiter: string) => (rows: readonly { file: string; label: string }[]) =>
  ['file,label', ...rows.map(({ file, label }) => `${file},${label}`)].join('\r\n').replaceAll(',', delimiter);
async function* streamed(read: (path: string) => ImageItem['image']): AsyncGenerator<ImageItem> {
  for (const image of shuffled()) {
    await Promise.resolve();
    yield { ...image, image: read(image.image) };
  }
}

const SOURCES: Record<string, () => Promise<Dataset>> = {
  CSV: () => ImageManifest.open(manifest('labels.csv', table(',')), options),
  TSV: () => ImageManifest.open(manifest('labels.tsv', table('\t')), options),
  JSON: () =>
    ImageManifest.open(
      manifest('labels.json', (rows) => JSON.stringify(rows)),
      options,
    ),
  NDJSON: () =>
    ImageManifest.open(
      manifest('labels.ndjson', (rows) => rows.map((row) => JSON.stringify(row)).join('\n')),
      options,
    ),
  'a stream of paths': () =>
    fromImages(
      streamed((path) => path),
      options,
    ),
  'a stream of bytes': () =>
    fromImages(
      streamed((path) => fs.readFileSync(path)),
      options,
    ),
  'two halves': async () => {
    const all = await ImageFolder.list(at('images'));
    const odd = all.filter((_, i) => i % 2 === 1);
    return odd.concat(all.filter((_, i) => i % 2 === 0)).open(options);
  },
};

/** Small; its batch statistics and shuffled steps depend on every image's row. */
class Tiny extends Module {
  conv = new Conv2d(3, 8, 3, { stride: 2 });
  norm = new BatchNorm2d(8);
  act = new ReLU();
  pool = new GlobalAveragePool();
  head = new Linear(8, 3);
  forward(x: Tensor): Tensor {
    return this.head.call(this.pool.call(this.act.call(this.norm.call(this.conv.call(x)))));
  }
}

/** Checkpoints and split of a short training. */
async function train(name: string, data: Dataset): Promise<Buffer[]> {
  const out = at('runs', name);
  const trainer = new Trainer(new Tiny(), data, {
    epochs: 2,
    batchSize: 8,
    seed: 1,
    augment: 'aerial',
    out,
    device: 'cpu',
  });
  using _ = await trainer.fit();
  data.dispose();
  return ['best.safetensors', 'last.safetensors', 'split.json'].map((file) => fs.readFileSync(`${out}/${file}`));
}

let folder: Buffer[];
beforeAll(async () => {
  folder = await train('folder', await ImageFolder.open(at('images'), options));
});
test.each(Object.entries(SOURCES))('%s', async (name, open) => {
  const files = await train(name, await open());
  expect(files.map((bytes, i) => bytes.equals(folder[i]!))).toEqual([true, true, true]);
});
test('another picture makes another checkpoint: the comparison can fail', async () => {
  const list = await ImageFolder.list(at('images'));
  const fewer = await list.filter(({ name }) => name !== 'toad/5.png').open(options);
  const [best] = await train('fewer', fewer);
  expect(best!.equals(folder[0]!)).toBe(false);
});
