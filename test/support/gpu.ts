// Whether there is a CUDA device to test on, and how its numbers are compared.
import { native } from '../../dist/native/load.js';

const devices = native().cudaDevices();

/** Why tests on a CUDA device cannot run here; '' where they can. */
export const noGpu =
  native().buildInfo().cuda === null
    ? 'the addon is built without CUDA'
    : devices.length === 0
      ? 'no CUDA device is visible'
      : '';
console.warn(
  noGpu ? `GPU tests skipped: ${noGpu}` : `GPU tests on ${devices[0]!.name}, capability ${devices[0]!.capability}`,
);

/** Largest difference over the largest expected value. */
export function off(got: ArrayLike<number | bigint>, expected: ArrayLike<number | bigint>): number {
  expect(got.length).toBe(expected.length);
  let [worst, scale] = [0, 1e-30];
  for (let i = 0; i < expected.length; i++) {
    const e = Number(expected[i]);
    const d = Math.abs(Number(got[i]) - e);
    scale = Math.max(scale, Math.abs(e));
    worst = Number.isNaN(d) ? Infinity : Math.max(worst, d);
  }
  return worst / scale;
}
