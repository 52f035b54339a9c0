// State dicts for torchvision and timm: what they say, what is refused, and that the libraries load them strictly and agree.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {
  createModel,
  exportSafetensors,
  Flatten,
  Linear,
  loadCheckpoint,
  readSafetensors,
  Sequential,
  writeSafetensors,
  type Arch,
  type CompleteCheckpoint,
  type ModelOptions,
  type Parity,
  type SafetensorsOptions,
  type TensorData,
} from 'mnv2-torch';
import { toSafetensors } from '../../dist/export/safetensors.js';
import { decodeSafetensors } from '../../dist/weights/formats/safetensors.js';
import { exportCheckpoint } from '../support/export-checkpoint.ts';
import { apart } from '../support/networks.ts';
import { logitsOf, ownCheckpoint, pictures, scaled } from '../support/own-checkpoint.ts';
import { findPython } from '../support/python.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('foreign');

/** [name, network, file, the Python that makes the model, how far logits may be apart] */
type Case = [string, ModelOptions & { arch: Arch; classes?: number }, SafetensorsOptions, string, number];
const CASES: Case[] = [
  [
    'v1-timm',
    { arch: 'mobilenet_v1', widthMult: 1 },
    { names: 'timm' },
    "timm.create_model('mobilenetv1_100', num_classes=5)",
    1e-4,
  ],
  ['v2', { arch: 'mobilenet_v2' }, {}, 'torchvision.models.mobilenet_v2(num_classes=5, width_mult=0.35)', 1e-4],
  [
    'v2-eps',
    { arch: 'mobilenet_v2', bnEps: 1e-3 },
    {},
    'torchvision.models.mobilenet_v2(num_classes=5, width_mult=0.35)',
    1e-4,
  ],
  [
    'v2-rows',
    {
      arch: 'mobilenet_v2',
      invertedResidualSetting: [
        [1, 16, 1, 1],
        [6, 24, 2, 2],
      ],
    },
    { dtype: 'bf16' },
    'torchvision.models.mobilenet_v2(num_classes=5, width_mult=0.35, inverted_residual_setting=[[1,16,1,1],[6,24,2,2]])',
    5e-2,
  ],
  [
    'v2-timm',
    { arch: 'mobilenet_v2', padding: 'tf-same', bnEps: 1e-3 },
    { names: 'timm' },
    "timm.create_model('mobilenetv2_035', num_classes=5, pad_type='same')",
    1e-4,
  ],
  [
    'v2-timm-half',
    { arch: 'mobilenet_v2' },
    { names: 'timm', dtype: 'fp16' },
    "timm.create_model('mobilenetv2_035', num_classes=5)",
    1e-2,
  ],
  [
    'v3-small',
    { arch: 'mobilenet_v3_small' },
    {},
    'torchvision.models.mobilenet_v3_small(num_classes=5, width_mult=0.35)',
    1e-4,
  ],
  [
    'v3-small-timm',
    { arch: 'mobilenet_v3_small', widthMult: 1 },
    { names: 'timm' },
    "timm.create_model('mobilenetv3_small_100', num_classes=5)",
    1e-4,
  ],
  [
    'v3-large-tf',
    { arch: 'mobilenet_v3_large', widthMult: 1, padding: 'tf-same' },
    { names: 'timm' },
    "timm.create_model('tf_mobilenetv3_large_100', num_classes=5)",
    1e-4,
  ],
];
const exported = (name: string): string => at(`${name}.exported.safetensors`);
const made = new Map<string, CompleteCheckpoint>();
const said = new Map<string, Parity>();
beforeAll(async () => {
  for (const [name, network, options] of CASES) {
    const checkpoint = await exportCheckpoint(at(`${name}.safetensors`), network);
    made.set(name, checkpoint);
    said.set(name, await exportSafetensors(checkpoint, exported(name), options));
  }
}, 120_000);

describe('written', () => {
  test.each(CASES)('%s', async (name, network, _options, call) => {
    const [checkpoint, parity] = [made.get(name)!, said.get(name)!];
    expect(parity.agrees).toBe(true);
    expect(parity.notes![0]).toBe(`loads strictly into ${call}`);
    expect(JSON.parse(fs.readFileSync(`${exported(name)}.parity.json`, 'utf8'))).toMatchObject({ agrees: true });
    const { metadata } = await readSafetensors(exported(name));
    expect(metadata).toMatchObject({ loads_into: call, classes: JSON.stringify(checkpoint.classes) });
    // Our own reader takes it for what it is, with the very options.
    const back = await loadCheckpoint(exported(name));
    expect([back.arch, back.options.padding]).toEqual([network.arch, network.padding ?? 'symmetric']);
  });
  test('where eps is the library’s own, every number stays as it was', () => {
    const checkpoint = made.get('v2')!;
    const { notes } = toSafetensors(checkpoint);
    expect(notes).toHaveLength(1);
  });
  test('another eps moves into the variances, and the notes say so', async () => {
    const name = 'features.0.1.running_var';
    const before = made.get('v2-eps')!.tensors.get(name)!.data as Float32Array;
    const { bytes, notes } = toSafetensors(made.get('v2-eps')!);
    const after = (await decodeSafetensors(bytes, 'written')).tensors.get(name)!.data;
    expect(
      apart(
        Float64Array.from(before, (v) => v + 1e-3 - 1e-5),
        after,
      ),
    ).toBeLessThan(1e-7);
    expect(notes[1]).toMatch(/added 0\.00099 to every running_var: .* eps 0\.00001, ours 0\.001/);
  });
});

