// Weights: named parameters and buffers on an engine's device.
import { checked, settled } from '../native/failures.js';
import { native } from '../native/load.js';
import type { NativeWeights, TensorData } from '../native/wire.js';
import { Engine } from './engine.js';

/** A tensor of a model, by its name. */
export interface NamedData extends TensorData {
  name: string;
}

/** What Weights needs to know of a model: the name, shape and first value of each parameter and buffer. */
export interface WeightSource {
  /** First values of all parameters and buffers, the same for the same seed. */
  state(seed: number): Iterable<NamedData>;
}

/** Named parameters and buffers on an engine's device, shared by the programs compiled with them. */
export class Weights {
  /** @internal */
  readonly native: NativeWeights;

  private constructor(readonly engine: Engine) {
    this.native = checked(() => new (native().Weights)(engine.native));
  }

  /**
   * Allocates a model's parameters and buffers and fills them by the model's own initialisers.
   * @param source a module, or anything with `state(seed)`
   * @param options.seed the same seed gives the same numbers on every machine
   * @example
   * import { Linear, Weights } from 'mnv2-torch';
   * const weights = await Weights.init(new Linear(3, 2), { seed: 0 });
   * console.log(weights.names()); // ['weight', 'bias']
   */
  static async init(source: WeightSource, options: { seed?: number; engine?: Engine } = {}): Promise<Weights> {
    const weights = new Weights(options.engine ?? Engine.default());
    await weights.set([...source.state(options.seed ?? 0)]);
    return weights;
  }

  /** Creates or overwrites tensors by name. Overwriting with another shape is an error. */
  set(entries: readonly NamedData[]): Promise<void> {
    return settled(() =>
      this.native.set(entries.map(({ name, data, shape, dtype }) => ({ name, data, shape, dtype }))),
    );
  }
  /** Values by name, float32 for floating-point tensors. */
  async get(names: readonly string[] = this.names()): Promise<Map<string, TensorData>> {
    const values = await settled(() => this.native.get([...names]));
    return new Map(names.map((name, i) => [name, values[i]!]));
  }
  /** Names of all tensors, in the order they were first set. */
  names(): string[] {
    return this.native.names();
  }
  /** Frees the memory after jobs already queued. Idempotent; later calls throw. */
  dispose(): void {
    this.native.dispose();
  }
  /** `using` calls dispose(). */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
