// Classifier: a trained model that answers for pictures: one, several, or a stream of them. Owns what can be asked of it;
// reading and waiting is asking.ts, batches are batch-queue.ts, the network is picture-program.ts.
import { UsageError } from '../errors.js';
import { checkFlag, checkWhole } from '../data/checks.js';
import type { ImageInput } from '../data/image-input.js';
import { ImageStore } from '../engine/images.js';
import type { Weights } from '../engine/weights.js';
import type { Module } from '../nn/module.js';
import { completeCheckpoint, loadCheckpoint } from '../weights/checkpoint.js';
import {
  normalized,
  numbersOf,
  predictionsOf,
  type Classified,
  type ClassifyOptions,
  type Embedded,
  type EmbeddingOptions,
  type ExplainOptions,
  type Explanation,
  type Measured,
  type Measurement,
  type MeasureOptions,
  type Prediction,
  type Scores,
  type Streamed,
  type StreamItem,
} from './answer.js';
import { MULTICLASS, type LearnedTask } from '../weights/task.js';
import { Asking, type Ask } from './asking.js';
import { ActivationMaps } from './cam.js';
import { PictureProgram } from './picture-program.js';
import { onEngine, type Trained } from './trained.js';
import { viewsOf } from './views.js';

/** Where a classifier runs, and how much may wait for it. */
export interface ClassifierOptions {
  /** 'cpu' (default), 'cuda', 'cuda:n' or 'auto' */
  device?: string;
  /** CPU threads (default: all cores) */
  threads?: number;
  /** 'bf16' runs convolutions in bfloat16 (default 'fp32') */
  precision?: 'fp32' | 'bf16';
  /** images under way at most, being read or waiting; calls beyond are refused with a QueueFullError (default 1024) */
  maxQueued?: number;
}

const MOST_QUEUED = 1024;

/** Answers what is on an image. Owns its weights and an engine; `dispose` frees both. */
export class Classifier {
  readonly #program: PictureProgram;
  readonly #asking: Asking;
  #maps: ActivationMaps | undefined;

  private constructor(
    private readonly trained: Trained,
    private readonly weights: Weights,
    private readonly precision: 'fp32' | 'bf16',
    maxQueued: number,
  ) {
    this.#program = new PictureProgram(trained, weights, precision);
    this.#asking = new Asking(this.#program, trained.preprocess.size, maxQueued);
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
    const { device = 'cpu', threads, precision = 'fp32', maxQueued = MOST_QUEUED } = options;
    checkWhole('maxQueued', maxQueued, 1, 2 ** 31);
    const weights = await onEngine(trained, { device, ...(threads !== undefined && { threads }) });
    try {
      return new Classifier(trained, weights, precision, maxQueued);
    } catch (error) {
      weights.engine.dispose();
      throw error;
    }
  }

  /** What the model has learned of an image: a class, labels at these thresholds, or numbers. */
  get task(): LearnedTask {
    return this.trained.task ?? MULTICLASS;
  }
  /** Label names, in the order of the outputs; of a regression the names of its numbers. */
  get classes(): readonly string[] {
    return this.trained.classes;
  }
  /** Side of the square an image is resized to, pixels. */
  get size(): number {
    return this.trained.preprocess.size;
  }

