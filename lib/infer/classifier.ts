// Classifier: a checkpoint that answers for photos. Owns the batching of concurrent questions.
import { UsageError } from '../errors.js';
import { decodeImage } from '../data/decode.js';
import { Engine } from '../engine/engine.js';
import { Weights } from '../engine/weights.js';
import { softmax } from '../graph/ops.js';
import { compile, type Program } from '../engine/program.js';
import { input } from '../graph/tensor.js';
import { loadWeights } from '../weights/load.js';
import { completeCheckpoint, loadCheckpoint, type CompleteCheckpoint } from '../weights/checkpoint.js';

export interface Prediction {
  label: string;
  /** 0 to 1; all classes sum to 1 */
  probability: number;
}

interface Question {
  pixels: Uint8Array;
  answer: (probabilities: Float32Array) => void;
  fail: (error: unknown) => void;
}

/** Images one run takes at most; above, throughput does not grow (bench row 4). */
const MOST = 16;

export class Classifier {
  readonly #waiting: Question[] = [];
  #running = false;

  private constructor(
    private readonly checkpoint: CompleteCheckpoint,
    private readonly program: Program,
    private readonly weights: Weights,
    private readonly engine: Engine,
  ) {}

  /**
   * Loads a checkpoint that training wrote, or anyone else's with the same metadata.
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
  static async load(
    file: string,
    options: { device?: string; threads?: number; precision?: 'fp32' | 'bf16' } = {},
  ): Promise<Classifier> {
    const checkpoint = completeCheckpoint(await loadCheckpoint(file));
    const { size } = checkpoint.preprocess;
    const engine = new Engine({
      device: options.device ?? 'cpu',
      ...(options.threads && { threads: options.threads }),
    });
    const weights = await Weights.init(checkpoint.model, { engine });
    await loadWeights(weights, checkpoint.model, checkpoint.tensors, { strict: true, source: file });
    const probability = softmax(checkpoint.model.call(input('image', [-1, 3, size, size])));
    const program = compile({ probability }, { weights, precision: options.precision ?? 'fp32' });
    return new Classifier(checkpoint, program, weights, engine);
  }

  get classes(): readonly string[] {
    return this.checkpoint.classes;
  }
  /** Side of the square an image is resized to. */
  get size(): number {
    return this.checkpoint.preprocess.size;
  }

  /**
   * The most probable classes of an image, best first. Calls made while others wait share a batch.
   * @param image a path, or the encoded bytes (whatever sharp reads)
   * @throws DataError when the image cannot be read
   */
  async classify(image: string | Uint8Array, options: { topK?: number } = {}): Promise<Prediction[]> {
    const { topK = 5 } = options;
    if (!Number.isInteger(topK) || topK < 1)
      throw new UsageError(`topK: expected a whole number of at least 1, got ${topK}`);
    const pixels = await decodeImage(image, this.size);
    const probabilities = await new Promise<Float32Array>((answer, fail) => {
      this.#waiting.push({ pixels, answer, fail });
      void this.#drain();
    });
    const order = [...probabilities.keys()].sort((a, b) => probabilities[b]! - probabilities[a]!);
    return order.slice(0, topK).map((c) => ({ label: this.classes[c]!, probability: probabilities[c]! }));
  }

  async #drain(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    for (let batch = this.#waiting.splice(0, MOST); batch.length > 0; batch = this.#waiting.splice(0, MOST)) {
      try {
        const { probability } = await this.program.run({
          image: { data: this.#normalised(batch), shape: [batch.length, 3, this.size, this.size], dtype: 'float32' },
        });
        const k = this.classes.length;
        batch.forEach((q, i) => q.answer((probability!.data as Float32Array).subarray(i * k, i * k + k)));
      } catch (error) {
        for (const q of batch) q.fail(error);
      }
    }
    this.#running = false;
  }

  /** [N, 3, H, W] from interleaved bytes. */
  #normalised(batch: readonly Question[]): Float32Array {
    const { scale, shift } = this.checkpoint.scaling;
    const area = this.size * this.size;
    const out = new Float32Array(batch.length * 3 * area);
    batch.forEach(({ pixels }, n) => {
      for (let c = 0; c < 3; c++) {
        const [at, a, b] = [(n * 3 + c) * area, scale[c]!, shift[c]!];
        for (let i = 0; i < area; i++) out[at + i] = pixels[3 * i + c]! * a + b;
      }
    });
    return out;
  }

  dispose(): void {
    this.program.dispose();
    this.weights.dispose();
    this.engine.dispose();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}
