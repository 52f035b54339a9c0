// Tensor: an immutable description of a value (op, inputs, attributes, shape, dtype, module path). Owns no memory
// and runs nothing; engine/program.ts sends a graph of these to the engine.
import { ShapeError, UsageError } from '../errors.js';
import type { NodeName } from './op-names.js';
import type { Attrs, DType, HostArray, TensorData } from '../native/wire.js';

export type { Attr, Attrs, DType, HostArray, TensorData } from '../native/wire.js';

type Evaluate = (tensor: Tensor, feeds: Record<string, TensorData>) => Promise<TensorData>;
let evaluate: Evaluate = () =>
  Promise.reject(new UsageError('tensor.data(): no engine is loaded; import the package, not graph/ alone'));
/** @internal How `tensor.data()` computes: engine/program.ts says so when it is loaded. */
export function evaluateWith(engine: Evaluate): void {
  evaluate = engine;
}

/** Dimensions, outermost first; -1 is a dimension known only when the program runs (Keras prints None). */
export type Shape = readonly number[];

/**
 * A recorded value. Made by the functions of ops/, by `input`, `constant` and by modules; never by hand.
 * @example
 * import { input, relu, Tensor } from 'mnv2-torch';
 * const y = relu(input('x', [-1, 3]));
 * console.log(y instanceof Tensor, String(y)); // true Tensor(relu, [None, 3], float32)
 */
export class Tensor {
  constructor(
    readonly op: NodeName,
    readonly inputs: readonly Tensor[],
    readonly attrs: Attrs,
    readonly shape: Shape,
    readonly dtype: DType,
    /** dotted path of the module that recorded it, '' outside of any */
    readonly path: string,
  ) {
    Object.freeze(this);
  }

  /**
   * Computes this value in a one-off program, so that exploring feels eager.
   * @param feeds values of the inputs it depends on, by name
   * @returns the numbers, row-major
   * @throws UsageError when an input is missing
   * @example
   * import { constant, relu6 } from 'mnv2-torch';
   * const y = await relu6(constant([-1, 3, 9])).data();
   * console.log([...y.data]); // [0, 3, 6]
   */
  async data(feeds: Record<string, TensorData> = {}): Promise<TensorData> {
    return evaluate(this, feeds);
  }

  /** `Tensor(op, [None, 3], float32)`. */
  toString(): string {
    return `Tensor(${this.op}, [${shapeText(this.shape)}], ${this.dtype})`;
  }
}

/** Module paths being recorded, innermost last. One recording happens at a time: recording is synchronous. */
const paths: string[] = [];

/** Runs `body` with `path` as the module path of everything it records. Used by Module.call. */
export function withPath<T>(path: string, body: () => T): T {
  paths.push(path);
  try {
    return body();
  } finally {
    paths.pop();
  }
}

/** The module path being recorded, '' outside of any; and how deep the recording is. */
export function currentPath(): string {
  return paths.at(-1) ?? '';
}
export function recordingDepth(): number {
  return paths.length;
}

/** Records one op at the current module path. Shape and dtype are the caller's rule, see ops/. */
export function record(op: NodeName, inputs: readonly Tensor[], attrs: Attrs, shape: Shape, dtype: DType): Tensor {
  return new Tensor(op, inputs, attrs, shape, dtype, currentPath());
}

/** Throws a ShapeError that names the op, what was expected and what came. */
export function refuse(op: string, expected: string, came: string): never {
  throw new ShapeError(`${op}: expected ${expected}, got ${came}`, currentPath());
}

/** 'None, 3, 224, 224' for [-1, 3, 224, 224]. */
export function shapeText(shape: Shape): string {
  return shape.map((d) => (d === -1 ? 'None' : d)).join(', ');
}

/** Number of elements; -1 when a dimension is unknown. */
export function elements(shape: Shape): number {
  return shape.includes(-1) ? -1 : shape.reduce((a, b) => a * b, 1);
}

/**
 * A value fed at run time.
 * @param name the key in `run(feeds)`
 * @param shape -1 for a dimension that may differ from run to run, usually the batch
 * @example
 * import { input, relu } from 'mnv2-torch';
 * const y = await relu(input('x', [-1])).data({ x: { data: Float32Array.of(-1, 2), shape: [2], dtype: 'float32' } });
 * console.log([...y.data]); // [0, 2]
 */
export function input(name: string, shape: Shape, dtype: DType = 'float32'): Tensor {
  if (!name) refuse('input', 'a name', `'${name}'`);
  if (shape.some((d) => !Number.isInteger(d) || d < -1)) {
    refuse('input', 'dimensions that are whole numbers or -1', `[${shape.join(', ')}]`);
  }
  return record('input', [], { name }, [...shape], dtype);
}

/**
 * A value kept in Weights under `name`. Modules make theirs; a bare graph may too.
 * @example
 * import { compile, parameter, Weights } from 'mnv2-torch';
 * const state = () => [{ name: 'w', data: Float32Array.of(1, 2), shape: [2], dtype: 'float32' }];
 * const weights = await Weights.init({ state });
 * const program = compile({ w: parameter('w', [2]) }, { weights });
 * console.log([...(await program.run()).w.data]); // [ 1, 2 ]
 */
export function parameter(name: string, shape: Shape, dtype: DType = 'float32'): Tensor {
  if (!name) refuse('parameter', 'a name', `'${name}'`);
  return new Tensor('parameter', [], { name }, [...shape], dtype, '');
}

const hostDType = (data: HostArray): DType => {
  const name = Object.prototype.toString.call(data).slice(8, -1);
  const known: Record<string, DType> = {
    Float32Array: 'float32',
    Float64Array: 'float64',
    BigInt64Array: 'int64',
    Int32Array: 'int32',
    Int8Array: 'int8',
    Uint8Array: 'uint8',
  };
  return known[name] ?? refuse('constant', `one of ${Object.keys(known).join(', ')}`, name);
};

/**
 * A constant value, kept in the graph.
 * @param values numbers (float32) or a typed array, row-major
 * @param shape defaults to one dimension, or [] for a single number
 * @example
 * import { constant, mul } from 'mnv2-torch';
 * const y = await mul(constant([1, 2, 3, 4], [2, 2]), constant(10)).data();
 * console.log(y.shape, [...y.data]); // [2, 2] [10, 20, 30, 40]
 */
export function constant(values: number | readonly number[] | HostArray, shape?: Shape): Tensor {
  const scalar = typeof values === 'number';
  const data = scalar
    ? Float32Array.of(values)
    : ArrayBuffer.isView(values)
      ? values
      : Float32Array.from(values as readonly number[]);
  const dims = shape ?? (scalar ? [] : [data.length]);
  if (elements(dims) !== data.length) {
    refuse('constant', `${elements(dims)} values for shape [${dims.join(', ')}]`, `${data.length}`);
  }
  return record('constant', [], { data: data as HostArray }, [...dims], hostDType(data as HostArray));
}

/** Numbers for a feed: `tensorData([1, 2], [2])` is float32; typed arrays keep their dtype. */
export function tensorData(values: readonly number[] | HostArray, shape?: Shape): TensorData {
  const data = (ArrayBuffer.isView(values) ? values : Float32Array.from(values as readonly number[])) as HostArray;
  return { data, shape: [...(shape ?? [data.length])], dtype: hostDType(data) };
}
