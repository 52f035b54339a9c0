// Shape and dtype arithmetic shared by the op rules. -1 is a dimension known only at run time.
import { refuse, shapeText, type DType, type Shape, type Tensor } from './tensor.js';

/** One number for both axes, or [vertical, horizontal]. */
export type Pair = number | readonly [number, number];
/**
 * Padding in pixels: one number for every side, [vertical, horizontal], [top, bottom, left, right], or 'tf-same':
 * TensorFlow's SAME, total `max((ceil(n/s) - 1)*s + d*(k - 1) + 1 - n, 0)` with the smaller half first.
 */
export type Padding = number | readonly [number, number] | readonly [number, number, number, number] | 'tf-same';
export type Pads = readonly [top: number, bottom: number, left: number, right: number];

export function pair(op: string, name: string, value: Pair, least: number): [number, number] {
  const [a, b] = typeof value === 'number' ? [value, value] : value;
  for (const v of [a, b]) {
    if (!Number.isInteger(v) || v < least)
      refuse(op, `${name} to be whole numbers of at least ${least}`, JSON.stringify(value));
  }
  return [a, b];
}

/** Explicit pads for a window of `kernel` (already dilated) over `size`. */
export function explicitPads(
  op: string,
  padding: Padding,
  size: readonly number[],
  kernel: readonly number[],
  stride: readonly number[],
): Pads {
  if (padding === 'tf-same') {
    const [v, h] = [0, 1].map((axis) => {
      const [n, k, s] = [size[axis]!, kernel[axis]!, stride[axis]!];
      if (n === -1) return refuse(op, "a known height and width for padding 'tf-same'", 'None');
      const total = Math.max((Math.ceil(n / s) - 1) * s + k - n, 0);
      return [Math.floor(total / 2), Math.ceil(total / 2)] as const;
    }) as [readonly [number, number], readonly [number, number]];
    return [v[0], v[1], h[0], h[1]];
  }
  const pads: Pads =
    typeof padding === 'number'
      ? [padding, padding, padding, padding]
      : padding.length === 2
        ? [padding[0], padding[0], padding[1], padding[1]]
        : [...padding];
  if (pads.some((p) => !Number.isInteger(p) || p < 0))
    refuse(op, 'padding in whole pixels of at least 0', JSON.stringify(padding));
  return pads;
}

/** Output length of a sliding window; -1 stays -1. */
export function slide(
  op: string,
  n: number,
  kernel: number,
  stride: number,
  padBefore: number,
  padAfter: number,
): number {
  if (n === -1) return -1;
  const room = n + padBefore + padAfter - kernel;
  if (room < 0) refuse(op, `a padded input of at least the window's ${kernel}`, `${n + padBefore + padAfter}`);
  return Math.floor(room / stride) + 1;
}

/** NumPy broadcasting. A -1 against a number above 1 takes the number; the engine checks it at run time. */
export function broadcast(op: string, a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x === y || y === 1) return x;
    if (x === 1 || x === -1) return y;
    if (y === -1) return x;
    return refuse(op, 'shapes that broadcast', `[${shapeText(a)}] and [${shapeText(b)}]`);
  });
}

/** A dimension counted from either end, checked. */
export function axis(op: string, dim: number, rank: number): number {
  if (!Number.isInteger(dim) || dim < -rank || dim >= Math.max(rank, 1)) {
    refuse(op, `a dimension in [${-rank}, ${rank - 1}]`, `${dim}`);
  }
  return dim < 0 ? dim + rank : dim;
}

export const isFloat = (dtype: DType): boolean => dtype === 'float32' || dtype === 'float64' || dtype === 'bfloat16';

export function needFloat(op: string, ...tensors: Tensor[]): void {
  for (const t of tensors)
    if (!isFloat(t.dtype)) refuse(op, 'floating-point inputs', `${t.dtype} from ${t.op}; use cast()`);
}

/** The dtype of an elementwise op's result: equal dtypes only, so that no precision is lost unseen. */
export function sameDType(op: string, ...tensors: Tensor[]): DType {
  const [first] = tensors;
  for (const t of tensors) {
    if (t.dtype !== first!.dtype)
      refuse(op, 'inputs of one dtype', `${tensors.map((x) => x.dtype).join(' and ')}; use cast()`);
  }
  return first!.dtype;
}

export function needRank(op: string, what: string, tensor: Tensor, rank: number): void {
  if (tensor.shape.length !== rank) refuse(op, `${what} of ${rank} dimensions`, `[${shapeText(tensor.shape)}]`);
}

/** Throws unless two dimensions can be equal. */
export function needDim(op: string, what: string, came: number, expected: number): void {
  if (came !== expected && came !== -1 && expected !== -1) refuse(op, `${what} ${expected}`, `${came}`);
}
