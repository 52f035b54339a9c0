// The bytes of a TorchScript file, run by libtorch on the CPU: how an export is tried.
import { Engine } from '../engine/engine.js';
import type { TensorData } from '../graph/tensor.js';
import { checked, settled } from '../native/failures.js';
import { native } from '../native/load.js';
import type { NativeScriptModule } from '../native/wire.js';

/** A TorchScript module. It is a program: run what was written here alone. */
export class ScriptModule {
  readonly #engine: Engine;
  readonly #native: NativeScriptModule;

  constructor(bytes: Uint8Array) {
    this.#engine = new Engine();
    this.#native = checked(() => new (native().ScriptModule)(this.#engine.native, bytes));
  }

  /**
   * What its `forward` makes of a tensor.
   * @throws TorchError when the bytes are no TorchScript module, or the tensor does not fit
   */
  run(input: TensorData): Promise<TensorData> {
    return settled(() => this.#native.run(input));
  }

  /** Frees its memory and its engine after what is under way. Idempotent. */
  dispose(): void {
    this.#native.dispose();
    this.#engine.dispose();
  }
  /** `using` calls dispose(). */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
