// compile: a recorded graph -> a Program on the engine. Owns the wire form of graphs; runs nothing in JavaScript.
import { UsageError } from '../errors.js';
import { native } from '../native/load.js';
import type {
  BindingSpec,
  LoopResult,
  NativeAugment,
  NativeProgram,
  NodeSpec,
  OptimizerSpec,
  ProgramSpec,
  TrainSpec,
  TensorData,
} from '../native/wire.js';
import { ImageStore } from './images.js';
import { RowStore } from './rows.js';
import { checked, settled } from '../native/failures.js';
import { isTypedArray, requireInstance, requireObject, requireSignal, requireWhole, shown } from './arguments.js';
import { Engine } from './engine.js';
import { NamedTensors } from './state.js';
import type { Weights } from './weights.js';
import { topological } from '../graph/order.js';
import { evaluateWith, type Tensor } from '../graph/tensor.js';

/** What a program learns, and how its parameters are updated. */
export interface TrainOptions {
  /** name of a scalar output */
  loss: string;
  /** names of the parameters that are changed to lower it */
  parameters: readonly string[];
  optimizer: OptimizerSpec;
  /** factors of the learning rate, by parameter (default 1 each) */
  rates?: Readonly<Record<string, number>>;
  /** parameters that weight decay leaves alone (default: none) */
  undecayed?: readonly string[];
  /** largest norm of the whole gradient: longer ones are scaled down to it. Absent: any; else the norm is `optimizer.norm` in `state` */
  clip?: number;
  /** loops may gather the gradients of several batches for one update: see `LoopOptions.updates` */
  accumulate?: boolean;
  /**
   * keeps running averages of parameters and float buffers: a' = d a + (1 - d) w after each update, n the number of
   * updates, d = min(decay, (1 + n) / (10 + n)); they begin as the weights
   */
  average?: { decay: number; names: readonly string[] };
}

/** How a graph is made into a program. */
export interface CompileOptions {
  /** values of the parameters and buffers the graph names; needed when it has any */
  weights?: Weights;
  /** default: the weights' engine, else the default engine */
  engine?: Engine;
  /** 'bf16' runs convolutions and linear layers in bfloat16, with float32 parameters, statistics and losses */
  precision?: 'fp32' | 'bf16';
  /** let the engine fuse what no fetch looks at; off: every node as recorded (default: on) */
  fuse?: boolean;
  /** CUDA only: capture steps, and runs whose feeds have one shape, as graphs (default: on) */
  cudaGraph?: boolean;
  /** makes `run` with a learning rate, and `loop` with learning rates, update `parameters` to lower `loss` */
  train?: TrainOptions;
}

/** How a loop fills an input. */
export type Binding =
  | {
      images: ImageStore;
      scale: number[];
      shift: number[];
      augment?: NativeAugment;
      /** draws are made of the number of the step instead of `epoch`: an order may then hold an image several times */
      eachStep?: boolean;
      /**
       * where nothing is augmented, one of the eight symmetries of the square: mirrored left-right where it is odd,
       * then symmetry >> 1 quarter turns (default 0: as it is)
       */
      symmetry?: number;
      seed?: number;
      epoch?: number;
    }
  | { rows: RowStore; offset?: number }
  /** labels [rows] int64 as targets [N, classes] float32, mixed as the images are; else 1 for the label */
  | { targets: RowStore; classes: number };

/**
 * How a loop mixes each image with the next of its batch (the last with the first), and the targets with it: MixUp
 * (Zhang et al. 2018) blends whole images, CutMix (Yun et al. 2019) lets the partner show through a rectangle. Each image
 * draws a share of its own from Beta(alpha, alpha), of (seed, step, place in the batch) alone; CutMix's is the area that
 * is left. With both, an image takes either with probability 1/2. A batch of one stays as it is.
 */
export interface Mix {
  /** alpha of MixUp (default 0: off) */
  mixup?: number;
  /** alpha of CutMix (default 0: off) */
  cutmix?: number;
}

