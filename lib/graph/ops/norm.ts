// Normalisations: over a batch, over the features of each example.
import { record, refuse, shapeText, type Tensor } from '../tensor.js';
import { needDim, needFloat, needRank, sameDType } from '../shape.js';

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

/**
 * Layer normalisation (Ba et al. 2016): over the last dimensions of each example, with the biased variance, then scaled
 * by `weight` and shifted by `bias`, as PyTorch's layer_norm.
 * @param x [..., *shape]
 * @param shape the sizes of the dimensions normalised over
 * @param options `weight` and `bias` of `shape`, a bias only with a weight; `eps` is added to the variance
 * @throws ShapeError when x does not end with `shape`
 * @example
 * import { constant, layerNorm } from 'mnv2-torch';
 * const y = await layerNorm(constant([2, 4, 10, 30], [2, 2]), [2], { eps: 0 }).data();
 * console.log([...y.data]); // [-1, 1, -1, 1]
 */
export function layerNorm(
  x: Tensor,
  shape: readonly number[],
  { weight, bias, eps = 1e-5 }: { weight?: Tensor; bias?: Tensor; eps?: number } = {},
): Tensor {
  const op = 'layerNorm';
  if (shape.length === 0 || shape.some((d) => !Number.isInteger(d) || d < 1))
    refuse(op, 'the sizes of the last dimensions', `[${shape.join(', ')}]`);
  if (bias && !weight) refuse(op, 'a weight with the bias', 'a bias alone');
  if (!(eps >= 0)) refuse(op, 'eps >= 0', `${eps}`);
  const inputs = [x, ...(weight ? [weight] : []), ...(bias ? [bias] : [])];
  needFloat(op, ...inputs);
  for (const [i, t] of inputs.entries()) {
    const end = i === 0 ? t.shape.slice(-shape.length) : t.shape;
    if (end.join() !== shape.join())
      refuse(
        op,
        `${i === 0 ? 'an input that ends with' : 'weight and bias of'} [${shape.join(', ')}]`,
        `[${shapeText(t.shape)}]`,
      );
  }
  return record(op, inputs, { shape: [...shape], eps }, x.shape, sameDType(op, ...inputs));
}
