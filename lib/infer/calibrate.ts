// Statistics of BatchNorm measured again: a file whose BatchNorm was folded into its convolutions is right in evaluation,
// but could not be trained on, for its running statistics say nothing.
import { inferenceBatch } from '../engine/batch-size.js';
import type { ImageStore } from '../engine/images.js';
import { compile } from '../engine/program.js';
import { add, mean, mul } from '../graph/ops.js';
import { topological } from '../graph/order.js';
import { input, constant, type Tensor } from '../graph/tensor.js';
import type { TensorData } from '../native/wire.js';
import type { Checkpoint } from '../weights/checkpoint.js';
import { pixelScaling } from '../weights/preprocess.js';
import { backboneOnEngine, evaluating } from './trained.js';

/** Below it a channel is dead, and dividing by its deviation would make noise of it. */
const LEAST_VARIANCE = 1e-8;

/** Where a calibration runs, and what hears of it. */
export interface CalibrateOptions {
  /** 'cpu' (default), 'cuda', 'cuda:n' or 'auto' */
  device?: string;
  signal?: AbortSignal;
  /** images done */
  onProgress?: (done: number) => void;
}

/**
 * The tensors of a checkpoint with every BatchNorm's running mean and variance (biased) measured over images, and its
 * weight and bias changed with them so that the network computes the same function in evaluation as before.
 * @param store images of the size the checkpoint expects
 * @throws UsageError when the checkpoint does not say which network it is of
 * @example
 * import { calibrate, ImageStore, loadCheckpoint, MobileNetV2, syntheticScenes, Trainer } from 'mnv2-torch';
 * import { mkdtempSync } from 'node:fs';
 * const data = await syntheticScenes({ size: 32, perClass: 2 });
 * const result = await new Trainer(MobileNetV2({ numClasses: 21, widthMult: 0.25 }), data, { epochs: 1 }).fit();
 * const file = mkdtempSync('/tmp/mnv2-') + '/x.safetensors';
 * await result.save(file);
 * const tensors = await calibrate(await loadCheckpoint(file), data.store);
 * console.log(tensors.get('features.0.1.running_var').shape); // [ 8 ]
 */
export async function calibrate(
  checkpoint: Checkpoint,
  store: ImageStore,
  { device = 'cpu', signal, onProgress }: CalibrateOptions = {},
): Promise<Map<string, TensorData>> {
  const { model, weights, preprocess } = await backboneOnEngine(checkpoint, { device });
  using engine = weights.engine;
  using _weights = weights;
  const image = input('image', [-1, 3, store.height, store.width]);
  const logits = evaluating(model, () => model.call(image));
  const norms = topological([logits]).filter((t) => t.op === 'batchNorm2d');
  const outputs: Record<string, Tensor> = {};
  const minus = constant([-1]);
  for (const { inputs, path } of norms) {
    const x = inputs[0]!; // [N, C, H, W]
    const over = { dims: [2, 3], keepDims: true };
    const own = mean(x, over); // each image's mean, about which its variance is taken: no large squares are subtracted
    const centred = add(x, mul(own, minus));
    outputs[`${path} mean`] = own;
    outputs[`${path} variance`] = mean(mul(centred, centred), over);
  }
  const order = Int32Array.from({ length: store.count }, (_, i) => i);
  const batchSize = inferenceBatch(engine.device);
  using program = compile(outputs, { weights });
  const { rows } = await program.loop({
    order,
    batchSize,
    bind: { image: { images: store, ...pixelScaling(preprocess) } },
    rows: Object.keys(outputs),
    ...(signal && { signal }),
    ...(onProgress && { onProgress: (step) => onProgress(Math.min(step * batchSize, order.length)) }),
  });
  signal?.throwIfAborted();
  onProgress?.(order.length);
  const measured = new Map([...(await weights.get())].filter(([name]) => checkpoint.tensors.has(name)));
  for (const { path, attrs } of norms) {
    const numbers = (what: string): Float32Array => rows[`${path} ${what}`]!.data as Float32Array;
    const { mu, variance } = pooled(numbers('mean'), numbers('variance'), order.length);
    renormalise(measured, path, { mu, variance, eps: attrs['eps'] as number });
  }
  return measured;
}

/** Mean and variance over all images of a channel, of each image's own. */
function pooled(
  means: Float32Array,
  variances: Float32Array,
  images: number,
): { mu: Float64Array; variance: Float64Array } {
  const channels = means.length / images;
  const mu = new Float64Array(channels);
  const variance = new Float64Array(channels);
  means.forEach((m, i) => (mu[i % channels]! += m / images));
  means.forEach((m, i) => (variance[i % channels]! += (variances[i]! + (m - mu[i % channels]!) ** 2) / images));
  return { mu, variance };
}

/** Replaces a BatchNorm's statistics, and its scale and shift so that it computes what it did. */
function renormalise(
  tensors: Map<string, TensorData>,
  path: string,
  { mu, variance, eps }: { mu: Float64Array; variance: Float64Array; eps: number },
): void {
  const [weight, bias, oldMean, oldVariance] = ['weight', 'bias', 'running_mean', 'running_var'].map(
    (array) => tensors.get(`${path}.${array}`)?.data as Float32Array | undefined,
  );
  if (!weight || !bias || !oldMean || !oldVariance) return; // it starts fresh, and so do its statistics
  for (let c = 0; c < weight.length; c++) {
    const scale = weight[c]! / Math.sqrt(oldVariance[c]! + eps);
    const shift = bias[c]! - oldMean[c]! * scale;
    const v = Math.max(variance[c]!, LEAST_VARIANCE);
    weight[c] = scale * Math.sqrt(v + eps);
    bias[c] = shift + mu[c]! * scale;
    oldMean[c] = mu[c]!;
    oldVariance[c] = v;
  }
}
