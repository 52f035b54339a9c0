// NamedTensors: values on an engine's device by name. Weights are such a set, what an optimizer remembers another.
import { checked, settled } from '../native/failures.js';
import type { NativeNamedTensors, TensorData } from '../native/wire.js';
import type { Engine } from './engine.js';

/** A tensor of a model or of a training's state, by its name. */
export interface NamedData extends TensorData {
  name: string;
}

/**
 * Named tensors on an engine's device, to be listed, read, written and copied: `Weights`, and a program's `state`.
 * @example
 * import { compile, input, Linear, NamedTensors, sgd, sum, tensorData, Weights } from 'mnv2-torch';
 * const layer = new Linear(2, 1, { bias: false });
 * const train = { loss: 'loss', parameters: ['weight'], optimizer: sgd({ momentum: 0.9 }) };
 * const outputs = { loss: sum(layer.call(input('x', [1, 2]))) };
 * const weights = await Weights.init(layer);
 * const program = compile(outputs, { weights, train });
 * await program.run({ x: tensorData([3, 4], [1, 2]) }, { lr: 0.1 });
 * console.log(program.state instanceof NamedTensors); // true
 * console.log(program.state.names()); // ['optimizer.weight.momentum', 'optimizer.updates']
 * // Going on elsewhere, exactly as here:
 * const resumed = compile(outputs, { weights: await weights.copy(), train });
 * await resumed.state.copyFrom(program.state);
 * console.log([...(await resumed.state.get()).get('optimizer.weight.momentum').data]); // [3, 4]
 */
export class NamedTensors {
  /** @internal */
  readonly native: NativeNamedTensors;

  /** @internal */
  constructor(
    readonly engine: Engine,
    native: NativeNamedTensors,
  ) {
    this.native = native;
  }

  /**
   * Overwrites tensors by name, between two steps of what runs; weights also take new ones.
   * @throws UsageError when a shape is another than before, or a program's state has no such entry
   */
  set(entries: readonly NamedData[]): Promise<void> {
    return settled(() =>
      this.native.set(entries.map(({ name, data, shape, dtype }) => ({ name, data, shape, dtype }))),
    );
  }
  /** Values by name, float32 for bfloat16 tensors. Default: all of them. */
  async get(names: readonly string[] = this.names()): Promise<Map<string, TensorData>> {
    const values = await settled(() => this.native.get([...names]));
    return new Map(names.map((name, i) => [name, values[i]!]));
  }
  /** Overwrites (weights: or creates) every tensor `other` has, without leaving the device; both of one engine. */
  copyFrom(other: NamedTensors): Promise<void> {
    return settled(() => this.native.copyFrom(other.native));
  }
  /** Names of all tensors, in the order they were named. */
  names(): string[] {
    return checked(() => this.native.names());
  }
  /** Frees the values once no program uses them. Idempotent; later calls throw. */
  dispose(): void {
    this.native.dispose();
  }
  /** `using` calls dispose(). */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
