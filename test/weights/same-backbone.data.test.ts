// One backbone as five programs write it: the same tensors bit for bit, the golden features, the same first epoch.
import fs from 'node:fs';
import path from 'node:path';
import {
  compile,
  createModel,
  input,
  loadCheckpoint,
  loadWeights,
  readSafetensors,
  readWeightFile,
  Weights,
  type Arch,
  type TensorData,
} from 'mnv2-torch';
import { cli } from '../support/cli.ts';
import { requireData } from '../support/data.ts';
import { planes } from '../support/networks.ts';
import { bytesOf } from '../support/numeric.ts';
import { temporaryFolder } from '../support/temporary.ts';

/** The same bits under the same names; the first that is not, else undefined. */
const differing = (a: ReadonlyMap<string, TensorData>, b: ReadonlyMap<string, TensorData>): string | undefined =>
  [...new Set([...a.keys(), ...b.keys()])].find((name) => {
    const [x, y] = [a.get(name), b.get(name)];
    return (
      !x || !y || x.dtype !== y.dtype || String(x.shape) !== String(y.shape) || !bytesOf(x.data).equals(bytesOf(y.data))
    );
  });

/** A line of metrics.jsonl. */
interface Epoch {
  train: { loss: number };
  valid: { loss: number };
}

// torch.save writes tensors and says nothing of how TensorFlow pads: whoever has such a file knows.
const TOLD = ['--padding', 'tf-same', '--bn-eps', '0.001', '--preprocess', 'x/127.5-1'];
const FILES = [
  ['.pth', 'pytorch', TOLD],
  ['_legacy.pth', 'pytorch', TOLD],
  ['_no_top.h5', 'keras', []],
  ['_no_top_mobl_names.h5', 'keras', []],
  ['.keras.weights.h5', 'keras', []],
] as const;

requireData('files of one backbone', (file) => {
  const at = temporaryFolder('same-backbone');
  const weights = (ending: string): string => file('weights', `mobilenet_v2_tfslim${ending}`);
  const imported = (ending: string): string => at(`imported${ending}.safetensors`);
  let reference: ReadonlyMap<string, TensorData>;
  beforeAll(async () => {
    reference = (await readWeightFile(weights('.safetensors'))).tensors;
    for (const ending of ['.pth', '_legacy.pth']) {
      const { status, stderr } = cli(['import', weights(ending), '-o', imported(ending), ...TOLD]);
      expect([status, stderr]).toEqual([0, '']);
    }
  });

  test.each(FILES)('%s: read as %s, imported as the same 312 tensors', async (ending, format, told) => {
    const read = await readWeightFile(weights(ending));
    expect([read.format, read.notes]).toEqual([format, []]);
    // A PyTorch file holds our very names and axes; a Keras file becomes ours.
    if (format === 'pytorch') expect(differing(read.tensors, reference)).toBeUndefined();
    if (told.length === 0) {
      const { status, stderr } = cli(['import', weights(ending), '-o', imported(ending)]);
      expect([status, stderr]).toEqual([0, '']);
    }
    const { tensors, arch, options, preprocess } = await loadCheckpoint(imported(ending));
    expect(tensors.size).toBe(312);
    expect(differing(tensors, reference)).toBeUndefined();
    expect({ arch, options, preprocess }).toMatchObject({
      arch: 'mobilenet_v2',
      options: { widthMult: 1, padding: 'tf-same', bnEps: 0.001 },
      preprocess: { size: 224, scale: 'x/127.5-1' },
    });
  });

  test.each(FILES)('%s: the golden features within 1e-3', async (ending) => {
    const { arch, options, preprocess, tensors } = await loadCheckpoint(imported(ending));
    const golden = (await readSafetensors(file('golden/tfslim_features.safetensors'))).tensors.get('pooled')!;
    const pixels = (await readSafetensors(file('golden/inputs.safetensors'))).tensors.get('images_u8')!;
    const model = createModel(arch as Arch, { ...options, numClasses: 2 });
    using engineWeights = await Weights.init(model);
    await loadWeights(engineWeights, model, tensors);
    using program = compile({ y: model.eval().call(input('x', [-1, 3, 224, 224])) }, { weights: engineWeights });
    const { pool } = await program.run({ x: planes(pixels, preprocess!) }, { fetch: ['pool'] });
    const off = Array.from<number | bigint, number>(pool!.data, (v, i) => Math.abs(Number(v) - Number(golden.data[i])));
    expect(Math.max(...off)).toBeLessThan(1e-3);
  });

  test('a first epoch of training ends with the same losses from each', () => {
    for (const name of ['beach', 'forest', 'river']) {
      fs.mkdirSync(at('scenes', name), { recursive: true });
      for (const image of fs.readdirSync(file('ucmerced', name)).slice(0, 8))
        fs.copyFileSync(file('ucmerced', name, image), path.join(at('scenes', name), image));
    }
    const losses = (from: string, run: string): unknown[] => {
      const words = [
        '--epochs',
        '1',
        '--size',
        '64',
        '--freeze',
        'none',
        '--batch-size',
        '8',
        '--device',
        'cpu',
        '--quiet',
      ];
      const args = ['train', '--data', at('scenes'), '--weights', from, '--out', at(run), '--no-report', ...words];
      const { status, stdout, stderr } = cli(args);
      if (status !== 0) throw new Error(stdout + stderr);
      const { train, valid } = JSON.parse(fs.readFileSync(at(run, 'metrics.jsonl'), 'utf8')) as Epoch;
      return [train.loss, valid.loss];
    };
    const expected = losses(weights('.safetensors'), 'reference');
    expect(expected).toEqual([expect.any(Number), expect.any(Number)]);
    for (const [ending, , told] of FILES)
      expect([ending, ...losses(told.length > 0 ? imported(ending) : weights(ending), `run${ending}`)]).toEqual([
        ending,
        ...expected,
      ]);
  }, 120_000);
});
