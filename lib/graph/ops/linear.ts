// Products of matrices.
import { record, refuse, type Tensor } from '../tensor.js';
import { needDim, needFloat, needRank, sameDType } from '../shape.js';

/**
 * x W^T + b.
 * @param x [..., in]
 * @param weight [out, in]
 * @param bias [out]
 * @returns [..., out]
 * @example
 * import { constant, linear } from 'mnv2-torch';
 * const y = await linear(constant([1, 2], [1, 2]), constant([3, 4], [1, 2]), constant([100])).data();
 * console.log([...y.data]); // [111]
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  needRank('linear', 'a weight [out, in]', weight, 2);
  if (x.shape.length < 1) refuse('linear', 'an input [..., in]', '[]');
  needDim('linear', 'a last input dimension of', x.shape.at(-1)!, weight.shape[1]!);
  if (bias) {
    needRank('linear', 'a bias [out]', bias, 1);
    needDim('linear', 'a bias of length', bias.shape[0]!, weight.shape[0]!);
  }
  const inputs = bias ? [x, weight, bias] : [x, weight];
  needFloat('linear', ...inputs);
  return record('linear', inputs, {}, [...x.shape.slice(0, -1), weight.shape[0]!], sameDType('linear', ...inputs));
}
