// Quantisation-aware training (Jacob et al. 2018; scales are learned, Esser et al. 2020): the network rounded as int8 will
// round it, trained by the package's own Trainer from the numbers that calibration left.
import type { Dataset } from '../data/dataset.js';
import { Engine } from '../engine/engine.js';
import { Weights } from '../engine/weights.js';
import { DivergedError } from '../errors.js';
import { fakeQuantize, mul, reshape } from '../graph/ops.js';
import { standingIn, type Layer } from '../graph/quantised.js';
import { constant, type Tensor } from '../graph/tensor.js';
import type { TensorData } from '../native/wire.js';
import { ones } from '../nn/init.js';
import { Module, Parameter } from '../nn/module.js';
import { ACTIVATIONS, scaleName, WEIGHTS } from '../nn/quantised.js';
import { Trainer } from '../train/trainer.js';
import type { TrainEvent } from '../train/events.js';
import type { CompleteCheckpoint } from '../weights/checkpoint.js';
import { roundedWeight, type FoldedNetwork, type Range, type Rounding } from './folded.js';

/** How a quantised network is trained. */
export interface QatOptions {
  /** passes over the training images */
  epochs: number;
  /** images with labels, split: trained on, and validated on to choose the best epoch */
  data: Dataset;
  /** highest learning rate, in shares of a scale and of a channel's largest weight (default 0.0003) */
  lr?: number;
  /** hears what the training says of its epochs and steps */
  onEvent?: (event: TrainEvent) => void;
}

const RATE = 3e-4;

/**
 * The network as int8 will compute it, to be trained. Parameters are in units of what they were: a weight in its channel's
 * largest, a scale in itself, so that one learning rate fits all.
 */
class RoundedNetwork extends Module {
  readonly #tensors = new Map<string, Parameter>();
  readonly #first = new Map<string, TensorData>();

  constructor(
    private readonly net: FoldedNetwork,
    private readonly rounding: Rounding,
  ) {
    super();
    for (const [name, value] of net.numbers) this.#add(name, value);
    for (const layer of net.sites.layers.values()) {
      const unit = unitOf(layer, rounding);
      const { data, shape } = net.numbers.get(layer.name)!;
      const each = data.length / unit.length;
      const relative = (data as Float32Array).map((w, i) => w / unit[Math.floor(i / each)]!);
      this.#add(layer.name, { data: relative, shape, dtype: 'float32' });
      this.#add(scaleName(layer.name), factors(unit.length));
    }
    for (const point of rounding.ranges.keys()) this.#add(scaleName(point), factors(1));
    this.nameParts();
  }
  #add(name: string, value: TensorData): void {
    this.#first.set(name, value);
    // Limits stay where equalisation put them.
    const kind = name.endsWith('.limit') ? 'buffer' : 'parameter';
    this.#tensors.set(name, new Parameter(value.shape, ones, kind));
  }

  forward(x: Tensor): Tensor {
    const { net, rounding } = this;
    const of = (name: string): Tensor => this.#tensors.get(name)!.tensor;
    const learned = (name: string, first: Float32Array): Tensor => mul(constant(first), of(scaleName(name)));
    return standingIn(net.sites, {
      image: x,
      weight: (layer) => {
        const unit = unitOf(layer, rounding);
        const rank = layer.op.inputs[1]!.shape.length;
        const across = reshape(constant(unit), [unit.length, ...new Array<number>(rank - 1).fill(1)]);
        const scales = learned(layer.name, rounding.scales.get(layer.name)!);
        return roundedWeight(mul(of(layer.name), across), scales);
      },
      bias: ({ bias }) => of(bias!),
      point: (value, name) => {
        const { scale, zeroPoint } = rounding.ranges.get(name)!;
        const scales = learned(name, Float32Array.of(scale));
        return fakeQuantize(value, scales, constant([zeroPoint]), ACTIVATIONS);
      },
      ...(net.limits && { limit: of }),
    });
  }
  override *ownParameters(): Iterable<[string, Parameter]> {
    yield* this.#tensors;
  }
  override *state(): Iterable<{ name: string } & TensorData> {
    for (const [name, value] of this.#first) yield { name, ...value };
  }

  /** Puts what was learned back: into the network's numbers, and a new rounding. */
  learned(values: ReadonlyMap<string, TensorData>): Rounding {
    const { net, rounding } = this;
    const of = (name: string): Float32Array => values.get(name)!.data as Float32Array;
    for (const name of net.numbers.keys()) net.numbers.get(name)!.data = Float32Array.from(of(name));
    const scales = new Map<string, Float32Array>();
    for (const layer of net.sites.layers.values()) {
      const unit = unitOf(layer, rounding);
      const number = net.numbers.get(layer.name)!;
      const each = number.data.length / unit.length;
      number.data = of(layer.name).map((w, i) => w * unit[Math.floor(i / each)]!);
      scales.set(layer.name, positive(layer.name, rounding.scales.get(layer.name)!, of(scaleName(layer.name))));
    }
    const ranges = new Map<string, Range>();
    for (const [point, { scale, zeroPoint }] of rounding.ranges) {
      const [learned] = positive(point, Float32Array.of(scale), of(scaleName(point)));
      ranges.set(point, { scale: learned!, zeroPoint });
    }
    return { ranges, scales };
  }
}

const factors = (count: number): TensorData => ({
  data: new Float32Array(count).fill(1),
  shape: [count],
  dtype: 'float32',
});
/** What a channel's weights are counted in: the largest that int8 holds. */
const unitOf = ({ name }: Layer, { scales }: Rounding): Float32Array => scales.get(name)!.map((s) => s * WEIGHTS.qmax);

function positive(name: string, first: Float32Array, factor: Float32Array): Float32Array {
  const scales = first.map((s, i) => s * factor[i]!);
  if (scales.some((s) => !(s > 0 && s < Infinity)))
    throw new DivergedError(`quantisation-aware training: the scale of ${name} fell to 0; train with a lower rate`);
  return scales;
}

/** Trains on what `data` says; changes the network's numbers, and gives what they are rounded by then. */
export async function trainRounded(
  net: FoldedNetwork,
  rounding: Rounding,
  { preprocess }: CompleteCheckpoint,
  { epochs, data, lr = RATE, onEvent }: QatOptions,
  where: { device?: string; threads?: number; signal?: AbortSignal },
): Promise<Rounding> {
  const network = new RoundedNetwork(net, rounding);
  using engine = new Engine({ device: 'cpu' });
  using weights = await Weights.init(network, { engine });
  const trainer = new Trainer(network, data, {
    ...{ epochs, lr, weights, preprocess, optimizer: 'adam', augment: { flips: 'horizontal' }, warmUp: 0 },
    ...where,
  });
  const result = await trainer.fit(onEvent ? { onEvent } : {});
  try {
    return network.learned(await result.weights.get());
  } finally {
    result.weights.dispose();
  }
}
