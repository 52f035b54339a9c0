// The gate: what counts as agreement, each rule from both sides. Exports run in ONNX Runtime or libtorch.
import {
  compile,
  constant,
  createModel,
  input,
  Module,
  Parameter,
  tensorData,
  Weights,
  zeros,
  type CompleteCheckpoint,
  type Tensor,
} from 'mnv2-torch';
import { loadOnnxRuntime, onnxRunner } from '../../dist/export/onnx-runtime.js';
import { toOnnx } from '../../dist/export/onnx.js';
import { compare, demandParity, DEMANDS, parityText, type Demand, type Parity } from '../../dist/export/parity.js';
import { samplesFor } from '../../dist/export/samples.js';
import * as ops from '../../dist/graph/ops.js';
import { exportCheckpoint } from '../support/export-checkpoint.ts';
import { wave } from '../support/networks.ts';
import { ownCheckpoint } from '../support/own-checkpoint.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('parity');
/** What the gate says when the file is another checkpoint's. */
async function judged(own: CompleteCheckpoint, exported: CompleteCheckpoint, demand: Demand): Promise<Parity> {
  const runner = await onnxRunner(await loadOnnxRuntime(), toOnnx(exported), own, 'images');
  try {
    return await compare(own, runner, await samplesFor(own.file), demand);
  } finally {
    await runner.dispose();
  }
}
/** The checkpoint with one of its tensors multiplied. */
function times(checkpoint: CompleteCheckpoint, name: string, factor: number): CompleteCheckpoint {
  const { data, ...rest } = checkpoint.tensors.get(name)!;
  const changed = { ...rest, data: Float32Array.from(data as Float32Array, (w) => w * factor) };
  return { ...checkpoint, tensors: new Map(checkpoint.tensors).set(name, changed) };
}
let checkpoint: CompleteCheckpoint;
beforeAll(async () => {
  checkpoint = await exportCheckpoint(at('v1.safetensors'), { arch: 'mobilenet_v1', widthMult: 0.25 });
});

test('another file’s answers are no agreement', async () => {
  const parity = await judged(checkpoint, times(checkpoint, 'features.1.0.0.weight', 1.1), DEMANDS.fp32);
  expect(parity.agrees).toBe(false);
  expect(parity.largestDifference).toBeGreaterThan(1e-4);
  expect(() => demandParity(parity)).toThrow(expect.objectContaining({ code: 'PARITY', exitCode: 6 }));
  // It is not rounding: the checkpoint agrees with itself.
  expect(parity.rounding).toBeLessThan(1e-5);
});

test('half precision has a limit too, whatever comes first', async () => {
  const sharper = times(checkpoint, 'classifier.1.weight', 3);
  const parity = await judged(checkpoint, sharper, { ...DEMANDS.fp16, top1: 0 });
  expect(parity.largestDifference).toBeGreaterThan(0.1);
  expect([parity.tolerance, parity.agrees]).toEqual([0.1, false]);
  const alike = await judged(checkpoint, times(checkpoint, 'classifier.1.weight', 1.01), DEMANDS.fp16);
  expect(alike).toMatchObject({ agrees: true, top1: { agree: 16 } });
  expect(alike.rounding).toBeUndefined();
});

describe('a class that comes first by less than a runtime can tell', () => {
  /** Logits that are the same for every picture. */
  class Always extends Module {
    readonly logits = new Parameter([3], zeros);
    forward(x: Tensor): Tensor {
      const none = ops.mul(ops.sum(x, { dims: [1, 2, 3], keepDims: true }), constant(0));
      return ops.add(ops.reshape(none, [-1, 1]), this.logits.tensor);
    }
  }
  const giving = (...logits: number[]): CompleteCheckpoint => ({
    ...ownCheckpoint(new Always()),
    classes: ['a', 'b', 'c'],
    tensors: new Map([['logits', { data: Float32Array.from(logits), shape: [3], dtype: 'float32' }]]),
  });
  test('ties', async () => {
    const parity = await judged(giving(1e-3, 0, -8), giving(0, 1e-3, -8), DEMANDS.fp16);
    expect(parity).toMatchObject({ agrees: true, top1: { agree: 16, ties: 16, of: 16, least: 16 } });
    expect(parityText(parity)).toContain('the same first answer to 16 of 16, ties at 16');
  });
  test('by more does not, however close all probabilities are', async () => {
    const parity = await judged(giving(5e-2, 0, -1), giving(0, 5e-2, -1), DEMANDS.fp16);
    expect(parity.largestDifference).toBeLessThan(0.1);
    expect(parity).toMatchObject({ agrees: false, top1: { agree: 0, ties: 0 } });
  });
  test('nor in single precision', async () => {
    const parity = await judged(giving(5e-5, 0, -8), giving(0, 5e-5, -8), DEMANDS.fp32);
    expect(parity.largestDifference).toBeLessThan(1e-4);
    expect(parity).toMatchObject({ agrees: false, top1: { agree: 0, ties: 0 } });
  });
});

test('what is no number agrees with nothing', async () => {
  const broken = times(checkpoint, 'classifier.1.bias', NaN);
  expect([...(broken.tensors.get('classifier.1.bias')!.data as Float32Array)]).toContainEqual(NaN);
  expect((await judged(checkpoint, broken, DEMANDS.fp16)).agrees).toBe(false);
});

test('a network that amplifies rounding is refused, and the refusal says that it differs from itself as much', async () => {
  // BatchNorm six times too strong drives every layer from bound to bound: an error of one in ten millions grows by a factor
  // in each.
  const wild = createModel('mobilenet_v2', { numClasses: 5, widthMult: 0.25, bnMomentum: 0.99 });
  using weights = await Weights.init(wild, { seed: 1 });
  const scales = [...(await weights.get())].filter(([name, v]) => v.shape.length === 1 && name.endsWith('.weight'));
  const gains = scales.map(([name, v], i) => ({
    ...{ name, shape: [...v.shape], dtype: 'float32' as const },
    data: wave(v.data.length, i).map((w) => 6 + 0.2 * w),
  }));
  await weights.set(gains);
  using program = compile({ y: wild.train().call(input('x', [-1, 3, 32, 32])) }, { weights });
  await program.run({ x: tensorData(wave(16 * 3 * 32 * 32, 4), [16, 3, 32, 32]) });
  const own = times({ ...checkpoint, model: wild.eval(), tensors: await weights.get() }, 'classifier.1.weight', 8);
  const parity = await judged(own, own, DEMANDS.fp32);
  expect(parity.agrees).toBe(false);
  expect(parity.rounding).toBeGreaterThan(parity.largestDifference / 20);
  expect(() => demandParity(parity)).toThrow(/run one by one, the checkpoint differs from itself by \d/);
});