/** A run over many batches in one job. */
export interface LoopOptions {
  /** example indices in visiting order; they index every bound store */
  order: Int32Array;
  /** examples a step; the last step takes what is left */
  batchSize: number;
  /** how each input of the graph is filled */
  bind: Record<string, Binding>;
  /** learning rate of each step, or one for all; absent: nothing is updated */
  lr?: number | Float64Array;
  /**
   * 0 where a step's gradients are gathered for the next update, else 1; default: every step updates. An update takes
   * the mean over the images since the last one, as one large batch would, at its own step's rate
   */
  updates?: Uint8Array;
  /** steps taken before this loop: seeds dropout together with `seed` (default 0) */
  firstStep?: number;
  /** of dropout and of `mix` (default 0) */
  seed?: number;
  /** mixes the images of a batch, and the inputs bound to `targets` with the very same shares; rows stay as they are */
  mix?: Mix;
  /** scalar outputs to return as one number a step */
  stack?: string[];
  /** batched outputs to return concatenated */
  rows?: string[];
  /** batched outputs to write to a store, at order[i] + offset */
  into?: Record<string, { store: RowStore; offset?: number }>;
  /** stop when this stacked scalar is not finite */
  finite?: string;
  /** looked at between steps */
  signal?: AbortSignal;
  /**
   * called at most every `progressMs` (default 100) with the steps done and the stacked scalars' sums so far; what it
   * throws stops the loop and rejects its promise
   */
  onProgress?: (step: number, sums: Record<string, number>) => void;
  /** milliseconds */
  progressMs?: number;
}

/** The addon looks at names and types; here, at ranges. */
function trainSpec(train: TrainOptions): TrainSpec {
  const { loss, parameters, optimizer, rates = {}, undecayed = [], clip, accumulate = false, average } = train;
  const refuse = (what: string, expected: string, got: unknown): never => {
    throw new UsageError(`compile: train.${what}: expected ${expected}, got ${shown(got)}`);
  };
  for (const [name, rate] of Object.entries(rates))
    if (!(rate >= 0 && rate < Infinity)) refuse(`rates.${name}`, 'a factor of at least 0', rate);
  if (clip !== undefined && !(clip > 0 && clip < Infinity)) refuse('clip', 'a norm above 0', clip);
  if (average && !(average.decay > 0 && average.decay < 1))
    refuse('average.decay', 'a number in (0, 1)', average.decay);
  return {
    loss,
    parameters: [...parameters],
    optimizer,
    rates: { ...rates },
    undecayed: [...undecayed],
    clip: clip ?? 0,
    accumulate,
    ...(average && { average: { decay: average.decay, names: [...average.names] } }),
  };
}

/** Refuses what the types of LoopOptions already do, for callers without types; the addon looks at the numbers. */
function checkLoop(options: LoopOptions): void {
  requireObject(options, 'loop', '{ order, batchSize, bind, ... }');
  if (!isTypedArray(options.order, 'Int32Array'))
    throw new UsageError(`loop: order: expected an Int32Array, got ${shown(options.order)}`);
  requireWhole(options.batchSize, 1, 'loop: batchSize');
  requireObject(options.bind, 'loop: bind', '{ rows }, { targets, classes } or { images, scale, shift } by input name');
  for (const [name, binding] of Object.entries(options.bind)) {
    const what = `loop: bind.${name}`;
    requireObject(binding, what, '{ rows }, { targets, classes } or { images, scale, shift }');
    if ('rows' in binding) requireInstance(binding.rows, RowStore, `${what}.rows`);
    else if ('targets' in binding) requireInstance(binding.targets, RowStore, `${what}.targets`);
    else requireInstance(binding.images, ImageStore, `${what}.images`);
  }
  for (const [name, target] of Object.entries(options.into ?? {})) {
    requireObject(target, `loop: into.${name}`, '{ store, offset? }');
    requireInstance(target.store, RowStore, `loop: into.${name}.store`);
  }
  const { lr, onProgress, signal, mix } = options;
  if (mix !== undefined) requireObject(mix, 'loop: mix', '{ mixup?, cutmix? }');
  if (lr !== undefined && typeof lr !== 'number' && !isTypedArray(lr, 'Float64Array'))
    throw new UsageError(`loop: lr: expected a number or a Float64Array, got ${shown(lr)}`);
  if (options.updates !== undefined && !isTypedArray(options.updates, 'Uint8Array'))
    throw new UsageError(`loop: updates: expected a Uint8Array, got ${shown(options.updates)}`);
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw new UsageError(`loop: onProgress: expected a function, got ${shown(onProgress)}`);
  requireSignal(signal, 'loop: signal');
}

