// Depthwise kernels as pictures: one a layer, a pixel a weight, with a frame around every channel that is dead.
import type { DepthwiseLayer } from '../inspect/result.js';
import { count, html, plural, scroll, type Markup } from './html/markup.js';

/** Weights side by side in a row of the picture, gaps counted: the same for all layers, so that kernels are of one size. */
const ACROSS = 256;
/** Tones that are told apart on white and on black, and by those who confuse red and green. */
const POSITIVE = [204, 102, 20] as const;
const NEGATIVE = [38, 128, 184] as const;

/** Ways to be dead, the worst first: a channel is marked by its first. */
const MARKS = [
  ['empty', 'empty', ({ empty }: DepthwiseLayer) => empty],
  ['shut', 'never open', ({ neverOpened }: DepthwiseLayer) => neverOpened],
  ['shut', 'closed', ({ closed }: DepthwiseLayer) => closed],
  ['silent', 'silent', ({ silent }: DepthwiseLayer) => silent],
] as const;

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** Where a kernel lies, its gap to the left and above. */
function grid({ channels, kernel: [height, width] }: DepthwiseLayer) {
  const columns = Math.min(channels, Math.floor((ACROSS - 1) / (width + 1)));
  const at = (c: number): [x: number, y: number] => [
    1 + (c % columns) * (width + 1),
    1 + Math.floor(c / columns) * (height + 1),
  ];
  return { at, rows: 1 + Math.ceil(channels / columns) * (height + 1) };
}

/** As a data: URL of a PNG: as clear as the weight is near zero, measured by the median kernel's largest. */
async function painted(layer: DepthwiseLayer): Promise<string> {
  const { default: sharp } = await import('sharp');
  const { channels, kernels } = layer;
  const [height, width] = layer.kernel;
  const { at, rows } = grid(layer);
  const each = height * width;
  const largest = Array.from({ length: channels }, (_, c) =>
    kernels.subarray(c * each, (c + 1) * each).reduce((a, w) => Math.max(a, Math.abs(w)), 0),
  );
  const full = median(largest) || Math.max(...largest) || 1;
  const pixels = new Uint8Array(ACROSS * rows * 4);
  kernels.forEach((w, i) => {
    const [x, y] = at(Math.floor(i / each));
    const [row, column] = [Math.floor((i % each) / width), i % width];
    const alpha = Math.round(255 * Math.min(1, Math.sqrt(Math.abs(w) / full)));
    pixels.set([...(w < 0 ? NEGATIVE : POSITIVE), alpha], 4 * ((y + row) * ACROSS + x + (column % width)));
  });
  const png = await sharp(pixels, { raw: { width: ACROSS, height: rows, channels: 4 } })
    .png({ compressionLevel: 9 })
    .toBuffer();
  return `data:image/png;base64,${png.toString('base64')}`;
}

/** A layer's kernels, the dead ones framed. */
export async function kernelPicture(layer: DepthwiseLayer): Promise<Markup> {
  const [height, width] = layer.kernel;
  const { at, rows } = grid(layer);
  const marks = new Map<number, { tone: string; said: string }>();
  for (const [tone, said, of] of MARKS)
    for (const c of of(layer) ?? []) if (!marks.has(c)) marks.set(c, { tone, said });
  const counted = MARKS.flatMap(([, said]) => {
    const n = [...marks.values()].filter((mark) => mark.said === said).length;
    return n > 0 ? [`${count(n)} ${said}`] : [];
  });
  const summary = `${plural(layer.channels, 'kernel')}, ${counted.length > 0 ? counted.join(', ') : 'none dead'}`;
  const picture = html`<svg
    class="kernels"
    viewBox="0 0 ${ACROSS} ${rows}"
    role="img"
    aria-label="${layer.layer}: ${summary}"
  >
    <image href="${await painted(layer)}" width="${ACROSS}" height="${rows}" />
    ${[...marks].map(([c, { tone, said }]) => {
      const [x, y] = at(c);
      return html`<rect class="${tone}" x="${x - 0.5}" y="${y - 0.5}" width="${width + 1}" height="${height + 1}">
        <title>channel ${c}: ${said}</title>
      </rect>`;
    })}
  </svg>`;
  return html`<figure class="layer">
    <figcaption><b>${layer.layer}</b> <span class="legend">${summary}</span></figcaption>
    ${scroll(`Kernels of ${layer.layer}`, picture)}
  </figure>`;
}
