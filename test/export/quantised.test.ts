// int8 checkpoints in other runtimes: QuantizeLinear and DequantizeLinear around every layer, with the file's own numbers.
import fs from 'node:fs';
import {
  exportOnnx,
  exportSafetensors,
  exportTorchScript,
  ImageStore,
  quantize,
  UsageError,
  type CompleteCheckpoint,
} from 'mnv2-torch';
import { toOnnx } from '../../dist/export/onnx.js';
import { largest } from '../../dist/nn/whole-numbers.js';
import { decodeOnnx } from '../../dist/weights/formats/onnx-proto.js';
import { cli } from '../support/cli.ts';
import { exportCheckpoint } from '../support/export-checkpoint.ts';
import { bytesOf } from '../support/numeric.ts';
import { pictures } from '../support/own-checkpoint.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('quantised-export');
let [float, int8]: [CompleteCheckpoint?, CompleteCheckpoint?] = [];
beforeAll(async () => {
  float = await exportCheckpoint(at('float.safetensors'), { padding: 'tf-same' });
  const store = new ImageStore({ count: 8, height: 32, width: 32, channels: 3 });
  const pixels = pictures(8, 32).data as Uint8Array;
  for (let i = 0; i < 8; i++) store.put(i, pixels.subarray(i * 3072, (i + 1) * 3072));
  const quantised = await quantize(float, { store, method: 'minmax' });
  await quantised.save(at('model.int8.safetensors'));
  int8 = quantised.checkpoint;
});

test('ONNX: the weights of the file, a bias in the unit of its products, steps between all layers', () => {
  const { node, initializer } = decodeOnnx(toOnnx(int8!)).graph!;
  const written = new Map(initializer.map((t) => [t.name, t]));
  const [INT8, INT32] = [3, 6];
  for (const [name, { data, dtype }] of int8!.tensors) {
    if (dtype !== 'int8') continue;
    expect([name, written.get(name)!.dataType, Buffer.from(written.get(name)!.rawData).equals(bytesOf(data))]).toEqual([
      name,
      INT8,
      true,
    ]);
    expect(written.get(name.replace(/weight$/, 'bias'))!.dataType).toBe(INT32);
  }
  const by = new Map(node.flatMap((n) => n.output.map((o) => [o, n.opType])));
  const layers = node.filter((n) => n.opType === 'Conv' || n.opType === 'Gemm');
  expect(layers).toHaveLength(53);
  for (const { input } of layers) expect(input.map((i) => by.get(i))).toEqual(new Array(3).fill('DequantizeLinear'));
});

test('ONNX Runtime and libtorch give its answers; so with weights of seven bits', async () => {
  for (const raw of [false, true]) {
    const parity = await exportOnnx(int8!, at('model.onnx'), { raw });
    expect([parity.agrees, parity.top1.of]).toEqual([true, 16]);
  }
  await exportTorchScript(int8!, at('model.pt'));
  await exportOnnx(int8!, at('reduced.onnx'), { reduceRange: true });
  const { initializer } = decodeOnnx(fs.readFileSync(at('reduced.onnx'))).graph!;
  const weights = initializer.filter((t) => t.dataType === 3 && t.dims.length > 1);
  const most = weights.map((t) => largest(Float32Array.from(Int8Array.from(t.rawData))));
  expect([weights.length, Math.max(...most)]).toEqual([53, 63]);
});

test('what int8 has no place in is refused by name', async () => {
  await expect(exportOnnx(int8!, at('x.onnx'), { dtype: 'fp16' })).rejects.toThrow(/is int8, and stays so/);
  await expect(exportOnnx(float!, at('x.onnx'), { reduceRange: true })).rejects.toThrow(/float: quantize it first/);
  await expect(exportSafetensors(int8!, at('x.safetensors'))).rejects.toThrow(UsageError);
});

test('the command', () => {
  const { status, stdout } = cli(['export', at('model.int8.safetensors'), '--format', 'onnx', '--reduce-range']);
  expect(stdout).toMatch(/model\.int8\.onnx: 0\.\d MB\n.*and the checkpoint on 16 pictures of noise/);
  expect(status).toBe(0);
});