/** Node list, fetchable names and inputs of a graph; 'module' markers become names and vanish. */
export function flatten(outputs: Record<string, Tensor>): {
  nodes: NodeSpec[];
  names: Record<string, number>;
  inputs: Map<string, Tensor>;
} {
  const index = new Map<Tensor, number>();
  const nodes: NodeSpec[] = [];
  const names: Record<string, number> = {};
  const inputs = new Map<string, Tensor>();
  for (const tensor of topological(Object.values(outputs))) {
    if (tensor.op === 'module') {
      const at = index.get(tensor.inputs[0]!)!;
      index.set(tensor, at);
      const name = tensor.attrs['module'] as string;
      if (name) names[name] = at;
      continue;
    }
    if (tensor.op === 'input' || tensor.op === 'parameter') {
      const name = tensor.attrs['name'] as string;
      const same = nodes.findIndex((n) => n.op === tensor.op && n.attrs['name'] === name);
      if (same >= 0) {
        // One name is one value, however often it was described.
        const first = nodes[same]!;
        if (first.dtype !== tensor.dtype || first.shape.join() !== tensor.shape.join()) {
          throw new UsageError(
            `${tensor.op} '${name}' is described twice, as [${first.shape.join(', ')}] ${first.dtype} and [${tensor.shape.join(', ')}] ${tensor.dtype}`,
          );
        }
        index.set(tensor, same);
        continue;
      }
      if (tensor.op === 'input') inputs.set(name, tensor);
    }
    index.set(tensor, nodes.length);
    nodes.push({
      op: tensor.op,
      inputs: tensor.inputs.map((t) => index.get(t)!),
      attrs: tensor.attrs,
      path: tensor.path,
      shape: tensor.shape,
      dtype: tensor.dtype,
    });
  }
  for (const [name, tensor] of Object.entries(outputs)) names[name] = index.get(tensor)!;
  return { nodes, names, inputs };
}

/**
 * Sends a graph to the engine once.
 * @param outputs what a run returns, by name
 * @throws UsageError, TorchError when the graph does not fit the weights
 * @example
 * import { compile, input, relu, tensorData } from 'mnv2-torch';
 * const program = compile({ y: relu(input('x', [-1])) });
 * const { y } = await program.run({ x: tensorData([-1, 2]) });
 * console.log([...y.data]); // [0, 2]
 */
export function compile(outputs: Record<string, Tensor>, options: CompileOptions = {}): Program {
  return new Program(outputs, options);
}

/**
 * A graph on the engine. Run it, loop it over stores, dispose it.
 * @example
 * import { compile, Engine, input, mul, Program, constant, RowStore } from 'mnv2-torch';
 * const x = await RowStore.from(Engine.default(), Float32Array.of(1, 2, 3), [3, 1], 'float32');
 * const program = compile({ y: mul(input('x', [-1, 1]), constant(10)) });
 * const { rows } = await program.loop({ order: Int32Array.of(2, 0), batchSize: 1, bind: { x: { rows: x } }, rows: ['y'] });
 * console.log(program instanceof Program, [...rows.y.data]); // true [30, 10]
 */
export class Program {
  readonly engine: Engine;
  /** the inputs a run must feed, by name */
  readonly inputs: ReadonlyMap<string, Tensor>;
  /**
   * What a training program remembers from step to step besides the weights: `optimizer.<parameter>.<slot>` (sgd and
   * rmsprop: `momentum`, where it is above 0; rmsprop: `squareAverage`; adam, adamw: `firstMoment`, `secondMoment`),
   * zeros before the first step, and `optimizer.updates`, their number. With `accumulate` also
   * `optimizer.<parameter>.gathered` and `optimizer.images`, with `clip` `optimizer.norm`, with `average` `ema.<name>`,
   * zeros before the first update. Written to a program compiled alike, with the
   * same weights, its next step is bit for bit the one this program would have taken. Empty without `train`.
   */
  readonly state: NamedTensors;
  readonly #native: NativeProgram;

