// Budget: bytes that work under way may take together. Owns no memory; who holds a share keeps to it.

/** Work waits for its turn, in order, until its bytes are free; what is larger than the whole budget runs alone. */
export class Budget {
  #free: number;
  readonly #waiting: { bytes: number; start: () => void }[] = [];

  constructor(readonly capacity: number) {
    this.#free = capacity;
  }

  async hold<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    const share = Math.min(bytes, this.capacity);
    await new Promise<void>((start) => {
      this.#waiting.push({ bytes: share, start });
      this.#admit();
    });
    try {
      return await work();
    } finally {
      this.#free += share;
      this.#admit();
    }
  }

  #admit(): void {
    for (let first = this.#waiting[0]; first && first.bytes <= this.#free; first = this.#waiting[0]) {
      this.#waiting.shift();
      this.#free -= first.bytes;
      first.start();
    }
  }
}
