// fakeQuantize and dequantize: the definition in double precision, the gradients LSQ gives, and int8 from file to engine.
import { readSafetensors, writeSafetensors } from 'mnv2-torch';
import { compile } from '../../dist/engine/program.js';
import { Weights } from '../../dist/engine/weights.js';
import * as ops from '../../dist/graph/ops.js';
import { constant, input, parameter, tensorData, type Tensor } from '../../dist/graph/tensor.js';
import { checkGradient, close, count, doubles, evaluate, list, numbers } from '../support/numeric.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('int8');

interface Case {
  name: string;
  shape: number[];
  scale: number[];
  zero: number[];
  qmin: number;
  qmax: number;
  axis?: number;
}
// Every case has values inside of its range and beyond both ends.
const CASES: Case[] = [
  { name: 'one scale, uint8', shape: [2, 3, 5, 4], scale: [0.013], zero: [97], qmin: 0, qmax: 255 },
  { name: 'one scale, few steps', shape: [41], scale: [0.31], zero: [2], qmin: 0, qmax: 7 },
  {
    name: 'a scale a filter',
    shape: [3, 2, 3, 3],
    scale: [0.013, 0.011, 0.4],
    zero: [0, 0, 0],
    qmin: -127,
    qmax: 127,
    axis: 0,
  },
  { name: 'a scale a column', shape: [4, 3], scale: [0.7, 0.2, 0.05], zero: [1, -2, 3], qmin: -4, qmax: 4, axis: -1 },
  { name: 'more values than one piece of work', shape: [40_001], scale: [0.02], zero: [40], qmin: 0, qmax: 100 },
];
const clamp = (v: number, low: number, high: number): number => Math.min(Math.max(v, low), high);
/** Halves to even, as IEEE rounds. */
const roundEven = (v: number): number => {
  const floor = Math.floor(v);
  if (v - floor !== 0.5) return Math.round(v);
  return floor % 2 === 0 ? floor : floor + 1;
};
/** Which scale the value at a flat index has. */
const scaleOf = ({ shape, axis }: Case, index: number): number => {
  if (axis === undefined) return 0;
  const at = axis < 0 ? axis + shape.length : axis;
  return Math.floor(index / count(shape.slice(at + 1))) % shape[at]!;
};
function defined(c: Case, x: readonly number[]): { y: number[]; inside: boolean[]; slope: number[] } {
  const each = x.map((v, i) => {
    const [s, z] = [c.scale[scaleOf(c, i)]!, c.zero[scaleOf(c, i)]!];
    const step = roundEven(v / s) + z;
    const q = clamp(step, c.qmin, c.qmax);
    return { y: (q - z) * s, inside: q === step, slope: q === step ? roundEven(v / s) - v / s : q - z };
  });
  return { y: each.map((e) => e.y), inside: each.map((e) => e.inside), slope: each.map((e) => e.slope) };
}
const recorded = (c: Case, x: Tensor, scale: Tensor, zero: Tensor): Tensor =>
  ops.fakeQuantize(x, scale, zero, { qmin: c.qmin, qmax: c.qmax, ...(c.axis !== undefined && { axis: c.axis }) });

