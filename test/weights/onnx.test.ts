// ONNX models as weights: our own exports and PyTorch's come back as the network they were, what is none is refused.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import {
  ARCHITECTURES,
  compile,
  completeCheckpoint,
  createModel,
  input,
  loadCheckpoint,
  loadWeights,
  tensorData,
  Weights,
  type Checkpoint,
  type CompleteCheckpoint,
  type OnnxOptions,
} from 'mnv2-torch';
import { toOnnx } from '../../dist/export/onnx.js';
import { decodeOnnx, encodeOnnx, type OnnxModel } from '../../dist/weights/formats/onnx-proto.js';
import { exportCheckpoint } from '../support/export-checkpoint.ts';
import { apart, wave } from '../support/networks.ts';
import { bytesOf } from '../support/numeric.ts';
import { findPython } from '../support/python.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('onnx-weights');
function written(name: string, bytes: Uint8Array): string {
  fs.writeFileSync(at(name), bytes);
  return at(name);
}

async function logits(
  { arch, options, tensors }: Checkpoint,
  image: Float32Array,
  size: number,
): Promise<Float32Array> {
  const model = createModel(arch as never, options).eval();
  using weights = await Weights.init(model);
  await loadWeights(weights, model, tensors, { strict: true });
  using program = compile({ y: model.call(input('x', [-1, 3, size, size])) }, { weights });
  const { y } = await program.run({ x: tensorData(image, [1, 3, size, size]) });
  return y!.data as Float32Array;
}

describe.each(ARCHITECTURES)('%s', (arch) => {
  let own: CompleteCheckpoint;
  beforeAll(async () => {
    own = await exportCheckpoint(at(`${arch}.safetensors`), { arch, padding: 'tf-same', bnEps: 2e-3 });
  });
  const back = (name: string, options: OnnxOptions): Promise<Checkpoint> =>
    loadCheckpoint(written(`${arch} ${name}.onnx`, toOnnx(own, options)));

  test('with BatchNorm kept it comes back bit for bit', async () => {
    const { arch: found, options, preprocess, classes, tensors } = await back('kept', { fold: false, raw: true });
    expect({ arch: found, options, preprocess, classes }).toEqual({
      arch,
      options: own.options,
      preprocess: own.preprocess,
      classes: own.classes,
    });
    expect([...tensors.keys()]).toEqual([...own.tensors.keys()]);
    for (const [name, { data, shape }] of own.tensors) {
      const same = bytesOf(tensors.get(name)!.data).equals(bytesOf(data));
      if (!name.endsWith('num_batches_tracked')) expect([name, same]).toEqual([name, true]);
      expect(tensors.get(name)!.shape).toEqual(shape);
    }
  });
  test('folded, with preprocessing inside, it answers as before and says what is to be done', async () => {
    const read = await back('folded', {});
    expect(completeCheckpoint(read).classes).toEqual(own.classes);
    expect(read.preprocess).toEqual(own.preprocess);
    expect(read.notes!.join('\n')).toMatch(/\(Mul, Add\)\n\d+ BatchNorms were folded .* --calibrate/);
    const image = wave(3 * 32 * 32, 9);
    expect(apart(await logits(own, image, 32), await logits(read, image, 32))).toBeLessThan(1e-4);
    expect([...read.tensors.get('features.0.1.running_var')!.data].every((v) => v === 1)).toBe(true);
  });
});

test('half precision comes back as far as it goes', async () => {
  const own = completeCheckpoint(await loadCheckpoint(at('mobilenet_v1.safetensors')));
  const read = await loadCheckpoint(written('half.onnx', toOnnx(own, { dtype: 'fp16', fold: false })));
  for (const [name, { data }] of own.tensors)
    if (name.endsWith('weight')) expect(apart(data, read.tensors.get(name)!.data)).toBeLessThan(1e-3);
});
test('without metadata the graph says what it is', async () => {
  const own = completeCheckpoint(await loadCheckpoint(at('mobilenet_v2.safetensors')));
  const model = decodeOnnx(toOnnx(own, { fold: false, raw: true }));
  const read = await loadCheckpoint(written('silent.onnx', encodeOnnx({ ...model, metadataProps: [] } as never)));
  expect(read).toMatchObject({
    arch: 'mobilenet_v2',
    options: { widthMult: 0.35, padding: 'tf-same', bnEps: 2e-3, numClasses: 5 },
  });
  expect(read.preprocess).toEqual({ size: 32, scale: 'x/127.5-1' });
});

