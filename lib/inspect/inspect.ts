// inspect: which of a network's depthwise kernels are dead, and what 8-bit rounding does to it. What is measured is in the
// files beside this.
import { DataError, few, UsageError } from '../errors.js';
import { ImageStore } from '../engine/images.js';
import { input } from '../graph/tensor.js';
import { evaluating, type TrainedModel } from '../infer/trained.js';
import { architectureOf, createModel } from '../models/registry.js';
import { inHead } from '../models/head.js';
import type { Module } from '../nn/module.js';
import type { TensorData } from '../native/wire.js';
import { builtInArch, type Checkpoint } from '../weights/checkpoint.js';
import { checkNumbers, matchWeights } from '../weights/load.js';
import { pixelScaling, type Preprocess } from '../weights/preprocess.js';
import { adviceOf } from './advice.js';
import { boundsOf, type Bounds } from './bounds.js';
import { convolutionsOf, isDepthwise, isPointwise, valuesOf, type ConvLayer, type Values } from './layers.js';
import { lookAt, type Images } from './look.js';
import { depthwiseOf, pointwiseOf, totalsOf, type Variant } from './measure.js';
import type { DepthwiseLayer, Inspection } from './result.js';
import { roundedWeights, SCALES, type Scales } from './rounding.js';

/** What of the images is looked at, and where. */
export interface InspectOptions {
  /** pictures to run through the network, or a store of decoded ones; absent: weights alone are looked at */
  images?: Images;
  /** where the images are run: 'cpu' (default), 'cuda', 'cuda:n' or 'auto' */
  device?: string;
  signal?: AbortSignal;
}

/** A network and its numbers, wherever they came from. */
interface Subject {
  readonly file: string | null;
  readonly model: Module;
  readonly tensors: ReadonlyMap<string, TensorData>;
  readonly preprocess: Preprocess | undefined;
  readonly notes: readonly string[];
}

/** Side of the input where a file does not say; no figure but those on images depends on it. */
const SIZE = 224;
/** Names a note shows. */
const SHOWN = 4;

/**
 * Looks at a network's depthwise layers: kernels that are empty, channels whose variance vanished or whose activation never
 * opens, and with images those that stay silent; at its pointwise layers' effective rank; and at what of this is left when
 * the weights, BatchNorm folded in, are rounded to 8 bits with one scale a tensor or a channel. Activations are not rounded.
 * @param of what loadCheckpoint() gives, a backbone or only a part of it too, or what fit() gives
 * @throws DataError for tensors that do not fit, a network without depthwise convolutions, or an unusable image
 * @example
 * import { inspect, MobileNetV2, Weights } from 'mnv2-torch';
 * const model = MobileNetV2({ numClasses: 2, widthMult: 0.25, invertedResidualSetting: [[2, 16, 1, 2]] });
 * const weights = await Weights.init(model);
 * const one = await weights.get(['features.1.conv.1.0.weight']);
 * for (const [name, tensor] of one) tensor.data.fill(0, 0, 9); // the first of 16 kernels
 * await weights.set([...one].map(([name, tensor]) => ({ name, ...tensor })));
 * const { totals } = await inspect({ model, weights, classes: ['a', 'b'], preprocess: { size: 32, scale: 'x/127.5-1' } });
 * console.log(totals.empty, totals.neverOpened); // 1 0
 */
export async function inspect(of: Checkpoint | TrainedModel, options: InspectOptions = {}): Promise<Inspection> {
  const subject = await subjectOf(of);
  const { file, model, notes } = subject;
  const { layers, images, all, values, absent } = await depthwiseIn(subject, options);
  const found: Omit<Inspection, 'advice'> = {
    file,
    arch: architectureOf(model)?.name ?? model.constructor.name,
    images,
    channels: layers.reduce((a, l) => a + l.channels, 0),
    totals: totalsOf(layers),
    depthwise: layers,
    pointwise: all.filter(isPointwise).flatMap((layer) => pointwiseOf(layer, values) ?? []),
    notes: [
      ...notes,
      ...(absent.length > 0 ? [`${absent.length} depthwise layers are not in the file: ${few(absent, SHOWN)}`] : []),
    ],
  };
  return { ...found, advice: adviceOf(found) };
}

/** What is found of the depthwise layers, and all convolutions; `absent` are not in the file. */
interface Found {
  readonly layers: readonly DepthwiseLayer[];
  /** looked at */
  readonly images: number;
  readonly all: readonly ConvLayer[];
  readonly values: Values;
  readonly absent: readonly string[];
}

