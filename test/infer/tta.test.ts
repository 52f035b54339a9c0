// Test-time augmentation: the mean of the answers for explicitly flipped and turned pictures, beside the plain answer.
import sharp from 'sharp';
import {
  Classifier,
  evaluate,
  reshape,
  Linear,
  Module,
  syntheticScenes,
  UsageError,
  Weights,
  type Dataset,
  type Tensor,
  type TrainedModel,
} from 'mnv2-torch';
import { cli } from '../support/cli.ts';
import { imageFolder } from '../support/image-folder.ts';
import { networkFile } from '../support/network-file.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('tta');
const SIDE = 32;
const IMAGES = 12;
let data: Dataset;
let checkpoint: TrainedModel;
let classifier: Classifier;

/** Every pixel has weights of its own: no two views look alike. */
class Pixels extends Module {
  head = new Linear(3 * SIDE * SIDE, 21);
  forward(x: Tensor): Tensor {
    return this.head.call(reshape(x, [-1, 3 * SIDE * SIDE]));
  }
}
beforeAll(async () => {
  data = await syntheticScenes({ size: SIDE, perClass: 2 });
  await data.ready();
  const model = new Pixels();
  const weights = await Weights.init(model, { seed: 2 });
  checkpoint = { model, weights, classes: data.classes, preprocess: { size: SIDE, scale: 'x/127.5-1' } };
  classifier = await Classifier.from(checkpoint);
});
afterAll(() => {
  classifier.dispose();
  checkpoint.weights.dispose();
  data.dispose();
});

/** Where pixel (x, y) of a view comes from. */
type Move = (x: number, y: number) => [number, number];
const end = SIDE - 1;
const HORIZONTAL: Move[] = [(x, y) => [x, y], (x, y) => [end - x, y]];
const AERIAL: Move[] = [
  ...HORIZONTAL,
  (x, y) => [x, end - y],
  (x, y) => [end - x, end - y],
  (x, y) => [y, x],
  (x, y) => [end - y, x],
  (x, y) => [y, end - x],
  (x, y) => [end - y, end - x],
];
function picture(row: number, move: Move): Promise<Buffer> {
  const from = data.store.get(row);
  const pixels = Uint8Array.from(from, (_, i) => {
    const p = Math.floor(i / 3);
    const [x, y] = move(p % SIDE, Math.floor(p / SIDE));
    return from[3 * (y * SIDE + x) + (i % 3)]!;
  });
  return sharp(pixels, { raw: { width: SIDE, height: SIDE, channels: 3 } })
    .png()
    .toBuffer();
}
/** Probabilities in the order of the classes, of each picture. */
async function asked(pictures: Buffer[]): Promise<number[][]> {
  const answers = await classifier.classify(pictures, { topK: 21 });
  return answers.map((a) => {
    if (!a.ok) throw a.error;
    return classifier.classes.map((label) => a.predictions.find((p) => p.label === label)!.probability);
  });
}
const mean = (rows: number[][]): number[] => rows[0]!.map((_, c) => rows.reduce((a, r) => a + r[c]!, 0) / rows.length);

