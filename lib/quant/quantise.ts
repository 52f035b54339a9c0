// From a float checkpoint and pictures to an int8 one. Each step is a file of its own; here is their order.
import { createHash } from 'node:crypto';
import path from 'node:path';
import { UsageError } from '../errors.js';
import { checkFlag } from '../data/checks.js';
import { spread } from '../data/image-files.js';
import type { ImageStore } from '../engine/images.js';
import { native } from '../native/load.js';
import type { TensorData } from '../native/wire.js';
import { scaleName, zeroPointName } from '../nn/quantised.js';
import { hashOf } from '../weights/cached.js';
import { completeCheckpoint, type CompleteCheckpoint } from '../weights/checkpoint.js';
import { writeSafetensors } from '../weights/formats/safetensors.js';
import { quantisedMetadata, type Quantisation } from '../weights/quantised.js';
import { correctBiases } from './bias.js';
import { equalise } from './equalise.js';
import { foldedNetwork, type FoldedNetwork, type Rounding } from './folded.js';
import { Measuring } from './measuring.js';
import { noiseOf, type LayerNoise } from './noise.js';
import { trainRounded, type QatOptions } from './qat.js';
import { METHODS, rangesOf, type Method } from './ranges.js';
import { weightScales, wholeWeight } from './scales.js';

/** What is quantised by which rules. */
export interface QuantizeOptions {
  /** images of the size the checkpoint expects, as a data set's `store` */
  store: ImageStore;
  /** rows of the store it is calibrated on: a few hundred, none of which is judged afterwards (default: all) */
  rows?: Int32Array;
  /** how the range of a value is chosen (default 'mse'): all that was seen, all but a ten-thousandth, or least error */
  method?: Method;
  /** one scale a weight tensor instead of one an output channel (default false) */
  perTensor?: boolean;
  /** cross-layer equalisation, for `perTensor` (default false) */
  equalize?: boolean;
  /** bias correction by the means over the images (default false) */
  biasCorrect?: boolean;
  /** quantisation-aware training after all that (default: none) */
  qat?: QatOptions;
  /** 'cpu' (default), 'cuda', 'cuda:n' or 'auto' */
  device?: string;
  /** CPU threads (default: all cores) */
  threads?: number;
  signal?: AbortSignal;
  /** images run so far, of all its passes over them */
  onProgress?: (done: number, total: number) => void;
}

/** Images the noise of the layers is measured on, at most. */
const MOST_NOISE = 64;

/** An int8 checkpoint, and what was lost on the way. */
export class Quantized {
  constructor(
    /** as `completeCheckpoint` gives it of a file: for `Classifier.from`, `evaluate` and the exporters */
    readonly checkpoint: CompleteCheckpoint,
    /** from the noisiest to the cleanest */
    readonly layers: readonly LayerNoise[],
  ) {}

  /** Writes it whole or not at all. */
  save(file: string): Promise<void> {
    const { tensors, metadata } = this.checkpoint;
    return writeSafetensors(file, tensors, metadata);
  }
}

/**
 * Makes an int8 network of a float one: weights int8 by their output channel, values uint8 with a zero point, BatchNorm in
 * the convolutions before it. Which range of a value the 256 steps cover is learned from images.
 * @throws UsageError for a checkpoint that is int8 already, a network without layers to quantise, or images that do not fit
 * @example
 * import { completeCheckpoint, evaluate, loadCheckpoint, MobileNetV2, quantize, syntheticScenes, Trainer } from 'mnv2-torch';
 * import { mkdtempSync } from 'node:fs';
 * const data = await syntheticScenes({ size: 32, perClass: 2 });
 * const { store, labels } = data;
 * const result = await new Trainer(MobileNetV2({ numClasses: 21, widthMult: 0.25 }), data, { epochs: 1 }).fit();
 * const folder = mkdtempSync('/tmp/mnv2-');
 * await result.save(`${folder}/model.safetensors`);
 * const float = completeCheckpoint(await loadCheckpoint(`${folder}/model.safetensors`));
 * const int8 = await quantize(float, { store, rows: Int32Array.of(0, 5, 9) });
 * await int8.save(`${folder}/model.int8.safetensors`);
 * const { images } = await evaluate({ checkpoint: int8.checkpoint, store, labels, indices: Int32Array.of(1, 2) });
 * console.log(images, int8.layers.length > 50); // 2 true
 */
