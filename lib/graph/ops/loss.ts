// Losses: from predictions and targets to what training makes smaller. All reduce as PyTorch's do.
import type { OpName } from '../op-names.js';
import { record, refuse, shapeText, type Tensor } from '../tensor.js';
import { broadcast, isFloat, needDim, needFloat, needRank, sameDType } from '../shape.js';

/** What becomes of the losses of all examples (or values): their mean, their sum, or each for itself. */
export type Reduction = 'mean' | 'sum' | 'none';

const REDUCTIONS: readonly string[] = ['mean', 'sum', 'none'];
/** The shape that is left of `each`. */
function reduced(op: OpName, reduction: Reduction, each: readonly number[]): readonly number[] {
  if (!REDUCTIONS.includes(reduction)) refuse(op, `a reduction out of ${REDUCTIONS.join(', ')}`, `'${reduction}'`);
  return reduction === 'none' ? each : [];
}

/** Predictions and targets of one shape and dtype: no broadcasting, which hides mistakes here. */
function needAlike(op: OpName, predictions: Tensor, targets: Tensor): void {
  needFloat(op, predictions, targets);
  sameDType(op, predictions, targets);
  needRank(op, 'targets', targets, predictions.shape.length);
  predictions.shape.forEach((d, i) => needDim(op, `targets with dimension ${i} of`, targets.shape[i]!, d));
}

/**
 * Mean (or sum) over examples of the cross entropy between softmax(logits) and targets: labels, or probabilities for
 * each class (soft targets, as mixup and distillation make them). As PyTorch's cross_entropy: with class weights the
 * mean over labels is weighted, that over probabilities is still one by N; label smoothing e replaces the target t by
 * (1 - e) * t + e / K (Szegedy et al. 2016).
 * @param logits [N, K]
 * @param targets [N], int64, or [N, K] of the logits' dtype, rows that sum to 1
 * @returns [] or, with reduction 'none', [N]
 * @example
 * import { constant, crossEntropy } from 'mnv2-torch';
 * const logits = constant([0, 0], [1, 2]);
 * const loss = await crossEntropy(logits, constant(BigInt64Array.of(1n))).data();
 * const soft = await crossEntropy(logits, constant([0.3, 0.7], [1, 2])).data();
 * console.log(loss.data[0].toFixed(4), soft.data[0].toFixed(4)); // 0.6931 0.6931
 */
export function crossEntropy(
  logits: Tensor,
  targets: Tensor,
  options: { labelSmoothing?: number; weight?: Tensor; reduction?: Reduction } = {},
): Tensor {
  const op = 'crossEntropy';
  const { labelSmoothing = 0, weight, reduction = 'mean' } = options;
  needRank(op, 'logits [N, K]', logits, 2);
  needFloat(op, logits);
  if (isFloat(targets.dtype)) {
    needAlike(op, logits, targets);
  } else {
    needRank(op, 'labels [N]', targets, 1);
    if (targets.dtype !== 'int64') refuse(op, 'int64 labels', `${targets.dtype}; use cast()`);
    needDim(op, 'as many labels as rows of logits:', targets.shape[0]!, logits.shape[0]!);
  }
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) refuse(op, 'labelSmoothing in [0, 1]', `${labelSmoothing}`);
  if (weight) {
    needRank(op, 'class weights [K]', weight, 1);
    needDim(op, 'class weights of length', weight.shape[0]!, logits.shape[1]!);
  }
  return record(
    op,
    weight ? [logits, targets, weight] : [logits, targets],
    { labelSmoothing, reduction },
    reduced(op, reduction, [logits.shape[0]!]),
    logits.dtype,
  );
}

/**
 * Binary cross entropy between sigmoid(logits) and targets in [0, 1], computed stably: for labels that do not exclude
 * each other. As PyTorch's binary_cross_entropy_with_logits.
 * @param logits any shape, usually [N, K]
 * @param targets of the same shape and dtype
 * @param options.weight multiplies each loss; broadcasts to the logits
 * @param options.posWeight multiplies the positive term, usually [K]: above 1 favours recall; broadcasts to the logits
 * @returns [] or, with reduction 'none', the logits' shape
 * @example
 * import { binaryCrossEntropyWithLogits, constant } from 'mnv2-torch';
 * const loss = await binaryCrossEntropyWithLogits(constant([0, 0]), constant([1, 0])).data();
 * console.log(loss.data[0].toFixed(4)); // 0.6931
 */
export function binaryCrossEntropyWithLogits(
  logits: Tensor,
  targets: Tensor,
  options: { weight?: Tensor; posWeight?: Tensor; reduction?: Reduction } = {},
): Tensor {
  const op = 'binaryCrossEntropyWithLogits';
  const { weight, posWeight, reduction = 'mean' } = options;
  needAlike(op, logits, targets);
  const weights = [weight, posWeight].filter((w) => w !== undefined);
  for (const w of weights) {
    if (broadcast(op, logits.shape, w.shape).join() !== logits.shape.join())
      refuse(op, `weights that broadcast to [${shapeText(logits.shape)}]`, `[${shapeText(w.shape)}]`);
  }
  sameDType(op, logits, ...weights);
  return record(
    op,
    [logits, targets, ...weights],
    { reduction, weighted: weight !== undefined },
    reduced(op, reduction, logits.shape),
    logits.dtype,
  );
}

/**
 * (predictions - targets)^2, as PyTorch's mse_loss.
 * @param targets of the predictions' shape and dtype
 * @returns [] or, with reduction 'none', the predictions' shape
 * @example
 * import { constant, meanSquaredError } from 'mnv2-torch';
 * console.log((await meanSquaredError(constant([1, 2]), constant([1, 5])).data()).data[0]); // 4.5
 */
export function meanSquaredError(
  predictions: Tensor,
  targets: Tensor,
  { reduction = 'mean' }: { reduction?: Reduction } = {},
): Tensor {
  const op = 'meanSquaredError';
  needAlike(op, predictions, targets);
  return record(
    op,
    [predictions, targets],
    { reduction },
    reduced(op, reduction, predictions.shape),
    predictions.dtype,
  );
}
