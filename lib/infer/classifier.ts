// Classifier: a trained model that answers for photos. Owns the batching of concurrent questions.
import { DataError, UsageError } from '../errors.js';
import { decodeImage, type DecodeOptions } from '../data/decode.js';
import { inferenceBatch } from '../engine/batch-size.js';
import { ImageStore } from '../engine/images.js';
import { compile, type Program } from '../engine/program.js';
import type { Weights } from '../engine/weights.js';
import { softmax } from '../graph/ops.js';
import { input } from '../graph/tensor.js';
import type { Module } from '../nn/module.js';
import { completeCheckpoint, loadCheckpoint } from '../weights/checkpoint.js';
import { pixelScaling } from '../weights/preprocess.js';
import { ActivationMaps } from './cam.js';
import { evaluating, onEngine, type Trained } from './trained.js';
import { meanOverViews, TTA, viewsOf, type TestTimeAugmentation } from './views.js';

/** A class an image may belong to. */
export interface Prediction {
  /** name of the class */
  label: string;
  /** 0 to 1; all classes sum to 1 */
  probability: number;
  /** where `tta` was asked for: the mean of the probabilities over the views; the order is that of the plain ones */
  tta?: number;
}

/** The answer for one of several images: the most probable classes, best first, or why it could not be read. */
export type Classified =
  { readonly ok: true; readonly predictions: Prediction[] } | { readonly ok: false; readonly error: DataError };

/** Where a classifier runs. */
export interface ClassifierOptions {
  /** 'cpu' (default), 'cuda', 'cuda:n' or 'auto' */
  device?: string;
  /** CPU threads (default: all cores) */
  threads?: number;
  /** 'bf16' runs convolutions in bfloat16 (default 'fp32') */
  precision?: 'fp32' | 'bf16';
}

/** What is asked of each image. */
export interface ClassifyOptions extends DecodeOptions {
  /** most probable classes to give (default 5) */
  topK?: number;
  /** answers for these views of the picture too, averaged: `tta` of each prediction */
  tta?: TestTimeAugmentation;
}

/** Where on a picture a classifier sees a class. */
export interface Explanation extends Prediction {
  /** row-major [height, width], in logits: positive places speak for the class, negative ones against it */
  readonly values: Float32Array;
  /** of the network's last feature map: a cell covers the same share of the picture, as it was, not as a square */
  readonly height: number;
  readonly width: number;
  /** the head is linear (V1, V2): the mean of the values and a bias are the logit; otherwise (V3) to first order */
  readonly exact: boolean;
}

/** What is asked about a picture. */
export interface ExplainOptions extends DecodeOptions {
  /** name of the class asked about (default: the one predicted) */
  label?: string;
}

/** Probabilities of a picture as it is, and their mean over its views. */
interface Answer {
  plain: Float32Array;
  mean: Float32Array | undefined;
}
interface Question {
  pixels: Uint8Array;
  tta: TestTimeAugmentation | undefined;
  answer: (answer: Answer) => void;
  fail: (error: unknown) => void;
}

/** Images one run takes at most, on a card too: each size is a graph of its own there. */
const MOST = inferenceBatch('cpu');
/** Pictures of a list decoded ahead of the network. */
const AHEAD = 32;
const ROWS = Int32Array.from({ length: MOST }, (_, i) => i);

/** Answers what is on an image. Owns its weights and an engine; `dispose` frees both. */
export class Classifier {
  readonly #waiting: Question[] = [];
  #running = false;
  readonly #program: Program;
  readonly #store: ImageStore;
  readonly #scaling: { scale: number[]; shift: number[] };
  #maps: ActivationMaps | undefined;

  private constructor(
    private readonly trained: Trained,
    private readonly weights: Weights,
    private readonly precision: 'fp32' | 'bf16',
  ) {
    const { size } = trained.preprocess;
    const image = input('image', [-1, 3, size, size]);
    const probability = evaluating(trained.model, (model) => softmax(model.call(image)));
    const k = trained.classes.length;
    if (probability.shape.length !== 2 || probability.shape[1] !== k) {
      throw new UsageError(`the model must return logits [None, ${k}], one a class; got ${String(probability)}`);
    }
    this.#program = compile({ probability }, { weights, precision });
    this.#store = new ImageStore({ count: MOST, height: size, width: size, channels: 3 });
    this.#scaling = pixelScaling(trained.preprocess);
  }

