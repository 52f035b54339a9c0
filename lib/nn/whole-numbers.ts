// Weights as whole numbers of a scale: what both the network that is made int8 and those that look at one must agree on.

/** The greatest absolute value. */
export function largest(values: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i]!));
  return most;
}

/** The greatest absolute value of each output channel's weights, which lie one channel after the other. */
export function ranges(weight: Float32Array | Float64Array, channels: number): Float64Array {
  const each = weight.length / channels;
  return Float64Array.from({ length: channels }, (_, c) => largest(weight.subarray(c * each, (c + 1) * each)));
}

/** To the nearest whole number, halves to the even one. */
export function roundEven(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  return rest < 0.5 || (rest === 0.5 && down % 2 === 0) ? down : down + 1;
}
