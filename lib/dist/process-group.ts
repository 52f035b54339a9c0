// ProcessGroup: this process among several that compute together, and the collectives between them. The transport is
// libtorch's c10d with Gloo. Owns no training.
import { untilAborted } from '../abort.js';
import { DistributedError, UsageError } from '../errors.js';
import { checked, settled } from '../native/failures.js';
import { native } from '../native/load.js';
import type { NativeProcessGroup, TensorData } from '../native/wire.js';
import { answers, ownAddress } from './network.js';
import { placementFrom, type Environment, type Placement } from './placement.js';

/** Tensors by name. */
export type Named = Readonly<Record<string, TensorData>>;

/** How a process joins the others. */
export interface JoinOptions {
  /** seconds that joining, and each collective, may wait for the others; default 300 */
  timeout?: number;
  /** the network interface they speak over, as in 'eth0'; default: GLOO_SOCKET_IFNAME, or the one that leads to rank 0 */
  interface?: string;
  /** ends the waiting for the others */
  signal?: AbortSignal;
}
/** How a collective may end early. */
export interface CollectiveOptions {
  /** ends the waiting at once; the group is of no more use then */
  signal?: AbortSignal;
}

const DEFAULT_TIMEOUT = 300;
const REDUCTIONS = ['sum', 'mean', 'min', 'max'] as const;

/**
 * The processes of one run. All of them make the same calls in the same order; results are the same bits on each.
 * Where one is gone, or does not come within the timeout, all others get a DistributedError.
 * @example
 * import { ProcessGroup, tensorData } from 'mnv2-torch';
 * // The same in each process that torchrun, srun or mpirun starts; started by itself, a process is a group of one.
 * const group = await ProcessGroup.fromEnvironment({ timeout: 60 });
 * const { loss } = await group.allReduce({ loss: tensorData([0.25], [1]) }, { how: 'mean' });
 * console.log(group.rank, group.world, loss.data[0]); // 0 1 0.25
 * group.dispose();
 */
export class ProcessGroup {
  readonly #native: NativeProcessGroup | undefined;
  #disposed = false;

  private constructor(
    /** 0 to world - 1 */
    readonly rank: number,
    /** how many processes there are */
    readonly world: number,
    /** the rank among those of this machine: the number of the CUDA device to take */
    readonly localRank: number,
    group: NativeProcessGroup | undefined,
  ) {
    this.#native = group;
  }

  /**
   * Joins the processes that the environment tells of: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT as
   * torchrun and Kubernetes' PyTorchJob set them, or Slurm's and Open MPI's variables. A group of one where there are none.
   * @throws UsageError when the variables contradict each other; EnvironmentError when an address or a port is not to be
   * had here; DistributedError when not all came within the timeout
   */
  static async fromEnvironment(options: JoinOptions = {}, env: Environment = process.env): Promise<ProcessGroup> {
    const placement = placementFrom(env, native().buildInfo().libtorch);
    const named = options.interface ?? env['GLOO_SOCKET_IFNAME'];
    return ProcessGroup.join(placement, { ...options, ...(named && { interface: named }) });
  }

  /** Joins the others at a place; a group of one where there is none. Throws as `fromEnvironment` does. */
  static async join(placement: Placement | undefined, options: JoinOptions = {}): Promise<ProcessGroup> {
    const { timeout = DEFAULT_TIMEOUT, interface: named = '', signal } = options;
    if (!(timeout > 0 && timeout <= 1e6))
      throw new UsageError(`timeout: expected seconds, above 0 and at most 1000000, got ${timeout}`);
    if (!placement || placement.world === 1) return new ProcessGroup(0, 1, placement?.localRank ?? 0, undefined);
    const { rank, world, localRank, host, port, hosts, attempt } = placement;
    if (!hosts && !(await answers(host, port, timeout, signal)))
      throw new DistributedError(
        `rank ${rank} did not meet all ${world} processes at ${host}:${port} within ${timeout} s: nobody listens there`,
      );
    const address = await ownAddress(host, port);
    const prefix = `mnv2-torch/${attempt}`;
    const group = checked(
      () => new (native().ProcessGroup)({ rank, world, host, port, hosts, prefix, address, interface: named, timeout }),
    );
    try {
      await untilAborted(
        signal,
        () => settled(() => group.join()),
        () => group.leave(),
      );
    } catch (error) {
      group.dispose();
      throw error;
    }
    return new ProcessGroup(rank, world, localRank, group);
  }

