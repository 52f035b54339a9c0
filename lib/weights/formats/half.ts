// Floating-point numbers of 16 bits in files, from and to single precision: IEEE half precision and bfloat16.

const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);

/** The nearest half, ties to even; beyond 65504 infinite, as the format rounds. */
export function floatToHalf(value: number): number {
  single[0] = value;
  const word = bits[0]!;
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // no number
  if (magnitude >= 0x47800000) return sign | 0x7c00; // 65536 and above
  if (magnitude >= 0x38800000) {
    // Another bias of the exponent; what is cut off rounds up from the half on, at exactly half to even. A carry runs into
    // the exponent, as it should.
    const moved = magnitude - 0x38000000;
    return sign | ((moved + 0xfff + ((moved >>> 13) & 1)) >>> 13);
  }
  // Subnormal: a multiple of 2^-24. Scaling by a power of two is exact.
  const scaled = Math.abs(single[0]) * 2 ** 24;
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  return sign | (floor + (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? 1 : 0));
}

/** Each as its nearest half. */
export function floatsToHalves(values: ArrayLike<number>): Uint16Array {
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < halves.length; i++) halves[i] = floatToHalf(values[i]!);
  return halves;
}

/** The value of a half-precision number (IEEE 754 binary16), given its bits. */
function halfToFloat(h: number): number {
  const [sign, exponent, fraction] = [h & 0x8000 ? -1 : 1, (h >> 10) & 31, h & 1023];
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
let halves: Float32Array | undefined;
/** Half-precision numbers as float32: there are only 65,536 of them. */
export function halvesToFloats(bits: Uint16Array): Float32Array {
  const table = (halves ??= Float32Array.from({ length: 1 << 16 }, (_, h) => halfToFloat(h)));
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) values[i] = table[bits[i]!]!;
  return values;
}

/** bfloat16 as float32: its upper half. */
export function brainsToFloats(bits: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(bits, (b) => b << 16).buffer);
}

/** Each as its nearest bfloat16, ties to even: the upper half of the single-precision number. */
export function floatsToBrains(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const brains = new Uint16Array(words.length);
  for (let i = 0; i < brains.length; i++) {
    const word = words[i]!;
    // No number: rounding could make an infinity of it.
    const special = (word & 0x7fffffff) > 0x7f800000;
    brains[i] = special ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return brains;
}
