// Whether there is a CUDA device to test on.
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
