// Times inference and training steps of a network on this machine, on random images in memory. Owns no files.
import { ImageStore } from '../engine/images.js';
import { pixelScaling } from '../weights/preprocess.js';
import type { MobileNet } from '../models/classifier-network.js';
import { Engine } from '../engine/engine.js';
import { RowStore } from '../engine/rows.js';
import { Weights } from '../engine/weights.js';
import { sgd } from '../engine/optimizer.js';
import { compile, type Binding } from '../engine/program.js';
import { input } from '../graph/tensor.js';
import { FrozenFeatures } from '../train/features.js';
import { trainingGraphs } from '../train/network.js';
import { PLAIN } from '../train/task.js';
import { quantile, sampled, spread, type Spread } from './samples.js';

export interface NetworkBench {
  /** made anew for every row: rows freeze different parts */
  model: () => MobileNet;
  classes: number;
  /** side of the images, pixels */
  size: number;
  batchSize: number;
  precision: 'fp32' | 'bf16';
  device: string;
  threads?: number | undefined;
  /** samples of each row */
  n: number;
}

export interface NetworkRow {
  /** 'inference': pixels to logits; 'training step': forward, backward and update of everything; 'head step': of the classifier on cached features */
  work: 'inference' | 'training step' | 'head step';
  batch: number;
  /** milliseconds a step */
  ms: Spread & { p99?: number };
  imagesPerSecond: number;
}

/** Images the loops walk over: more than any cache holds of a batch, few enough to be there at once. */
const IMAGES = 64;

/** Each row as soon as it is measured. */
export async function* benchNetwork(o: NetworkBench): AsyncGenerator<NetworkRow, { device: string; threads: number }> {
  using engine = new Engine({ device: o.device, ...(o.threads !== undefined && { threads: o.threads }) });
  const scaling = pixelScaling({ size: o.size, scale: 'x/127.5-1' });
  const store = new ImageStore({ count: IMAGES, height: o.size, width: o.size, channels: 3 });
  const row = (work: NetworkRow['work'], batch: number, ms: number[], p99 = false): NetworkRow => {
    const s = spread(ms);
    return { work, batch, ms: p99 ? { ...s, p99: quantile(ms, 0.99) } : s, imagesPerSecond: (1000 * batch) / s.median };
  };
  const order = (steps: number): Int32Array =>
    Int32Array.from({ length: steps * o.batchSize }, (_, i) => (i * 37) % IMAGES);
  try {
    const noise = new Uint8Array(o.size * o.size * 3);
    for (let i = 0, state = 1; i < IMAGES; i++) {
      for (let k = 0; k < noise.length; k++)
        noise[k] = (state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff) >> 16;
      store.put(i, noise);
    }
    {
      const model = o.model();
      using weights = await Weights.init(model, { engine });
      using program = compile(
        { logits: model.eval().call(input('image', [-1, 3, o.size, o.size])) },
        { weights, precision: o.precision },
      );
      const image = {
        data: Float32Array.from({ length: noise.length }, (_, i) => noise[i]! / 127.5 - 1),
        shape: [1, 3, o.size, o.size],
        dtype: 'float32' as const,
      };
      const calls: number[] = [];
      const one = async (steps: number): Promise<void> => {
        for (let i = 0; i < steps; i++) {
          const since = performance.now();
          await program.run({ image });
          calls.push(performance.now() - since);
        }
      };
      await one(3);
      calls.length = 0;
      await one(Math.max(o.n, 10) * 5);
      yield row('inference', 1, calls, true);
      const bind: Record<string, Binding> = { image: { images: store, ...scaling } };
      yield row(
        'inference',
        o.batchSize,
        await sampled(o.n, (steps) =>
          program.loop({ order: order(steps), batchSize: o.batchSize, bind, rows: ['logits'] }),
        ),
      );
    }
    for (const [work, frozen] of [
      ['training step', false],
      ['head step', true],
    ] as const) {
      const model = o.model();
      if (frozen) model.freezeBackbone('features');
      using weights = await Weights.init(model, { engine });
      const graphs = trainingGraphs(model, o.size, o.classes, PLAIN, frozen);
      const images = { store, ...scaling };
      const features = frozen
        ? new FrozenFeatures({
            prefix: graphs.train.prefix,
            weights,
            precision: o.precision,
            images,
            count: IMAGES,
            views: 0,
            seed: 0,
          })
        : undefined;
      await features?.compute(
        Int32Array.from({ length: IMAGES }, (_, i) => i),
        0,
        undefined,
        undefined,
        () => {},
      );
      const labels = await RowStore.from(
        engine,
        BigInt64Array.from({ length: IMAGES }, (_, i) => BigInt(i % o.classes)),
        [IMAGES],
        'int64',
      );
      using program = compile(graphs.train.suffix, {
        weights,
        precision: o.precision,
        train: { loss: 'loss', parameters: graphs.trainable, optimizer: sgd({ momentum: 0.9 }) },
      });
      const bind: Record<string, Binding> = {
        label: { rows: labels },
        ...(features ? features.bindings(0) : { image: { images: store, ...scaling } }),
      };
      // A rate too small to change the numbers' kind: random labels must not make them infinite.
      yield row(
        work,
        o.batchSize,
        await sampled(o.n, (steps) =>
          program.loop({ order: order(steps), batchSize: o.batchSize, bind, lr: 1e-6, stack: ['loss'] }),
        ),
      );
      features?.dispose();
      labels.dispose();
    }
    return { device: engine.device, threads: engine.threads };
  } finally {
    store.dispose();
  }
}
