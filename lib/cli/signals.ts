// Signals that ask a command to stop. Owns what the first and the second one do.
import { EXIT } from '../errors.js';

const SIGNALS = { SIGINT: EXIT.sigint, SIGTERM: EXIT.sigterm, SIGHUP: EXIT.sighup } as const;

/** While it is not disposed, the first signal aborts `signal`, a second one ends the process at once. */
export class Stopping implements Disposable {
  readonly #abort = new AbortController();
  #code: number | undefined;
  readonly #listeners = Object.entries(SIGNALS).map(([name, code]) => [name, () => this.#hear(code)] as const);

  /** @param heard called on the first signal */
  constructor(private readonly heard: () => void) {
    for (const [name, listener] of this.#listeners) process.on(name, listener);
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }
  /** The exit code of the signal that came, if one did. */
  get code(): number | undefined {
    return this.#code;
  }
  #hear(code: number): void {
    if (this.#code !== undefined) process.exit(code);
    this.#code = code;
    this.heard();
    this.#abort.abort();
  }
  [Symbol.dispose](): void {
    for (const [name, listener] of this.#listeners) process.off(name, listener);
  }
}
