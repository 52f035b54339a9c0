// Seeded random numbers, the same on every machine: first weights, splits, orders, synthetic scenes.

/** FNV-1a (Fowler, Noll, Vo) over UTF-16 code units. */
function fnv(text: string, hash: number): number {
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** Numbers in [0, 1). */
export type Uniform = () => number;

/** A stream that depends on its keys alone: streams of different keys do not meet. sfc32 (Chris Doty-Humphrey). */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(...keys: readonly (string | number)[]) {
    const text = keys.join('\u0000');
    this.#a = fnv(text, 0x811c9dc5);
    this.#b = fnv(text, 0x9747b28c);
    this.#c = fnv(text, 0x5bd1e995);
    for (let i = 0; i < 15; i++) this.#bits();
  }

  #bits(): number {
    const sum = (this.#a + this.#b + this.#counter++) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return sum >>> 0;
  }

  /** uniform in [0, 1) */
  next(): number {
    return this.#bits() / 2 ** 32;
  }
  /** uniform in [low, high) */
  between(low: number, high: number): number {
    return low + (high - low) * this.next();
  }
  /** a whole number from `low` to `high`, both included */
  whole(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }
  chance(probability: number): boolean {
    return this.next() < probability;
  }
  pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.next() * from.length)]!;
  }
  /** Fisher-Yates, in place. */
  shuffle<T extends unknown[] | Int32Array>(items: T): T {
    const list = items as unknown[];
    for (let i = list.length - 1; i > 0; i--) {
      const j = this.whole(0, i);
      [list[i], list[j]] = [list[j], list[i]];
    }
    return items;
  }
}

/** Standard normal numbers (Box and Muller 1958), two from two. */
export function normal(uniform: Uniform): Uniform {
  let spare: number | undefined;
  return () => {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
}
