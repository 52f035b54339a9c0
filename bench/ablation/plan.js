// Which trainings an ablation is made of: one factor at a time from a base, on drawn scenes from scratch and on photographs
// from pretrained weights. The first that are listed decide the claims, and are run first.

export const SEEDS = [0, 1, 2];

/** The papers' optimizer: TensorFlow's RMSprop, with which V1 and V2 were trained. */
const RMSPROP = { kind: 'rmsprop', alpha: 0.9, momentum: 0.9, eps: 1 };
const DECAY = 4e-5;

/** What every training has, by its pictures. */
export const SETTINGS = {
  scratch: {
    data: { size: 64, perClass: 24, valSplit: 1 / 3 },
    model: { widthMult: 0.25, dropout: 0 },
    train: { epochs: 16, batchSize: 16, optimizer: RMSPROP, lr: 0.045, weightDecay: DECAY, threads: 1 },
  },
  photographs: {
    data: { size: 96, perClass: 15, valSplit: 1 / 3 },
    model: { dropout: 0, bnMomentum: 0.1 },
    train: { epochs: 4, batchSize: 16, optimizer: RMSPROP, lr: 0.003, weightDecay: DECAY, threads: 1 },
  },
};

const STRONG = { weightDecay: 1000 * DECAY };
/** Factors: what differs from the base, and on which networks it can. `rate` multiplies the learning rate. */
export const FACTORS = {
  base: { said: 'base', archs: ['v1', 'v2'] },
  relu: { said: 'ReLU', archs: ['v1', 'v2'], model: { activation: 'relu' } },
  high: { said: 'learning rate x 10', archs: ['v1', 'v2'], rate: 10 },
  low: { said: 'learning rate / 10', archs: ['v1', 'v2'], rate: 0.1 },
  decay: { said: 'weight decay x 1000', archs: ['v1', 'v2'], train: STRONG },
  spared: {
    said: 'weight decay x 1000, depthwise kernels spared',
    archs: ['v1', 'v2'],
    train: { ...STRONG, spareDepthwise: true },
  },
  everything: {
    said: 'weight decay x 1000, of BatchNorm too',
    archs: ['v1', 'v2'],
    train: { ...STRONG, decayAll: true },
  },
  nonlinear: { said: 'non-linear bottleneck', archs: ['v2'], model: { linearBottleneck: false } },
  plain: { said: 'no residual connections', archs: ['v2'], model: { residual: false } },
};

/** How weights and activations are kept in training: as float32, or as 8 bits from the first step. */
export const PRECISIONS = ['float', '8 bits'];

const ARCH = { v1: 'mobilenet_v1', v2: 'mobilenet_v2' };
const cell = (pictures, arch, factor, precision, seed) => ({
  key: [pictures, arch, factor, precision, seed].join(' '),
  ...{ pictures, arch: ARCH[arch], factor, precision, seed },
});

/** All trainings, the deciding ones first. */
export function plan() {
  const of = (pictures, archs, factors, precision) =>
    factors.flatMap((factor) =>
      FACTORS[factor].archs
        .filter((arch) => archs.includes(arch))
        .flatMap((arch) => SEEDS.map((seed) => cell(pictures, arch, factor, precision, seed))),
    );
  const [v1, v2, both] = [['v1'], ['v2'], ['v1', 'v2']];
  const [float, eight] = PRECISIONS;
  return [
    ...of('scratch', v1, ['base', 'everything', 'high', 'relu', 'decay', 'spared'], float),
    ...of('scratch', v1, ['base', 'relu'], eight),
    ...of('scratch', v2, ['base', 'nonlinear', 'plain', 'relu'], float),
    ...of('photographs', both, ['base'], float),
    ...of('scratch', v2, ['base', 'relu'], eight),
    ...of('scratch', v2, ['high', 'everything'], float),
    ...of('photographs', v1, ['relu', 'high', 'everything'], float),
    ...of('scratch', both, ['low', 'decay', 'spared'], float).filter(({ key }) => !/v1 (decay|spared)/.test(key)),
    ...of('photographs', v2, ['relu', 'nonlinear', 'plain', 'high', 'everything'], float),
    ...of('photographs', both, ['base', 'relu'], eight),
    ...of('scratch', both, ['high', 'everything', 'nonlinear', 'plain'], eight),
    ...of('photographs', both, ['low', 'decay', 'spared'], float),
  ];
}
