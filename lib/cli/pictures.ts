// Pictures as a command line names them: files, folders, globs, standard input; how far it is with them, and which could
// not be read. Owns no answers.
import { once } from 'node:events';
import { walkImages } from '../data/image-walk.js';
import { DataError, EXIT } from '../errors.js';
import { Progress } from '../report/progress.js';

/** The operand that means standard input. */
export const STDIN = '-';
/** No encoded photo is larger; what does not end is not read for ever. */
const MOST_STDIN = 2 ** 29;

/** A picture and what it was called. */
export interface Named {
  readonly name: string;
  readonly image: string | Uint8Array;
}

async function readStdin(): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    total += chunk.length;
    if (total > MOST_STDIN)
      throw new DataError(`standard input: expected one image, got more than ${MOST_STDIN / 2 ** 20} MiB`, [STDIN]);
  }
  if (total === 0) throw new DataError('standard input: expected one image, got nothing', [STDIN]);
  return Buffer.concat(chunks);
}

/** Writes to stdout, and waits where its reader is slower. */
export async function written(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

export class Pictures {
  readonly #bad: string[] = [];
  readonly #progress: Progress | undefined;
  readonly #since = performance.now();
  #total = 0;
  #done = 0;

  /**
   * @param except a folder that is not looked into
   * @param quiet no progress; there is none where nobody watches either
   */
  constructor(
    private readonly named: readonly string[],
    private readonly options: { what: string; except?: string | undefined; quiet: boolean },
  ) {
    this.#progress = options.quiet || !process.stderr.isTTY ? undefined : new Progress();
  }

  /** All of them, in the order they were named, folders sorted. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Named, void> {
    if (this.#progress) await this.#look();
    const onFailure = (error: DataError): void => this.failed(error);
    for (const named of this.named) {
      if (named !== STDIN) {
        for await (const name of walkImages([named], { onFailure, except: this.options.except }))
          yield { name, image: name };
        continue;
      }
      try {
        yield { name: STDIN, image: await readStdin() };
      } catch (error) {
        if (!(error instanceof DataError)) throw error;
        this.failed(error);
      }
    }
  }

  /** How many there are, for the bar. */
  async #look(): Promise<void> {
    const names = this.named.filter((name) => name !== STDIN);
    this.#total = this.named.length - names.length;
    for await (const _ of walkImages(names, { onFailure: () => {}, except: this.options.except })) this.#total++;
  }

  /** One that could not be read: told at the end. */
  failed({ message }: DataError, name?: string): void {
    // Bytes have no name to complain of.
    this.#bad.push(name === STDIN ? message.replace(/^image: /, 'standard input: ') : message);
  }

  /** One more is done. */
  advance(): void {
    this.#done++;
    const total = Math.max(this.#total, this.#done);
    this.#progress?.draw(this.options.what, this.#done, total, (performance.now() - this.#since) / 1000);
  }
  /** What is written to stdout next begins a line, where both are on one screen. */
  makeRoom(): void {
    if (process.stdout.isTTY) this.#progress?.clear();
  }

  /** Names those that could not be read. Returns the exit code. */
  end(skipBad: boolean): number {
    this.#progress?.clear();
    for (const message of this.#bad) process.stderr.write(`mnv2-torch: ${message}\n`);
    return this.#bad.length > 0 && !skipBad ? EXIT.data : EXIT.ok;
  }
}
