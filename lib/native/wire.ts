// The addon's surface as TypeScript sees it: types alone.

/** Element types a tensor description can have. Host data of `bfloat16` tensors crosses as Float32Array. */
export type DType = 'float32' | 'float64' | 'bfloat16' | 'int64' | 'int32' | 'int8' | 'uint8' | 'bool';
/** Typed arrays that cross to and from the engine without copies of their own. */
export type HostArray = Float32Array | Float64Array | BigInt64Array | Int32Array | Int8Array | Uint8Array;
/** Values an op's attribute may take. */
export type Attr = number | boolean | string | readonly number[] | HostArray;
/** Attributes of an op by name. */
export type Attrs = Readonly<Record<string, Attr>>;

/** Numbers on the host: `shape` row-major over `data`. */
export interface TensorData<T extends HostArray = HostArray> {
  data: T;
  shape: number[];
  dtype: DType;
}

/** One recorded op, inputs as indices of earlier nodes; a shape dimension of -1 is known only when it runs. */
export interface NodeSpec {
  op: string;
  inputs: number[];
  attrs: Attrs;
  path: string;
  shape: readonly number[];
  dtype: DType;
}

/** An optimizer and its settings, as `sgd()`, `adam()`, `adamw()` and `rmsprop()` describe them. */
export type OptimizerSpec =
  | { kind: 'sgd'; momentum: number; nesterov: boolean; weightDecay: number }
  | { kind: 'adam' | 'adamw'; beta1: number; beta2: number; eps: number; weightDecay: number }
  | { kind: 'rmsprop'; alpha: number; eps: number; momentum: number; weightDecay: number; epsInsideSqrt: boolean };

/** What a program learns, and how. */
export interface TrainSpec {
  /** a scalar output */
  loss: string;
  /** names of what is changed to lower it */
  parameters: string[];
  optimizer: OptimizerSpec;
  /** factor of the learning rate, by parameter; 1 where none is named */
  rates: Record<string, number>;
  /** parameters that weight decay leaves alone */
  undecayed: string[];
  /** largest norm of the whole gradient; 0: any */
  clip: number;
  /** the gradients of several batches may make one update */
  accumulate: boolean;
  /** running averages of these, under `ema.<name>` in the program's state */
  average?: { decay: number; names: string[] };
}

export interface ProgramSpec {
  nodes: NodeSpec[];
  /** every name a run may fetch -> node index */
  names: Record<string, number>;
  /** what a run fetches when it names nothing */
  outputs: string[];
  precision: 'fp32' | 'bf16';
  /** fuse conv+BatchNorm+activation(+add) where no fetched value lies inside */
  fuse: boolean;
  /** capture training and inference steps as CUDA graphs where the device allows */
  cudaGraph: boolean;
  train?: TrainSpec;
}

/** What is done to an image on its way into a batch. */
export interface ImageRecipe {
  scale: number[];
  shift: number[];
  augment?: NativeAugment;
  /** where nothing is augmented, one of the eight symmetries of the square: mirrored left-right where it is odd, then symmetry >> 1 quarter turns */
  symmetry?: number;
  seed: number;
  epoch: number;
}

/**
 * How a loop fills one input: images gathered (augmented, normalised) natively, rows of a device-resident store, or its
 * rows as labels made into targets [N, classes]. `eachStep`: the number of the step takes the place of `epoch`.
 */
export type BindingSpec =
  | (ImageRecipe & { images: NativeImageStore; eachStep?: boolean })
  | { rows: NativeRowStore; offset: number; classes?: number };

/** Everything 0, false or none is the identity; crop's and scale's bounds are 1 for none. Units: data/augment.ts. */
export interface NativeAugment {
  flips: 'none' | 'horizontal' | 'both';
  turns: boolean;
  cropMin: number;
  cropMax: number;
  ratioMin: number;
  ratioMax: number;
  scaleMin: number;
  scaleMax: number;
  translate: number;
  rotateDegrees: number;
  brightness: number;
  contrast: number;
  saturation: number;
  erase: number;
}

export interface LoopSpec {
  order: Int32Array;
  batchSize: number;
  bind: Record<string, BindingSpec>;
  /** learning rate of each step; absent: no update (evaluation) */
  lr?: Float64Array;
  /** 0 where a step's gradients are gathered for a later one's update; absent: every step updates */
  updates?: Uint8Array;
  /** number of steps taken before this loop: seeds dropout */
  firstStep: number;
  seed: number;
  /** alphas of MixUp and CutMix, drawn of (seed, step) for all images and targets of a batch; 0: off */
  mix?: { mixup: number; cutmix: number };
  /** scalar outputs, one number a step */
  stack: string[];
  /** outputs with a leading batch dimension, concatenated in visiting order */
  rows: string[];
  /** outputs with a leading batch dimension, written to store row order[i] + offset */
  into: Record<string, { store: NativeRowStore; offset: number }>;
  /** stop at the first step whose value of this stacked scalar is not finite */
  finite?: string;
  /** milliseconds between progress calls */
  progressMs: number;
}

/** What a loop did and gave. */
export interface LoopResult {
  steps: number;
  examples: number;
  /** cancelled between two steps */
  stopped: boolean;
  /** step (0-based in this loop) whose `finite` scalar was not finite, or -1 */
  diverged: number;
  /** the stacked scalars, one number a step */
  stack: Record<string, Float64Array>;
  /** the batched outputs, concatenated in visiting order */
  rows: Record<string, TensorData>;
  seconds: number;
  /** 'captured', why steps were not captured as a CUDA graph, or '' where graphs were not asked for */
  cudaGraph: string;
}