describe('fakeQuantize', () => {
  test.each(CASES)('$name: values', async (c) => {
    const x = numbers(count(c.shape), 3);
    const { y, inside } = defined(c, x);
    expect(new Set(inside).size).toBe(2);
    const as = (to: (v: number[]) => Float32Array | Float64Array): Tensor =>
      recorded(c, constant(to(x), c.shape), constant(to(c.scale)), constant(to(c.zero)));
    close(await evaluate(as(doubles)), y, 1e-12);
    close(await evaluate(as((v) => Float32Array.from(v))), y, 1e-6);
  });
  test.each(CASES)('$name: gradients', async (c) => {
    const [x, dy] = [numbers(count(c.shape), 3), numbers(count(c.shape), 8)];
    const { inside, slope } = defined(c, x);
    const factor = 1 / Math.sqrt((x.length / c.scale.length) * c.qmax);
    const dscale = c.scale.map((_, s) =>
      slope.reduce((sum, v, i) => (scaleOf(c, i) === s ? sum + v * dy[i]! * factor : sum), 0),
    );
    for (const [dtype, to, tolerance] of [
      ['float64', doubles, 1e-9],
      ['float32', (v: number[]) => Float32Array.from(v), 2e-4],
    ] as const) {
      const [a, s, z] = [input('x', c.shape, dtype), input('s', [c.scale.length], dtype), constant(to(c.zero))];
      const loss = ops.sum(ops.mul(recorded(c, a, s, z), constant(to(dy), c.shape)));
      const [da, ds, dz] = ops.gradients(loss, [a, s, z]);
      using program = compile({ da: da!, ds: ds!, dz: dz! });
      const got = await program.run({ x: tensorData(to(x), c.shape), s: tensorData(to(c.scale)) });
      close(
        list(got['da']!.data),
        dy.map((v, i) => (inside[i] ? v : 0)),
        1e-6,
      );
      close(list(got['ds']!.data), dscale, tolerance);
      expect(list(got['dz']!.data).every((v) => v === 0)).toBe(true);
    }
  });
  test('halves go to the even step, a feature map keeps its layout, what is no number stays none', async () => {
    const steps = (x: Tensor): Tensor => ops.fakeQuantize(x, constant([2]), constant([1]), { qmin: 0, qmax: 255 });
    expect(await evaluate(steps(constant([1, 3, 5, 7, -1, 9e9])))).toEqual([0, 4, 4, 8, 0, 508]);
    expect(await evaluate(steps(constant([NaN])))).toEqual([NaN]);
    const x = numbers(2 * 3 * 4 * 4);
    const seen = steps(ops.permute(constant(x, [2, 4, 4, 3]), [0, 3, 1, 2])); // channels last in memory
    const plain = steps(constant(await evaluate(ops.permute(constant(x, [2, 4, 4, 3]), [0, 3, 1, 2])), [2, 3, 4, 4]));
    expect(await evaluate(seen)).toEqual(await evaluate(plain));
  });
  test('refuses scales, zero points and ranges that do not fit', () => {
    const x = constant([1, 2, 3, 4], [2, 2]);
    const one = constant([1]);
    const range = { qmin: 0, qmax: 255 };
    expect(() => ops.fakeQuantize(x, constant([1, 2]), constant([0, 0]), range)).toThrow(/one scale, or an axis/);
    expect(() => ops.fakeQuantize(x, one, one, { ...range, axis: 1 })).toThrow(/scales along dimension 1: 2/);
    expect(() => ops.fakeQuantize(x, one, constant([0, 0]), range)).toThrow(/zero point of the scale's length 1/);
    expect(() => ops.fakeQuantize(x, one, one, { qmin: 5, qmax: 5 })).toThrow(/whole numbers qmin < qmax/);
    expect(() => ops.fakeQuantize(x, one, one, { qmin: -9, qmax: 0 })).toThrow(/qmax above 0/);
    expect(() => ops.fakeQuantize(x, constant(doubles([1])), one, range)).toThrow(/one dtype/);
  });
});

describe('dequantize', () => {
  const q = Int8Array.from({ length: 12 }, (_, i) => i * 23 - 127);
  test('times one scale, or a scale an index', async () => {
    expect(await evaluate(ops.dequantize(constant(q), constant([0.5])))).toEqual([...q].map((v) => v * 0.5));
    const rows = ops.dequantize(constant(q, [3, 2, 2]), constant(doubles([1, 10, 0.25])), { axis: 0 });
    expect(rows.dtype).toBe('float64');
    expect(await evaluate(rows)).toEqual([...q].map((v, i) => v * [1, 10, 0.25][Math.floor(i / 4)]!));
  });
  test('its gradient for the scale', () =>
    checkGradient([[3]], (s) => ops.dequantize(constant(q, [4, 3]), s, { axis: 1 })));
  test('takes int8 alone', () => {
    expect(() => ops.dequantize(constant([1]), constant([1]))).toThrow(/expected int8, got float32/);
    expect(() => ops.dequantize(constant(q), constant([1, 2]))).toThrow(/one scale, or an axis/);
  });
});

test('int8 goes through a file, the weights and a program unchanged', async () => {
  const file = at('w.safetensors');
  const tensor = { data: Int8Array.of(-128, -1, 0, 127, 5), shape: [5], dtype: 'int8' as const };
  await writeSafetensors(file, new Map([['w', tensor]]));
  const read = (await readSafetensors(file)).tensors.get('w')!;
  expect(read).toEqual(tensor);
  using weights = await Weights.init({ state: () => [{ name: 'w', ...read }] });
  using program = compile(
    { w: parameter('w', [5], 'int8'), wide: ops.cast(parameter('w', [5], 'int8'), 'float32') },
    { weights },
  );
  const { w, wide } = await program.run();
  expect([w!.dtype, w!.shape, Object.prototype.toString.call(w!.data)]).toEqual(['int8', [5], '[object Int8Array]']);
  expect(list(w!.data)).toEqual([...tensor.data]);
  expect(list(wide!.data)).toEqual([...tensor.data]);
});
