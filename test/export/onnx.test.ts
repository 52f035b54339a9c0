// What an exported ONNX file says, and that ONNX Runtime gives our answers with it.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createHash } from 'node:crypto';
import { ARCHITECTURES, exportOnnx, type CompleteCheckpoint, type OnnxOptions, type Parity } from 'mnv2-torch';
import { toOnnx } from '../../dist/export/onnx.js';
import { loadOnnxRuntime } from '../../dist/export/onnx-runtime.js';
import { native } from '../../dist/native/load.js';
import { decodeOnnx, type OnnxGraph } from '../../dist/weights/formats/onnx-proto.js';
import { exportCheckpoint } from '../support/export-checkpoint.ts';
import { bytesOf } from '../support/numeric.ts';
import { findPython } from '../support/python.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('onnx');
const graphOf = (checkpoint: CompleteCheckpoint, options?: OnnxOptions): OnnxGraph =>
  decodeOnnx(toOnnx(checkpoint, options)).graph!;
const kinds = (graph: OnnxGraph): Set<string> => new Set(graph.node.map((n) => n.opType));
const ports = (values: OnnxGraph['input']): unknown[] =>
  values.map(({ name, type }) => [
    name,
    type!.tensorType!.elemType,
    type!.tensorType!.shape!.dim.map((d) => d.dimParam ?? d.dimValue),
  ]);

let checkpoint: CompleteCheckpoint;
beforeAll(async () => {
  checkpoint = await exportCheckpoint(at('v2.safetensors'), { padding: 'tf-same' });
});

describe('the file', () => {
  test('takes bytes and gives probabilities, or scaled pixels and logits; the batch is free', () => {
    const answers = (name: string): unknown => [[name, 1, ['N', 5]]];
    const plain = graphOf(checkpoint);
    expect(ports(plain.input)).toEqual([['images', 2, ['N', 32, 32, 3]]]);
    expect(ports(plain.output)).toEqual(answers('probabilities'));
    const raw = graphOf(checkpoint, { raw: true });
    expect(ports(raw.input)).toEqual([['input', 1, ['N', 3, 32, 32]]]);
    expect(ports(raw.output)).toEqual(answers('logits'));
    expect(ports(graphOf(checkpoint, { resize: true }).input)).toEqual([['images', 2, ['N', 'height', 'width', 3]]]);
    const half = graphOf(checkpoint, { dtype: 'fp16' });
    expect([ports(half.input), ports(half.output)]).toEqual([ports(plain.input), ports(plain.output)]);
  });
  test('says its classes, its preprocessing and where it is from', () => {
    const { metadataProps, opsetImport, producerName } = decodeOnnx(toOnnx(checkpoint, { dtype: 'fp16' }));
    const told = Object.fromEntries(metadataProps.map(({ key, value }) => [key, value]));
    expect(JSON.parse(told['classes']!)).toEqual(checkpoint.classes);
    expect(JSON.parse(told['preprocess']!)).toEqual(checkpoint.preprocess);
    expect(told).toMatchObject({
      arch: 'mobilenet_v2',
      source: 'a test',
      padding: 'tf_same',
      exported_from: 'v2.safetensors',
      exported_dtype: 'fp16',
      batch_norm: 'folded',
      exported_by: `mnv2-torch ${native().buildInfo().package}`,
    });
    expect([opsetImport, producerName]).toEqual([[{ domain: '', version: 18 }], 'mnv2-torch']);
  });
  test('BatchNorm is in the convolutions, or beside them with every number as it was', () => {
    const folded = graphOf(checkpoint);
    expect(kinds(folded).has('BatchNormalization')).toBe(false);
    expect(folded.node.filter((n) => n.opType === 'Conv').every((n) => n.input.length === 3)).toBe(true);
    const kept = graphOf(checkpoint, { fold: false });
    expect(kept.node.filter((n) => n.opType === 'BatchNormalization')).toHaveLength(52);
    const written = new Map(kept.initializer.map((t) => [t.name, t]));
    for (const [name, { data, dtype }] of checkpoint.tensors) {
      if (dtype === 'int64') continue; // num_batches_tracked counts, it computes nothing
      expect([name, Buffer.from(written.get(name)!.rawData).equals(bytesOf(data))]).toEqual([name, true]);
    }
  });
  test('TensorFlow’s padding is written out: nothing before, one after', () => {
    const pads = graphOf(checkpoint)
      .node.filter((n) => n.opType === 'Conv')
      .map((n) => n.attribute.find((a) => a.name === 'pads')!.ints.join());
    expect(pads[0]).toBe('0,0,1,1');
    expect(new Set(pads)).toEqual(new Set(['0,0,1,1', '1,1,1,1', '0,0,0,0']));
  });
  test('no two values have one name, and every value that is read was written before', () => {
    for (const options of [{}, { fold: false, raw: true }, { resize: true, dtype: 'fp16' }] as OnnxOptions[]) {
      const { node, initializer, input, output } = graphOf(checkpoint, options);
      const known = new Set(['', ...initializer.map((t) => t.name), ...input.map((p) => p.name)]);
      expect(known.size).toBe(1 + initializer.length + input.length);
      for (const n of node) {
        expect(n.input.filter((name) => !known.has(name))).toEqual([]);
        for (const name of n.output) {
          expect(known.has(name)).toBe(false);
          known.add(name);
        }
      }
      expect(output.every((p) => known.has(p.name))).toBe(true);
    }
  });
  test('raw and resize exclude each other', () => {
    expect(() => toOnnx(checkpoint, { raw: true, resize: true })).toThrow('raw and resize exclude each other');
  });
  test('a weight too large for half precision is named', () => {
    const tensors = new Map(checkpoint.tensors);
    const bias = tensors.get('classifier.1.bias')!;
    tensors.set('classifier.1.bias', { ...bias, data: Float32Array.from(bias.data as Float32Array, () => 7e4) });
    expect(() => toOnnx({ ...checkpoint, tensors }, { dtype: 'fp16' })).toThrow(/'classifier\.1\.bias' .* fp32/);
  });
});

