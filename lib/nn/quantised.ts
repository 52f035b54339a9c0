// A network whose weights are int8 and whose values are rounded to uint8: another network's graph, rewritten whenever it
// is recorded. Owns which tensors such a network has.
import { dequantize, fakeQuantize } from '../graph/ops.js';
import { topological } from '../graph/order.js';
import { sitesOf, standingIn, type Layer, type Sites } from '../graph/quantised.js';
import { input, withPath, type Tensor } from '../graph/tensor.js';
import { ones, zeros } from './init.js';
import { Module, Parameter } from './module.js';

/** How a network was quantised, as far as its graph shows it. */
export interface QuantisedForm {
  /** a scale for each output channel of a weight; else one for all of it */
  readonly perChannel: boolean;
  /** whether each channel of a ReLU6 has a limit of its own, as equalisation makes them */
  readonly limits: boolean;
}

/** What values are rounded to: uint8, with a zero point. */
export const ACTIVATIONS = { qmin: 0, qmax: 255 } as const;
/** What weights are rounded to: int8 without -128, symmetric. */
export const WEIGHTS = { qmin: -127, qmax: 127 } as const;

/** Names of what a layer or a value is rounded with. */
export const scaleName = (of: string): string => `${of}_scale`;
export const zeroPointName = (point: string): string => `${point}_zero_point`;

/** Scales of a layer's weight. */
export const scalesOf = ({ op }: Layer, { perChannel }: QuantisedForm): number =>
  perChannel ? op.inputs[1]!.shape[0]! : 1;

/** Module.call of what is inside: it counts its names and paths from itself, as it did when it was trained. */
function recorded(inner: Module, x: Tensor): Tensor {
  inner.nameParts();
  return withPath('', () => inner.eval().forward(x));
}

/**
 * The network in int8. Its tensors have the float network's names: `<layer>.weight` int8, `<layer>.weight_scale`,
 * `<layer>.bias` (BatchNorm is in both), and for each value that is rounded `<module>.out_scale` and `.out_zero_point`;
 * `<module>.limit` where a ReLU6 has others.
 */
export class QuantisedNetwork extends Module {
  readonly #parameters: ReadonlyMap<string, Parameter>;
  readonly #inner: Module;

  /** @param image shape of what it takes */
  constructor(
    inner: Module,
    readonly form: QuantisedForm,
    image: readonly number[],
  ) {
    super();
    this.#inner = inner;
    const sites = sitesOf(recorded(inner, input('image', image)));
    this.#parameters = tensorsOf(sites, form, inner);
    this.nameParts();
  }

  /** name of the architecture, where it is one of the package's */
  get arch(): string | undefined {
    return 'arch' in this.#inner ? (this.#inner.arch as string) : undefined;
  }

  forward(x: Tensor): Tensor {
    const tensor = (name: string): Tensor => this.#parameters.get(name)!.tensor;
    const axis = this.form.perChannel ? { axis: 0 } : {};
    // Recorded on an input of its own: what x comes from is none of its places.
    return standingIn(sitesOf(recorded(this.#inner, input('image', x.shape))), {
      image: x,
      weight: ({ name }) => dequantize(tensor(name), tensor(scaleName(name)), axis),
      bias: ({ bias }) => tensor(bias!),
      point: (value, name) => fakeQuantize(value, tensor(scaleName(name)), tensor(zeroPointName(name)), ACTIVATIONS),
      ...(this.form.limits && { limit: tensor }),
    });
  }

  /** The parts of the network that was quantised: their paths are those of its tensors. */
  override *children(): Iterable<[string, Module]> {
    yield* this.#inner.children();
  }
  override *ownParameters(): Iterable<[string, Parameter]> {
    yield* this.#parameters;
  }
  override *namedParameters(): Iterable<[string, Parameter]> {
    yield* this.ownParameters();
  }
}

/** In the order of the graph: what rounds a value follows the layer that gives it. */
function tensorsOf(
  { output, layers, points, sixes }: Sites,
  form: QuantisedForm,
  inner: Module,
): Map<string, Parameter> {
  const own = new Map([...inner.namedParameters()]);
  const tensors = new Map<string, Parameter>();
  const buffer = (name: string, shape: readonly number[], dtype: 'float32' | 'int8' = 'float32', init = zeros): void =>
    void tensors.set(name, new Parameter(shape, init, 'buffer', dtype));
  const inside = new Set(
    [...layers.values()].flatMap(({ op, norm }) => [...op.inputs.slice(1), ...(norm?.inputs.slice(1) ?? [])]),
  );
  for (const t of topological([output])) {
    const layer = layers.get(t);
    if (layer) {
      const shape = t.inputs[1]!.shape;
      buffer(layer.name, shape, 'int8');
      buffer(scaleName(layer.name), [scalesOf(layer, form)], 'float32', ones);
      if (layer.bias !== undefined) buffer(layer.bias, [shape[0]!]);
    } else if (t.op === 'parameter' && !inside.has(t)) {
      // What is not rounded is as it was, a buffer: nothing of it is trained any more.
      const { name, shape, init, dtype } = own.get(t.attrs['name'] as string)!;
      tensors.set(name, new Parameter(shape, init, 'buffer', dtype));
    }
    if (form.limits && sixes.has(t)) buffer(sixes.get(t)!, [t.shape[1]!], 'float32', ones);
    const point = points.get(t);
    if (point === undefined) continue;
    buffer(scaleName(point), [1], 'float32', ones);
    buffer(zeroPointName(point), [1]);
  }
  return tensors;
}