export async function quantize(checkpoint: CompleteCheckpoint, options: QuantizeOptions): Promise<Quantized> {
  const { method, perTensor, equalize, biasCorrect, rows, store } = checked(checkpoint, options);
  const { device = 'cpu', threads, signal, onProgress, qat } = options;
  const { preprocess } = checkpoint;
  const net = foldedNetwork(checkpoint);
  if (equalize) equalise(net);
  const looked = Int32Array.from(spread([...rows], MOST_NOISE));
  const passes = 1 + (method === 'minmax' ? 0 : 1) + (biasCorrect ? 1 : 0);
  const total = passes * rows.length + looked.length;
  using measuring = await Measuring.of(
    net,
    { store, rows, preprocess },
    {
      ...{ device, ...(threads !== undefined && { threads }), ...(signal && { signal }) },
      ...(onProgress && { onImages: (done) => onProgress(done, total) }),
    },
  );
  let rounding: Rounding = {
    ranges: await rangesOf(net, measuring, method),
    scales: weightScales(net, !perTensor),
  };
  if (biasCorrect) await correctBiases(net, rounding, measuring);
  if (qat) {
    const where = { device, ...(threads !== undefined && { threads }), ...(signal && { signal }) };
    rounding = await trainRounded(net, rounding, checkpoint, qat, where);
    await measuring.update(net);
  }
  const layers = await noiseOf(net, rounding, measuring, looked);
  const form = { perChannel: !perTensor, limits: net.limits };
  const about: Quantisation = {
    ...form,
    ...{ method, equalized: equalize, biasCorrected: biasCorrect, qatEpochs: qat?.epochs ?? 0 },
    images: { count: rows.length, sha256: pixelsDigest(store, rows) },
    source: { file: path.basename(checkpoint.file), ...(await fileDigest(checkpoint.file)) },
    by: `mnv2-torch ${native().buildInfo().package}, libtorch ${native().buildInfo().libtorch}`,
  };
  return new Quantized(asCheckpoint(checkpoint, tensorsOf(net, rounding), about), layers);
}

interface Checked {
  method: Method;
  perTensor: boolean;
  equalize: boolean;
  biasCorrect: boolean;
  rows: Int32Array;
  store: ImageStore;
}

function checked({ preprocess: { size } }: CompleteCheckpoint, options: QuantizeOptions): Checked {
  const { store, method = 'mse', perTensor = false, equalize = false, biasCorrect = false } = options;
  const refuse = (what: string): never => {
    throw new UsageError(`quantize: ${what}`);
  };
  if (!METHODS.includes(method)) refuse(`method: expected one of ${METHODS.join(', ')}, got ${String(method)}`);
  for (const [name, value] of Object.entries({ perTensor, equalize, biasCorrect })) checkFlag(name, value);
  if (store.height !== size || store.width !== size)
    refuse(`expected images of ${size} pixels, got ${store.height} x ${store.width}`);
  const rows = options.rows ?? Int32Array.from({ length: store.count }, (_, i) => i);
  if (rows.length === 0) refuse('expected at least one image to calibrate on, got none');
  return { store, rows, method, perTensor, equalize, biasCorrect };
}

/** The tensors of the file, by name. */
function tensorsOf(net: FoldedNetwork, { ranges, scales }: Rounding): Map<string, TensorData> {
  const floats = (data: Float32Array): TensorData => ({ data, shape: [data.length], dtype: 'float32' });
  const tensors = new Map(net.numbers);
  for (const { name } of net.sites.layers.values()) {
    tensors.set(name, wholeWeight(net.numbers.get(name)!, scales.get(name)!));
    tensors.set(scaleName(name), floats(scales.get(name)!));
  }
  for (const [point, { scale, zeroPoint }] of ranges) {
    tensors.set(scaleName(point), floats(Float32Array.of(scale)));
    tensors.set(zeroPointName(point), floats(Float32Array.of(zeroPoint)));
  }
  return tensors;
}

/** The same checkpoint with an int8 network. */
function asCheckpoint(
  float: CompleteCheckpoint,
  tensors: Map<string, TensorData>,
  about: Quantisation,
): CompleteCheckpoint {
  const { model, ...rest } = float;
  const metadata = { ...float.metadata, ...quantisedMetadata(about) };
  return completeCheckpoint({ ...rest, tensors, metadata }, { model });
}

function pixelsDigest(store: ImageStore, rows: Int32Array): string {
  const hash = createHash('sha256');
  for (const row of rows) hash.update(store.get(row));
  return hash.digest('hex');
}

/** Of a checkpoint that was made in memory there is no file. */
async function fileDigest(file: string): Promise<{ sha256?: string }> {
  const sha256 = await hashOf(file, 'sha256').catch(() => undefined);
  return sha256 === undefined ? {} : { sha256 };
}
