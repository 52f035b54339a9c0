// The topologies against the papers' numbers and torchvision's names; the summary a user sees.
import { input, type Tensor } from '../../dist/graph/tensor.js';
import { MobileNetV1, MobileNetV2, makeDivisible, summarize, type MobileNet } from '../../dist/index.js';
import { summaryTable } from '../../dist/report/summary.js';

describe('MobileNet V2', () => {
  const model = MobileNetV2({ numClasses: 21 });
  const blocks = [
    992, 992, 5568, 9456, 10640, 15680, 15680, 21952, 55936, 55936, 55936, 68352, 120768, 120768, 157888, 324160,
    324160, 478400, 414720,
  ];

  test('parameters block by block as Keras counts them, and 300 M multiply-adds', () => {
    const { rows, multiplyAdds, total } = summarize(model, 224);
    expect(rows.filter((r) => r.layer.startsWith('features.')).map((r) => r.parameters)).toEqual(blocks);
    expect(total).toBe(2_284_885);
    expect(Math.round(multiplyAdds / 1e6)).toBe(300);
    expect(rows[0]!.shape).toEqual([null, 112, 112, 32]);
    expect(rows[18]!.shape).toEqual([null, 7, 7, 1280]);
  });
  test('with the backbone frozen 26,901 are trainable', () => {
    const { trainable, nonTrainable } = summarize(MobileNetV2({ numClasses: 21 }).freezeBackbone('features'), 224);
    expect([trainable, nonTrainable]).toEqual([26_901, 2_257_984]);
  });
  test('a depthwise separable pair costs 1/N + 1/9 of a full convolution', () => {
    for (const row of summarize(model, 224).rows.filter((r) => r.costRatio)) {
      const out = row.shape[3]!;
      expect(row.costRatio).toBeCloseTo(1 / out + 1 / 9, 10);
    }
  });
  test('names are torchvision’s', () => {
    const names = [...model.namedParameters()].map(([name]) => name);
    expect(names).toHaveLength(314); // 52 convolutions, 52 BatchNorms of five, the classifier's two
    expect(names.slice(0, 7)).toEqual([
      'features.0.0.weight',
      ...['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'].map((n) => `features.0.1.${n}`),
      'features.1.conv.0.0.weight',
    ]);
    for (const name of [
      'features.1.conv.1.weight',
      'features.1.conv.2.running_var',
      'features.2.conv.0.0.weight',
      'features.2.conv.1.0.weight',
      'features.2.conv.2.weight',
      'features.17.conv.3.bias',
      'features.18.0.weight',
      'classifier.1.weight',
      'classifier.1.bias',
    ]) {
      expect(names).toContain(name);
    }
  });
  test('width multiplies channels to multiples of eight, and leaves the last layer at 1280', () => {
    const narrow = summarize(MobileNetV2({ numClasses: 10, widthMult: 0.35 }), 96).rows;
    expect(narrow[0]!.shape).toEqual([null, 48, 48, 16]);
    expect(narrow[18]!.shape).toEqual([null, 3, 3, 1280]);
    expect([makeDivisible(32 * 0.35, 8), makeDivisible(24 * 0.5, 8), makeDivisible(33, 8)]).toEqual([16, 16, 32]);
  });
  test('V2 with ReLU and without residual connections: the same parameters, other ops', () => {
    const x = input('x', [-1, 3, 64, 64]);
    const counts = (m: MobileNet): Record<string, number> => {
      const seen = new Set<Tensor>();
      const visit = (t: Tensor): void => void (seen.has(t) || (seen.add(t), t.inputs.forEach(visit)));
      visit(m.call(x));
      const of = (op: string): number => [...seen].filter((t) => t.op === op).length;
      return { add: of('add'), relu: of('relu'), relu6: of('relu6') };
    };
    const names = (m: MobileNet): string => [...m.namedParameters()].map(([name]) => name).join();
    const [plain, other] = [MobileNetV2(), MobileNetV2({ activation: 'relu', residual: false })];
    expect(counts(plain)).toEqual({ add: 10, relu: 0, relu6: 35 });
    expect(counts(other)).toEqual({ add: 0, relu: 35, relu6: 0 });
    expect(names(other)).toBe(names(plain));
  });
  test('options reach the graph: padding, ReLU6 bottlenecks, channels, a table of one’s own', () => {
    const x = input('x', [-1, 1, 64, 64]);
    const ablation = MobileNetV2({
      numClasses: 3,
      inChannels: 1,
      linearBottleneck: false,
      padding: 'tf-same',
      invertedResidualSetting: [[2, 16, 2, 2]],
    });
    expect(ablation.call(x).shape).toEqual([-1, 3]);
    expect(ablation.features.layers).toHaveLength(4);
    const plain = MobileNetV2({ numClasses: 3, inChannels: 1, invertedResidualSetting: [[2, 16, 2, 2]] });
    const count = (m: typeof plain): number => JSON.stringify(summarize(m, 64, 1).rows).length;
    expect(count(ablation)).toBeGreaterThan(0);
    const ops = (m: typeof plain): string[] => {
      const seen: string[] = [];
      const visit = (t: ReturnType<typeof input>): void => void (seen.push(t.op), t.inputs.forEach(visit));
      visit(m.call(x));
      return seen;
    };
    expect(ops(ablation).filter((o) => o === 'relu6').length).toBeGreaterThan(
      ops(plain).filter((o) => o === 'relu6').length,
    );
  });
  test.each([
    [{ numClasses: 0 }, /numClasses: expected a whole number of at least 1, got 0/],
    [{ widthMult: -1 }, /widthMult/],
    [{ dropout: 1 }, /dropout/],
    [{ padding: 'same' as never }, /'symmetric' or 'tf-same'/],
    [{ bnEps: 0 }, /bnEps/],
    [{ invertedResidualSetting: [] }, /rows of four/],
  ])('refuses %j', (options, message) => {
    expect(() => MobileNetV2(options)).toThrow(message);
  });
});

