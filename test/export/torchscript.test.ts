// TorchScript: every op as libtorch's interpreter runs it beside the engine, whole networks, and Python's torch.jit.load.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import {
  Conv2d,
  input,
  Linear,
  Module,
  ones,
  Parameter,
  readSafetensors,
  ReLU,
  ReLU6,
  Sequential,
  tensorData,
  TorchError,
  writeSafetensors,
  zeros,
  type Arch,
  type CompleteCheckpoint,
  type ModelOptions,
  type Tensor,
  type TensorData,
} from 'mnv2-torch';
import { ScriptModule } from '../../dist/export/script-module.js';
import { toTorchScript } from '../../dist/export/torchscript.js';
import { OPS, type OpName } from '../../dist/graph/op-names.js';
import * as ops from '../../dist/graph/ops.js';
import { constant } from '../../dist/graph/tensor.js';
import { networkFile } from '../support/network-file.ts';
import { apart, count, wave } from '../support/networks.ts';
import { complete, logitsOf, Only, ownCheckpoint, pictures, probabilities, scaled } from '../support/own-checkpoint.ts';
import { findPython } from '../support/python.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('torchscript');

async function answers(checkpoint: CompleteCheckpoint, images: TensorData, raw: boolean): Promise<TensorData> {
  using script = new ScriptModule(await toTorchScript(checkpoint, { raw }));
  return await script.run(images);
}

describe('each op', () => {
  const filter = (shape: number[], seed = 2): Tensor => constant(wave(count(shape), seed), shape);
  const flat = (x: Tensor): Tensor => ops.reshape(x, [-1, 3 * 8 * 8]);
  const state = {
    weight: filter([3]),
    bias: filter([3], 3),
    runningMean: filter([3], 4),
    runningVar: constant([0.5, 1, 2]),
  };
  const cases: Partial<Record<OpName, (x: Tensor) => Tensor>> = {
    add: (x) => ops.add(x, constant(1.5)),
    argmax: (x) => ops.argmax(flat(x), 1),
    avgPool2d: (x) => ops.avgPool2d(x, { kernel: 3, stride: 2, padding: 1 }),
    batchNorm2d: (x) => ops.batchNorm2d(x, state, { training: false, eps: 1e-3 }),
    cast: (x) => ops.cast(ops.cast(x, 'int32'), 'float32'),
    concat: (x) => ops.concat([x, ops.relu(x)], 1),
    conv2d: (x) => ops.conv2d(x, filter([4, 3, 3, 3]), { stride: 2, padding: [0, 1, 2, 1], bias: filter([4]) }),
    depthwiseConv2d: (x) => ops.depthwiseConv2d(x, filter([6, 1, 3, 3]), { stride: 2, padding: 'tf-same' }),
    dequantize: (x) =>
      ops.add(
        ops.mul(x, ops.dequantize(constant(Int8Array.of(-127, 3, 90), [3, 1, 1]), filter([3]), { axis: 0 })),
        ops.dequantize(constant(Int8Array.of(-128, 127, 1, 0, 4, 5, 6, 7)), filter([1])),
      ),
    div: (x) => ops.div(x, constant(3)),
    equal: (x) => ops.cast(ops.equal(ops.relu(x), x), 'float32'),
    exp: (x) => ops.exp(x),
    fakeQuantize: (x) => {
      const eight = ops.fakeQuantize(x, constant([0.003]), constant([117]), { qmin: 0, qmax: 255 });
      const [scale, zero] = [constant([0.01, 0.02, 0.004]), constant([0, -3, 9])];
      return ops.fakeQuantize(eight, scale, zero, { qmin: -127, qmax: 127, axis: 1 });
    },
    globalAveragePool: (x) => ops.globalAveragePool(x),
    hardsigmoid: (x) => ops.hardsigmoid(x),
    hardswish: (x) => ops.hardswish(x),
    hardtanh: (x) => ops.hardtanh(x, { min: -0.5, max: 1e-7 }),
    layerNorm: (x) => ops.layerNorm(x, [8, 8], { weight: filter([8, 8]), bias: filter([8, 8], 3), eps: 1e-3 }),
    linear: (x) => ops.linear(x, filter([5, 8]), filter([5])),
    log: (x) => ops.log(ops.exp(x)),
    logSoftmax: (x) => ops.logSoftmax(x, 1),
    matmul: (x) => ops.matmul(x, filter([8, 5])),
    max: (x) => ops.max(x, { dims: [2, 3] }),
    maxPool2d: (x) => ops.maxPool2d(x, { kernel: [2, 3], padding: [0, 1] }),
    mean: (x) => ops.mean(x, { dims: [1], keepDims: true }),
    min: (x) => ops.min(x, { dims: [1] }),
    mul: (x) => ops.mul(x, filter([3, 1, 1])),
    pad2d: (x) => ops.pad2d(x, [0, 1, 2, 3], -2),
    permute: (x) => ops.permute(x, [0, 2, 3, 1]),
    relu: (x) => ops.relu(x),
    relu6: (x) => ops.relu6(ops.mul(x, constant(9))),
    reshape: (x) => flat(x),
    sigmoid: (x) => ops.sigmoid(x),
    silu: (x) => ops.silu(x),
    slice: (x) => ops.slice(ops.slice(x, { dim: 2, start: 1, end: -1, step: 2 }), { dim: 0 }),
    softmax: (x) => ops.softmax(x, 1),
    sub: (x) => ops.sub(constant(wave(8, 5)), x),
    sum: (x) => ops.sum(ops.sum(x, { dims: [] }), { dims: [3, 1] }),
  };
  const apartFromThese = ['binaryCrossEntropyWithLogits', 'crossEntropy', 'dropout', 'meanSquaredError'];
  test('there is a case for every op; losses and dropout have tests of their own', () => {
    expect([...Object.keys(cases), ...apartFromThese].sort()).toEqual([...OPS].sort());
  });
  const images = tensorData(wave(2 * 3 * 8 * 8, 1), [2, 3, 8, 8]);
  test.each(Object.entries(cases))('%s', async (_op, body) => {
    const checkpoint = ownCheckpoint(new Only(body));
    const [ours, its] = [await logitsOf(checkpoint, images), await answers(checkpoint, images, true)];
    expect([its.shape, its.dtype]).toEqual([ours.shape, ours.dtype]);
    expect(apart(ours.data, its.data)).toBeLessThan(1e-6);
  });
  test('padding with what is no literal of Python', async () => {
    const pooled = (x: Tensor): Tensor => ops.maxPool2d(ops.pad2d(x, [1, 1, 1, 1], -Infinity), { kernel: 3 });
    const checkpoint = ownCheckpoint(new Only(pooled));
    const [ours, its] = [await logitsOf(checkpoint, images), await answers(checkpoint, images, true)];
    expect([...its.data]).toEqual([...ours.data]);
  });
  test('dropout passes on what it gets', async () => {
    const { data } = await answers(ownCheckpoint(new Only((x) => ops.dropout(x, 0.5))), images, true);
    expect([...data]).toEqual([...images.data]);
  });
});

