// Engine: the thread that runs programs on one device. Owns no graph and no values.
import os from 'node:os';
import { UsageError, EnvironmentError } from '../errors.js';
import { checked, settled } from '../native/failures.js';
import { native } from '../native/load.js';
import type { NativeEngine } from '../native/wire.js';

/** Where an engine runs, and on how many threads. */
export interface EngineOptions {
  /** 'cpu', 'cuda' or 'cuda:n'; 'auto' takes the first CUDA device when libtorch sees one. Default 'cpu'. */
  device?: string;
  /** threads of one op on the CPU; default: the cores this process may use */
  threads?: number;
}

/** Threads beyond a few a core only wait for each other; thousands take minutes to start, and cannot be interrupted. */
export const MOST_THREADS = 4 * os.availableParallelism();

/** How a device may be named. */
export const DEVICES = /^(auto|cpu|cuda(?::(\d+))?)$/;
/** The same in words. */
export const DEVICES_TEXT = 'auto, cpu, cuda or cuda:n';

/** 'auto' | 'cpu' | 'cuda' | 'cuda:n' -> 'cpu' | 'cuda:n'. Fails, saying why, when a CUDA device is asked for and absent. */
export function resolveDevice(device: string): string {
  const match = DEVICES.exec(device);
  if (!match) throw new UsageError(`device: expected ${DEVICES_TEXT}, got '${device}'`);
  if (device === 'cpu') return device;
  const found = native().cudaDevices();
  if (device === 'auto') return found.length > 0 ? 'cuda:0' : 'cpu';
  const index = Number(match[2] ?? 0);
  if (index < found.length) return `cuda:${index}`;
  const { cuda, libtorch } = native().buildInfo();
  throw new EnvironmentError(
    cuda
      ? `device '${device}': libtorch ${libtorch} (CUDA ${cuda}) sees ${found.length} CUDA devices. Check the driver with nvidia-smi, or use --device cpu`
      : `device '${device}': the addon is built against a CPU-only libtorch (${libtorch}). ` +
          'Point LIBTORCH at a CUDA build and run: npx mnv2-torch setup --force',
  );
}

/** The thread that runs programs on one device. Most callers use `Engine.default()`. */
export class Engine {
  /** @internal */
  readonly native: NativeEngine;
  static #default: Engine | undefined;

  /**
   * @throws EnvironmentError when the device is not there
   * @example
   * import { Engine } from 'mnv2-torch';
   * const engine = new Engine({ device: 'cpu', threads: 1 });
   * console.log(engine.device, engine.threads); // cpu 1
   */
  constructor(options: EngineOptions = {}) {
    const { device = 'cpu', threads = os.availableParallelism() } = options;
    if (!Number.isInteger(threads) || threads < 1 || threads > MOST_THREADS)
      throw new UsageError(
        `threads: expected a whole number of at least 1 and at most ${MOST_THREADS} (four a core), got ${threads}`,
      );
    const resolved = resolveDevice(device);
    this.native = checked(() => new (native().Engine)({ device: resolved, threads }));
  }

  /** The engine used where none is given: CPU, all cores. Made on first use, lives as long as the process. */
  static default(): Engine {
    return (Engine.#default ??= new Engine());
  }

  /** 'cpu' or 'cuda:n'. */
  get device(): string {
    return this.native.device;
  }
  /** Threads of one op on the CPU. */
  get threads(): number {
    return this.native.threads;
  }
  /** An empty job's round trip through the queue. */
  ping(): Promise<void> {
    return settled(() => this.native.ping());
  }
  /** Bytes of device memory held; zeros on the CPU, where the system's allocator is asked instead. */
  memory(): Promise<{ allocated: number; reserved: number; peak: number }> {
    return settled(() => this.native.memory());
  }
  /** Ends the thread after the jobs already queued. Idempotent. */
  dispose(): void {
    this.native.dispose();
  }
  /** `using` calls dispose(). */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
