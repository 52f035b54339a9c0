// Exports of a trained backbone beside `predict`, from the bytes of a hundred real images to the first class.
import fs from 'node:fs';
import {
  completeCheckpoint,
  decodeImage,
  exportOnnx,
  ImageStore,
  loadCheckpoint,
  writeSafetensors,
  type CompleteCheckpoint,
} from 'mnv2-torch';
import { Backbone } from '../../dist/infer/embed.js';
import { requireData } from '../support/data.ts';
import { temporaryFolder } from '../support/temporary.ts';

/** Less than half of the images', so that decoding leaves no pixels out: what is resized are all of them. */
const SIZE = 144;
const CLASSES = 20;

requireData('exports of a trained backbone', (file) => {
  const at = temporaryFolder('exports');
  let images: string[];
  let checkpoint: CompleteCheckpoint;
  /** The backbone with a head that tells the classes apart as training does: by the means of their features. */
  beforeAll(async () => {
    const classes = fs.readdirSync(file('ucmerced')).sort().slice(0, CLASSES);
    images = classes.flatMap((c) => ['03', '23', '43', '63', '78'].map((n) => file('ucmerced', c, `${c}${n}.jpg`)));
    const backbone = await loadCheckpoint(file('weights', 'mobilenet_v2_tfslim.safetensors'));
    const preprocess = { ...backbone.preprocess!, size: SIZE };
    const store = new ImageStore({ count: images.length, height: SIZE, width: SIZE, channels: 3 });
    for (const [i, image] of images.entries()) store.put(i, await decodeImage(image, SIZE));
    using network = await Backbone.load({ checkpoint: { ...backbone, preprocess }, store });
    const { data, width } = await network.of(Int32Array.from(images.keys()));
    store.dispose();
    const each = images.length / CLASSES;
    const weight = new Float32Array(CLASSES * width);
    data.forEach((v, i) => (weight[Math.floor(i / width / each) * width + (i % width)]! += v / each / 8));
    // The nearest of the means has the largest inner product less half its square.
    const bias = Float32Array.from({ length: CLASSES }, (_, c) =>
      weight.subarray(c * width, (c + 1) * width).reduce((sum, w) => sum - 4 * w * w, 0),
    );
    const tensors = new Map(backbone.tensors)
      .set('classifier.1.weight', { data: weight, shape: [CLASSES, width], dtype: 'float32' })
      .set('classifier.1.bias', { data: bias, shape: [CLASSES], dtype: 'float32' });
    const said = { preprocess: JSON.stringify(preprocess), classes: JSON.stringify(classes) };
    await writeSafetensors(at('own.safetensors'), tensors, { ...backbone.metadata, ...said });
    checkpoint = completeCheckpoint(await loadCheckpoint(at('own.safetensors')));
  });
  const exported = (name: string, options: object): ReturnType<typeof exportOnnx> =>
    exportOnnx(checkpoint, at(name), { images, ...options });

  test('within a ten thousandth, the same first class to all', async () => {
    const parity = await exported('plain.onnx', {});
    expect(parity.images.names).toHaveLength(100);
    expect(parity).toMatchObject({ agrees: true, top1: { agree: 100, of: 100, ties: 0 } });
    expect(parity.largestDifference).toBeLessThan(1e-4);
  }, 120_000);
  test('in half precision to 99', async () => {
    const { agrees, largestDifference, top1 } = await exported('half.onnx', { dtype: 'fp16' });
    expect(agrees).toBe(true);
    expect(top1.agree - top1.ties).toBeGreaterThanOrEqual(99);
    expect(largestDifference).toBeLessThan(0.1);
  }, 120_000);
  test('resized inside to our bytes, within one level', async () => {
    const parity = await exported('resized.onnx', { resize: true });
    expect(parity.resized).toEqual({ largestDifference: 1, most: 1 });
    expect(parity.top1).toMatchObject({ agree: 100, ties: 0 });
    expect(parity.largestDifference).toBeLessThan(1e-4);
  }, 120_000);
});