  /**
   * The most probable classes of an image, best first. Calls made while others wait share a batch; an answer is, bit for
   * bit, the same in any batch.
   * @throws DataError when the image cannot be read; QueueFullError when `maxQueued` images are under way; what the
   * signal was aborted with
   */
  classify(image: ImageInput, options?: ClassifyOptions): Promise<Prediction[]>;
  /** An answer for each of several images, in order; one that cannot be read has its DataError as its answer. */
  classify(images: readonly ImageInput[], options?: ClassifyOptions): Promise<Classified[]>;
  async classify(
    images: ImageInput | readonly ImageInput[],
    options: ClassifyOptions = {},
  ): Promise<Prediction[] | Classified[]> {
    const ask = this.#classifying(options);
    if (!Array.isArray(images)) return this.#asking.single(images as ImageInput, ask);
    return this.#asking.each(images as readonly ImageInput[], ask, (predictions): Classified => ({
      ok: true,
      predictions,
    }));
  }

  /**
   * The numbers a model of regression tells of an image, in their own units; batched as `classify`.
   * @throws UsageError for a model that has learned something else; else as `classify`
   * @example
   * import { Classifier, completeCheckpoint, loadCheckpoint, MobileNetV2, writeSafetensors } from 'mnv2-torch';
   * import { mkdtempSync } from 'node:fs';
   * const file = mkdtempSync('/tmp/mnv2-') + '/age.safetensors';
   * const tensors = new Map([...MobileNetV2({ numClasses: 1, widthMult: 0.25 }).state(0)].map((t) => [t.name, t]));
   * await writeSafetensors(file, tensors, { arch: 'mobilenet_v2', width_mult: '0.25', classes: '["age"]',
   *   preprocess: '{"size":32,"scale":"x/127.5-1"}', task: 'regression', task_mean: '[40]', task_scale: '[12]' });
   * const classifier = await Classifier.load(file);
   * const { numbers } = await classifier.measure({ data: new Uint8Array(32 * 32 * 3), width: 32, height: 32, channels: 3 });
   * console.log(Object.keys(numbers), Number.isFinite(numbers.age)); // [ 'age' ] true
   */
  measure(image: ImageInput, options?: MeasureOptions): Promise<Measurement>;
  /** The numbers of several images, in order; one that cannot be read has its DataError as its answer. */
  measure(images: readonly ImageInput[], options?: MeasureOptions): Promise<Measured[]>;
  async measure(
    images: ImageInput | readonly ImageInput[],
    options: MeasureOptions = {},
  ): Promise<Measurement | Measured[]> {
    const ask = this.#measuring(options);
    if (!Array.isArray(images)) return this.#asking.single(images as ImageInput, ask);
    return this.#asking.each(images as readonly ImageInput[], ask, (said): Measured => ({ ok: true, ...said }));
  }

  /**
   * The vector a network makes of an image before its head, or at any module.
   * @returns float32, as many numbers as the module's output has for an image
   * @throws UsageError for a module the network does not have; else as `classify`
   * @example
   * import { Classifier, MobileNetV2, syntheticScenes, Trainer } from 'mnv2-torch';
   * const data = await syntheticScenes({ size: 32, perClass: 2 });
   * const result = await new Trainer(MobileNetV2({ numClasses: 21, widthMult: 0.25 }), data, { epochs: 1 }).fit();
   * const classifier = await Classifier.from(result);
   * const image = { data: data.store.get(0), width: 32, height: 32, channels: 3 };
   * const vector = await classifier.embed(image, { normalize: true });
   * const wide = await classifier.embed(image, { module: 'features.1' });
   * console.log(vector.length, vector.reduce((sum, v) => sum + v * v, 0).toFixed(3), wide.length); // 1280 1.000 2048
   */
  embed(image: ImageInput, options?: EmbeddingOptions): Promise<Float32Array>;
  /** The vectors of several images, in order; one that cannot be read has its DataError in its place. */
  embed(images: readonly ImageInput[], options?: EmbeddingOptions): Promise<Embedded[]>;
  async embed(
    images: ImageInput | readonly ImageInput[],
    options: EmbeddingOptions = {},
  ): Promise<Float32Array | Embedded[]> {
    const ask = this.#embedding(options);
    if (!Array.isArray(images)) return this.#asking.single(images as ImageInput, ask);
    return this.#asking.each(images as readonly ImageInput[], ask, (embedding): Embedded => ({ ok: true, embedding }));
  }

  /**
   * Answers for images that come one by one, in their order: from a database, a queue, a folder. So many are read ahead
   * as keep the network busy, no more: the source waits while the reader does, and is ended when the reader leaves.
   * @param items images, or objects with an `image`; the answer has the `item` and its `index` with it
   * @throws QueueFullError as `classify`, at the first answer; what the source throws; what the signal was aborted with
   * @example
   * import { Classifier, MobileNetV2, syntheticScenes, Trainer } from 'mnv2-torch';
   * const data = await syntheticScenes({ size: 32, perClass: 2 });
   * const result = await new Trainer(MobileNetV2({ numClasses: 21, widthMult: 0.25 }), data, { epochs: 1 }).fit();
   * const classifier = await Classifier.from(result);
   * async function* rows() {
   *   for (const id of [7, 8]) yield { id, image: { data: data.store.get(id), width: 32, height: 32, channels: 3 } };
   *   yield { id: 9, image: 'nowhere.png' };
   * }
   * for await (const { item, ok } of classifier.stream(rows())) console.log(item.id, ok);
   */
  stream<T extends StreamItem>(
    items: AsyncIterable<T> | Iterable<T>,
    options: ClassifyOptions = {},
  ): AsyncGenerator<Streamed<T, Classified>, void, undefined> {
    return this.#asking.stream(items, this.#classifying(options), (predictions): Classified => ({
      ok: true,
      predictions,
    }));
  }

  /** As `stream`, with the numbers of `measure`. */
  streamMeasurements<T extends StreamItem>(
    items: AsyncIterable<T> | Iterable<T>,
    options: MeasureOptions = {},
  ): AsyncGenerator<Streamed<T, Measured>, void, undefined> {
    return this.#asking.stream(items, this.#measuring(options), (said): Measured => ({ ok: true, ...said }));
  }

  /** As `stream`, with the vectors of `embed`. */
  streamEmbeddings<T extends StreamItem>(
    items: AsyncIterable<T> | Iterable<T>,
    options: EmbeddingOptions = {},
  ): AsyncGenerator<Streamed<T, Embedded>, void, undefined> {
    return this.#asking.stream(items, this.#embedding(options), (embedding): Embedded => ({ ok: true, embedding }));
  }

  /**
   * Where on a picture the network sees a class: its class activation map (Zhou et al. 2016), exact for a linear head;
   * for V3, whose head has a hidden layer, weighted by the gradient (Grad-CAM).
   * @throws UsageError for a class the model does not have, or a network of your own that ends otherwise than by a
   * global average pooling and a head; else as `classify`
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
  async explain(image: ImageInput, options: ExplainOptions = {}): Promise<Explanation> {
    const { label } = options;
    const asked = label === undefined ? undefined : this.classes.indexOf(label);
    if (asked === -1)
      throw new UsageError(`label: expected one of the model's classes, ${this.classes.join(', ')}; got '${label}'`);
    const { model, preprocess } = this.trained;
    const maps = (this.#maps ??= new ActivationMaps(model, preprocess, this.weights, this.precision, this.task));
    return this.#asking.waiting(options, 1, async () => {
      const pixels = await this.#asking.read(image, options);
      using store = new ImageStore({ count: 1, height: this.size, width: this.size, channels: 3 });
      store.put(0, pixels);
      const [map] = await maps.of(store, Int32Array.of(0), asked === undefined ? undefined : [asked]);
      return { ...map!, label: this.classes[map!.label]!, exact: maps.exact };
    });
  }

  #classifying(options: ClassifyOptions): Ask<Prediction[]> {
    const { topK = 5, tta } = options;
    if (tta !== undefined) viewsOf(tta);
    if (!Number.isInteger(topK) || topK < 1)
      throw new UsageError(`topK: expected a whole number of at least 1, got ${topK}`);
    const { task } = this;
    if (task.kind === 'regression')
      throw new UsageError(
        `classify: this model has learned regression, it tells ${this.classes.join(', ')}; ask measure()`,
      );
    const said = (scores: Scores): Prediction[] => predictionsOf(scores, this.classes, topK, task);
    return { picture: { kind: this.#program.scores, tta }, said, options };
  }

  #measuring(options: MeasureOptions): Ask<Measurement> {
    const { tta } = options;
    if (tta !== undefined) viewsOf(tta);
    if (this.task.kind !== 'regression')
      throw new UsageError(`measure: this model has learned ${this.task.kind}, it tells no numbers; ask classify()`);
    const said = ({ plain, mean }: Scores): Measurement => ({
      numbers: numbersOf(plain, this.classes),
      ...(mean && { tta: numbersOf(mean, this.classes) }),
    });
    return { picture: { kind: this.#program.scores, tta }, said, options };
  }

  #embedding(options: EmbeddingOptions): Ask<Float32Array> {
    const { module, normalize = false } = options;
    checkFlag('normalize', normalize);
    const said = ({ plain }: Scores): Float32Array => (normalize ? normalized(plain) : plain);
    return { picture: { kind: this.#program.outputOf(module) }, said, options };
  }

  /** Frees the weights and ends the engine after what is under way. Idempotent; later calls throw. */
  dispose(): void {
    this.#program.dispose();
    this.#maps?.dispose();
    this.weights.dispose();
    this.weights.engine.dispose();
  }
  /** `using` calls dispose(). */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
