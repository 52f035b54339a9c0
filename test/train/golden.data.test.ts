// Real backbones against numbers computed by PyTorch and Keras: features, block statistics, training runs.
import fs from 'node:fs';
import {
  adam,
  compile,
  crossEntropy,
  input,
  loadCheckpoint,
  loadWeights,
  MobileNetV2,
  readSafetensors,
  sgd,
  Weights,
  type MobileNet,
  type Preprocess,
  type TensorData,
} from 'mnv2-torch';
import { requireData } from '../support/data.ts';
import { planes } from '../support/networks.ts';

requireData('golden numbers', (file) => {
  async function images(preprocess: Preprocess): Promise<TensorData> {
    const { tensors } = await readSafetensors(file('golden/inputs.safetensors'));
    return planes(tensors.get('images_u8')!, preprocess);
  }

  async function backbone(
    name: string,
    extra: object = {},
  ): Promise<{ model: MobileNet; weights: Weights; feed: TensorData }> {
    const checkpoint = await loadCheckpoint(file(`weights/mobilenet_v2_${name}.safetensors`));
    const model = MobileNetV2({ ...checkpoint.options, numClasses: 21, dropout: 0, ...extra });
    const weights = await Weights.init(model);
    await loadWeights(weights, model, checkpoint.tensors);
    return { model, weights, feed: await images(checkpoint.preprocess!) };
  }

  describe.each(['tfslim', 'onnxzoo'])('%s', (name) => {
    test.each([true, false])('pooled features and every block’s statistics, fused %s', async (fuse) => {
      const { tensors } = await readSafetensors(file(`golden/${name}_features.safetensors`));
      const { model, weights, feed } = await backbone(name);
      using program = compile({ logits: model.eval().call(input('image', [-1, 3, 224, 224])) }, { weights, fuse });
      const blocks = Array.from({ length: 19 }, (_, i) => `features.${i}`);
      const values = await program.run({ image: feed }, { fetch: ['pool', ...blocks] });
      const largest = (got: ArrayLike<number | bigint>, expected: TensorData): number =>
        Math.max(...Array.from(got, (v, i) => Math.abs(Number(v) - Number(expected.data[i]))));
      expect(largest(values['pool']!.data, tensors.get('pooled')!)).toBeLessThan(1e-3);
      for (const [i, block] of blocks.entries()) {
        const { data: x, shape } = values[block]!;
        const per = x.length / shape[0]!;
        const means: number[] = [];
        const stds: number[] = [];
        for (let n = 0; n < shape[0]!; n++) {
          let [sum, squares] = [0, 0];
          for (let k = n * per; k < (n + 1) * per; k++) {
            sum += Number(x[k]);
            squares += Number(x[k]) ** 2;
          }
          means.push(sum / per);
          stds.push(Math.sqrt(squares / per - (sum / per) ** 2));
        }
        expect(largest(means, tensors.get(`block.${i}.mean`)!)).toBeLessThan(1e-3);
        expect(largest(stds, tensors.get(`block.${i}.std`)!)).toBeLessThan(1e-3);
      }
      // Without a fetch inside, everything is fused; the answer is the same.
      const { pool } = await program.run({ image: feed }, { fetch: ['pool'] });
      expect(largest(pool!.data, tensors.get('pooled')!)).toBeLessThan(1e-3);
      weights.dispose();
    });
  });

  test.each(['tfslim', 'onnxzoo'])('%s: the fused features are the plain ones within 1e-5', async (name) => {
    const { model, weights, feed } = await backbone(name);
    const pooled = async (fuse: boolean): Promise<number[]> => {
      using program = compile({ logits: model.eval().call(input('image', [-1, 3, 224, 224])) }, { weights, fuse });
      return Array.from((await program.run({ image: feed }, { fetch: ['pool'] }))['pool']!.data, Number);
    };
    const [plain, fused] = [await pooled(false), await pooled(true)];
    const worst = Math.max(...plain.map((v, i) => Math.abs(v - fused[i]!)));
    expect(worst / Math.max(...plain.map(Math.abs))).toBeLessThan(1e-5);
    weights.dispose();
  });

  interface Golden {
    config: { labels: number[]; steps: number; optimizer: { lr: number; momentum?: number }; bn_momentum?: number };
    losses: number[];
    first_step_grad_l2?: Record<string, number>;
    param_l2: Record<string, number>;
    running_var_l2?: Record<string, number>;
  }
  const norm = (data: ArrayLike<number | bigint>): number =>
    Math.sqrt(Array.from(data, Number).reduce((a, v) => a + v * v, 0));
  /** weight[i, j] = 0.01 sin(i * 1280 + j), bias 0. */
  const head = [
    {
      name: 'classifier.1.weight',
      data: Float32Array.from({ length: 21 * 1280 }, (_, k) => 0.01 * Math.sin(k)),
      shape: [21, 1280],
      dtype: 'float32' as const,
    },
    { name: 'classifier.1.bias', data: new Float32Array(21), shape: [21], dtype: 'float32' as const },
  ];

  describe('training runs', () => {
    test.each([true, false])('ten steps of full fine-tuning with SGD, fused %s', async (fuse) => {
      const golden = JSON.parse(fs.readFileSync(file('golden/train_sgd.json'), 'utf8')) as Golden;
      const { model, weights, feed } = await backbone('tfslim', { bnMomentum: golden.config.bn_momentum });
      await weights.set(head);
      const logits = model.train().call(input('image', [-1, 3, 224, 224]));
      const loss = crossEntropy(logits, input('label', [-1], 'int64'));
      const { lr, momentum } = golden.config.optimizer;
      using program = compile(
        { loss },
        {
          weights,
          fuse,
          train: { loss: 'loss', parameters: model.trainable(), optimizer: sgd({ momentum: momentum! }) },
        },
      );
      const label: TensorData = { data: BigInt64Array.from(golden.config.labels, BigInt), shape: [8], dtype: 'int64' };
      for (const [step, expected] of golden.losses.entries()) {
        const { loss: got } = await program.run({ image: feed, label }, { lr });
        // Batch statistics amplify rounding from the second step on: the reference's own runs differ by 5e-4.
        expect(Math.abs(Number(got!.data[0]) - expected)).toBeLessThan(step === 0 ? 1e-5 : step === 1 ? 2e-4 : 2e-3);
      }
      const after = await weights.get();
      for (const [name, expected] of [...Object.entries(golden.param_l2), ...Object.entries(golden.running_var_l2!)]) {
        expect(Math.abs(norm(after.get(name)!.data) / expected - 1)).toBeLessThan(0.01);
      }
      weights.dispose();
    });

    test('the frozen backbone with Adam on the head', async () => {
      const golden = JSON.parse(fs.readFileSync(file('golden/train_adam_frozen.json'), 'utf8')) as Golden;
      const { model, weights, feed } = await backbone('tfslim');
      await weights.set(head);
      model.freezeBackbone('features');
      const loss = crossEntropy(model.train().call(input('image', [-1, 3, 224, 224])), input('label', [-1], 'int64'));
      using program = compile(
        { loss },
        { weights, train: { loss: 'loss', parameters: model.trainable(), optimizer: adam() } },
      );
      const label: TensorData = { data: BigInt64Array.from(golden.config.labels, BigInt), shape: [8], dtype: 'int64' };
      for (const expected of golden.losses) {
        const { loss: got } = await program.run({ image: feed, label }, { lr: golden.config.optimizer.lr });
        expect(Math.abs(Number(got!.data[0]) / expected - 1)).toBeLessThan(1e-3);
      }
      for (const [name, expected] of Object.entries(golden.param_l2))
        expect(Math.abs(norm((await weights.get([name])).get(name)!.data) / expected - 1)).toBeLessThan(1e-3);
      weights.dispose();
    });
  });
});
