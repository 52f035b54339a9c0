// MobileNet V3 fused against the same graph run op by op: patterns made for 3x3 convolutions, ReLU and blocks without
// squeeze and excitation must leave everything else alone.
import {
  compile,
  gradients,
  input,
  mean,
  MobileNetV3Large,
  MobileNetV3Small,
  mul,
  tensorData,
  type MobileNet,
} from 'mnv2-torch';
import { apart, count, distance, outputs, trained, wave } from '../support/networks.ts';

const options = { numClasses: 7, bnMomentum: 1 };

describe('inference', () => {
  test.each<[string, () => MobileNet, number[], string[]]>([
    ['Small', () => MobileNetV3Small(options), [1, 3, 96, 96], ['features.2', 'features.3']],
    [
      'Small, narrow, padded as TensorFlow does, odd and even sizes',
      () => MobileNetV3Small({ ...options, widthMult: 0.5, padding: 'tf-same' }),
      [3, 3, 65, 72],
      ['features.2', 'features.3'],
    ],
    [
      'Large, narrow, padded as TensorFlow does',
      () => MobileNetV3Large({ ...options, widthMult: 0.5, padding: 'tf-same' }),
      [2, 3, 64, 64],
      ['features.1', 'features.2', 'features.3'],
    ],
  ])(
    '%s: the plain path within 1e-4, in bf16 no further off than twice the plain path; whole blocks only where 3x3 with ReLU',
    async (...[, make, shape, blocks]) => {
      const model = make();
      const x = input('x', [-1, ...shape.slice(1)]);
      using weights = await trained(model, x, [4, ...shape.slice(1)]);
      const plain = await outputs(model, x, weights, shape, { fuse: false });
      const fused = await outputs(model, x, weights, shape, { fuse: true });
      expect(plain.plan.some((line) => line.includes('+'))).toBe(false);
      expect(apart(plain.y, fused.y)).toBeLessThan(1e-4);
      const whole = fused.plan.filter((line) => /depthwiseConv2d\+.*\+conv2d\+/.test(line));
      expect(whole.map((line) => /features\.\d+/.exec(line)![0])).toEqual(blocks);
      expect(fused.plan.some((line) => line.startsWith('hardswish'))).toBe(true);
      const rounded = await outputs(model, x, weights, shape, { fuse: true, precision: 'bf16' });
      const plainRounded = await outputs(model, x, weights, shape, { fuse: false, precision: 'bf16' });
      expect(distance(plain.y, rounded.y)).toBeLessThan(2 * distance(plain.y, plainRounded.y));
    },
  );
});

describe('training', () => {
  const shape = [6, 3, 64, 64];
  const names = [
    'features.0.0.weight',
    'features.0.1.bias',
    'features.2.block.1.0.weight',
    'features.4.block.1.0.weight',
    'features.4.block.2.fc1.weight',
    'features.4.block.2.fc2.bias',
    'features.9.block.1.1.weight',
    'features.12.0.weight',
    'classifier.0.weight',
  ];
  const model = MobileNetV3Small({ ...options, dropout: 0, widthMult: 0.5 });
  const x = input('x', shape);
  const run = async (fuse: boolean): Promise<{ plan: string[]; values: Map<string, ArrayLike<number | bigint>> }> => {
    using weights = await trained(model, x, shape);
    const y = model.train().call(x);
    const parameters = new Map(model.namedParameters());
    const slopes = gradients(
      mean(mul(y, y)),
      names.map((n) => parameters.get(n)!.tensor),
    );
    const outputs = { y, ...Object.fromEntries(slopes.map((g, i) => [names[i]!, g])) };
    using program = compile(outputs, { weights, fuse });
    const out = await program.run({ x: tensorData(wave(count(shape), 2), shape) });
    return { plan: program.plan(), values: new Map(Object.entries(out).map(([k, v]) => [k, v.data])) };
  };
  test('outputs and gradients as op by op; depthwise steps only where 3x3 between ReLUs', async () => {
    const [plain, fused] = [await run(false), await run(true)];
    for (const name of ['y', ...names])
      expect(distance(plain.values.get(name)!, fused.values.get(name)!)).toBeLessThan(1e-3);
    const steps = fused.plan.filter((line) => line.includes('+depthwiseConv2d+'));
    expect(steps.map((line) => /features\.\d+/.exec(line)![0])).toEqual(['features.2', 'features.3']);
    expect(plain.plan.some((line) => line.includes('+'))).toBe(false);
  });
});
