// Statistics measured again: the network computes what it did, and training continues from statistics that fit.
import {
  calibrate,
  compile,
  createModel,
  ImageStore,
  input,
  loadCheckpoint,
  loadWeights,
  UsageError,
  Weights,
  writeSafetensors,
  type Arch,
  type Checkpoint,
  type TensorData,
} from 'mnv2-torch';
import { checkpointMetadata } from '../../dist/weights/checkpoint.js';
import { Random } from '../../dist/random.js';
import { planes, trained } from '../support/networks.ts';
import { bytesOf } from '../support/numeric.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('calibrate');
const SIDE = 32;
const IMAGES = 24;
const EPS = 1e-5;

/** A network with BatchNorm folded into its convolutions, as exporters leave it: its running statistics say nothing. */
async function folded(arch: Arch): Promise<Checkpoint> {
  const model = createModel(arch, { widthMult: 0.25, numClasses: 3, bnEps: EPS, bnMomentum: 1 });
  using weights = await trained(model, input('x', [-1, 3, SIDE, SIDE]), [IMAGES, 3, SIDE, SIDE]);
  const tensors = await weights.get();
  const names = [...tensors.keys()];
  const floats = (name: string): Float32Array => tensors.get(name)!.data as Float32Array;
  for (const mean of names.filter((name) => name.endsWith('.running_mean'))) {
    const norm = mean.slice(0, -'.running_mean'.length);
    const [convolution, scale, shift] = [names[names.indexOf(`${norm}.weight`) - 1]!, `${norm}.weight`, `${norm}.bias`];
    const kernels = floats(convolution);
    const each = kernels.length / floats(scale).length;
    floats(scale).forEach((weight, c) => {
      const factor = weight / Math.sqrt(floats(`${norm}.running_var`)[c]! + EPS);
      for (let i = c * each; i < (c + 1) * each; i++) kernels[i]! *= factor;
      floats(shift)[c]! -= floats(mean)[c]! * factor;
      floats(scale)[c] = Math.sqrt(1 + EPS);
    });
    floats(mean).fill(0);
    floats(`${norm}.running_var`).fill(1);
  }
  const file = at(`${arch}.safetensors`);
  const preprocess = { size: SIDE, scale: 'x/127.5-1' } as const;
  await writeSafetensors(file, tensors, checkpointMetadata(model, ['a', 'b', 'c'], preprocess));
  return loadCheckpoint(file);
}

const store = new ImageStore({ count: IMAGES, height: SIDE, width: SIDE, channels: 3 });
const pixels = new Uint8Array(IMAGES * SIDE * SIDE * 3);
const noise = new Random(9, 'pixels');
pixels.forEach((_, i) => (pixels[i] = ((i * 7) % 120) + 130 * noise.next()));
for (let i = 0; i < IMAGES; i++) store.put(i, pixels.subarray(i * SIDE * SIDE * 3, (i + 1) * SIDE * SIDE * 3));
const images = planes({ data: pixels, shape: [IMAGES, SIDE, SIDE, 3] }, { size: SIDE, scale: 'x/127.5-1' });
afterAll(() => store.dispose());

/** Logits on the images, and statistics that a training step with momentum 1 on all of them at once leaves. */
async function computed(
  { arch, options }: Checkpoint,
  tensors: Map<string, TensorData>,
): Promise<{ logits: Float32Array; statistics: Map<string, TensorData> }> {
  const model = createModel(arch as Arch, { ...options, bnMomentum: 1, dropout: 0 });
  using weights = await Weights.init(model);
  await loadWeights(weights, model, tensors, { strict: true });
  const x = input('x', [-1, 3, SIDE, SIDE]);
  using evaluating = compile({ y: model.eval().call(x) }, { weights });
  const logits = (await evaluating.run({ x: images }))['y']!.data.slice() as Float32Array;
  using training = compile({ y: model.train().call(x) }, { weights });
  await training.run({ x: images });
  return { logits, statistics: await weights.get([...tensors.keys()].filter((n) => n.includes('.running_'))) };
}
const largest = (values: ArrayLike<number>): number => Math.max(...Array.from(values, Math.abs));
const apart = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  largest(Array.from(a, (v, i) => v - b[i]!)) / largest(b);

test.each(['mobilenet_v2', 'mobilenet_v1', 'mobilenet_v3_small'] as const)('%s', async (arch) => {
  const before = await folded(arch);
  const heard: number[] = [];
  const after = await calibrate(before, store, { onProgress: (done) => heard.push(done) });
  expect([...after.keys()]).toEqual([...before.tensors.keys()]);
  expect(heard.at(-1)).toBe(IMAGES);
  // Only BatchNorm changed, and all of it.
  const norms = new Set([...after.keys()].filter((n) => n.endsWith('.running_mean')).map((n) => n.slice(0, -13)));
  expect(norms.size).toBeGreaterThan(20);
  for (const [name, { data }] of after) {
    const same = bytesOf(data).equals(bytesOf(before.tensors.get(name)!.data));
    const [path, array] = [name.slice(0, name.lastIndexOf('.')), name.slice(name.lastIndexOf('.') + 1)];
    if (!norms.has(path) || array === 'num_batches_tracked') expect([name, same]).toEqual([name, true]);
    if (array === 'running_mean' || array === 'running_var') expect([name, same]).toEqual([name, false]);
  }
  const [plain, calibrated] = [await computed(before, before.tensors), await computed(before, after)];
  expect(apart(calibrated.logits, plain.logits)).toBeLessThan(1e-4);
  // What was measured is the statistics of a batch of all the images, by PyTorch's formula but for n / (n - 1): where a
  // pass of training would put them is where they are. Deep layers see few positions, so the factor is told by name.
  for (const [name, { data }] of calibrated.statistics) {
    const own = after.get(name)!.data as Float32Array;
    const numbers = data as Float32Array;
    if (name.endsWith('running_mean')) expect([name, apart(own, numbers) < 1e-3]).toEqual([name, true]);
    else {
      const alive = own.findIndex((v) => v > 1e-3 * largest(own));
      const factor = numbers[alive]! / own[alive]!; // n / (n - 1), the same for all channels of a layer
      expect(factor).toBeGreaterThan(1 - 1e-4);
      expect(factor).toBeLessThan(IMAGES / (IMAGES - 1) + 1e-4);
      const unbiased = own.map((v) => v * factor);
      expect([name, apart(unbiased, numbers) < 1e-3]).toEqual([name, true]);
    }
  }
});
test('without a network’s name there is nothing to calibrate', async () => {
  const checkpoint = { ...(await folded('mobilenet_v2')), arch: undefined as never };
  await expect(calibrate(checkpoint, store)).rejects.toThrow(UsageError);
});
