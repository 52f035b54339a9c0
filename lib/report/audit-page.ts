// The page of an audit: one file with its pictures in it, which loads nothing. Owns its looks.
import path from 'node:path';
import { decodeImage } from '../data/decode.js';
import type { AlikeFiles, Audit, EqualFiles } from '../audit/result.js';

/** Side of a picture, pixels. */
const SIDE = 144;
/** Pairs that are shown; the rest is counted. */
const MOST_PAIRS = 60;

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escaped = (text: string | number): string => String(text).replace(/[&<>"']/g, (c) => ESCAPES[c]!);
const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;

const STYLE = `
:root { color-scheme: light dark; --paper: #faf9f6; --ink: #1f1e1b; --soft: #625e56; --rule: #e5e1d8; --mark: #b4560a; }
@media (prefers-color-scheme: dark) { :root { --paper: #161614; --ink: #ebe8e1; --soft: #a8a297; --rule: #35322d; --mark: #f0a05a; } }
body { margin: 0 auto; padding: 24px; max-width: 1000px; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
h1 { font-size: 25px; margin: 0; } h2 { font-size: 17px; margin: 36px 0 8px; } p { margin: 4px 0; } .soft, figcaption { color: var(--soft); font-size: 13px; }
ul { padding: 0; list-style: none; } li { padding: 6px 0 6px 12px; border-left: 3px solid var(--mark); margin: 6px 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 14px; } th, td { padding: 3px 14px 3px 0; text-align: right; border-bottom: 1px solid var(--rule); font-weight: 400; } th:first-child { text-align: left; } thead th { color: var(--soft); }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 18px; } .pair { margin: 0; } .pair div { display: flex; gap: 6px; flex-wrap: wrap; } img, .lost { width: ${SIDE}px; height: ${SIDE}px; background: var(--rule); } strong { color: var(--mark); font-weight: 600; }
`;

/** As a data: URL; undefined where it cannot be read any more. */
async function picture(root: string, file: string): Promise<string | undefined> {
  const { default: sharp } = await import('sharp');
  try {
    const pixels = await decodeImage(path.join(root, file), SIDE, { allowDamaged: true });
    const jpeg = await sharp(pixels, { raw: { width: SIDE, height: SIDE, channels: 3 } })
      .jpeg({ quality: 75 })
      .toBuffer();
    return `data:image/jpeg;base64,${jpeg.toString('base64')}`;
  } catch {
    return undefined;
  }
}

async function pair(root: string, of: EqualFiles | AlikeFiles): Promise<string> {
  const shown = await Promise.all(
    of.files.slice(0, 4).map(async (file) => {
      const source = await picture(root, file);
      return source
        ? `<img src="${source}" alt="${escaped(file)}">`
        : `<span class="lost" role="img" aria-label="${escaped(file)} cannot be read"></span>`;
    }),
  );
  const how =
    'pose' in of
      ? `${of.pose === 'as it is' ? '' : `the second one ${of.pose}, `}${of.distance} of 63 signs differ, correlation ${of.likeness.toFixed(3)}`
      : 'the same pixels';
  const marks = [of.contradiction && 'two classes', of.leak && 'trained on and held back'].filter(Boolean).join(', ');
  return `<figure class="pair"><div>${shown.join('')}</div><figcaption>${of.files.map(escaped).join('<br>')}<br>${escaped(how)}${marks && `<br><strong>${marks}</strong>`}</figcaption></figure>`;
}

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = (row: readonly (string | number)[]): string =>
    row.map((cell, i) => (i === 0 ? `<th scope="row">${escaped(cell)}</th>` : `<td>${escaped(cell)}</td>`)).join('');
  return `<div class="scroll"><table><thead><tr>${head.map((h) => `<th scope="col">${escaped(h)}</th>`).join('')}</tr></thead><tbody>${rows.map((row) => `<tr>${cells(row)}</tr>`).join('')}</tbody></table></div>`;
}

/**
 * Renders an audit. Pictures are read from the audit's folder; those that are gone meanwhile leave an empty place.
 */
export async function auditPage(audit: Audit): Promise<string> {
  const { root, classes, images, split, size, pixels, leakage, findings, duplicates, nearDuplicates, notes } = audit;
  const pairs = [...duplicates, ...nearDuplicates].sort((a, b) => urgency(b) - urgency(a));
  const figures = await Promise.all(pairs.slice(0, MOST_PAIRS).map((of) => pair(root, of)));
  const range = ([least, median, most]: readonly [number, number, number]): string =>
    `${least} to ${most}, median ${median}`;
  const facts = [
    `${images} images in ${classes.length} classes`,
    ...(split
      ? [
          `${split.train} to train on, ${split.val} to validate${split.test > 0 ? `, ${split.test} to test` : ''}${split.kind ? ` (${split.kind} split, seed ${split.seed})` : ''}`,
        ]
      : []),
    ...(pixels ? [`width ${range(pixels.width)}; height ${range(pixels.height)}; resized to ${size} x ${size}`] : []),
    ...notes,
  ];
  const sections = [
    `<h2>Worth a look</h2>${findings.length > 0 ? `<ul>${findings.map((f) => `<li>${escaped(f.text)}</li>`).join('')}</ul>` : '<p>Nothing found.</p>'}`,
    figures.length > 0
      ? `<h2>Pictures that are there more than once</h2>${pairs.length > figures.length ? `<p class="soft">${figures.length} of ${pairs.length}</p>` : ''}<div class="pairs">${figures.join('')}</div>`
      : '',
    `<h2>Classes</h2>${table(
      ['class', 'images', 'train', 'val', 'test', 'grey', ...(leakage ? ['neighbours in number', 'by chance'] : [])],
      classes.map((c, i) => {
        const order = leakage?.classes[i]?.order;
        return [
          c.label,
          c.images,
          c.train,
          c.val,
          c.test,
          c.grey,
          ...(order ? [percent(order.share), percent(order.chance)] : []),
        ];
      }),
    )}`,
    leakage
      ? `<h2>Nearest training images</h2><p class="soft">By the features of ${escaped(leakage.weights)}. Almost the same: a cosine of at least ${leakage.threshold.toFixed(3)}, as of an image and a window of three quarters of its side.</p>${table(
          ['split', 'validated on', 'almost the same', 'of the same class'],
          leakage.splits.map((s) => [s.kind ?? 'val/', s.images, percent(s.alike), percent(s.agreeing)]),
        )}`
      : '',
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Audit of ${escaped(root)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>Audit of ${escaped(root)}</h1>
${facts.map((fact) => `<p>${escaped(fact)}</p>`).join('\n')}
${sections.join('\n')}
</main>
</body>
</html>
`;
}

/** Contradictions first, then leaks. */
const urgency = ({ contradiction, leak }: EqualFiles | AlikeFiles): number => (contradiction ? 2 : 0) + (leak ? 1 : 0);
