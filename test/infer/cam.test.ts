// Class activation maps against their definitions, worked out from fetched features and the weights themselves.
import sharp from 'sharp';
import {
  Classifier,
  compile,
  Flatten,
  ImageStore,
  input,
  Linear,
  MobileNetV1,
  MobileNetV2,
  MobileNetV3Small,
  pixelScaling,
  Sequential,
  tensorData,
  UsageError,
  Weights,
  type MobileNet,
  type Module,
} from 'mnv2-torch';
import { trained } from '../support/networks.ts';

const SIZE = 96;
const CLASSES = ['a', 'b', 'c'];
const preprocess = { size: SIZE, scale: 'x/127.5-1' } as const;
const CELLS = 9;

/** A picture with something to see in one corner. */
const pixels = Uint8Array.from({ length: SIZE * SIZE * 3 }, (_, i) => {
  const [x, y] = [Math.floor(i / 3) % SIZE, Math.floor(i / 3 / SIZE)];
  return x < 40 && y < 40 ? (37 * i) % 251 : 90 + (i % 3);
});
const picture = sharp(pixels, { raw: { width: SIZE, height: SIZE, channels: 3 } })
  .png()
  .toBuffer();

async function weightsOf(model: Module): Promise<Weights> {
  const image = input('x', [-1, 3, SIZE, SIZE]);
  const weights = await trained(model, image, [4, 3, SIZE, SIZE]);
  model.eval();
  return weights;
}

/** The last feature map [C][cells] and the logits, by name from the whole network. */
async function lookInside(model: MobileNet, weights: Weights): Promise<{ features: number[][]; logits: number[] }> {
  using store = new ImageStore({ count: 1, height: SIZE, width: SIZE, channels: 3 });
  store.put(0, pixels);
  const hwc = store.load(0, { ...pixelScaling(preprocess), seed: 0, epoch: 0 });
  const chw = Float32Array.from({ length: hwc.length }, (_, i) => {
    const [c, p] = [Math.floor(i / (SIZE * SIZE)), i % (SIZE * SIZE)];
    return hwc[p * 3 + c]!;
  });
  using program = compile({ logits: model.call(input('image', [-1, 3, SIZE, SIZE])) }, { weights });
  const feeds = { image: tensorData(chw, [1, 3, SIZE, SIZE]) };
  const got = await program.run(feeds, { fetch: ['features', 'logits'] });
  const flat = [...(got['features']!.data as Float32Array)];
  return {
    features: Array.from({ length: flat.length / CELLS }, (_, c) => flat.slice(c * CELLS, c * CELLS + CELLS)),
    logits: [...(got['logits']!.data as Float32Array)],
  };
}

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((s, v, i) => s + v * b[i]!, 0);
const mean = (a: readonly number[]): number => a.reduce((s, v) => s + v, 0) / a.length;
const matrix = ({ data, shape }: { data: ArrayLike<number | bigint>; shape: readonly number[] }): number[][] =>
  Array.from({ length: shape[0]! }, (_, r) =>
    Array.from({ length: shape[1]! }, (_, c) => Number(data[r * shape[1]! + c])),
  );
const near = (got: ArrayLike<number>, expected: readonly number[]): void => {
  const scale = Math.max(...expected.map(Math.abs));
  expect(scale).toBeGreaterThan(0);
  expect(got.length).toBe(expected.length);
  expected.forEach((v, i) => expect(Math.abs(got[i]! - v) / scale).toBeLessThan(2e-4));
};

describe.each([
  ['V1', () => MobileNetV1({ numClasses: 3, widthMult: 0.25 })],
  ['V2', () => MobileNetV2({ numClasses: 3, widthMult: 0.25 })],
])('%s', (_name, create) => {
  test('a map is the head’s row over the last feature map; its mean and the bias are the logit', async () => {
    const model = create();
    using weights = await weightsOf(model);
    const { features, logits } = await lookInside(model, weights);
    const head = await weights.get(['classifier.1.weight', 'classifier.1.bias']);
    const rows = matrix(head.get('classifier.1.weight')!);
    const bias = head.get('classifier.1.bias')!.data as Float32Array;
    using classifier = await Classifier.from({ model, weights, classes: CLASSES, preprocess });
    const [predicted] = await classifier.classify(await picture, { topK: 1 });
    for (const [c, label] of CLASSES.entries()) {
      const map = await classifier.explain(await picture, { label });
      expect(map).toMatchObject({ label, height: 3, width: 3, exact: true });
      near(
        map.values,
        Array.from({ length: CELLS }, (_, p) =>
          dot(
            rows[c]!,
            features.map((f) => f[p]!),
          ),
        ),
      );
      expect(Math.abs(mean([...map.values]) + bias[c]! - logits[c]!)).toBeLessThan(
        1e-3 * Math.max(1, Math.abs(logits[c]!)),
      );
    }
    // Nothing asked: the class predicted.
    const own = await classifier.explain(await picture);
    expect(own.label).toBe(predicted!.label);
    expect(own.probability).toBeCloseTo(predicted!.probability, 5);
  });
});

test('V3: weighted by the slope of the head at the picture’s own features', async () => {
  const model = MobileNetV3Small({ numClasses: 3, widthMult: 0.25 });
  using weights = await weightsOf(model);
  const { features } = await lookInside(model, weights);
  const names = ['classifier.0.weight', 'classifier.0.bias', 'classifier.3.weight', 'classifier.3.bias'];
  const head = await weights.get(names);
  const [w0, w3] = [matrix(head.get(names[0]!)!), matrix(head.get(names[2]!)!)];
  const b0 = [...(head.get(names[1]!)!.data as Float32Array)];
  const hardswish = (x: number): number => (x * Math.min(Math.max(x + 3, 0), 6)) / 6;
  const logit = (pooled: readonly number[], c: number): number =>
    dot(
      w3[c]!,
      w0.map((row, h) => hardswish(dot(row, pooled) + b0[h]!)),
    );
  const pooled = features.map(mean);
  using classifier = await Classifier.from({ model, weights, classes: CLASSES, preprocess });
  for (const [c, label] of CLASSES.entries()) {
    const slope = pooled.map((_, k) => {
      const moved = (by: number): number[] => pooled.with(k, pooled[k]! + by);
      return (logit(moved(1e-5), c) - logit(moved(-1e-5), c)) / 2e-5;
    });
    const map = await classifier.explain(await picture, { label });
    expect(map.exact).toBe(false);
    near(
      map.values,
      Array.from({ length: CELLS }, (_, p) =>
        dot(
          slope,
          features.map((f) => f[p]!),
        ),
      ),
    );
  }
});

test('a network without a last pooling is refused by what it lacks, an unknown class by its name', async () => {
  const model = new Sequential(new Flatten(), new Linear(SIZE * SIZE * 3, 3));
  using weights = await Weights.init(model, { seed: 0 });
  using classifier = await Classifier.from({ model, weights, classes: CLASSES, preprocess });
  await expect(classifier.explain(await picture)).rejects.toThrow(UsageError);
  await expect(classifier.explain(await picture)).rejects.toThrow(/global average pooling .* this one has none/);
  await expect(classifier.explain(await picture, { label: 'd' })).rejects.toThrow(
    /label: expected one of the model's classes, a, b, c; got 'd'/,
  );
});
