// Products of matrices.
import { record, refuse, shapeText, type Tensor } from '../tensor.js';
import { broadcast, needDim, needFloat, needRank, sameDType } from '../shape.js';

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

/**
 * Product of matrices: the last dimension of `a` with the last but one of `b`, for each pair of a batch that
 * broadcasts, as PyTorch's torch.matmul. A vector stands in for a row at the left, for a column at the right, and leaves
 * no dimension in the result.
 * @param a [..., n, k] or [k]
 * @param b [..., k, m] or [k]
 * @returns [..., n, m]
 * @throws ShapeError when the inner dimensions differ or the batches do not broadcast
 * @example
 * import { constant, matmul } from 'mnv2-torch';
 * const y = await matmul(constant([1, 2, 3, 4], [2, 2]), constant([1, 10])).data();
 * console.log(y.shape, [...y.data]); // [2] [21, 43]
 */
export function matmul(a: Tensor, b: Tensor): Tensor {
  needFloat('matmul', a, b);
  const [left, right] = [a.shape, b.shape];
  if (left.length === 0 || right.length === 0)
    refuse('matmul', 'vectors or matrices', `[${shapeText(left)}] and [${shapeText(right)}]`);
  needDim('matmul', 'a right-hand side whose inner dimension is', right.at(-2) ?? right[0]!, left.at(-1)!);
  const batch = broadcast('matmul', left.slice(0, -2), right.slice(0, -2));
  const rows = left.length > 1 ? [left.at(-2)!] : [];
  const columns = right.length > 1 ? [right.at(-1)!] : [];
  return record('matmul', [a, b], {}, [...batch, ...rows, ...columns], sameDType('matmul', a, b));
}
