// The same values in another arrangement.
import { record, refuse, elements, shapeText, type Tensor } from '../tensor.js';
import { axis, explicitPads, needDim, needRank, sameDType } from '../shape.js';

/**
 * The same values in another shape; one dimension may be -1 and is worked out.
 * @example
 * import { constant, reshape } from 'mnv2-torch';
 * console.log((await reshape(constant([1, 2, 3, 4]), [2, -1]).data()).shape); // [2, 2]
 */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  const op = 'reshape';
  const open = shape.filter((d) => d === -1).length;
  if (open > 1 || shape.some((d) => !Number.isInteger(d) || d < -1))
    refuse(op, 'at most one -1', `[${shape.join(', ')}]`);
  const total = elements(x.shape);
  const known = shape.reduce((a, d) => (d === -1 ? a : a * d), 1);
  if (total !== -1 && (open ? known === 0 || total % known !== 0 : known !== total)) {
    refuse(op, `a shape of ${total} elements`, `[${shape.join(', ')}] for [${shapeText(x.shape)}]`);
  }
  const out = total === -1 ? shape : shape.map((d) => (d === -1 ? total / known : d));
  return record(op, [x], { shape: [...shape] }, [...out], x.dtype);
}

/**
 * Dimensions in another order.
 * @example
 * import { constant, permute } from 'mnv2-torch';
 * console.log([...(await permute(constant([1, 2, 3, 4], [2, 2]), [1, 0]).data()).data]); // [1, 3, 2, 4]
 */
export function permute(x: Tensor, dims: readonly number[]): Tensor {
  const rank = x.shape.length;
  const order = dims.map((d) => axis('permute', d, rank));
  if (order.length !== rank || new Set(order).size !== rank)
    refuse('permute', `all ${rank} dimensions once`, `[${dims.join(', ')}]`);
  return record(
    'permute',
    [x],
    { dims: order },
    order.map((d) => x.shape[d]!),
    x.dtype,
  );
}

/**
 * Elements start, start + step, ... below end along one dimension; negative positions count from the end.
 * @example
 * import { constant, slice } from 'mnv2-torch';
 * console.log([...(await slice(constant([1, 2, 3, 4]), { dim: 0, start: 1, end: 3 }).data()).data]); // [2, 3]
 */
export function slice(
  x: Tensor,
  { dim, start = 0, end, step = 1 }: { dim: number; start?: number; end?: number; step?: number },
): Tensor {
  const d = axis('slice', dim, x.shape.length);
  if (!Number.isInteger(step) || step < 1) refuse('slice', 'a step of at least 1', `${step}`);
  const size = x.shape[d]!;
  const negative = start < 0 || (end ?? 0) < 0;
  if (size === -1) {
    if (negative || end !== undefined)
      refuse('slice', 'a known size, or only a start, along a None dimension', `start ${start}, end ${end}`);
    return record('slice', [x], { dim: d, start, end: Number.MAX_SAFE_INTEGER, step }, x.shape, x.dtype);
  }
  const at = (p: number): number => Math.min(Math.max(p < 0 ? p + size : p, 0), size);
  const [from, to] = [at(start), at(end ?? size)];
  const length = Math.max(0, Math.ceil((to - from) / step));
  return record('slice', [x], { dim: d, start: from, end: to, step }, x.shape.with(d, length), x.dtype);
}

/**
 * Joins tensors along a dimension.
 * @example
 * import { concat, constant } from 'mnv2-torch';
 * console.log([...(await concat([constant([1]), constant([2, 3])], 0).data()).data]); // [1, 2, 3]
 */
export function concat(tensors: readonly Tensor[], dim = 0): Tensor {
  const [first, ...rest] = tensors;
  if (!first) return refuse('concat', 'at least one tensor', 'none');
  const d = axis('concat', dim, first.shape.length);
  for (const t of rest) {
    needRank('concat', 'tensors', t, first.shape.length);
    t.shape.forEach((size, i) => i !== d && needDim('concat', `dimension ${i} of size`, size, first.shape[i]!));
  }
  const sizes = tensors.map((t) => t.shape[d]!);
  const total = sizes.includes(-1) ? -1 : sizes.reduce((a, b) => a + b, 0);
  return record('concat', tensors, { dim: d }, first.shape.with(d, total), sameDType('concat', ...tensors));
}

/**
 * Zero (or `value`) padding of H and W.
 * @param pads [top, bottom, left, right]
 * @example
 * import { constant, pad2d } from 'mnv2-torch';
 * console.log((await pad2d(constant([1], [1, 1, 1, 1]), [0, 1, 0, 2]).data()).shape); // [1, 1, 2, 3]
 */
export function pad2d(x: Tensor, pads: readonly [number, number, number, number], value = 0): Tensor {
  needRank('pad2d', 'an input [N, C, H, W]', x, 4);
  const [top, bottom, left, right] = explicitPads('pad2d', pads, [], [], []);
  const grow = (n: number, by: number): number => (n === -1 ? -1 : n + by);
  const shape = [x.shape[0]!, x.shape[1]!, grow(x.shape[2]!, top + bottom), grow(x.shape[3]!, left + right)];
  return record('pad2d', [x], { pads: [top, bottom, left, right], value }, shape, x.dtype);
}
