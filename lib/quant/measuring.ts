// The pictures a network is calibrated on, and a place to run graphs over them: one engine, the network's float numbers.
import { inferenceBatch } from '../engine/batch-size.js';
import { Engine, type EngineOptions } from '../engine/engine.js';
import type { ImageStore } from '../engine/images.js';
import { compile } from '../engine/program.js';
import { Weights } from '../engine/weights.js';
import type { Tensor } from '../graph/tensor.js';
import type { LoopResult } from '../native/wire.js';
import { pixelScaling, type Preprocess } from '../weights/preprocess.js';
import type { FoldedNetwork } from './folded.js';

/** Pictures of a store, at the network's size. */
export interface Pictures {
  readonly store: ImageStore;
  readonly rows: Int32Array;
  readonly preprocess: Preprocess;
}

/** What a graph over images is asked for: scalars of each step, or the values of all images one after the other. */
export interface Asked {
  readonly outputs: Record<string, Tensor>;
  readonly stack?: string[];
  readonly rows?: string[];
}

/** Where it runs, and who hears of it. */
export interface MeasuringOptions extends EngineOptions {
  readonly signal?: AbortSignal;
  /** images run so far, over all passes */
  readonly onImages?: (done: number) => void;
}

export class Measuring {
  #done = 0;

  private constructor(
    readonly pictures: Pictures,
    private readonly weights: Weights,
    private readonly options: MeasuringOptions,
  ) {}

  static async of(net: FoldedNetwork, pictures: Pictures, options: MeasuringOptions): Promise<Measuring> {
    const { device, threads } = options;
    const engine = new Engine({ ...(device !== undefined && { device }), ...(threads !== undefined && { threads }) });
    try {
      return new Measuring(pictures, await Weights.init(numbersOf(net), { engine }), options);
    } catch (error) {
      engine.dispose();
      throw error;
    }
  }

  /** Images of a step. */
  get batch(): number {
    return inferenceBatch(this.weights.engine.device);
  }

  /** The network's numbers have changed. */
  async update(net: FoldedNetwork): Promise<void> {
    await this.weights.set([...numbersOf(net).state()]);
  }

  /** Runs a graph over these pictures, all of them by default. */
  async run({ outputs, stack = [], rows = [] }: Asked, order = this.pictures.rows): Promise<LoopResult> {
    const { store, preprocess } = this.pictures;
    using program = compile(outputs, { weights: this.weights });
    const bind = { image: { images: store, ...pixelScaling(preprocess) } };
    const { signal, onImages } = this.options;
    const { batch: batchSize } = this;
    const result = await program.loop({
      ...{ order, batchSize, bind, stack, rows, ...(signal && { signal }) },
      ...(onImages && { onProgress: (step) => onImages(this.#done + Math.min(step * batchSize, order.length)) }),
    });
    signal?.throwIfAborted();
    this.#done += order.length;
    onImages?.(this.#done);
    return result;
  }

  dispose(): void {
    this.weights.dispose();
    this.weights.engine.dispose();
  }
  /** `using` calls dispose(). */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

const numbersOf = ({ numbers }: FoldedNetwork) => ({
  state: () => [...numbers].map(([name, value]) => ({ name, ...value })),
});
