// A trained network that takes batches of decoded pictures: its scores, or any module's output. Owns the program and the
// pixels of the batch under way.
import { UsageError } from '../errors.js';
import { inferenceBatch } from '../engine/batch-size.js';
import { ImageStore } from '../engine/images.js';
import { compile, type Program } from '../engine/program.js';
import type { Weights } from '../engine/weights.js';
import { topological } from '../graph/order.js';
import { rebuilt, remade } from '../graph/rebuild.js';
import { input, type Tensor } from '../graph/tensor.js';
import { nearest } from '../nearest.js';
import { pixelScaling } from '../weights/preprocess.js';
import { answersOf, MULTICLASS } from '../weights/task.js';
import type { Scores } from './answer.js';
import type { Question } from './batch-queue.js';
import { evaluating, type Trained } from './trained.js';
import { meanOverViews, TTA, type TestTimeAugmentation } from './views.js';

/** Images one run takes at most, on a card too: each size is a graph of its own there. */
export const MOST = inferenceBatch('cpu');
const ROWS = Int32Array.from({ length: MOST }, (_, i) => i);

/** Outputs; no module can have such a name. */
const SCORES = 'scores of the classes';
const POOLED = 'means of the last feature map';

/** A picture, and what is fetched for it: `kind` is the output's name. */
export interface Picture extends Question {
  readonly pixels: Uint8Array;
  readonly tta?: TestTimeAugmentation | undefined;
}

/**
 * Linear layers of as many rows as a batch can have: each row's bits are then those it has alone, which a product of
 * fewer rows does not promise. Everything before them works image by image.
 */
const inAnyCompany = (logits: Tensor): Tensor =>
  rebuilt(logits, (t, inputs) => remade(t, inputs, t.op === 'linear' ? { ...t.attrs, fixedRows: MOST } : t.attrs));

export class PictureProgram {
  readonly #program: Program;
  readonly #store: ImageStore;
  readonly #scaling: { scale: number[]; shift: number[] };
  readonly #modules: ReadonlySet<string>;
  readonly #pools: boolean;

  /** @throws UsageError for a network that does not return a logit a class */
  constructor(trained: Trained, weights: Weights, precision: 'fp32' | 'bf16') {
    const { size } = trained.preprocess;
    const k = trained.classes.length;
    const logits = inAnyCompany(evaluating(trained.model, (m) => m.call(input('image', [-1, 3, size, size]))));
    const scores = answersOf(logits, trained.task ?? MULTICLASS);
    if (scores.shape.length !== 2 || scores.shape[1] !== k)
      throw new UsageError(`the model must return logits [None, ${k}], one a class; got ${String(scores)}`);
    const order = topological([logits]);
    const pooled = order.findLast((t) => t.op === 'globalAveragePool');
    this.#modules = new Set(
      order.flatMap((t) => (t.op === 'module' && t.attrs['module'] !== '' ? [t.attrs['module'] as string] : [])),
    );
    this.#pools = pooled !== undefined;
    this.#program = compile({ [SCORES]: scores, ...(pooled && { [POOLED]: pooled }) }, { weights, precision });
    this.#store = new ImageStore({ count: MOST, height: size, width: size, channels: 3 });
    this.#scaling = pixelScaling(trained.preprocess);
  }

  /** The output that classifies. */
  readonly scores = SCORES;

  /** The output that is a module's, or what the head reads. @throws UsageError where there is no such thing */
  outputOf(module: string | undefined): string {
    if (module === undefined) {
      if (this.#pools) return POOLED;
      throw new UsageError('module: this network has no global average pooling; name the module whose output you want');
    }
    if (this.#modules.has(module)) return module;
    const near = nearest(String(module), [...this.#modules]);
    throw new UsageError(
      `module: expected the name of one of the network's ${this.#modules.size} modules, got '${String(module)}'` +
        (near === undefined ? '' : `. Did you mean '${near}'?`),
    );
  }

  /** Answers for pictures of one kind, at most MOST. */
  async run(batch: readonly Picture[]): Promise<Scores[]> {
    batch.forEach(({ pixels }, i) => this.#store.put(i, pixels));
    const { kind } = batch[0]!;
    const plain = await this.#fetch(kind, ROWS.subarray(0, batch.length), 0);
    const width = plain.length / batch.length;
    const row = (of: Float32Array, i: number): Float32Array => of.subarray(i * width, i * width + width);
    const answers = batch.map((_, i) => ({
      plain: row(plain, i).slice(),
      mean: undefined as Float32Array | undefined,
    }));
    for (const tta of TTA) {
      const asked = ROWS.filter((i) => batch[i]?.tta === tta);
      if (asked.length === 0) continue;
      const own = new Float32Array(asked.length * width);
      asked.forEach((i, at) => own.set(row(plain, i), at * width));
      const mean = await meanOverViews(own, tta, (symmetry) => this.#fetch(kind, asked, symmetry));
      asked.forEach((i, at) => (answers[i]!.mean = row(mean, at)));
    }
    return answers;
  }

  /** Values of an output for what the store holds in these rows, seen in a symmetry, one row after the other. */
  async #fetch(output: string, order: Int32Array, symmetry: number): Promise<Float32Array> {
    const { rows } = await this.#program.loop({
      order,
      batchSize: order.length,
      bind: { image: { images: this.#store, ...this.#scaling, symmetry } },
      rows: [output],
    });
    const { data } = rows[output]!;
    return data instanceof Float32Array ? data : Float32Array.from(data as ArrayLike<number | bigint>, Number);
  }

  /** Frees program and pixels; the weights are the caller's. Idempotent. */
  dispose(): void {
    this.#program.dispose();
    this.#store.dispose();
  }
}
