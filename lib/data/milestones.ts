// Milestones: rows that are finished in any order, and who waits for the first n of them.
export class Milestones {
  readonly #done: Uint8Array;
  #level = 0;
  #waiting: { count: number; resolve: () => void; reject: (e: unknown) => void }[] = [];
  #failure: { error: unknown } | undefined;

  constructor(private readonly total: number) {
    this.#done = new Uint8Array(total);
  }
  mark(row: number): void {
    this.#done[row] = 1;
    while (this.#level < this.total && this.#done[this.#level]) this.#level++;
    this.#settle();
  }
  finish(): void {
    this.#level = this.total;
    this.#settle();
  }
  /** Whoever waits for what was not reached learns why it never will be. */
  fail(error: unknown): void {
    this.#failure = { error };
    this.#settle();
  }
  reach(count: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ count, resolve, reject });
      this.#settle();
    });
  }
  #settle(): void {
    this.#waiting = this.#waiting.filter((w) => {
      if (w.count <= this.#level) w.resolve();
      else if (this.#failure) w.reject(this.#failure.error);
      else return true;
      return false;
    });
  }
}
