// What the engine fuses against the same graph run node by node (`fuse: false`): the fast paths may not be other numbers.
import {
  compile,
  Conv2d,
  ConvBNReLU6,
  DepthwiseSeparable,
  gradients,
  input,
  InvertedResidual,
  mean,
  MobileNetV1,
  MobileNetV2,
  mul,
  Sequential,
  tensorData,
  Weights,
  type BlockStyle,
  type Module,
} from 'mnv2-torch';
import { apart, count, distance, outputs, trained, wave } from '../support/networks.ts';

const style: BlockStyle = { padding: 'symmetric', bnEps: 1e-5, bnMomentum: 1, activation: 'relu6' };
const tf: BlockStyle = { ...style, padding: 'tf-same', bnEps: 1e-3 };
const stem = (): Module => new Sequential(new ConvBNReLU6(3, 32, 3, 2, tf), new InvertedResidual(32, 16, 1, 1, tf));

describe('inference: one pass a block', () => {
  test.each<[string, () => Module, number[]]>([
    ['inverted residual', () => new InvertedResidual(24, 24, 1, 6, style), [3, 24, 56, 56]],
    ['stride 2', () => new InvertedResidual(32, 64, 2, 6, style), [2, 32, 28, 28]],
    ['stride 2, padded as TensorFlow does, odd size', () => new InvertedResidual(16, 24, 2, 6, tf), [1, 16, 57, 65]],
    ['7 x 7', () => new InvertedResidual(160, 160, 1, 6, style), [1, 160, 7, 7]],
    ['ReLU6 bottleneck', () => new InvertedResidual(24, 24, 1, 6, style, false), [2, 24, 14, 14]],
    ['stem and first block', stem, [2, 3, 96, 97]],
    ['depthwise separable', () => new DepthwiseSeparable(40, 72, 2, { ...style, activation: 'relu' }), [5, 40, 21, 20]],
  ])('%s: the plain path within 1e-5', async (_, make, shape) => {
    const model = make();
    const x = input('x', [-1, ...shape.slice(1)]);
    using weights = await trained(model, x, [4, ...shape.slice(1)]);
    const plain = await outputs(model, x, weights, shape, { fuse: false });
    const fused = await outputs(model, x, weights, shape, { fuse: true });
    expect(apart(plain.y, fused.y)).toBeLessThan(1e-5);
    expect(plain.plan.some((line) => line.includes('+'))).toBe(false);
    expect(fused.plan).toEqual([expect.stringMatching(/depthwiseConv2d\+.*\+conv2d\+/)]);
    const rounded = await outputs(model, x, weights, shape, { fuse: true, precision: 'bf16' });
    expect(distance(plain.y, rounded.y)).toBeLessThan(0.02);
  });

  // Random networks amplify rounding from layer to layer; with pretrained weights the golden files hold 1e-5.
  test.each([
    ['V2, 224 px, one image', MobileNetV2({ numClasses: 7, bnMomentum: 1 }), [1, 3, 224, 224], 18],
    [
      'V2, narrow, one channel',
      MobileNetV2({ numClasses: 7, bnMomentum: 1, widthMult: 0.35, inChannels: 1 }),
      [3, 1, 97, 131],
      18,
    ],
    ['V1', MobileNetV1({ numClasses: 7, bnMomentum: 1 }), [2, 3, 128, 128], 13],
  ] as const)('MobileNet %s', async (_, model, shape, steps) => {
    const x = input('x', [-1, ...shape.slice(1)]);
    using weights = await trained(model, x, [4, ...shape.slice(1)]);
    const plain = await outputs(model, x, weights, [...shape], { fuse: false });
    const fused = await outputs(model, x, weights, [...shape], { fuse: true });
    expect(apart(plain.y, fused.y)).toBeLessThan(1e-4);
    expect(fused.plan.filter((line) => line.includes('+'))).toHaveLength(steps);
  });

  test('a dilated convolution padded as TensorFlow does', async () => {
    const model = new Conv2d(2, 3, 3, { stride: 2, dilation: 2, padding: 'tf-same' });
    const shape = [1, 2, 8, 8];
    const x = input('x', shape);
    using weights = await Weights.init(model);
    const [plain, fused] = [
      await outputs(model, x, weights, shape, { fuse: false }),
      await outputs(model, x, weights, shape, { fuse: true }),
    ];
    expect(apart(plain.y, fused.y)).toBeLessThan(1e-5);
  });

  test('weights that change are folded anew', async () => {
    const model = MobileNetV2({ numClasses: 3, widthMult: 0.35, bnMomentum: 1 });
    const image = input('x', [-1, 3, 32, 32]);
    using weights = await trained(model, image, [16, 3, 32, 32]);
    using program = compile({ y: model.eval().call(image) }, { weights });
    const x = tensorData(wave(3072, 1), [1, 3, 32, 32]);
    const before = (await program.run({ x }))['y']!.data;
    const name = 'features.3.conv.2.weight';
    const old = (await weights.get([name])).get(name)!;
    await weights.set([
      { name, shape: [...old.shape], dtype: 'float32', data: Float32Array.from(old.data as Float32Array, (v) => -v) },
    ]);
    expect(apart(before, (await program.run({ x }))['y']!.data)).toBeGreaterThan(1e-3);
  });
});

describe('training: BatchNorm, activation and addition as one operation', () => {
  test('a block’s output and gradients: within 1e-5 in fp32, and in bf16 no further off than the plain path', async () => {
    const block = new InvertedResidual(24, 24, 1, 6, style);
    const shape = [4, 24, 17, 19];
    const x = input('x', shape);
    const y = block.train().call(x);
    const names = ['conv.0.0.weight', 'conv.1.0.weight', 'conv.1.1.weight', 'conv.2.weight'];
    const run = async (
      fuse: boolean,
      precision: 'fp32' | 'bf16',
      seed: number,
    ): Promise<Record<string, ArrayLike<number | bigint>>> => {
      using weights = await trained(block, x, shape, seed);
      const parameters = new Map([...block.namedParameters()].map(([name, parameter]) => [name, parameter.tensor]));
      const slopes = gradients(mean(mul(y, y)), [x, ...names.map((n) => parameters.get(n)!)]);
      using program = compile(
        { y, ...Object.fromEntries(slopes.map((g, i) => [['x', ...names][i]!, g])) },
        { weights, fuse, precision },
      );
      const out = await program.run({ x: tensorData(wave(count(shape), 2), shape) });
      return Object.fromEntries(Object.entries(out).map(([k, v]) => [k, v.data]));
    };
    // A value that rounding moves across 0 or 6 changes a whole slope: of three draws the middle one counts.
    const middle = (values: number[]): number => values.sort((a, b) => a - b)[1]!;
    const draws = [];
    for (const seed of [1, 2, 3]) {
      draws.push({
        plain: await run(false, 'fp32', seed),
        fused: await run(true, 'fp32', seed),
        plainRounded: await run(false, 'bf16', seed),
        fusedRounded: await run(true, 'bf16', seed),
      });
    }
    for (const name of ['y', 'x', ...names]) {
      expect(middle(draws.map(({ plain, fused }) => apart(plain[name]!, fused[name]!)))).toBeLessThan(1e-5);
      expect(
        middle(
          draws.map(
            ({ plain, plainRounded, fusedRounded }) =>
              distance(plain[name]!, fusedRounded[name]!) / distance(plain[name]!, plainRounded[name]!),
          ),
        ),
      ).toBeLessThan(1.25);
    }
  });
});