describe('what cannot be exported is named', () => {
  const refused = (body: (x: Tensor) => Tensor): Promise<unknown> =>
    toTorchScript(ownCheckpoint(new Only(body)), { raw: true });
  test('losses, batch statistics, gradients, a second input', async () => {
    await expect(refused((x) => ops.meanSquaredError(x, x))).rejects.toThrow(
      /a graph with 'meanSquaredError' cannot be exported: losses are for training/,
    );
    const one = constant([1, 1, 1]);
    const state = { weight: one, bias: one, runningMean: one, runningVar: one };
    await expect(refused((x) => ops.batchNorm2d(x, state, { training: true }))).rejects.toThrow(
      /export .* in eval\(\)/,
    );
    await expect(refused((x) => ops.gradients(ops.sum(x), [x])[0]!)).rejects.toThrow(/a graph with a gradient/);
    await expect(refused((x) => ops.add(x, input('other', [1])))).rejects.toThrow(
      /reads an input 'other' besides its images/,
    );
  });
  test('a field that TorchScript has no name for', async () => {
    class Named extends Module {
      readonly 'é"' = new Parameter([1], ones);
      forward(x: Tensor): Tensor {
        return ops.mul(x, this['é"'].tensor);
      }
    }
    const model = new Named();
    await expect(toTorchScript(ownCheckpoint(model))).rejects.toThrow(/ASCII .*got "é\\""; rename it/);
  });
  test('pictures for a network of other channels', async () => {
    const checkpoint = { ...ownCheckpoint(new Only((x) => x)), options: { inChannels: 1 } };
    await expect(toTorchScript(checkpoint)).rejects.toThrow(/takes 1 channels, pictures have 3: .*--raw/);
  });
  test('bytes that are no module, images that do not fit, one that is gone', async () => {
    const images = tensorData(wave(3 * 64, 1), [1, 3, 8, 8]);
    using none = new ScriptModule(Uint8Array.of(1, 2, 3));
    await expect(none.run(images)).rejects.toThrow(TorchError);
    const filter = constant(wave(9, 1), [1, 3, 3, 1]);
    const bytes = await toTorchScript(ownCheckpoint(new Only((x) => ops.conv2d(x, filter))), { raw: true });
    using script = new ScriptModule(bytes);
    await expect(script.run(tensorData(wave(64, 1), [1, 1, 8, 8]))).rejects.toThrow(/3 channels/);
    script.dispose();
    await expect(script.run(images)).rejects.toThrow(/disposed/);
  });
});

/** Fields that are no names to Python, parts in arrays, a name the exporter would take, a part nobody reads. */
class Odd extends Module {
  readonly lambda = new Conv2d(3, 4, 3);
  readonly 'a $ign-1' = new Parameter([4, 1, 1], ones);
  readonly constant_0 = new Parameter([1], zeros);
  readonly stages = [new Sequential(new Conv2d(4, 4, 1), new ReLU()), new ReLU6()];
  readonly unread = new Linear(2, 2);
  readonly head = new Linear(4, 2);
  forward(x: Tensor): Tensor {
    const y = this.stages.reduce((z, stage) => stage.call(z), ops.mul(this.lambda.call(x), this['a $ign-1'].tensor));
    return this.head.call(ops.globalAveragePool(ops.add(ops.add(y, constant(0.5)), this.constant_0.tensor)));
  }
}
const odd = (): CompleteCheckpoint => ownCheckpoint(new Odd());

const network = async (name: string, options: Parameters<typeof networkFile>[1]): Promise<CompleteCheckpoint> =>
  complete(await networkFile(at(`${name}.safetensors`), options));
const thousand = Array.from({ length: 1000 }, (_, i) => `class ${i}`);
const NETWORKS: [string, { arch: Arch; classes?: string[] } & ModelOptions][] = [
  ['V1, TF padding', { arch: 'mobilenet_v1', widthMult: 0.25, padding: 'tf-same', bnEps: 1e-3 }],
  ['V2, 1000 classes', { arch: 'mobilenet_v2', widthMult: 0.35, classes: thousand }],
  ['V3 Small', { arch: 'mobilenet_v3_small' }],
  ['V3 Large, TF padding', { arch: 'mobilenet_v3_large', widthMult: 0.5, padding: 'tf-same' }],
];

describe('whole networks', () => {
  test.each(NETWORKS)('%s: probabilities of pictures, and raw logits', async (name, options) => {
    const checkpoint = await network(name, options);
    const images = pictures(3, 32);
    const ours = await logitsOf(checkpoint, scaled(images));
    const [raw, given] = [await answers(checkpoint, scaled(images), true), await answers(checkpoint, images, false)];
    expect(raw.shape).toEqual(ours.shape);
    expect(apart(ours.data, raw.data)).toBeLessThan(1e-5);
    expect(apart(probabilities(ours), given.data)).toBeLessThan(1e-5);
  });
  test('one of one’s own, whatever its parts are called', async () => {
    const images = scaled(pictures(2, 8));
    const [ours, its] = [await logitsOf(odd(), images), await answers(odd(), images, true)];
    expect(apart(ours.data, its.data)).toBeLessThan(1e-5);
  });
  test('the same checkpoint gives the same bytes', async () => {
    const bytes = async (): Promise<Buffer> => Buffer.from(await toTorchScript(odd()));
    expect((await bytes()).equals(await bytes())).toBe(true);
  });
});

const [python, without] = findPython('torch', 'safetensors');
const LOAD = `
import json, sys, torch
from safetensors.torch import load_file, save_file
for stem in sys.argv[1:]:
    notes = {'metadata.json': ''}
    model = torch.jit.load(stem + '.pt', _extra_files=notes).eval()
    images = load_file(stem + '.in.safetensors')['images']
    with torch.no_grad():
        answers = {'plain': model(images), 'frozen': torch.jit.freeze(model)(images)}
    save_file(answers, stem + '.out.safetensors')
    names = [list(model.state_dict()), [name for name, _ in model.named_parameters()]]
    json.dump([*names, json.loads(notes['metadata.json'])], open(stem + '.json', 'w'))
`;
(without ? describe.skip : describe)(`torch.jit.load${without}`, () => {
  const cases = [
    ['v3', () => network('python', { arch: 'mobilenet_v3_small', widthMult: 0.5 }), pictures(2, 32)],
    ['odd', odd, pictures(2, 8)],
  ] as const;
  beforeAll(async () => {
    for (const [stem, checkpoint, images] of cases) {
      fs.writeFileSync(at(`${stem}.pt`), await toTorchScript(await checkpoint()));
      await writeSafetensors(at(`${stem}.in.safetensors`), new Map([['images', images]]));
    }
    const { status, stderr } = spawnSync(python, ['-c', LOAD, ...cases.map(([stem]) => at(stem))], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`${python}:\n${stderr}`);
  }, 60_000);
  test.each(cases)('%s: the same numbers, the checkpoint’s names, its metadata', async (stem, of, images) => {
    const checkpoint = await of();
    const { tensors } = await readSafetensors(at(`${stem}.out.safetensors`));
    const expected = probabilities(await logitsOf(checkpoint, scaled(images)));
    expect(apart(expected, tensors.get('plain')!.data)).toBeLessThan(1e-5);
    expect(apart(expected, tensors.get('frozen')!.data)).toBeLessThan(1e-5);
    type Seen = [string[], string[], Record<string, string>];
    const [state, parameters, metadata] = JSON.parse(fs.readFileSync(at(`${stem}.json`), 'utf8')) as Seen;
    const named = [...checkpoint.model.namedParameters()];
    const added = state.filter((name) => !checkpoint.tensors.has(name));
    expect(added.every((name) => /^(graph_)?constant_\d$/.test(name))).toBe(true);
    expect(state).toHaveLength(named.length + added.length);
    const learned = named.filter(([, p]) => p.kind === 'parameter').map(([name]) => name);
    expect(parameters.sort()).toEqual(learned.sort());
    expect(metadata).toMatchObject({ arch: checkpoint.arch, classes: JSON.stringify(checkpoint.classes) });
  });
});