describe('is refused in one line', () => {
  let model: OnnxModel;
  beforeAll(async () => {
    model = decodeOnnx(toOnnx(await exportCheckpoint(at('small.safetensors')), { raw: true }));
  });
  const convolution = (m: OnnxModel) => m.graph!.node.find((n) => n.opType === 'Conv')!;
  const CASES: [string, (m: OnnxModel) => void, RegExp][] = [
    ['values in another file', (m) => (m.graph!.initializer[3]!.dataLocation = 1), /is kept in another file/],
    ['more numbers than there are', (m) => (m.graph!.initializer[3]!.dims = [2 ** 40, 3]), /takes \d+ values; it has/],
    ['a shape that overflows', (m) => (m.graph!.initializer[3]!.dims = [2 ** 32, 2 ** 32, 2 ** 32]), /takes .* values/],
    ['a negative length', (m) => (m.graph!.initializer[3]!.dims = [-1, -9]), /has the shape \[-1,-9\]/],
    [
      'two values of one name',
      (m) => (m.graph!.initializer[3]!.name = m.graph!.initializer[4]!.name),
      /two values are called/,
    ],
    ['no graph', (m) => (m.graph = null), /without a graph/],
    ['a node of other networks', (m) => (m.graph!.node[9]!.opType = 'LSTM'), /'.*' \(LSTM\) has no place in them/],
    [
      'a convolution too few',
      (m) => m.graph!.node.splice(m.graph!.node.indexOf(convolution(m)), 1),
      /Nearest is mobilenet_v2/,
    ],
    [
      'another stride',
      (m) => (convolution(m).attribute.find((a) => a.name === 'strides')!.ints = [3, 3]),
      /'features.0.0' has the stride 2,2, the file 3,3/,
    ],
    [
      'another clamp',
      (m) => (m.graph!.node.find((n) => n.opType === 'Clip')!.input = ['x', '', '']),
      /'.*' is a relu6, the file has a relu|clips otherwise/,
    ],
  ];
  test.each(CASES)('%s', async (name, change, message) => {
    const changed = structuredClone(model);
    change(changed);
    await expect(loadCheckpoint(written(`${name}.onnx`, encodeOnnx(changed as never)))).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringMatching(message) as string,
    });
  });
  test('a million empty nodes, before they are made', async () => {
    const nodes = Buffer.alloc(2_000_000);
    for (let i = 0; i < nodes.length; i += 2) nodes[i] = 0x0a;
    const head = [0x08, 0x08, 0x3a, ...[0x80, 0x89, 0x7a]]; // ir_version 8; graph of 2,000,000 bytes
    await expect(
      loadCheckpoint(written('empty.onnx', Buffer.concat([Buffer.from(head), nodes]))),
    ).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringMatching(/more than 200000 parts/) as string,
    });
  });
});

const [python, without] = findPython('torch', 'torchvision', 'onnx');
(without ? describe.skip : describe)(`torch.onnx.export of torchvision’s networks${without}`, () => {
  beforeAll(() => {
    fs.mkdirSync(at('torch'), { recursive: true });
    const { status, stderr } = spawnSync(python, ['test/support/torch_onnx.py', at('torch')], { encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
  }, 120_000);
  test.each(['v2', 'v3-small', 'v3-large'])('%s', async (name) => {
    const { image, logits: theirs } = JSON.parse(fs.readFileSync(at(`torch/${name}.json`), 'utf8')) as Record<
      'image' | 'logits',
      number[]
    >;
    for (const variant of name === 'v3-large' ? ['opset17'] : ['opset11', 'opset17', 'kept']) {
      const read = await loadCheckpoint(at(`torch/${name}-${variant}.onnx`));
      expect([variant, read.arch]).toEqual([
        variant,
        name === 'v2' ? 'mobilenet_v2' : `mobilenet_${name.replace('-', '_')}`,
      ]);
      const ours = await logits(read, Float32Array.from(image), 64);
      expect(apart(theirs, ours)).toBeLessThan(1e-5);
    }
  });
});