  /**
   * Loads a checkpoint that training wrote, or anyone else's with the same metadata; or a run folder, for its best.
   * @param options.model for a network of your own: one like the one that was trained
   * @throws DataError when it is unusable, naming what is missing
   * @example
   * import { Classifier, MobileNetV2, syntheticScenes, Trainer } from 'mnv2-torch';
   * import { mkdtempSync } from 'node:fs';
   * const out = mkdtempSync('/tmp/mnv2-');
   * const data = await syntheticScenes({ size: 32, perClass: 4 });
   * const model = MobileNetV2({ numClasses: 21, widthMult: 0.25 });
   * for await (const event of new Trainer(model, data, { epochs: 1, out })) void event;
   * const classifier = await Classifier.load(`${out}/best.safetensors`);
   * const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32"><rect width="32" height="32" fill="green"/></svg>');
   * const [first] = await classifier.classify(svg, { topK: 3 });
   * console.log(classifier.classes.includes(first.label), first.probability > 0); // true true
   */
  static async load(file: string, options: ClassifierOptions & { model?: Module } = {}): Promise<Classifier> {
    const { model, ...rest } = options;
    return Classifier.from(completeCheckpoint(await loadCheckpoint(file), model ? { model } : {}), rest);
  }

  /**
   * Makes a classifier of what a training returned, or of a complete checkpoint. The weights are copied: training on
   * does not change its answers.
   * @example
   * import { Classifier, MobileNetV2, syntheticScenes, Trainer } from 'mnv2-torch';
   * const data = await syntheticScenes({ size: 32, perClass: 4 });
   * const result = await new Trainer(MobileNetV2({ numClasses: 21, widthMult: 0.25 }), data, { epochs: 1 }).fit();
   * const classifier = await Classifier.from(result);
   * console.log(classifier.size, classifier.classes.length); // 32 21
   */
  static async from(trained: Trained, options: ClassifierOptions = {}): Promise<Classifier> {
    const { device = 'cpu', threads, precision = 'fp32' } = options;
    const weights = await onEngine(trained, { device, ...(threads !== undefined && { threads }) });
    try {
      return new Classifier(trained, weights, precision);
    } catch (error) {
      weights.engine.dispose();
      throw error;
    }
  }

  /** Label names, in the order of the outputs. */
  get classes(): readonly string[] {
    return this.trained.classes;
  }
  /** Side of the square an image is resized to, pixels. */
  get size(): number {
    return this.trained.preprocess.size;
  }

  /**
   * The most probable classes of an image, best first. Calls made while others wait share a batch.
   * @param image a path, or the encoded bytes (whatever sharp reads)
   * @throws DataError when the image cannot be read
   */
  classify(image: string | Uint8Array, options?: ClassifyOptions): Promise<Prediction[]>;
  /** An answer for each of several images, in order; one that cannot be read has its DataError as its answer. */
  classify(images: readonly (string | Uint8Array)[], options?: ClassifyOptions): Promise<Classified[]>;
  async classify(
    images: string | Uint8Array | readonly (string | Uint8Array)[],
    options: ClassifyOptions = {},
  ): Promise<Prediction[] | Classified[]> {
    const { topK = 5, tta } = options;
    if (tta !== undefined) viewsOf(tta);
    if (!Number.isInteger(topK) || topK < 1) {
      throw new UsageError(`topK: expected a whole number of at least 1, got ${topK}`);
    }
    return Array.isArray(images)
      ? this.#each(images as readonly (string | Uint8Array)[], { ...options, topK })
      : this.#one(images as string | Uint8Array, { ...options, topK });
  }

