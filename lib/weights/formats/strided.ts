// Numbers that lie in another order than their shape says. Owns the walk over them, not what may be walked over.

/** Element [i, j, ...] is number `offset + i * strides[0] + j * strides[1] + ...`; `count` elements in all. */
export interface Strided {
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly count: number;
}

/** The numbers in the order of the shape, in memory of their own. */
export function gathered<T extends { readonly length: number; [index: number]: number | bigint }>(
  numbers: T,
  { offset, shape, strides, count }: Strided,
): T {
  const made = new (numbers.constructor as new (length: number) => T)(count);
  const index = new Array<number>(shape.length).fill(0);
  let at = offset;
  for (let i = 0; i < count; i++) {
    made[i] = numbers[at]!;
    for (let d = shape.length - 1; d >= 0; d--) {
      at += strides[d]!;
      if (++index[d]! < shape[d]!) break;
      at -= strides[d]! * shape[d]!;
      index[d] = 0;
    }
  }
  return made;
}
