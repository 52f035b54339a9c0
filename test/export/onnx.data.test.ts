// Exports of a trained backbone beside `predict`, from the bytes of a hundred real images to the first class.
import {
  completeCheckpoint,
  createModel,
  exportOnnx,
  loadCheckpoint,
  readSafetensors,
  writeSafetensors,
} from 'mnv2-torch';
import fs from 'node:fs';
import { checkpointMetadata } from '../../dist/weights/checkpoint.js';
import { requireData } from '../support/data.ts';
import { temporaryFolder } from '../support/temporary.ts';

requireData('exports of a trained backbone', (file) => {
  const at = temporaryFolder('exports');
  /** The backbone with a head of random rows, large enough to tell pictures apart. */
  async function classifier(classes: number): Promise<string> {
    const { tensors, metadata } = await readSafetensors(file('weights', 'mobilenet_v2_tfslim.safetensors'));
    const model = createModel('mobilenet_v2', { numClasses: classes, padding: 'tf-same', bnEps: 1e-3 });
    const head = [...model.state(3)].filter(({ name }) => name.startsWith('classifier'));
    for (const { name, ...value } of head)
      tensors.set(name, { ...value, data: Float32Array.from(value.data as Float32Array, (w) => 10 * w) });
    const names = Array.from({ length: classes }, (_, i) => `class ${i}`);
    const out = at(`${classes}.safetensors`);
    await writeSafetensors(
      out,
      tensors,
      checkpointMetadata(model, names, { ...JSON.parse(metadata['preprocess']!), size: 224 } as never),
    );
    return out;
  }
  const images = (): string[] =>
    fs
      .readdirSync(file('ucmerced'))
      .flatMap((c) => [3, 23, 43, 63, 78].map((n) => file('ucmerced', c, `${c}${String(n).padStart(2, '0')}.jpg`)))
      .filter((f) => fs.existsSync(f))
      .slice(0, 100);

  test.each([21, 1000])(
    '%d classes',
    async (classes) => {
      const checkpoint = completeCheckpoint(await loadCheckpoint(await classifier(classes)));
      const exported = (name: string, options: object) =>
        exportOnnx(checkpoint, at(name), { images: images(), ...options });
      const plain = await exported('plain.onnx', {});
      expect(plain.images.names).toHaveLength(100);
      expect(plain).toMatchObject({ agrees: true, top1: { agree: 100, of: 100 } });
      expect(plain.largestDifference).toBeLessThan(1e-4);
      if (classes !== 21) return;
      const half = await exported('half.onnx', { dtype: 'fp16' });
      expect(half.top1.agree).toBeGreaterThanOrEqual(99);
      const resized = await exported('resized.onnx', { resize: true });
      expect(resized.resized!.largestDifference).toBeLessThanOrEqual(2);
      expect(resized.largestDifference).toBeLessThan(1e-4);
      expect(resized.top1.agree).toBe(100);
    },
    120_000,
  );
});
