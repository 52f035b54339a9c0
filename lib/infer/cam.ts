// Class activation maps: which places of an image speak for a class. Owns the cut at the last pooling and the programs
// on both sides of it; colours are report/overlay.ts.
import { UsageError } from '../errors.js';
import { inferenceBatch } from '../engine/batch-size.js';
import type { ImageStore } from '../engine/images.js';
import { compile, type Program } from '../engine/program.js';
import type { Weights } from '../engine/weights.js';
import { gradients, mul, sum } from '../graph/ops.js';
import { topological } from '../graph/order.js';
import { rebuilt, remade } from '../graph/rebuild.js';
import { input, tensorData, type Tensor } from '../graph/tensor.js';
import type { Module } from '../nn/module.js';
import { answersOf, MULTICLASS, type LearnedTask } from '../weights/task.js';
import { pixelScaling, type Preprocess } from '../weights/preprocess.js';
import { evaluating } from './trained.js';

/** What the places of an image add to the score of a class. */
export interface ActivationMap {
  /** class it is for, as an index */
  readonly label: number;
  /** of that class, 0 to 1 */
  readonly probability: number;
  /** row-major [height, width], in logits: positive places speak for the class, negative ones against it */
  readonly values: Float32Array;
  /** of the last feature map: a cell covers the same share of the picture */
  readonly height: number;
  readonly width: number;
}

interface Cut {
  /** the last feature map, [N, C, H, W] */
  features: Tensor;
  /** stands for the mean of it over H and W, [N, C] */
  pooled: Tensor;
  /** the head over `pooled` */
  head: Tensor;
}

/** Cuts a network before the head, at the pooling that all of its logits come through; undefined where there is none. */
function cutAtPooling(logits: Tensor): Cut | undefined {
  const order = topological([logits]);
  const pooling = order.findLast((t) => t.op === 'globalAveragePool');
  if (!pooling) return undefined;
  const pooled = input('pooled', pooling.shape, pooling.dtype);
  const head = rebuilt(logits, (t, inputs) => (t === pooling ? pooled : remade(t, inputs)));
  const past = topological([head]).some((t) => t.op === 'input' && t !== pooled);
  return past ? undefined : { features: pooling.inputs[0]!, pooled, head };
}

/** Ops that keep a head linear. */
const LINEAR = new Set<string>(['linear', 'dropout', 'reshape', 'module', 'input', 'parameter']);

/**
 * Class activation maps of one model. Zhou et al. 2016: where a linear head reads the mean of a feature map, a class's
 * logit is the mean of sum_k w_k f_k(y, x) and a bias, so the sum inside is what each place adds: `exact`. A head with
 * a hidden layer (V3) has no such w; its gradient at the image's own features takes their place, Grad-CAM (Selvaraju
 * et al. 2017, where equation 3 shows it to be the same thing for linear heads).
 */
export class ActivationMaps {
  /** whether the head is linear: the mean of a map and a bias are then the logit */
  readonly exact: boolean;
  readonly #body: Program;
  readonly #slope: Program;
  readonly #batch: number;
  readonly #classes: number;
  readonly #scaling: { scale: number[]; shift: number[] };

  /**
   * @param weights of the model, read when maps are made
   * @throws UsageError for a network whose logits do not all come through one global average pooling
   */
  constructor(
    model: Module,
    preprocess: Preprocess,
    weights: Weights,
    precision: 'fp32' | 'bf16' = 'fp32',
    task: LearnedTask = MULTICLASS,
  ) {
    const { size } = preprocess;
    const logits = evaluating(model, (m) => m.call(input('image', [-1, 3, size, size])));
    const cut = cutAtPooling(logits);
    if (!cut) {
      throw new UsageError(
        'activation maps: expected a network whose logits read one global average pooling of its last feature map; this one has none',
      );
    }
    const { features, pooled, head } = cut;
    this.#classes = logits.shape[1]!;
    const chosen = input('chosen', [-1, this.#classes]);
    const [slope] = gradients(sum(mul(head, chosen)), [pooled]);
    this.exact = topological([head]).every((t) => LINEAR.has(t.op));
    this.#body = compile({ features, probability: answersOf(logits, task) }, { weights, precision });
    try {
      this.#slope = compile({ slope: slope! }, { weights });
    } catch (error) {
      this.#body.dispose();
      throw error;
    }
    this.#batch = inferenceBatch(weights.engine.device);
    this.#scaling = pixelScaling(preprocess);
  }

  /**
   * The maps of some images.
   * @param rows of the store
   * @param labels class asked about for each of them; absent: the one predicted
   */
  async of(store: ImageStore, rows: Int32Array, labels?: ArrayLike<number>): Promise<ActivationMap[]> {
    const maps: ActivationMap[] = [];
    for (let at = 0; at < rows.length; at += this.#batch) {
      const some = rows.subarray(at, at + this.#batch);
      maps.push(...(await this.#batchOf(store, some, (i) => labels?.[at + i])));
    }
    return maps;
  }

  async #batchOf(
    store: ImageStore,
    order: Int32Array,
    asked: (i: number) => number | undefined,
  ): Promise<ActivationMap[]> {
    const bind = { image: { images: store, ...this.#scaling } };
    const ran = await this.#body.loop({
      order,
      batchSize: order.length,
      bind,
      rows: ['features', 'probability'],
    });
    const n = order.length;
    const k = this.#classes;
    const probability = ran.rows['probability']!.data as Float32Array;
    const features = ran.rows['features']!.data as Float32Array;
    const [, channels, height, width] = ran.rows['features']!.shape as [number, number, number, number];
    const area = height * width;
    const labels = Array.from(order, (_, i) => asked(i) ?? largest(probability.subarray(i * k, i * k + k)));
    const chosen = new Float32Array(n * k);
    labels.forEach((label, i) => (chosen[i * k + label] = 1));
    // A linear head has the same slope everywhere; another one's is taken at the image's own means.
    const means = Float32Array.from({ length: n * channels }, (_, c) => {
      const map = features.subarray(c * area, c * area + area);
      return map.reduce((a, v) => a + v, 0) / area;
    });
    const { slope } = await this.#slope.run({
      pooled: tensorData(means, [n, channels]),
      chosen: tensorData(chosen, [n, k]),
    });
    const weight = slope!.data as Float32Array;
    return labels.map((label, i) => {
      const values = new Float32Array(area);
      for (let c = i * channels; c < (i + 1) * channels; c++) {
        for (let p = 0; p < area; p++) values[p]! += weight[c]! * features[c * area + p]!;
      }
      return { label, probability: probability[i * k + label]!, values, height, width };
    });
  }

  /** Frees the programs; the weights are the caller's. Idempotent. */
  dispose(): void {
    this.#body.dispose();
    this.#slope.dispose();
  }
  /** `using` calls dispose(). */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

const largest = (values: Float32Array): number => values.reduce((best, v, i) => (v > values[best]! ? i : best), 0);
