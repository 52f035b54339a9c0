// 16-bit numbers: bfloat16 as its definition has it, and back through a file.
import fs from 'node:fs';
import { readSafetensors } from 'mnv2-torch';
import { floatsToBrains } from '../../dist/weights/formats/half.js';
import { encodeSafetensors } from '../../dist/weights/formats/safetensors.js';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('half');
const hex = (bits: Uint16Array): string[] => [...bits].map((b) => b.toString(16).padStart(4, '0'));

test('bfloat16 rounds to the nearest, ties to even, and keeps what is no number', () => {
  const one = 2 ** -8; // half of the last place of a number in [1, 2)
  const values = [0, -0, 1, 1 + one, 1 + 3 * one, 1 + one * 1.001, -2.5, 3.4e38, Infinity, -Infinity, 1e-45];
  expect(hex(floatsToBrains(Float32Array.from(values)))).toEqual([
    '0000',
    '8000',
    '3f80',
    '3f80',
    '3f82',
    '3f81',
    'c020',
    '7f80',
    '7f80',
    'ff80',
    '0000',
  ]);
  const none = new Float32Array(Uint32Array.of(0x7f800001, 0xffffffff).buffer);
  const kept = floatsToBrains(none);
  expect([...kept].every((b) => (b & 0x7f80) === 0x7f80 && (b & 0x7f) !== 0)).toBe(true);
});

test.each([
  ['fp16', 'F16'],
  ['bf16', 'BF16'],
] as const)('%s: a file narrows float32 alone, and is read back widened', async (floats, type) => {
  const data = Float32Array.of(1, -0.5, 3.140625, 0, 1024);
  const tensors = new Map([
    ['x', { data, shape: [5], dtype: 'float32' as const }],
    ['n', { data: BigInt64Array.of(7n), shape: [], dtype: 'int64' as const }],
  ]);
  const bytes = Buffer.concat(encodeSafetensors(tensors, {}, floats));
  fs.writeFileSync(at(`${floats}.safetensors`), bytes);
  const read = await readSafetensors(at(`${floats}.safetensors`));
  expect([...read.tensors.get('x')!.data]).toEqual([...data]);
  expect(read.tensors.get('n')!.data[0]).toBe(7n);
  expect(bytes.toString('latin1')).toContain(`"dtype":"${type}"`);
});