const VARIANTS: [string, OnnxOptions, number][] = [
  ['bytes to probabilities', {}, 1e-5],
  ['BatchNorm kept', { fold: false }, 1e-5],
  ['raw', { raw: true }, 1e-4],
  ['resized inside', { resize: true }, 1e-5],
  ['half precision', { dtype: 'fp16' }, 2e-2],
  ['half precision, BatchNorm kept, raw', { dtype: 'fp16', fold: false, raw: true }, 5e-2],
];

/** What is written of a network's ops hangs on folding and type; preprocessing is the same before any network. */
const CASES = ARCHITECTURES.flatMap((arch) =>
  VARIANTS.filter((_, i) => arch === 'mobilenet_v2' || i === 0 || i === VARIANTS.length - 1).map(
    ([name, ...rest]) => [`${arch}, ${name}`, arch, ...rest] as const,
  ),
);
describe('answers as its checkpoint', () => {
  const made = new Map<string, CompleteCheckpoint>();
  beforeAll(async () => {
    for (const arch of ARCHITECTURES)
      made.set(arch, await exportCheckpoint(at(`${arch}.safetensors`), { arch, widthMult: 0.25 }));
  });
  test.each(CASES)('%s', async (name, arch, options, apart) => {
    const file = at(`${name}.onnx`);
    const parity = await exportOnnx(made.get(arch)!, file, options);
    expect(parity).toMatchObject({ agrees: true, images: { from: 'noise' }, top1: { agree: 16, of: 16 } });
    expect(parity.compared).toBe(options.raw ? 'logits' : 'probabilities');
    expect(parity.largestDifference).toBeLessThan(apart);
    const beside = JSON.parse(fs.readFileSync(`${file}.parity.json`, 'utf8')) as Parity & { sha256: string };
    expect(beside.sha256).toBe(createHash('sha256').update(fs.readFileSync(file)).digest('hex'));
    expect(beside.largestDifference).toBe(parity.largestDifference);
  });
});

test('without a runtime the error says what to install', async () => {
  await expect(loadOnnxRuntime(['onnxruntime-nowhere'])).rejects.toMatchObject({
    exitCode: 3,
    message: expect.stringContaining('npm install onnxruntime-node') as string,
  });
});

const [python, without] = findPython('onnx');
(without ? test.skip : test)(
  `onnx.checker finds nothing${without}`,
  () => {
    const files = VARIANTS.map(([name, options]) => {
      fs.writeFileSync(at(`checked ${name}.onnx`), toOnnx(checkpoint, options));
      return at(`checked ${name}.onnx`);
    });
    const script = 'import onnx, sys\nfor f in sys.argv[1:]: onnx.checker.check_model(onnx.load(f), full_check=True)';
    const { stderr, status } = spawnSync(python, ['-c', script, ...files], { encoding: 'utf8' });
    expect([stderr, status]).toEqual(['', 0]);
  },
  60_000,
);
