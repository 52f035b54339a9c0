// What Keras calls the arrays of its layers, what PyTorch calls them, and where Keras' axes go.

/** The arrays of BatchNorm, in the order Keras keeps them. */
export const BATCH_NORM = ['gamma', 'beta', 'moving_mean', 'moving_variance'] as const;

/** Keras' names, as PyTorch calls them. */
export const KERAS_ARRAYS: ReadonlyMap<string, string> = new Map([
  ['kernel', 'weight'],
  ['depthwise_kernel', 'weight'],
  ['bias', 'bias'],
  ['gamma', 'weight'],
  ['beta', 'bias'],
  ['moving_mean', 'running_mean'],
  ['moving_variance', 'running_var'],
]);

/** Which of Keras' axes each of PyTorch's is: HWIO to OIHW, HWC1 to C1HW, [in, out] to [out, in]. */
export function kerasOrder(array: string, shape: readonly number[]): readonly number[] | undefined {
  if (array === 'depthwise_kernel' && shape.length === 4) return [2, 3, 0, 1];
  if (array !== 'kernel') return undefined;
  return shape.length === 4 ? [3, 2, 0, 1] : shape.length === 2 ? [1, 0] : undefined;
}

/**
 * Keras 3 calls a depthwise kernel `kernel`, as any other. Its shape tells it, (height, width, channels, 1), unless it
 * is 1x1: then it is taken for a convolution to one channel, which has the same shape.
 */
export function isDepthwise(shape: readonly number[]): boolean {
  return shape.length === 4 && shape[3] === 1 && shape[0]! * shape[1]! > 1;
}
