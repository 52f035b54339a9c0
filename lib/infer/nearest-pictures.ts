// The pictures most like one, among any number: by the cosine between what a network makes of them.

/** A picture that was found. */
export interface Alike {
  readonly name: string;
  /** cosine of the angle between the vectors: 1 for the same direction */
  readonly similarity: number;
}

const cosine = (a: Float32Array, b: Float32Array): number => a.reduce((sum, v, i) => sum + v * b[i]!, 0);

/** Keeps the nearest of what it is shown, and nothing of the rest. */
export class Nearest {
  readonly #kept: Alike[] = [];

  /**
   * @param query of length 1, as all others
   * @param most how many are kept
   */
  constructor(
    private readonly query: Float32Array,
    private readonly most: number,
  ) {}

  look(name: string, vector: Float32Array): void {
    const similarity = cosine(this.query, vector);
    const last = this.#kept.at(-1);
    if (last && this.#kept.length >= this.most && last.similarity >= similarity) return;
    // Of equals the earlier stays first.
    const after = this.#kept.findIndex((k) => k.similarity < similarity);
    this.#kept.splice(after < 0 ? this.#kept.length : after, 0, { name, similarity });
    this.#kept.length = Math.min(this.#kept.length, this.most);
  }

  /** Nearest first. */
  get found(): readonly Alike[] {
    return this.#kept;
  }
}