  /** @internal use `compile` */
  constructor(outputs: Record<string, Tensor>, options: CompileOptions) {
    requireObject(outputs, 'compile: outputs', 'tensors by name');
    requireObject(options, 'compile: options', 'an object');
    const { weights, precision = 'fp32', fuse = true, cudaGraph = true, train } = options;
    this.engine = options.engine ?? weights?.engine ?? Engine.default();
    if (weights && weights.engine !== this.engine)
      throw new UsageError('compile: the weights belong to another engine');
    const { nodes, names, inputs } = flatten(outputs);
    this.inputs = inputs;
    const spec: ProgramSpec = { nodes, names, outputs: Object.keys(outputs), precision, fuse, cudaGraph };
    if (train) spec.train = trainSpec(train);
    const store = weights?.native ?? checked(() => new (native().NamedTensors)(this.engine.native));
    this.#native = checked(() => new (native().Program)(this.engine.native, store, spec));
    this.state = new NamedTensors(this.engine, this.#native.state);
  }

  /**
   * One crossing: feeds in, fetched values out. With `lr` a training program also updates its parameters; values
   * are those of before the update.
   * @param feeds every input by name; float32 data may feed float64 and bfloat16 inputs
   * @param options.fetch output names, module paths (`features.3`), or none for the compiled outputs
   * @param options.step number of steps already taken; seeds dropout together with `seed`
   */
  async run(
    feeds: Record<string, TensorData> = {},
    options: { fetch?: readonly string[]; lr?: number; step?: number; seed?: number } = {},
  ): Promise<Record<string, TensorData>> {
    requireObject(feeds, 'run: feeds', '{ data, shape, dtype } by input name');
    requireObject(options, 'run: options', 'an object');
    const { fetch, ...rest } = options;
    if (fetch !== undefined && !Array.isArray(fetch))
      throw new UsageError(`run: fetch: expected a list of names, got ${shown(fetch)}`);
    return settled(() => this.#native.run(feeds, fetch ? { ...rest, fetch: [...fetch] } : rest));
  }

  /** Many steps as one job on the engine thread, fed from native stores. */
  async loop(options: LoopOptions): Promise<LoopResult> {
    checkLoop(options);
    const { order, batchSize, signal, onProgress, stack = [] } = options;
    signal?.throwIfAborted();
    const steps = Math.ceil(order.length / batchSize);
    const lr = typeof options.lr === 'number' ? new Float64Array(steps).fill(options.lr) : options.lr;
    const bind: Record<string, BindingSpec> = {};
    for (const [name, b] of Object.entries(options.bind)) {
      bind[name] =
        'rows' in b
          ? { rows: b.rows.native, offset: b.offset ?? 0 }
          : 'targets' in b
            ? { rows: b.targets.native, offset: 0, classes: b.classes }
            : { ...b, images: b.images.native, seed: b.seed ?? 0, epoch: b.epoch ?? 0 };
    }
    const into: Record<string, { store: RowStore['native']; offset: number }> = {};
    for (const [name, { store, offset = 0 }] of Object.entries(options.into ?? {}))
      into[name] = { store: store.native, offset };
    const { finite, updates, firstStep = 0, seed = 0, rows = [], progressMs = 100, mix } = options;
    const cancel = (): void => job.cancel();
    let thrown: { error: unknown } | undefined;
    const progress =
      onProgress &&
      ((step: number, sums: Float64Array): void => {
        if (thrown) return;
        try {
          onProgress(step, Object.fromEntries(stack.map((name, i) => [name, sums[i]!])));
        } catch (error) {
          thrown = { error };
          cancel();
        }
      });
    const spec = { order, batchSize, bind, into, firstStep, seed, stack, rows, progressMs };
    const job = checked(() =>
      this.#native.loop(
        {
          ...spec,
          ...(lr && { lr }),
          ...(updates && { updates }),
          ...(mix && { mix: { mixup: mix.mixup ?? 0, cutmix: mix.cutmix ?? 0 } }),
          ...(finite !== undefined && { finite }),
        },
        progress,
      ),
    );
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      const result = await settled(() => job.promise);
      if (thrown) throw thrown.error;
      return result;
    } finally {
      signal?.removeEventListener('abort', cancel);
    }
  }

  /** What the engine makes of the graph for a fetch set, one line a step: shows what was fused. */
  plan(fetch?: readonly string[]): string[] {
    return checked(() => this.#native.plan(fetch && [...fetch]));
  }
  /** How the last run or loop went: 'captured' as a CUDA graph, why not, or '' where graphs were not asked for. */
  cudaGraph(): Promise<string> {
    return settled(() => this.#native.cudaGraph());
  }
  /** Frees native memory after jobs already queued. Idempotent; later calls throw. */
  dispose(): void {
    this.#native.dispose();
  }
  /** `using` calls dispose(). */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

evaluateWith(async (tensor, feeds) => {
  using program = compile({ value: tensor });
  const { value } = await program.run(feeds);
  return value!;
});
