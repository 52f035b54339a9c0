// Questions that wait for the network: made into batches, bounded in number. Owns no network and no pictures.
import { QueueFullError } from '../errors.js';

/** One picture's question. */
export interface Question {
  /** questions of one kind can share a batch */
  readonly kind: string;
  /** whose abortion makes an answer useless */
  readonly signal: AbortSignal | undefined;
}

interface Waiting<Q, A> {
  question: Q;
  answer: (answer: A) => void;
  fail: (error: unknown) => void;
}

export interface BatchQueueOptions<Q, A> {
  /** questions of one batch at most */
  batch: number;
  /** pictures under way at most: asked for, and not answered */
  bound: number;
  /** answers to the questions of a batch, all of one kind, in their order */
  run(batch: readonly Q[]): Promise<readonly A[]>;
}

/** One batch runs at a time; the next is made of what has come meanwhile, in the order it came. */
export class BatchQueue<Q extends Question, A> {
  #waiting: Waiting<Q, A>[] = [];
  #running = false;
  #taken = 0;

  constructor(private readonly options: BatchQueueOptions<Q, A>) {}

  /**
   * Does work that asks at most `places` questions at a time: all of them count as under way until it ends.
   * @param most as many places are taken as are free, at least one
   * @throws QueueFullError where there is none; nothing is begun then
   */
  async admitted<T>(most: number, work: (places: number) => Promise<T>): Promise<T> {
    const places = this.take(most);
    try {
      return await work(places);
    } finally {
      this.give(places);
    }
  }

  /** Takes places, for work that is no one promise; `give` them back. */
  take(most: number): number {
    const { bound } = this.options;
    const free = bound - this.#taken;
    if (free < 1)
      throw new QueueFullError(
        `the classifier has ${this.#taken} images under way, as many as maxQueued (${bound}) allows. ` +
          'Ask again when some are answered, pass many images as one list or to stream(), which wait for themselves, ' +
          'or load it with a larger maxQueued',
      );
    const places = Math.min(most, free);
    this.#taken += places;
    return places;
  }
  give(places: number): void {
    this.#taken -= places;
  }

  ask(question: Q): Promise<A> {
    return new Promise<A>((answer, fail) => {
      this.#waiting.push({ question, answer, fail });
      void this.#drain();
    });
  }

  /** Forgets the questions whose signal is aborted; nobody waits for their answers. */
  drop(): void {
    this.#waiting = this.#waiting.filter(({ question, fail }) => {
      const aborted = question.signal?.aborted === true;
      if (aborted) fail(question.signal.reason);
      return !aborted;
    });
  }

  async #drain(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    for (let batch = this.#next(); batch.length > 0; batch = this.#next()) {
      try {
        const answers = await this.options.run(batch.map(({ question }) => question));
        batch.forEach(({ answer }, i) => answer(answers[i]!));
      } catch (error) {
        for (const { fail } of batch) fail(error);
      }
    }
    this.#running = false;
  }

  /** The first question and those after it that can go with it. */
  #next(): Waiting<Q, A>[] {
    const kind = this.#waiting[0]?.question.kind;
    const batch: Waiting<Q, A>[] = [];
    this.#waiting = this.#waiting.filter((waiting) => {
      const goes = waiting.question.kind === kind && batch.length < this.options.batch;
      if (goes) batch.push(waiting);
      return !goes;
    });
    return batch;
  }
}
