// One training of the ablation, and what is measured of it.
import path from 'node:path';
import {
  compile,
  createModel,
  ImageFolder,
  ImageStore,
  input,
  loadCheckpoint,
  pixelScaling,
  syntheticScenes,
  Trainer,
} from '../../dist/index.js';
import { depthwiseIn, subjectOf } from '../../dist/inspect/inspect.js';
import { convolutionsOf, valuesOf } from '../../dist/inspect/layers.js';
import { totalsOf } from '../../dist/inspect/measure.js';
import { roundedWeights } from '../../dist/inspect/rounding.js';
import { subset } from '../image-sets.js';
import { atLowPrecision, observed, withRoundedActivations } from './low-precision.js';
import { FACTORS, SETTINGS } from './plan.js';

const WEIGHTS = {
  mobilenet_v1: 'mobilenet_v1_keras_partial.safetensors',
  mobilenet_v2: 'mobilenet_v2_tfslim.safetensors',
};
/** Training images that activations are rounded to the ranges of. */
const CALIBRATED = 64;

/** The pictures, the same in every training. */
async function dataOf(pictures, root) {
  const { size, perClass, valSplit } = SETTINGS[pictures].data;
  if (pictures === 'scratch') return syntheticScenes({ size, perClass, valSplit, seed: 0 });
  return ImageFolder.open(subset(path.join(root, 'ucmerced'), perClass), { size, valSplit, seed: 0, cache: 'off' });
}

/** Rows of an output, [images, numbers]. */
async function rowsOf(outputs, weights, data, rows, preprocess) {
  const program = compile(outputs, { weights });
  const names = Object.keys(outputs);
  const bind = { image: { images: data.store, ...pixelScaling(preprocess) } };
  const result = await program.loop({ order: Int32Array.from(rows), batchSize: 16, bind, rows: names });
  program.dispose();
  return result.rows;
}

function shareRight(logits, rows, labels) {
  const { data, shape } = logits;
  const right = [...rows].filter((row, i) => {
    const own = data.subarray(i * shape[1], (i + 1) * shape[1]);
    return own.indexOf(Math.max(...own)) === labels[row];
  });
  return right.length / rows.length;
}

/** Accuracy with weights (BatchNorm folded) and activations rounded to 8 bits after the training. */
async function roundedAccuracy(model, weights, data, preprocess) {
  const { train, val } = await data.ready();
  model.eval();
  const logits = model.call(input('image', [-1, 3, data.size, data.size]));
  const seen = await rowsOf(observed(logits), weights, data, train.subarray(0, CALIBRATED), preprocess);
  const least = (name) => seen[name].data.reduce((a, b) => Math.min(a, b), Infinity);
  const most = (name) => seen[name].data.reduce((a, b) => Math.max(a, b), -Infinity);
  const ranges = Array.from({ length: Object.keys(seen).length / 2 }, (_, i) => [least(`${i} low`), most(`${i} high`)]);
  const rounded = withRoundedActivations(logits, ranges);
  const layers = convolutionsOf(logits);
  const own = await weights.get();
  const values = valuesOf(own);
  const accuracy = {};
  for (const scales of ['perTensor', 'perChannel']) {
    const copy = await weights.copy();
    await copy.set(
      layers.map((layer) => ({
        name: layer.weight,
        ...own.get(layer.weight),
        data: roundedWeights(layer, values, scales),
      })),
    );
    const { logits: got } = await rowsOf({ logits: rounded }, copy, data, val, preprocess);
    accuracy[scales] = shareRight(got, val, data.labels);
    copy.dispose();
  }
  return accuracy;
}

/** What the validation images, and the weights, tell of dead kernels: shares of all of them. */
async function deadOf(model, weights, data, preprocess) {
  const { val } = await data.ready();
  const images = new ImageStore({ count: val.length, height: data.size, width: data.size, channels: 3 });
  val.forEach((row, i) => images.put(i, data.store.get(row)));
  const subject = await subjectOf({ model, weights, classes: data.classes, preprocess });
  const { layers } = await depthwiseIn(subject, { images });
  const totals = totalsOf(layers);
  const channels = layers.reduce((a, layer) => a + layer.channels, 0);
  images.dispose();
  const share = (n) => (n === null ? null : n / channels);
  return {
    empty: share(totals.empty),
    vanished: share(totals.vanished),
    neverOpened: share(totals.neverOpened),
    closed: share(totals.closed),
    silent: share(totals.silent),
    saturation: totals.saturation,
    emptiedPerTensor: share(totals.int8.perTensor.empty),
    silentPerTensor: share(totals.int8.perTensor.silent),
    silentPerChannel: share(totals.int8.perChannel.silent),
  };
}

/**
 * @param root MNV2_DATA; absent: drawn scenes alone can be trained on
 * @returns figures as plain values; all of the best epoch's weights
 */
export async function trained({ pictures, arch, factor, precision, seed }, root) {
  const since = performance.now();
  const { model: shared, train } = SETTINGS[pictures];
  const { model: own = {}, train: ownTrain = {}, rate = 1 } = FACTORS[factor];
  const data = await dataOf(pictures, root);
  const file = pictures === 'scratch' ? undefined : path.join(root, 'weights', WEIGHTS[arch]);
  const weights = file && (await loadCheckpoint(file, { allowPartial: true }));
  const preprocess = { size: data.size, scale: 'x/127.5-1' };
  const options = { ...weights?.options, ...shared, ...own, numClasses: data.classes.length };
  const model = createModel(arch, options);
  // The same network without rounding, to be looked at.
  const plain = createModel(arch, options);
  if (precision === '8 bits') atLowPrecision(model);
  const settings = { ...train, ...ownTrain, lr: train.lr * rate, seed, preprocess, ...(weights && { weights }) };
  let result;
  try {
    result = await new Trainer(model, data, settings).fit();
  } catch (error) {
    data.dispose();
    if (error.code !== 'DIVERGED') throw error;
    return { diverged: true, seconds: (performance.now() - since) / 1000 };
  }
  // Of the best epoch, whose weights fit() gives back: all figures are of the same weights.
  const figures = {
    accuracy: result.best.accuracy,
    trainLoss: result.history.at(-1).train.loss,
    ...(precision === 'float' && {
      rounded: await roundedAccuracy(plain, result.weights, data, preprocess),
    }),
    dead: await deadOf(plain, result.weights, data, preprocess),
  };
  result.dispose();
  data.dispose();
  return { ...figures, seconds: (performance.now() - since) / 1000 };
}