/** The depthwise part of an inspection, which takes a fraction of its time. */
export async function depthwiseIn(subject: Subject, options: InspectOptions): Promise<Found> {
  const { images, device = 'cpu', signal } = options;
  const { file, model, tensors, preprocess } = subject;
  const size = images instanceof ImageStore ? images.height : (preprocess?.size ?? SIZE);
  const output = evaluating(model, (m) => m.call(input('image', [-1, 3, size, size])));
  const values = valuesOf(tensors);
  const all = convolutionsOf(output);
  const depthwise = all.filter(isDepthwise);
  const there = depthwise.filter(({ weight }) => tensors.has(weight));
  if (there.length === 0)
    throw new DataError(
      `${file ?? 'the network'} holds no depthwise convolution: expected a MobileNet, or a network with DepthwiseConv2d`,
      file === null ? [] : [file],
    );
  if (images && !preprocess)
    throw new DataError(
      `${file}: metadata 'preprocess' is missing; expected JSON such as {"size":224,"scale":"x/127.5-1"}`,
      [file!],
    );
  const variants = new Map<Variant, Values>([
    ['float', values],
    ...SCALES.map((scales) => [scales, roundedValues(all, values, scales)] as const),
  ]);
  const looked = images && {
    images,
    model,
    tensors,
    preprocess: preprocess!,
    layers: all,
    variants,
    device,
    size,
    signal,
  };
  const seen = looked && (await lookAt(looked));
  const given = imageBounds(preprocess);
  const known = new Map(
    [...variants].map(([of, own]) => [of, { bounds: boundsOf(output, given, own), seen: seen?.of.get(of) }]),
  );
  const layers = there.map((layer) => depthwiseOf(layer, values, (variant) => known.get(variant)!));
  const absent = depthwise.filter((layer) => !there.includes(layer)).map((layer) => layer.name);
  return { layers, images: seen?.count ?? 0, all, values, absent };
}

/** @throws DataError where the tensors are not the network's */
export async function subjectOf(of: Checkpoint | TrainedModel): Promise<Subject> {
  if (typeof of !== 'object' || of === null || !('tensors' in of || 'weights' in of))
    throw new UsageError(`expected what loadCheckpoint() or fit() gives, got ${String(of)}`);
  if ('weights' in of) {
    const { model, weights, preprocess } = of;
    return { file: null, model, tensors: await weights.get(), preprocess, notes: [] };
  }
  const { file, tensors, preprocess, options, notes = [] } = of;
  const arch = 'model' in of ? undefined : builtInArch(of);
  if (!('model' in of) && !arch)
    throw new DataError(`${file}: metadata 'arch' is missing; expected the name of a network`, [file]);
  const model = 'model' in of ? (of.model as Module) : createModel(arch!, options);
  const head = architectureOf(model)?.head;
  const source = `the tensors of ${file}`;
  const { report, entries } = matchWeights(model, tensors, { source, allowPartial: true });
  const { missing, loaded } = report;
  for (const entry of entries) checkNumbers(entry, source);
  const body = missing.filter((name) => !(head && inHead(head, name)) && !name.endsWith('num_batches_tracked'));
  if (loaded.length === 0)
    throw new DataError(`${source} do not fit this model: none of ${few(missing, SHOWN)} is there`, [file]);
  const gaps =
    body.length > 0 ? [`the file lacks ${few(body, SHOWN)}: what follows is bounded by its activations alone`] : [];
  return { file, model, tensors, preprocess, notes: [...notes, ...gaps] };
}

/** A pixel's bounds, which every image keeps. */
function imageBounds(preprocess: Preprocess | undefined): ReadonlyMap<string, Bounds> {
  if (!preprocess) return new Map();
  const { scale, shift } = pixelScaling(preprocess);
  const ends = [0, 255].map((pixel) => Float64Array.from(scale, (s, c) => pixel * s + shift[c]!));
  return new Map([['image', { low: ends[0]!, high: ends[1]! }]]);
}

/** The network's numbers with the weights of all its convolutions rounded. */
function roundedValues(all: readonly ConvLayer[], values: Values, scales: Scales): Values {
  const made = new Map(all.map((layer) => [layer.weight, roundedWeights(layer, values, scales)]));
  return (name) => made.get(name) ?? values(name);
}
