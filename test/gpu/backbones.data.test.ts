// Real backbones and the reference run on a CUDA device (`npm run test:gpu`), against PyTorch's numbers.
import fs from 'node:fs';
import * as t from 'mnv2-torch';
import { Engine, type MobileNet, type TensorData, type Weights } from 'mnv2-torch';
import { cli } from '../support/cli.ts';
import { requireData } from '../support/data.ts';
import { noGpu, off } from '../support/gpu.ts';
import { temporaryFolder } from '../support/temporary.ts';

const gpu = (): Engine => new Engine({ device: 'cuda' });

requireData(
  'real backbones',
  (file) => {
    const at = temporaryFolder('gpu-reference');
    /** The golden images as [8, 3, 224, 224], and a backbone on the device. */
    async function backbone(
      name: string,
      engine: Engine,
      extra: object = {},
    ): Promise<{ model: MobileNet; weights: Weights; image: TensorData }> {
      const checkpoint = await t.loadCheckpoint(file(`weights/mobilenet_v2_${name}.safetensors`));
      const model = t.MobileNetV2({ ...checkpoint.options, numClasses: 21, dropout: 0, ...extra });
      const weights = await t.Weights.init(model, { engine });
      await t.loadWeights(weights, model, checkpoint.tensors);
      const { data: bytes, shape } = (await t.readSafetensors(file('golden/inputs.safetensors'))).tensors.get(
        'images_u8',
      )!;
      const [n, h, w] = shape as [number, number, number];
      const { scale, shift } = t.pixelScaling(checkpoint.preprocess!);
      const image = Float32Array.from({ length: n * 3 * h * w }, (_, i) => {
        const c = Math.floor(i / (h * w)) % 3;
        return Number(bytes[(Math.floor(i / (3 * h * w)) * h * w + (i % (h * w))) * 3 + c]) * scale[c]! + shift[c]!;
      });
      return { model, weights, image: t.tensorData(image, [n, 3, h, w]) };
    }
    test.each(['tfslim', 'onnxzoo'])('%s: pooled features, node by node and folded', async (name) => {
      const { tensors } = await t.readSafetensors(file(`golden/${name}_features.safetensors`));
      using engine = gpu();
      const { model, weights, image } = await backbone(name, engine);
      const logits = model.eval().call(t.input('image', [-1, 3, 224, 224]));
      for (const [fuse, precision, tolerance] of [
        [false, 'fp32', 1e-2],
        [true, 'fp32', 1e-2],
        [true, 'bf16', 0.1],
      ] as const) {
        using program = t.compile({ logits }, { weights, fuse, precision });
        const { pool } = await program.run({ image }, { fetch: ['pool'] });
        expect(off(pool!.data, tensors.get('pooled')!.data)).toBeLessThan(tolerance);
      }
      weights.dispose();
    });
    test('ten steps of full fine-tuning follow the golden losses', async () => {
      const golden = JSON.parse(fs.readFileSync(file('golden/train_sgd.json'), 'utf8')) as {
        config: { labels: number[]; optimizer: { lr: number; momentum: number }; bn_momentum?: number };
        losses: number[];
      };
      using engine = gpu();
      const { model, weights, image } = await backbone('tfslim', engine, { bnMomentum: golden.config.bn_momentum });
      await weights.set([
        {
          name: 'classifier.1.weight',
          data: Float32Array.from({ length: 21 * 1280 }, (_, k) => 0.01 * Math.sin(k)),
          shape: [21, 1280],
          dtype: 'float32',
        },
        { name: 'classifier.1.bias', data: new Float32Array(21), shape: [21], dtype: 'float32' },
      ]);
      const loss = t.crossEntropy(
        model.train().call(t.input('image', [-1, 3, 224, 224])),
        t.input('label', [-1], 'int64'),
      );
      const { lr, momentum } = golden.config.optimizer;
      using program = t.compile(
        { loss },
        { weights, train: { loss: 'loss', parameters: model.trainable(), optimizer: t.sgd({ momentum }) } },
      );
      const label: TensorData = { data: BigInt64Array.from(golden.config.labels, BigInt), shape: [8], dtype: 'int64' };
      for (const [step, expected] of golden.losses.entries()) {
        const { loss: got } = await program.run({ image, label }, { lr });
        // TensorFloat-32 from the first step on, amplified by batch statistics after it.
        expect(Math.abs(Number(got!.data[0]) - expected)).toBeLessThan(step === 0 ? 1e-2 : 5e-2);
      }
      weights.dispose();
    });
    test('the reference run ends at 95% of held-out images or better', () => {
      const { stdout, stderr } = cli(
        [
          ...['train', file('ucmerced'), '--weights', file('weights/mobilenet_v2_tfslim.safetensors')],
          ...['--freeze', 'features', '--epochs', '20', '--batch-size', '16', '--device', 'cuda'],
          ...['--out', at('run'), '--json', '--quiet'],
        ],
        { timeout: 100_000 },
      );
      expect(stderr).toBe('');
      const epochs = stdout
        .trim()
        .split('\n')
        .map((l) => JSON.parse(l) as { event: string; valid: { accuracy: number } })
        .filter((e) => e.event === 'epoch');
      expect(epochs).toHaveLength(20);
      expect(epochs.at(-1)!.valid.accuracy).toBeGreaterThanOrEqual(0.95);
    });
  },
  noGpu,
);