  /**
   * Each tensor's sum (mean, min, max) over the processes, element by element; on all of them. The mean is of float tensors.
   * @param tensors of the same names, dtypes and shapes on every process
   */
  async allReduce<K extends string>(
    tensors: Readonly<Record<K, TensorData>>,
    { how = 'sum', signal }: { how?: (typeof REDUCTIONS)[number] } & CollectiveOptions = {},
  ): Promise<Record<K, TensorData>> {
    if (!REDUCTIONS.includes(how))
      throw new UsageError(`allReduce: how: expected one of ${REDUCTIONS.join(', ')}, got '${String(how)}'`);
    if (how === 'mean') requireFloats(tensors);
    const reduced = await this.#collective(
      'allReduce',
      `${how} ${layoutOf(tensors)}`,
      tensors,
      signal,
      (group, list, asked) => group.allReduce(list, how === 'mean' ? 'sum' : how, asked),
    );
    if (how === 'mean')
      for (const { data } of Object.values<TensorData>(reduced))
        for (let i = 0; i < data.length; i++) (data as Float32Array)[i]! /= this.world;
    return reduced;
  }

  /** The tensors of one process, on all of them. The others give some of the same names, dtypes and shapes. */
  async broadcast<K extends string>(
    tensors: Readonly<Record<K, TensorData>>,
    { from = 0, signal }: { from?: number } & CollectiveOptions = {},
  ): Promise<Record<K, TensorData>> {
    if (!Number.isInteger(from) || from < 0 || from >= this.world)
      throw new UsageError(`broadcast: from: expected a rank of 0 to ${this.world - 1}, got ${from}`);
    return this.#collective('broadcast', `from ${from} ${layoutOf(tensors)}`, tensors, signal, (group, list, asked) =>
      group.broadcast(list, from, asked),
    );
  }

  /** Each tensor of every process, by rank, on all of them. Their first dimensions may differ. */
  async allGather<K extends string>(
    tensors: Readonly<Record<K, TensorData>>,
    { signal }: CollectiveOptions = {},
  ): Promise<Record<K, TensorData[]>> {
    const gathered = {} as Record<K, TensorData[]>;
    for (const name of namesOf(tensors)) {
      const tensor = tensors[name];
      if (tensor.shape.length === 0)
        throw new UsageError(`allGather: '${name}': expected at least one dimension, got a number alone`);
      gathered[name] = await this.#waiting(
        signal,
        `allGather '${name}' ${tensor.dtype} [${['n', ...tensor.shape.slice(1)].join(', ')}]`,
        (group, asked) => group.allGather(tensor, asked),
        () => [copied(tensor)],
      );
    }
    return gathered;
  }

  /** Resolves once every process has called it. */
  barrier({ signal }: CollectiveOptions = {}): Promise<void> {
    return this.#waiting(
      signal,
      'barrier',
      (group, asked) => group.barrier(asked),
      () => undefined,
    );
  }

  #collective<K extends string>(
    call: string,
    asked: string,
    tensors: Readonly<Record<K, TensorData>>,
    signal: AbortSignal | undefined,
    work: (group: NativeProcessGroup, list: TensorData[], asked: string) => Promise<TensorData[]>,
  ): Promise<Record<K, TensorData>> {
    const names = namesOf(tensors);
    const list = names.map((name) => tensors[name]);
    return this.#waiting(
      signal,
      `${call} ${asked}`,
      (group, what) => work(group, list, what),
      () => list.map(copied),
    ).then((values) => Object.fromEntries(names.map((name, i) => [name, values[i]])) as Record<K, TensorData>);
  }

  async #waiting<T>(
    signal: AbortSignal | undefined,
    asked: string,
    work: (group: NativeProcessGroup, asked: string) => Promise<T>,
    alone: () => T,
  ): Promise<T> {
    if (this.#disposed) throw new UsageError('this ProcessGroup was disposed; it cannot be used any more');
    const group = this.#native;
    if (!group) {
      signal?.throwIfAborted();
      return alone();
    }
    return untilAborted(
      signal,
      () => settled(() => work(group, asked)),
      () => group.leave(),
    );
  }

  /** Leaves the others, after the calls already made. Idempotent. */
  dispose(): void {
    this.#disposed = true;
    this.#native?.dispose();
  }
  /** `using` calls dispose(). */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** In an order that all processes share, whatever order each wrote them in. */
const namesOf = <K extends string>(tensors: Readonly<Record<K, TensorData>>): K[] =>
  (Object.keys(tensors) as K[]).sort((a, b) => (a < b ? -1 : 1));

/** What every process must ask for alike. */
const layoutOf = (tensors: Named): string =>
  namesOf(tensors)
    .map((name) => `'${name}' ${tensors[name]!.dtype} [${tensors[name]!.shape.join(', ')}]`)
    .join('; ');

const copied = ({ data, shape, dtype }: TensorData): TensorData => ({ data: data.slice(), shape: [...shape], dtype });

function requireFloats(tensors: Named): void {
  for (const [name, { data, dtype }] of Object.entries(tensors))
    if (!(data instanceof Float32Array || data instanceof Float64Array))
      throw new UsageError(`allReduce: '${name}': the mean is of float tensors, got ${dtype}; expected how: 'sum'`);
}
