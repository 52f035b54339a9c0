// RowStore: rows of one shape on an engine's device.
import { checked, settled } from '../native/failures.js';
import { native } from '../native/load.js';
import type { DType, HostArray, NativeRowStore, TensorData } from '../native/wire.js';
import type { Engine } from './engine.js';

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
  /** Number of rows. */
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
  /** Frees the memory after jobs already queued. Idempotent; later calls throw. */
  dispose(): void {
    this.native.dispose();
  }
  /** `using` calls dispose(). */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
