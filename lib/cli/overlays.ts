// Pictures of what speaks for a class, as `--explain` writes them. Owns the folder and the names; how they look is
// report/overlay.ts.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { UsageError } from '../errors.js';
import type { ExplainOptions } from '../infer/answer.js';
import type { Classifier } from '../infer/classifier.js';
import { overlayPicture } from '../report/overlay.js';

/** Named after the pictures they explain; of two with one name the second gets a number. */
export class Overlays {
  readonly #taken = new Set<string>();

  private constructor(private readonly folder: string) {}

  static async into(folder: string): Promise<Overlays> {
    await mkdir(folder, { recursive: true }).catch((cause: Error) => {
      throw new UsageError(`--explain ${folder}: cannot be made: ${cause.message}`, { cause });
    });
    return new Overlays(folder);
  }

  /** @param stem name of the picture, without its ending */
  async write(
    classifier: Classifier,
    stem: string,
    image: string | Uint8Array,
    options: ExplainOptions & { maxPixels: number },
  ): Promise<string> {
    const file = path.join(this.folder, this.#name(stem));
    const picture = await overlayPicture(image, await classifier.explain(image, options), options);
    await writeFile(file, picture).catch((cause: Error) => {
      throw new UsageError(`--explain: cannot write ${file}: ${cause.message}`, { cause });
    });
    return file;
  }

  #name(stem: string): string {
    let name = stem;
    for (let n = 2; this.#taken.has(name); n++) name = `${stem}-${n}`;
    this.#taken.add(name);
    return `${name}.png`;
  }
}
