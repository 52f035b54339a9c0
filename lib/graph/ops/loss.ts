// Losses: from predictions and targets to what training makes smaller.
import { record, refuse, type Tensor } from '../tensor.js';
import { needDim, needFloat, needRank } from '../shape.js';

/**
 * Mean (or sum) over examples of the cross entropy between softmax(logits) and labels. With class weights the mean is
 * weighted, as PyTorch's. Label smoothing e replaces the target by (1 - e) * onehot + e / K (Szegedy et al. 2016).
 * @param logits [N, K]
 * @param labels [N], int64
 * @returns [] or, with reduction 'none', [N]
 * @example
 * import { constant, crossEntropy } from 'mnv2-torch';
 * const loss = await crossEntropy(constant([0, 0], [1, 2]), constant(BigInt64Array.of(1n))).data();
 * console.log(loss.data[0].toFixed(4)); // 0.6931
 */
export function crossEntropy(
  logits: Tensor,
  labels: Tensor,
  options: { labelSmoothing?: number; weight?: Tensor; reduction?: 'mean' | 'sum' | 'none' } = {},
): Tensor {
  const op = 'crossEntropy';
  const { labelSmoothing = 0, weight, reduction = 'mean' } = options;
  needRank(op, 'logits [N, K]', logits, 2);
  needRank(op, 'labels [N]', labels, 1);
  needFloat(op, logits);
  if (labels.dtype !== 'int64') refuse(op, 'int64 labels', `${labels.dtype}; use cast()`);
  needDim(op, 'as many labels as rows of logits:', labels.shape[0]!, logits.shape[0]!);
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) refuse(op, 'labelSmoothing in [0, 1]', `${labelSmoothing}`);
  if (weight) {
    needRank(op, 'class weights [K]', weight, 1);
    needDim(op, 'class weights of length', weight.shape[0]!, logits.shape[1]!);
  }
  const shape = reduction === 'none' ? [logits.shape[0]!] : [];
  return record(
    op,
    weight ? [logits, labels, weight] : [logits, labels],
    { labelSmoothing, reduction },
    shape,
    logits.dtype,
  );
}
