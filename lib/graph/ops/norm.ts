// Normalisations.
import { record, refuse, type Tensor } from '../tensor.js';
import { needDim, needFloat, needRank } from '../shape.js';

/** The parameters and running statistics of a batch normalisation, [C] each. */
export interface BatchNormState {
  weight: Tensor;
  bias: Tensor;
  runningMean: Tensor;
  runningVar: Tensor;
}

/**
 * Batch normalisation over N, H, W (Ioffe and Szegedy 2015). Training uses the batch's biased variance and moves the
 * running statistics by `momentum` (PyTorch's sense: new = (1 - momentum) * old + momentum * batch, unbiased variance);
 * evaluation uses the running statistics.
 * @param x [N, C, H, W]; every state tensor is [C]
 * @example
 * import { batchNorm2d, constant } from 'mnv2-torch';
 * const one = constant([1]), zero = constant([0]);
 * const y = await batchNorm2d(constant([2, 4], [1, 1, 1, 2]),
 *   { weight: one, bias: zero, runningMean: constant([3]), runningVar: one }, { training: false, eps: 0 }).data();
 * console.log([...y.data]); // [-1, 1]
 */
export function batchNorm2d(
  x: Tensor,
  state: BatchNormState,
  options: { training: boolean; momentum?: number; eps?: number },
): Tensor {
  const op = 'batchNorm2d';
  needRank(op, 'an input [N, C, H, W]', x, 4);
  const { weight, bias, runningMean, runningVar } = state;
  const all = [weight, bias, runningMean, runningVar];
  needFloat(op, x, ...all);
  for (const t of all) {
    needRank(op, 'weight, bias and running statistics [C]', t, 1);
    needDim(op, 'per-channel tensors of length', t.shape[0]!, x.shape[1]!);
  }
  const { training, momentum = 0.1, eps = 1e-5 } = options;
  if (!(eps >= 0)) refuse(op, 'eps >= 0', `${eps}`);
  if (!(momentum >= 0 && momentum <= 1)) refuse(op, 'momentum in [0, 1]', `${momentum}`);
  return record(op, [x, ...all], { training, momentum, eps }, x.shape, x.dtype);
}