  /**
   * Where on a picture the network sees a class: its class activation map (Zhou et al. 2016), exact for a linear head;
   * for V3, whose head has a hidden layer, weighted by the gradient (Grad-CAM).
   * @param image a path, or the encoded bytes
   * @throws DataError when the image cannot be read; UsageError for a class the model does not have, or a network of
   * your own that ends otherwise than by a global average pooling and a head
   * @example
   * import { Classifier, MobileNetV2, syntheticScenes, Trainer } from 'mnv2-torch';
   * import sharp from 'sharp';
   * const data = await syntheticScenes({ size: 64, perClass: 2 });
   * const result = await new Trainer(MobileNetV2({ numClasses: 21, widthMult: 0.25 }), data, { epochs: 1 }).fit();
   * const classifier = await Classifier.from(result);
   * const picture = await sharp(data.store.get(0), { raw: { width: 64, height: 64, channels: 3 } }).png().toBuffer();
   * const { height, width, values, exact } = await classifier.explain(picture, { label: classifier.classes[3] });
   * console.log(height, width, values.length, exact); // 2 2 4 true
   */
  async explain(image: string | Uint8Array, options: ExplainOptions = {}): Promise<Explanation> {
    const { label, ...decoding } = options;
    const asked = label === undefined ? undefined : this.classes.indexOf(label);
    if (asked === -1)
      throw new UsageError(`label: expected one of the model's classes, ${this.classes.join(', ')}; got '${label}'`);
    const { model, preprocess } = this.trained;
    const maps = (this.#maps ??= new ActivationMaps(model, preprocess, this.weights, this.precision));
    const pixels = await decodeImage(image, this.size, decoding);
    using store = new ImageStore({ count: 1, height: this.size, width: this.size, channels: 3 });
    store.put(0, pixels);
    const [map] = await maps.of(store, Int32Array.of(0), asked === undefined ? undefined : [asked]);
    return { ...map!, label: this.classes[map!.label]!, exact: maps.exact };
  }

  async #one(image: string | Uint8Array, options: ClassifyOptions): Promise<Prediction[]> {
    const { topK, tta, ...decoding } = options;
    const pixels = await decodeImage(image, this.size, decoding);
    const { plain, mean } = await new Promise<Answer>((answer, fail) => {
      this.#waiting.push({ pixels, tta, answer, fail });
      void this.#drain();
    });
    const order = [...plain.keys()].sort((a, b) => plain[b]! - plain[a]!);
    return order
      .slice(0, topK)
      .map((c) => ({ label: this.classes[c]!, probability: plain[c]!, ...(mean && { tta: mean[c]! }) }));
  }

  async #each(images: readonly (string | Uint8Array)[], options: ClassifyOptions): Promise<Classified[]> {
    const answers: Classified[] = new Array(images.length);
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < images.length) {
        const i = next++;
        try {
          answers[i] = { ok: true, predictions: await this.#one(images[i]!, options) };
        } catch (error) {
          // What is wrong with one picture is its answer; anything else ends the call.
          if (!(error instanceof DataError)) throw error;
          answers[i] = { ok: false, error };
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(AHEAD, images.length) }, lane));
    return answers;
  }

  async #drain(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    for (let batch = this.#waiting.splice(0, MOST); batch.length > 0; batch = this.#waiting.splice(0, MOST)) {
      try {
        batch.forEach(({ pixels }, i) => this.#store.put(i, pixels));
        const answers = await this.#answers(batch);
        batch.forEach((q, i) => q.answer(answers[i]!));
      } catch (error) {
        for (const q of batch) q.fail(error);
      }
    }
    this.#running = false;
  }

  /** Of pictures that lie in the store's first rows. */
  async #answers(batch: readonly Question[]): Promise<Answer[]> {
    const k = this.classes.length;
    const row = (of: Float32Array, i: number): Float32Array => of.subarray(i * k, i * k + k);
    const plain = await this.#probabilities(ROWS.subarray(0, batch.length), 0);
    const answers = batch.map((_, i): Answer => ({ plain: row(plain, i), mean: undefined }));
    for (const tta of TTA) {
      const asked = ROWS.filter((i) => batch[i]?.tta === tta);
      if (asked.length === 0) continue;
      const own = new Float32Array(asked.length * k);
      asked.forEach((i, at) => own.set(row(plain, i), at * k));
      const mean = await meanOverViews(own, tta, (symmetry) => this.#probabilities(asked, symmetry));
      asked.forEach((i, at) => (answers[i]!.mean = row(mean, at)));
    }
    return answers;
  }

  /** [rows, classes] of what the store holds there, seen in a symmetry. */
  async #probabilities(order: Int32Array, symmetry: number): Promise<Float32Array> {
    const { rows } = await this.#program.loop({
      order,
      batchSize: order.length,
      bind: { image: { images: this.#store, ...this.#scaling, symmetry } },
      rows: ['probability'],
    });
    return rows['probability']!.data as Float32Array;
  }

  /** Frees the weights and ends the engine after what is under way. Idempotent; later calls throw. */
  dispose(): void {
    this.#program.dispose();
    this.#maps?.dispose();
    this.#store.dispose();
    this.weights.dispose();
    this.weights.engine.dispose();
  }
  /** `using` calls dispose(). */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