describe('refused, with what to use instead', () => {
  const built = ({ arch = 'mobilenet_v2', ...network }: ModelOptions & { arch?: Arch }): CompleteCheckpoint =>
    ownCheckpoint(createModel(arch, { numClasses: 2, widthMult: 0.25, ...network }));
  test.each<[string, ModelOptions & { arch?: Arch }, SafetensorsOptions, RegExp]>([
    [
      'TensorFlow’s padding',
      { padding: 'tf-same' },
      {},
      /torchvision has no mobilenet_v2 with .*tf-same.*--names timm.*pad_type='same'/,
    ],
    [
      'V3’s',
      { arch: 'mobilenet_v3_small', padding: 'tf-same' },
      {},
      /--names timm.*tf_ variants.* onnx or torchscript/,
    ],
    ['V1', { arch: 'mobilenet_v1' }, {}, /torchvision has no mobilenet_v1: use names timm/],
    [
      'a width',
      { widthMult: 0.3 },
      { names: 'timm' },
      /timm has no mobilenet_v2 of width 0\.3 \(it has 0\.35, 0\.5, 0\.75, 1, 1\.4\)/,
    ],
    [
      'rows',
      { widthMult: 0.35, invertedResidualSetting: [[1, 16, 1, 1]] },
      { names: 'timm' },
      /other rows than the paper/,
    ],
    ['no residuals', { residual: false }, {}, /without residual connections/],
    ['ReLU', { activation: 'relu' }, {}, /with ReLU: train another network/],
    ['the ablation', { linearBottleneck: false }, {}, /with an activation after the bottlenecks/],
  ])('%s', (_what, network, options, message) => {
    expect(() => toSafetensors(built(network), options)).toThrow(message);
  });
  test('a network of one’s own', () => {
    const model = new Sequential(new Flatten(), new Linear(192, 2));
    expect(() => toSafetensors(ownCheckpoint(model))).toThrow(
      /a network of your own, 'Sequential', .* onnx or torchscript/,
    );
  });
  test('a variance that cannot make up for the eps; nothing is written', async () => {
    const checkpoint = made.get('v3-small')!;
    const tensors = new Map(checkpoint.tensors);
    const name = 'features.0.1.running_var';
    tensors.set(name, { ...tensors.get(name)!, data: new Float32Array(tensors.get(name)!.data.length) });
    const model = createModel('mobilenet_v3_small', { ...checkpoint.options, bnEps: 1e-5 });
    await expect(exportSafetensors({ ...checkpoint, tensors, model }, at('never.safetensors'))).rejects.toThrow(
      /too small to make up for .*--names timm/,
    );
    expect(fs.existsSync(at('never.safetensors'))).toBe(false);
  });
  test('what half precision cannot hold', () => {
    const checkpoint = made.get('v2')!;
    const bias = checkpoint.tensors.get('classifier.1.bias')!;
    const large: TensorData = { ...bias, data: Float32Array.from({ length: bias.data.length }, () => 7e4) };
    const tensors = new Map(checkpoint.tensors).set('classifier.1.bias', large);
    expect(() => toSafetensors({ ...checkpoint, tensors }, { dtype: 'fp16' })).toThrow(
      /'classifier.1.bias' .* bf16 or fp32/,
    );
  });
  test('a folder that is not there', async () => {
    await expect(exportSafetensors(made.get('v2')!, at('nowhere', 'x.safetensors'))).rejects.toThrow(
      /cannot write .*nowhere/,
    );
  });
});

const [python, without] = findPython('torch', 'torchvision', 'timm', 'safetensors');
const LOAD = `
import json, sys, torch
from networks_in_torch import torchvision
import timm
from safetensors.torch import load_file, save_file
images = load_file(sys.argv[1])['images']
answers = {}
for file in sys.argv[2:]:
    from safetensors import safe_open
    with safe_open(file, 'pt') as f: call = f.metadata()['loads_into']
    model = eval(call)
    model.load_state_dict(load_file(file), strict=True)
    with torch.no_grad(): answers[file] = model.eval()(images)
save_file(answers, sys.argv[1] + '.out')
`;
(without ? describe.skip : describe)(`torchvision and timm load them strictly${without}`, () => {
  const images = scaled(pictures(3, 32));
  let answers: Map<string, TensorData>;
  beforeAll(async () => {
    await writeSafetensors(at('images'), new Map([['images', images]]));
    const args = ['-c', LOAD, at('images'), ...CASES.map(([name]) => exported(name))];
    const env = { ...process.env, PYTHONPATH: path.resolve('test/support') };
    const { status, stderr } = spawnSync(python, args, { encoding: 'utf8', env });
    if (status !== 0) throw new Error(`${python}:\n${stderr}`);
    answers = (await readSafetensors(at('images.out'))).tensors;
  }, 120_000);
  test.each(CASES)('%s', async (name, _network, _options, _call, tolerance) => {
    const ours = await logitsOf(made.get(name)!, images);
    expect(apart(ours.data, answers.get(exported(name))!.data)).toBeLessThan(tolerance);
  });
});
