// Module and Parameter: names, modes and initial values around recorded ops. Owns no numbers; Weights does.
import { moduleOutput } from '../graph/ops.js';
import { parameter, recordingDepth, type Tensor, withPath } from '../graph/tensor.js';
import type { NamedData, WeightSource } from '../engine/weights.js';
import type { Initializer } from './init.js';
import { Random } from '../random.js';

/** Parameters learn; buffers are moved by the forward pass (running statistics) or not at all. */
export type ParameterKind = 'parameter' | 'buffer';

/**
 * A named tensor of a module: trained ('parameter') or kept by an op itself ('buffer': running statistics).
 * @example
 * import { input, Module, mul, ones, Parameter } from 'mnv2-torch';
 * class Scale extends Module {
 *   factor = new Parameter([3], ones);
 *   forward(x) {
 *     return mul(x, this.factor.tensor);
 *   }
 * }
 * const model = new Scale();
 * console.log(model.call(input('x', [-1, 3])).shape, model.trainable()); // [-1, 3] ['factor']
 */
export class Parameter {
  requiresGrad: boolean;
  #name = '';
  #tensor: Tensor | undefined;

  constructor(
    readonly shape: readonly number[],
    readonly init: Initializer,
    readonly kind: ParameterKind = 'parameter',
    readonly dtype: 'float32' | 'int64' | 'int8' = 'float32',
  ) {
    this.requiresGrad = kind === 'parameter';
  }

  /** Dotted name from the root module called last, as in PyTorch's state dict. */
  get name(): string {
    return this.#name;
  }
  /** @internal */
  rename(name: string): void {
    if (name !== this.#name) this.#tensor = undefined;
    this.#name = name;
  }
  /** The graph node that stands for its value. The same node as long as the name stays. */
  get tensor(): Tensor {
    return (this.#tensor ??= parameter(this.#name, this.shape, this.dtype));
  }
}

/**
 * Base of layers and networks. A subclass keeps its parts as fields (modules, parameters, arrays of modules) and
 * defines `forward`; `call` runs it, gives every part its name, and marks the output so that `fetch` finds it.
 * @example
 * import { compile, input, Linear, Module, relu, tensorData, Weights } from 'mnv2-torch';
 * class Tiny extends Module {
 *   first = new Linear(2, 4);
 *   second = new Linear(4, 1);
 *   forward(x) {
 *     return this.second.call(relu(this.first.call(x)));
 *   }
 * }
 * const model = new Tiny();
 * const weights = await Weights.init(model, { seed: 0 });
 * const program = compile({ y: model.call(input('x', [-1, 2])) }, { weights });
 * const { y } = await program.run({ x: tensorData([1, 2], [1, 2]) });
 * console.log(weights.names().join(' '), y.shape); // first.weight first.bias second.weight second.bias [ 1, 1 ]
 */
export abstract class Module implements WeightSource {
  #training = true;
  #frozen = false;
  #path = '';

  /** Describes the computation; called by `call`, never directly. */
  abstract forward(x: Tensor): Tensor;

  /** Records this module on `x`. The module called from outside of any other is the root that names are counted from. */
  call(x: Tensor): Tensor {
    if (recordingDepth() === 0) this.nameParts();
    return withPath(this.#path, () => moduleOutput(this.forward(x), this.#path, this.constructor.name));
  }

  /** Where this module stands below the root called last: 'features.3', '' for the root itself. */
  get path(): string {
    return this.#path;
  }
  /** Whether it records training behaviour: batch statistics, dropout. */
  get training(): boolean {
    return this.#training && !this.#frozen;
  }
  /** Whether `freeze` took it out of training. */
  get frozen(): boolean {
    return this.#frozen;
  }

  /** Records training behaviour from now on, here and below; `mode` false is eval(). */
  train(mode = true): this {
    for (const [, m] of this.modules()) m.#training = mode;
    return this;
  }
  /** Records evaluation behaviour from now on, here and below. */
  eval(): this {
    return this.train(false);
  }
  /**
   * Takes this module and all below it out of training: parameters need no gradient, BatchNorm uses and keeps its
   * running statistics, dropout does nothing. What lies before the first trainable parameter can then be computed once.
   */
  freeze(): this {
    return this.#setFrozen(true);
  }
  /** Undoes `freeze`, here and below. */
  unfreeze(): this {
    return this.#setFrozen(false);
  }
  #setFrozen(frozen: boolean): this {
    for (const [, m] of this.modules()) {
      m.#frozen = frozen;
      for (const [, p] of m.ownParameters()) p.requiresGrad = !frozen && p.kind === 'parameter';
    }
    return this;
  }

  /** Direct children by field name; arrays count their elements: 'layers.0'. */
  *children(): Iterable<[string, Module]> {
    for (const [name, value] of Object.entries(this)) {
      if (value instanceof Module) yield [name, value];
      else if (Array.isArray(value)) {
        for (const [i, item] of value.entries()) if (item instanceof Module) yield [`${name}.${i}`, item];
      }
    }
  }
  /** Parameters and buffers held directly. */
  *ownParameters(): Iterable<[string, Parameter]> {
    for (const [name, value] of Object.entries(this)) if (value instanceof Parameter) yield [name, value];
  }
  /** This module and all below, with paths relative to it, parents first. */
  *modules(prefix = ''): Iterable<[string, Module]> {
    yield [prefix, this];
    for (const [name, child] of this.children()) yield* child.modules(prefix ? `${prefix}.${name}` : name);
  }
  /** Parameters and buffers below, with names relative to this module, in PyTorch's order. */
  *namedParameters(): Iterable<[string, Parameter]> {
    for (const [path, m] of this.modules()) {
      for (const [name, p] of m.ownParameters()) yield [path ? `${path}.${name}` : name, p];
    }
  }
  /** Names of the parameters an optimizer may change. */
  trainable(): string[] {
    return [...this.namedParameters()].filter(([, p]) => p.requiresGrad).map(([name]) => name);
  }
  /** Initial values of all parameters and buffers; each depends on the seed and its name alone. */
  *state(seed: number): Iterable<NamedData> {
    for (const [name, p] of this.namedParameters()) {
      const stream = new Random(seed, name);
      const values = p.init(p.shape, () => stream.next());
      const data =
        p.dtype === 'int64'
          ? BigInt64Array.from(values, (v) => BigInt(v))
          : p.dtype === 'int8'
            ? Int8Array.from(values)
            : values;
      yield { name, data, shape: [...p.shape], dtype: p.dtype };
    }
  }
  /** @internal Counts names and paths from this module. */
  nameParts(): void {
    for (const [path, m] of this.modules()) m.#path = path;
    for (const [name, p] of this.namedParameters()) p.rename(name);
  }
}

/**
 * Modules one after the other, named '0', '1', ... as PyTorch's.
 * @example
 * import { Linear, ReLU, Sequential } from 'mnv2-torch';
 * const model = new Sequential(new Linear(2, 4), new ReLU(), new Linear(4, 1));
 * console.log(model.trainable().join(' ')); // 0.weight 0.bias 2.weight 2.bias
 */
export class Sequential extends Module {
  readonly layers: readonly Module[];

  constructor(...layers: Module[]) {
    super();
    this.layers = layers;
  }
  override *children(): Iterable<[string, Module]> {
    for (const [i, layer] of this.layers.entries()) yield [String(i), layer];
  }
  forward(x: Tensor): Tensor {
    return this.layers.reduce((y, layer) => layer.call(y), x);
  }
}
