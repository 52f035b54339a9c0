// Engine, Weights and RowStore: the owners of native memory next to Program and the image store. Owns no graph.
import os from 'node:os';
import { UsageError, EnvironmentError } from '../errors.js';
import { fromNative, native, type DType, type HostArray, type NativeEngine, type NativeRowStore, type NativeWeights, type TensorData } from '../native.js';

/** Awaits a native promise and turns its failure into this package's error classes. */
export async function settled<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fromNative(error);
  }
}

/** The same for a synchronous call. */
export function checked<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw fromNative(error);
  }
}

export interface EngineOptions {
  /** 'cpu', 'cuda' or 'cuda:n'; 'auto' takes the first CUDA device when libtorch sees one. Default 'cpu'. */
  device?: string;
  /** threads of one op on the CPU; default: the cores this process may use */
  threads?: number;
}

/** 'auto' | 'cpu' | 'cuda' | 'cuda:n' -> 'cpu' | 'cuda:n'. Fails, saying why, when a CUDA device is asked for and absent. */
export function resolveDevice(device: string): string {
  const match = /^(auto|cpu|cuda(?::(\d+))?)$/.exec(device);
  if (!match) throw new UsageError(`device: expected auto, cpu, cuda or cuda:n, got '${device}'`);
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
    if (!Number.isInteger(threads) || threads < 1) throw new UsageError(`threads: expected a whole number of at least 1, got ${threads}`);
    const resolved = resolveDevice(device);
    this.native = checked(() => new (native().Engine)({ device: resolved, threads }));
  }

  /** The engine used where none is given: CPU, all cores. Made on first use, lives as long as the process. */
  static default(): Engine {
    return (Engine.#default ??= new Engine());
  }

  get device(): string {
    return this.native.device;
  }
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
  [Symbol.dispose](): void {
    this.dispose();
  }
}

export interface NamedData extends TensorData {
  name: string;
}

/** What Weights needs to know of a model: the name, shape and first value of each parameter and buffer. */
export interface WeightSource {
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
    return settled(() => this.native.set(entries.map(({ name, data, shape, dtype }) => ({ name, data, shape, dtype }))));
  }
  /** Values by name, float32 for floating-point tensors. */
  async get(names: readonly string[] = this.names()): Promise<Map<string, TensorData>> {
    const values = await settled(() => this.native.get([...names]));
    return new Map(names.map((name, i) => [name, values[i]!]));
  }
  names(): string[] {
    return this.native.names();
  }
  dispose(): void {
    this.native.dispose();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * A tensor [rows, ...shape] on the device whose rows feed a loop or are filled by one (labels, cached features).
 * @example
 * import { Engine, RowStore } from 'mnv2-torch';
 * const labels = await RowStore.from(Engine.default(), BigInt64Array.of(3n, 1n, 2n), [3], 'int64');
 * console.log(labels.rows, [...(await labels.get(1, 2)).data].join(' ')); // 3 1 2
 */
export class RowStore {
  /** @internal */
  readonly native: NativeRowStore;

  constructor(
    readonly engine: Engine,
    readonly options: { rows: number; shape: readonly number[]; dtype: DType },
  ) {
    this.native = checked(() => new (native().RowStore)(engine.native, options));
  }

  /** A store filled with host data; the first dimension of `shape` counts the rows. */
  static async from(engine: Engine, data: HostArray, shape: readonly number[], dtype: DType): Promise<RowStore> {
    const store = new RowStore(engine, { rows: shape[0]!, shape: shape.slice(1), dtype });
    await settled(() => store.native.set(data));
    return store;
  }
  get rows(): number {
    return this.native.rows;
  }
  /** Bytes held. */
  get bytes(): number {
    return this.native.bytes;
  }
  /** Rows start .. start + count, as host data. */
  get(start = 0, count = this.rows): Promise<TensorData> {
    return settled(() => this.native.get(start, count));
  }
  dispose(): void {
    this.native.dispose();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}
