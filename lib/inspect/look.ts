// Runs images through a network whose weights are as they were, and rounded. What is seen of them is on-images.ts.
import { DataError } from '../errors.js';
import { decodeImage, type ImageInput } from '../data/image-input.js';
import { inferenceBatch } from '../engine/batch-size.js';
import { Engine } from '../engine/engine.js';
import { ImageStore } from '../engine/images.js';
import { Weights } from '../engine/weights.js';
import { topological } from '../graph/order.js';
import type { Tensor } from '../graph/tensor.js';
import { unset } from '../infer/trained.js';
import type { Module } from '../nn/module.js';
import type { TensorData } from '../native/wire.js';
import { loadWeights } from '../weights/load.js';
import { pixelScaling, type Preprocess } from '../weights/preprocess.js';
import { isDepthwise, type ConvLayer, type Values } from './layers.js';
import type { Variant } from './measure.js';
import { Watch, type ImageBatch, type Seen } from './on-images.js';

/** Pictures, or a store of decoded ones. */
export type Images = AsyncIterable<ImageInput> | Iterable<ImageInput> | ImageStore;

interface Look {
  images: Images;
  model: Module;
  tensors: ReadonlyMap<string, TensorData>;
  preprocess: Preprocess;
  /** all of the network */
  layers: readonly ConvLayer[];
  variants: ReadonlyMap<Variant, Values>;
  device: string;
  size: number;
  signal: AbortSignal | undefined;
}

/** Runs images through the network with each set of weights. */
export async function lookAt(look: Look): Promise<{ count: number; of: Map<Variant, Map<string, Seen>> }> {
  const { images, model, tensors, layers, variants, device, size, signal } = look;
  const watched = layers.filter((layer) => isDepthwise(layer) && computable(layer.before, tensors));
  const scaling = pixelScaling(look.preprocess);
  const engine = new Engine({ device });
  const watches = new Map<Variant, { watch: Watch; weights: Weights }>();
  try {
    for (const [key, values] of variants) {
      const weights = await Weights.init(unset(model), { engine });
      await loadWeights(weights, model, tensors, { allowPartial: true });
      if (key !== 'float')
        await weights.set(
          layers.flatMap(({ weight, conv }) => {
            const data = values(weight);
            return data ? [{ name: weight, data, shape: [...conv.inputs[1]!.shape], dtype: 'float32' as const }] : [];
          }),
        );
      watches.set(key, { watch: new Watch(watched, weights, scaling), weights });
    }
    let count = 0;
    for await (const batch of batchesOf(images, size, inferenceBatch(engine.device))) {
      for (const { watch } of watches.values()) await watch.take(batch, signal);
      count += batch.count;
    }
    if (count === 0) throw new DataError('images: expected at least one, got none');
    return { count, of: new Map([...watches].map(([key, { watch }]) => [key, watch.results()])) };
  } finally {
    for (const { watch } of watches.values()) watch.dispose();
    engine.dispose();
  }
}

/** Whether a value depends on parameters that are there alone. */
function computable(t: Tensor, tensors: ReadonlyMap<string, TensorData>): boolean {
  return topological([t]).every((node) => node.op !== 'parameter' || tensors.has(node.attrs['name'] as string));
}

/** Pictures as stores of at most `most`. */
async function* batchesOf(images: Images, size: number, most: number): AsyncGenerator<ImageBatch> {
  if (images instanceof ImageStore) {
    yield { store: images, count: images.count };
    return;
  }
  using store = new ImageStore({ count: most, height: size, width: size, channels: 3 });
  let count = 0;
  for await (const image of images) {
    store.put(count++, await decodeImage(image, size));
    if (count < most) continue;
    yield { store, count };
    count = 0;
  }
  if (count > 0) yield { store, count };
}