describe.each([
  ['horizontal', HORIZONTAL],
  ['aerial', AERIAL],
] as const)('%s', (tta, moves) => {
  let expected: number[][];
  let plain: number[][];
  beforeAll(async () => {
    const rows = Array.from({ length: IMAGES }, (_, i) => i * 3);
    const views = await Promise.all(rows.map(async (r) => asked(await Promise.all(moves.map((m) => picture(r, m))))));
    [expected, plain] = [views.map(mean), views.map((v) => v[0]!)];
  });

  test('classify: each prediction says the mean over the moved pictures beside its own', async () => {
    const pictures = await Promise.all(expected.map((_, i) => picture(i * 3, HORIZONTAL[0]!)));
    // Questions without it share the batch.
    const [with_, without] = await Promise.all([
      classifier.classify(pictures, { topK: 21, tta }),
      classifier.classify(pictures, { topK: 21 }),
    ]);
    let moved = 0;
    with_.forEach((answer, i) => {
      if (!answer.ok) throw answer.error;
      for (const { label, probability, tta: averaged } of answer.predictions) {
        const c = classifier.classes.indexOf(label);
        expect(probability).toBeCloseTo(plain[i]![c]!, 5);
        expect(averaged).toBeCloseTo(expected[i]![c]!, 5);
        moved = Math.max(moved, Math.abs(averaged! - probability));
      }
    });
    expect(moved).toBeGreaterThan(1e-3);
    for (const answer of without) expect(answer.ok && answer.predictions.every((p) => !('tta' in p))).toBe(true);
  });

  test('evaluate: accuracy and loss of the mean, beside figures that stay as they are', async () => {
    const indices = Int32Array.from({ length: IMAGES }, (_, i) => i * 3);
    const { store, labels } = data;
    const seen: [number, number][] = [];
    const onProgress = (done: number, total: number): void => void seen.push([done, total]);
    const { tta: averaged, ...rest } = await evaluate({ checkpoint, store, indices, labels, tta, onProgress });
    expect(rest).toEqual(await evaluate({ checkpoint, store, indices, labels }));
    const label = (i: number): number => labels[indices[i]!]!;
    const right = expected.filter((p, i) => p.indexOf(Math.max(...p)) === label(i)).length;
    expect(averaged!.views).toBe(moves.length);
    expect(averaged!.accuracy).toBeCloseTo(right / IMAGES, 12);
    expect(averaged!.loss).toBeCloseTo(expected.reduce((a, p, i) => a - Math.log(p[label(i)]!), 0) / IMAGES, 4);
    expect(averaged!.loss).not.toBe(rest.loss);
    expect(seen.every(([done, total]) => done <= total && total === moves.length * IMAGES)).toBe(true);
  });
});

test('other views are refused', async () => {
  const { store, labels } = data;
  const wrong = { tta: 'vertical' as never };
  const call = evaluate({ checkpoint, store, indices: Int32Array.of(0), labels, ...wrong });
  await expect(call).rejects.toThrow(new UsageError("tta: expected horizontal or aerial, got 'vertical'"));
  await expect(classifier.classify(await picture(0, HORIZONTAL[0]!), wrong)).rejects.toThrow(
    /tta: expected horizontal/,
  );
});

test('the command line shows both: eval in a second line, predict in a second column', async () => {
  await imageFolder(at('images'), { classes: ['cat', 'dog'], perClass: 2 });
  await networkFile(at('net.safetensors'), { widthMult: 0.25, classes: ['cat', 'dog'] });
  const run = (...args: string[]): string => {
    const { status, stdout, stderr } = cli([...args, '--device', 'cpu'], { cwd: at() });
    expect([status, stderr]).toEqual([0, '']);
    return stdout;
  };
  const text = run('eval', 'net.safetensors', 'images', '--quiet', '--tta', 'aerial');
  expect(text).toMatch(/^accuracy .* of 4 images, loss .*\nmean of 8 views: accuracy [\d.]+%, loss [\d.]+$/m);
  const json = JSON.parse(
    run('eval', 'net.safetensors', 'images', '--quiet', '--json', '--tta', 'horizontal'),
  ) as object;
  expect(json).toMatchObject({ images: 4, tta: { views: 2, accuracy: expect.any(Number) as number } });
  const table = run('predict', 'net.safetensors', 'images/cat/0.png', '--tta', 'horizontal');
  expect(table).toMatch(/plain +tta\n( +(cat|dog) +[\d.]+% +[\d.]+%\n){2}$/);
  const line = JSON.parse(run('predict', 'net.safetensors', 'images/cat/0.png', '--tta', 'aerial', '--json')) as {
    predictions: { probability: number; tta: number }[];
  };
  expect(line.predictions.reduce((a, p) => a + p.tta, 0)).toBeCloseTo(1, 5);
});
