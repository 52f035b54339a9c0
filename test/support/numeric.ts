// What tests of ops share: numbers to compute on, comparison, and gradients against central differences.
import * as ops from '../../dist/graph/ops.js';
import { compile } from '../../dist/engine/program.js';
import { constant, input, tensorData, type Tensor } from '../../dist/graph/tensor.js';

/** Deterministic numbers away from the kinks of relu and max. */
export const numbers = (n: number, seed = 1): number[] =>
  Array.from({ length: n }, (_, i) => Math.sin(seed * 12.9898 + i * 78.233) * 2 + ((i * 7 + seed) % 5) * 0.01);
export const doubles = (values: readonly number[]): Float64Array => Float64Array.from(values);
export const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
export const list = (data: ArrayLike<number | bigint>): number[] => Array.from(data, Number);
/** The bytes under a typed array: comparing millions of numbers as such takes Jest minutes. */
export const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);
export const evaluate = async (t: Tensor): Promise<number[]> => list((await t.data()).data);

export function close(got: readonly number[], expected: readonly number[], tolerance = 1e-9): void {
  expect(got).toHaveLength(expected.length);
  const worst = Math.max(0, ...got.map((v, i) => Math.abs(v - expected[i]!) / Math.max(1, Math.abs(expected[i]!))));
  expect(worst).toBeLessThan(tolerance);
}

/** Checks d(sum of f * random weights)/d(each input) against central differences. */
export async function checkGradient(
  shapes: number[][],
  f: (...inputs: Tensor[]) => Tensor,
  step = 1e-5,
): Promise<void> {
  const inputs = shapes.map((shape, i) => input(`x${i}`, shape, 'float64'));
  const y = f(...inputs);
  const loss = ops.sum(ops.mul(y, constant(doubles(numbers(count(y.shape), 9)), y.shape)));
  const gradients = ops.gradients(loss, inputs);
  using program = compile({ loss, ...Object.fromEntries(gradients.map((g, i) => [`g${i}`, g])) });
  const values = shapes.map((shape, i) => doubles(numbers(count(shape), i + 2)));
  const run = async () => program.run(Object.fromEntries(values.map((v, i) => [`x${i}`, tensorData(v, shapes[i]!)])));
  const analytic = await run();
  for (const [i, v] of values.entries()) {
    const got = list(analytic[`g${i}`]!.data);
    for (let k = 0; k < v.length; k += Math.ceil(v.length / 12)) {
      const at = v[k]!;
      v[k] = at + step;
      const above = Number((await run())['loss']!.data[0]);
      v[k] = at - step;
      const below = Number((await run())['loss']!.data[0]);
      v[k] = at;
      const numeric = (above - below) / (2 * step);
      expect(Math.abs(got[k]! - numeric)).toBeLessThan(1e-5 * Math.max(1, Math.abs(numeric)));
    }
  }
}
