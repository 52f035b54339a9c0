// A sheet of pictures with a line under each, as one PNG. Owns the layout; what is on it comes from whoever made the list.

/** A picture on the sheet. */
export interface SheetPicture {
  /** a file that was read before */
  readonly file: string;
  /** under it: its name, shortened where it is too long, and a word on it */
  readonly title: string;
  readonly note: string;
  /** with a frame: the one the others are compared with */
  readonly framed?: boolean;
}

/** Pixels. */
const CELL = 200;
const GAP = 20;
const TEXT = 46;
const COLUMNS = 5;
const PAPER = '#ffffff';
const FRAME = '#1f6feb';

/** Characters of a title that fit under a picture, in any font. */
const LONGEST = 26;

const escaped = (text: string): string =>
  // Control characters and halves of surrogate pairs are not allowed in XML at all.
  text.replace(/[\p{Cc}\p{Cs}\ufffe\uffff]/gu, '\u00b7').replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** The end of a name tells files apart more than its beginning. */
const shortened = (title: string): string => {
  const characters = [...title];
  return characters.length <= LONGEST ? title : `\u2026${characters.slice(1 - LONGEST).join('')}`;
};

/**
 * The sheet: pictures in their own proportions, row by row.
 * @throws what the decoder says of a file that was exchanged meanwhile
 */
export async function contactSheet(pictures: readonly SheetPicture[], options: { maxPixels: number }): Promise<Buffer> {
  const { default: sharp } = await import('sharp');
  const columns = Math.min(COLUMNS, pictures.length);
  const rows = Math.ceil(pictures.length / columns);
  const width = GAP + columns * (CELL + GAP);
  const height = GAP + rows * (CELL + TEXT + GAP);
  const layers = [];
  const marks: string[] = [];
  for (const [i, { file, title, note, framed }] of pictures.entries()) {
    const left = GAP + (i % columns) * (CELL + GAP);
    const top = GAP + Math.floor(i / columns) * (CELL + TEXT + GAP);
    const { data, info } = await sharp(file, { failOn: 'none', limitInputPixels: options.maxPixels })
      .autoOrient()
      .resize({ width: CELL, height: CELL, fit: 'inside' })
      .flatten({ background: PAPER })
      .toColourspace('srgb')
      .png()
      .toBuffer({ resolveWithObject: true });
    const [x, y] = [left + Math.floor((CELL - info.width) / 2), top + CELL - info.height];
    layers.push({ input: data, left: x, top: y });
    if (framed)
      marks.push(
        `<rect x="${x - 4}" y="${y - 4}" width="${info.width + 8}" height="${info.height + 8}" fill="none" stroke="${FRAME}" stroke-width="4"/>`,
      );
    const middle = left + CELL / 2;
    marks.push(
      `<text x="${middle}" y="${top + CELL + 20}" font-size="13" fill="#222">${escaped(shortened(title))}</text>`,
      `<text x="${middle}" y="${top + CELL + 39}" font-size="14" font-weight="bold" fill="${framed ? FRAME : '#222'}">${escaped(note)}</text>`,
    );
  }
  const text = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" text-anchor="middle">${marks.join('')}</svg>`;
  return sharp({ create: { width, height, channels: 3, background: PAPER } })
    .composite([...layers, { input: Buffer.from(text), left: 0, top: 0 }])
    .png()
    .toBuffer();
}
