// How pictures come to an answer: read, made into batches, answered in their order, whether one is asked for, a list or a
// stream. Owns the places of those under way and what an aborted signal ends.
import { checkSignal } from '../data/checks.js';
import { decodeImage, type ImageInput } from '../data/image-input.js';
import { inLanes } from '../data/pack.js';
import { DataError } from '../errors.js';
import { untilAborted } from '../abort.js';
import type { AskOptions, Scores, Streamed, StreamItem, Unread } from './answer.js';
import { BatchQueue } from './batch-queue.js';
import { inOrder } from './in-order.js';
import { MOST, type Picture, type PictureProgram } from './picture-program.js';

/** What is asked of pictures: what is fetched for each, and how that is said. */
export interface Ask<A> {
  readonly picture: Omit<Picture, 'pixels' | 'signal'>;
  readonly said: (scores: Scores) => A;
  readonly options: AskOptions;
}

/** Pictures of a list or a stream under way at a time: enough to read the next batch while one is looked at. */
const AHEAD = 2 * MOST;

export class Asking {
  readonly #queue: BatchQueue<Picture, Scores>;

  /**
   * @param size side of the network's images, pixels
   * @param bound pictures under way at most
   */
  constructor(
    program: PictureProgram,
    private readonly size: number,
    bound: number,
  ) {
    this.#queue = new BatchQueue({ batch: MOST, bound, run: (batch) => program.run(batch) });
  }

  read(image: ImageInput, options: AskOptions): Promise<Uint8Array> {
    const { maxPixels, allowDamaged } = options;
    return decodeImage(image, this.size, {
      ...(maxPixels !== undefined && { maxPixels }),
      ...(allowDamaged !== undefined && { allowDamaged }),
    });
  }

  /** Does work on at most so many pictures at a time, until it ends or nobody waits for it. */
  waiting<R>({ signal }: AskOptions, most: number, work: (places: number) => Promise<R>): Promise<R> {
    if (signal !== undefined) checkSignal('signal', signal);
    return untilAborted(
      signal,
      () => this.#queue.admitted(most, work),
      () => this.#queue.drop(),
    );
  }

  single<A>(image: ImageInput, ask: Ask<A>): Promise<A> {
    return this.waiting(ask.options, 1, () => this.#one(image, ask, ask.options.signal));
  }

  async each<A, B>(images: readonly ImageInput[], ask: Ask<A>, as: (answer: A) => B): Promise<(B | Unread)[]> {
    const answers = new Array<B | Unread>(images.length);
    if (images.length === 0) return answers;
    await this.waiting(ask.options, Math.min(AHEAD, images.length), (lanes) =>
      inLanes(images.length, lanes, async (i) => {
        answers[i] = await told(this.#one(images[i]!, ask, ask.options.signal), as);
      }),
    );
    return answers;
  }

  async *stream<T extends StreamItem, A, B>(
    items: AsyncIterable<T> | Iterable<T>,
    ask: Ask<A>,
    as: (answer: A) => B,
  ): AsyncGenerator<Streamed<T, B | Unread>, void, undefined> {
    const { signal } = ask.options;
    if (signal !== undefined) checkSignal('signal', signal);
    const ahead = this.#queue.take(AHEAD);
    const work = async (item: T, index: number, left: AbortSignal): Promise<Streamed<T, B | Unread>> => {
      const image = typeof item === 'object' && item !== null && 'image' in item ? item.image : item;
      return { ...(await told(this.#one(image as ImageInput, ask, left), as)), item, index };
    };
    try {
      yield* inOrder(items, work, { ahead, signal });
    } finally {
      this.#queue.give(ahead);
      this.#queue.drop();
    }
  }

  /** @param signal of the call, or of the stream it is in */
  async #one<A>(image: ImageInput, { picture, said, options }: Ask<A>, signal?: AbortSignal): Promise<A> {
    signal?.throwIfAborted();
    const pixels = await this.read(image, options);
    signal?.throwIfAborted();
    return said(await this.#queue.ask({ ...picture, pixels, signal }));
  }
}

/** What is wrong with one picture is its answer; anything else ends the call. */
async function told<A, B>(answer: Promise<A>, as: (answer: A) => B): Promise<B | Unread> {
  try {
    return as(await answer);
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    return { ok: false, error };
  }
}