export interface NativeEngine {
  readonly device: string;
  readonly threads: number;
  /** nothing but the queue's round trip; used by the bench and by tests */
  ping(): Promise<void>;
  memory(): Promise<{ allocated: number; reserved: number; peak: number }>;
  dispose(): void;
}
export interface DepthwiseTimes {
  forward: Float64Array;
  inputGradient: Float64Array;
  weightGradient: Float64Array;
  /** as CUDA graphs: none of the host's time is in them */
  captured: boolean;
}
export interface NativeNamedTensors {
  set(entries: { name: string; data: HostArray; shape: readonly number[]; dtype: DType }[]): Promise<void>;
  get(names: string[]): Promise<TensorData[]>;
  copyFrom(other: NativeNamedTensors): Promise<void>;
  names(): string[];
  dispose(): void;
}
export interface NativeRowStore {
  readonly rows: number;
  readonly bytes: number;
  set(data: HostArray): Promise<void>;
  get(start: number, count: number): Promise<TensorData>;
  dispose(): void;
}
export interface NativeProgram {
  /** what the optimizer remembers: a new handle at every look */
  readonly state: NativeNamedTensors;
  run(
    feeds: Record<string, TensorData>,
    options: { fetch?: string[]; lr?: number; step?: number; seed?: number },
  ): Promise<Record<string, TensorData>>;
  loop(
    spec: LoopSpec,
    onProgress?: (step: number, stacked: Float64Array) => void,
  ): { promise: Promise<LoopResult>; cancel(): void };
  /** what the executor made of the graph for a fetch set: one line a step, fused ops named */
  plan(fetch?: string[]): string[];
  /** of the last run or loop: see LoopResult.cudaGraph */
  cudaGraph(): Promise<string>;
  dispose(): void;
}
export interface NativeImageStore {
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  put(index: number, pixels: Uint8Array): void;
  get(index: number): Uint8Array;
  hash(index: number): string;
  equal(a: number, b: number): boolean;
  load(index: number, recipe: ImageRecipe): Float32Array;
  dispose(): void;
}

/** A network as TorchScript: names are dotted paths, '' is the network itself. */
export interface ScriptSpec {
  /** each after the one it is in */
  parts: { path: string; type: string }[];
  tensors: { name: string; parameter: boolean; data: HostArray; shape: readonly number[]; dtype: DType }[];
  /** of its method `forward` */
  source: string;
  /** texts carried along, by file name */
  notes: Record<string, string>;
}

export interface NativeScriptModule {
  run(input: TensorData): Promise<TensorData>;
  dispose(): void;
}

export interface BuildInfo {
  package: string;
  libtorch: string;
  libtorchRuntime: string;
  compiler: string;
  cxxStandard: number;
  cuda: string | null;
  cudaArchs: string;
  cpuCapability: string;
  mkldnn: boolean;
  bf16: boolean;
  /** the instructions that int8 networks run on here, or plain */
  int8: string;
}

/** Collectives on a thread of its own; each call's last argument is what all processes must ask for alike. */
export interface NativeProcessGroup {
  join(): Promise<void>;
  allReduce(tensors: TensorData[], how: 'sum' | 'min' | 'max', asked: string): Promise<TensorData[]>;
  broadcast(tensors: TensorData[], from: number, asked: string): Promise<TensorData[]>;
  allGather(rows: TensorData, asked: string): Promise<TensorData[]>;
  barrier(asked: string): Promise<void>;
  /** ends what is waited for */
  leave(): void;
  dispose(): void;
}

export interface Native {
  buildInfo(): BuildInfo;
  /** CUDA devices libtorch can see: name, capability, memory in bytes, driver; empty without CUDA. */
  cudaDevices(): { index: number; name: string; capability: string; memory: number; driver: string }[];
  opNames(): string[];
  Engine: new (options: { device: string; threads: number }) => NativeEngine;
  NamedTensors: new (engine: NativeEngine) => NativeNamedTensors;
  RowStore: new (
    engine: NativeEngine,
    options: { rows: number; shape: readonly number[]; dtype: DType },
  ) => NativeRowStore;
  Program: new (engine: NativeEngine, weights: NativeNamedTensors, spec: ProgramSpec) => NativeProgram;
  ImageStore: new (options: {
    count: number;
    height: number;
    width: number;
    channels: number;
    file?: string;
    create?: boolean;
  }) => NativeImageStore;
  /** what is wrong with a JPEG's compressed pixels, or '' where nothing is found; on libuv's threads */
  jpegDamage(bytes: Uint8Array): Promise<string>;
  /** seconds of one 3 x 3 depthwise convolution of [N, C, H, W], in each of some samples; for the bench */
  timeDepthwise(
    engine: NativeEngine,
    work: { route: string; dtype: DType; shape: readonly number[]; stride: number; samples: number },
  ): Promise<DepthwiseTimes>;
  /** seconds of one copy of `bytes` within the engine's device; for the bench */
  timeCopy(engine: NativeEngine, work: { bytes: number; samples: number }): Promise<Float64Array>;
  /** RGB [height, width, 3] -> [size, size, 3], as Pillow's bilinear does it, on libuv's threads */
  resample(pixels: Uint8Array, height: number, width: number, size: number): Promise<Uint8Array>;
  /** the bytes of a TorchScript file */
  torchScript(engine: NativeEngine, script: ScriptSpec): Promise<Uint8Array>;
  ProcessGroup: new (meeting: {
    rank: number;
    world: number;
    host: string;
    port: number;
    hosts: boolean;
    prefix: string;
    address: string;
    interface: string;
    timeout: number;
  }) => NativeProcessGroup;
  /** such bytes, to be run on the CPU; loaded when they first are */
  ScriptModule: new (engine: NativeEngine, bytes: Uint8Array) => NativeScriptModule;
}
