// Weights: named parameters and buffers on an engine's device.
import { checked } from '../native/failures.js';
import { native } from '../native/load.js';
import { Engine } from './engine.js';
import { NamedTensors, type NamedData } from './state.js';

export type { NamedData } from './state.js';

/** What Weights needs to know of a model: the name, shape and first value of each parameter and buffer. */
export interface WeightSource {
  /** First values of all parameters and buffers, the same for the same seed. */
  state(seed: number): Iterable<NamedData>;
}

/** Named parameters and buffers on an engine's device, shared by the programs compiled with them. */
export class Weights extends NamedTensors {
  private constructor(engine: Engine) {
    super(
      engine,
      checked(() => new (native().NamedTensors)(engine.native)),
    );
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

  /**
   * A copy on the same device, which does not change with these.
   * @example
   * import { Linear, Weights } from 'mnv2-torch';
   * const weights = await Weights.init(new Linear(3, 2));
   * const best = await weights.copy();
   * await weights.copyFrom(best); // and back
   * console.log(best.names()); // ['weight', 'bias']
   */
  async copy(): Promise<Weights> {
    const copy = new Weights(this.engine);
    await copy.copyFrom(this);
    return copy;
  }
}
