// A sheet of pictures found for one, with a line under each, as one PNG: that one at the left, the others beside it, row
// by row. Owns the layout; what is on it comes from whoever searched.

/** A picture on the sheet. */
export interface SheetPicture {
  /** a file that was read before */
  readonly file: string;
  /** under it: its name, shortened where it is too long, and a word on it */
  readonly title: string;
  readonly note: string;
}

/** Pixels. */
const CELL = 200;
const GAP = 20;
const TEXT = 46;
const COLUMNS = 4;
const PAPER = '#ffffff';
const FRAME = '#1f6feb';

/** Characters of a title that fit under a picture, in any font. */
const LONGEST = 30;

const escaped = (text: string): string =>
  // Control characters and halves of surrogate pairs are not allowed in XML at all.
  text.replace(/[\p{Cc}\p{Cs}\ufffe\uffff]/gu, '\u00b7').replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** The end of a name tells files apart more than its beginning. */
const shortened = (title: string): string => {
  const characters = [...title];
  return characters.length <= LONGEST ? title : `\u2026${characters.slice(1 - LONGEST).join('')}`;
};

/**
 * The sheet: pictures in their own proportions.
 * @param query the one the others are compared with, in a frame
 * @throws what the decoder says of a file that was exchanged meanwhile
 */
export async function contactSheet(
  query: SheetPicture,
  found: readonly SheetPicture[],
  options: { maxPixels: number },
): Promise<Buffer> {
  const { default: sharp } = await import('sharp');
  const columns = 1 + Math.min(COLUMNS, found.length);
  const rows = Math.max(1, Math.ceil(found.length / COLUMNS));
  const width = GAP + columns * (CELL + GAP);
  const height = GAP + rows * (CELL + TEXT + GAP);
  const layers = [];
  const marks: string[] = [];
  for (const [i, { file, title, note }] of [query, ...found].entries()) {
    const [column, row] = i === 0 ? [0, 0] : [1 + ((i - 1) % COLUMNS), Math.floor((i - 1) / COLUMNS)];
    const left = GAP + column * (CELL + GAP);
    const top = GAP + row * (CELL + TEXT + GAP);
    const { data, info } = await sharp(file, { failOn: 'none', limitInputPixels: options.maxPixels })
      .autoOrient()
      .resize({ width: CELL, height: CELL, fit: 'inside' })
      .flatten({ background: PAPER })
      .toColourspace('srgb')
      .png()
      .toBuffer({ resolveWithObject: true });
    const [x, y] = [left + Math.floor((CELL - info.width) / 2), top + CELL - info.height];
    layers.push({ input: data, left: x, top: y });
    if (i === 0)
      marks.push(
        `<rect x="${x - 4}" y="${y - 4}" width="${info.width + 8}" height="${info.height + 8}" fill="none" stroke="${FRAME}" stroke-width="4"/>`,
      );
    const middle = left + CELL / 2;
    marks.push(
      `<text x="${middle}" y="${top + CELL + 20}" font-size="12" fill="#222">${escaped(shortened(title))}</text>`,
      `<text x="${middle}" y="${top + CELL + 39}" font-size="14" font-weight="bold" fill="${i === 0 ? FRAME : '#222'}">${escaped(note)}</text>`,
    );
  }
  const text = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" text-anchor="middle">${marks.join('')}</svg>`;
  return sharp({ create: { width, height, channels: 3, background: PAPER } })
    .composite([...layers, { input: Buffer.from(text), left: 0, top: 0 }])
    .removeAlpha()
    .png()
    .toBuffer();
}