describe('MobileNet V1', () => {
  test('4.2 M parameters and 569 M multiply-adds at 1000 classes (table 4 of the paper)', () => {
    const { multiplyAdds, trainable, rows } = summarize(MobileNetV1(), 224);
    expect(Math.round(multiplyAdds / 1e6)).toBe(569);
    expect(Math.round(trainable / 1e5) / 10).toBe(4.2);
    expect(rows.filter((r) => r.type === 'DepthwiseSeparable')).toHaveLength(13);
    expect(rows[13]!.shape).toEqual([null, 7, 7, 1024]);
  });
  test('its documented names', () => {
    const names = [...MobileNetV1({ numClasses: 2 }).namedParameters()].map(([name]) => name);
    for (const name of [
      'features.0.0.weight',
      'features.1.0.0.weight',
      'features.1.0.1.running_mean',
      'features.13.1.0.weight',
      'features.13.1.1.bias',
      'classifier.1.bias',
    ])
      expect(names).toContain(name);
  });
  test('ReLU or ReLU6', () => {
    expect(() => MobileNetV1({ activation: 'swish' as never })).toThrow(/'relu' or 'relu6'/);
    const op = (activation: 'relu' | 'relu6'): string =>
      MobileNetV1({ activation, numClasses: 2 }).features.layers[0]!.call(input('x', [1, 3, 32, 32])).inputs[0]!
        .inputs[0]!.op;
    expect([op('relu'), op('relu6')]).toEqual(['relu', 'relu6']);
  });
});

describe('modes', () => {
  test('freezing the first blocks leaves the rest trainable, and unfreezing all', () => {
    const model = MobileNetV2({ numClasses: 2 }).freezeBackbone(15);
    expect(model.trainable().some((n) => n.startsWith('features.14.'))).toBe(false);
    expect(model.trainable()).toContain('features.15.conv.0.0.weight');
    expect(model.features.layers[14]!.training).toBe(false);
    expect(model.freezeBackbone('none').trainable()).toHaveLength(158);
    expect(() => model.freezeBackbone(20)).toThrow(/from 0 to 19, got 20/);
  });
  test('initial values depend on seed and name alone', () => {
    const first = (seed: number, widthMult: number): number =>
      Number(
        [...MobileNetV2({ numClasses: 2, widthMult }).state(seed)].find((e) => e.name === 'classifier.1.weight')!
          .data[5],
      );
    expect(first(1, 1)).toBe(first(1, 0.5));
    expect(first(1, 1)).not.toBe(first(2, 1));
  });
  test('He initialisation has the standard deviation of its formula', () => {
    const { data, shape } = [...MobileNetV2({ numClasses: 2 }).state(0)].find(
      (e) => e.name === 'features.18.0.weight',
    )!;
    const values = Array.from(data, Number);
    const std = Math.sqrt(values.reduce((a, v) => a + v * v, 0) / values.length);
    expect(shape).toEqual([1280, 320, 1, 1]);
    expect(Math.abs(std / Math.sqrt(2 / 1280) - 1)).toBeLessThan(0.01);
  });
});

test('the table names every layer and ends with the totals', () => {
  const text = summaryTable(summarize(MobileNetV2({ numClasses: 21 }).freezeBackbone('features'), 224));
  expect(text).toContain('(None, 112, 112, 32)');
  for (const end of [
    'Total params: 2,284,885',
    'Trainable params: 26,901',
    'Non-trainable params: 2,257,984',
    'Multiply-adds: 299.5 M',
  ])
    expect(text).toContain(end);
});
