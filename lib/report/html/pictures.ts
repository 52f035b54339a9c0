// Pictures of a report: small JPEGs of what the network saw, and of the worst mistakes larger ones with their activation
// maps. Owns how many and how large; keeps what it made, for the next time the same report is written.
import type { ImageStore } from '../../engine/images.js';
import { isMulticlass, type AnyEvaluation } from '../../infer/evaluation.js';
import type { ActivationMaps } from '../../infer/cam.js';
import { mistakes } from '../../infer/judged.js';
import { labelMistakes } from '../../infer/multilabel.js';
import { furthestOff } from '../../infer/regression.js';
import { overlay } from '../overlay.js';
import { cellPictures } from './confusion.js';
import type { Pictures, Shown } from './data.js';

/** Sides, pixels. */
const SMALL = 96;
export const LARGE = 160;
/** Mistakes shown large. */
const MOST_LARGE = 24;

/** Images to show large, and the output whose map lies over each. */
function worstOf(evaluation: AnyEvaluation): { row: number; asked: number }[] {
  if (isMulticlass(evaluation))
    return mistakes(evaluation.judged).map(({ row, predicted }) => ({ row, asked: predicted }));
  if (evaluation.task === 'multilabel')
    return labelMistakes(evaluation.judged).map(({ row, wrong, missed }) => ({ row, asked: (wrong[0] ?? missed[0])! }));
  return furthestOff(evaluation.judged).map(({ row }) => ({ row, asked: 0 }));
}

export class Album {
  #small = new Map<number, string>();

  constructor(private readonly store: ImageStore) {}

  /**
   * The pictures an evaluation is shown with. At most 400 small ones and 24 pairs of large ones: less than 3 MB.
   * @param maps of the network that gave the answers; absent: pictures alone
   */
  async of(evaluation: AnyEvaluation, maps: ActivationMaps | undefined): Promise<Pictures> {
    const before = this.#small;
    const small = new Map<number, string>();
    for (const row of isMulticlass(evaluation) ? cellPictures(evaluation) : []) {
      small.set(row, before.get(row) ?? (await this.#picture(this.store.get(row), SMALL)));
    }
    this.#small = small;
    const worst = worstOf(evaluation).slice(0, MOST_LARGE);
    const rows = Int32Array.from(worst, (m) => m.row);
    const seen = await maps?.of(
      this.store,
      rows,
      worst.map((m) => m.asked),
    );
    const large = new Map<number, Shown>();
    for (const [i, row] of rows.entries()) {
      const pixels = this.store.get(row);
      const { width, height } = this.store;
      const map = seen?.[i];
      large.set(row, {
        plain: await this.#picture(pixels, LARGE),
        ...(map && { explained: await this.#picture(overlay(pixels, width, height, map), LARGE) }),
      });
    }
    return { thumbnails: small, large, exact: maps?.exact };
  }

  /** As a data: URL. */
  async #picture(pixels: Uint8Array, side: number): Promise<string> {
    const { default: sharp } = await import('sharp');
    const { width, height } = this.store;
    const jpeg = await sharp(pixels, { raw: { width, height, channels: 3 } })
      .resize(side, side, { fit: 'fill', withoutEnlargement: true })
      .jpeg({ quality: 72 })
      .toBuffer();
    return `data:image/jpeg;base64,${jpeg.toString('base64')}`;
  }
}
