// The page of an audit: one file with its pictures in it, which loads nothing. Its looks are those of a training's report.
import path from 'node:path';
import type { AlikeFiles, Audit, EqualFiles } from '../audit/result.js';
import { decodeImage } from '../data/image-input.js';
import { figureList, figureTable } from './html/figures.js';
import { count, html, type Markup, percent, plural } from './html/markup.js';
import { page } from './html/shell.js';

/** Side of a picture, pixels. */
const SIDE = 160;
/** Copies that are shown; the rest is counted. */
const MOST_COPIES = 60;

/** As a data: URL; undefined where it cannot be read any more. */
async function picture(root: string, file: string): Promise<string | undefined> {
  const { default: sharp } = await import('sharp');
  try {
    const pixels = await decodeImage(path.resolve(root, file), SIDE, { allowDamaged: true });
    const raw = { width: SIDE, height: SIDE, channels: 3 } as const;
    const jpeg = await sharp(pixels, { raw }).jpeg({ quality: 75 }).toBuffer();
    return `data:image/jpeg;base64,${jpeg.toString('base64')}`;
  } catch {
    return undefined;
  }
}

/** Two of the files of a copy, and what is wrong with it. */
async function copy(root: string, of: EqualFiles | AlikeFiles): Promise<Markup> {
  const shown = await Promise.all(
    of.files.slice(0, 2).map(async (file) => {
      const source = await picture(root, file);
      return source
        ? html`<img src="${source}" alt="${file}" width="${SIDE}" height="${SIDE}" />`
        : html`<span></span>`;
    }),
  );
  const how =
    'pose' in of
      ? `nearly the same${of.pose === 'as it is' ? '' : `, the second one ${of.pose}`}: ${of.distance} of 63 signs differ, correlation ${of.likeness.toFixed(3)}`
      : 'the same pixels';
  return html`<li>
    <div class="pair">${shown}</div>
    <p class="verdict">${of.files.map((file, i) => [i > 0 && html`<br />`, file])}</p>
    <p class="said">${how}</p>
    ${of.contradiction && html`<p class="bad">in two classes</p>`}
    ${of.leak && html`<p class="bad">trained on and held back</p>`}
  </li> `;
}

function keyFigures({ images, classes, split, pixels, size, findings }: Audit): Markup {
  const sizes = classes.map((c) => c.images);
  return figureList([
    ['Images', count(images), plural(classes.length, 'class', 'classes')],
    ['In a class', `${Math.min(...sizes)} to ${Math.max(...sizes)}`, 'images'],
    ...(split === null
      ? []
      : [['Held back', count(split.val), `of ${count(images)}${split.kind ? `, ${split.kind} split` : ''}`] as const]),
    ...(pixels === null
      ? []
      : [['Pixels', `${pixels.width[1]} x ${pixels.height[1]}`, `median; resized to ${size} x ${size}`] as const]),
    ['Findings', count(findings.length), findings.length > 0 ? 'see below' : 'nothing to fix'],
  ]);
}

function neighbours({ leakage }: Audit): Markup | undefined {
  if (!leakage) return undefined;
  const { weights, threshold, splits } = leakage;
  return html`<section aria-labelledby="neighbours">
    <h2 id="neighbours">Nearest training images</h2>
    <p class="lead">
      By the features of ${path.basename(weights)}. Almost the same: a cosine of at least ${threshold.toFixed(3)}, as of
      an image and a window of three quarters of its side.
    </p>
    ${figureTable(
      'Nearest training images',
      ['Split', 'Validated on', 'Almost the same', 'Of the same class'],
      splits.map((s) => [s.kind ?? 'val/', s.images, percent(s.alike), percent(s.agreeing)]),
    )}
  </section>`;
}

/** Renders an audit. Pictures are read from the audit's folder; those that are gone meanwhile leave an empty place. */
export async function auditPage(audit: Audit): Promise<string> {
  const { root, classes, leakage, findings, duplicates, nearDuplicates, notes } = audit;
  const copies = [...duplicates, ...nearDuplicates].sort((a, b) => urgency(b) - urgency(a));
  const shown = await Promise.all(copies.slice(0, MOST_COPIES).map((of) => copy(root, of)));
  const title = `Audit of ${root}`;
  const said = [...findings.map((f) => f.text), ...notes];
  return page({
    title,
    header: html`<h1>${title}</h1>`,
    main: html`${keyFigures(audit)}
      <section aria-labelledby="findings">
        <h2 id="findings">Worth a look</h2>
        ${
          said.length > 0
            ? html`<ul class="findings">
                ${said.map((text) => html`<li>${text}</li>`)}
              </ul>`
            : html`<p class="lead">Nothing found.</p>`
        }
      </section>
      ${
        shown.length > 0 &&
        html`<section aria-labelledby="copies">
          <h2 id="copies">Pictures that are there more than once</h2>
          ${copies.length > shown.length && html`<p class="lead">${shown.length} of ${copies.length}</p>`}
          <ul class="mistakes">
            ${shown}
          </ul>
        </section>`
      }
      ${neighbours(audit)}
      <section aria-labelledby="classes">
        <h2 id="classes">Classes</h2>
        ${leakage !== null && html`<p class="lead">Neighbours in number: images whose nearest of the class lies within 3 file numbers.</p>`}
        ${figureTable(
          'Classes',
          [
            'Class',
            'Images',
            'Train',
            'Val',
            'Test',
            'Grey',
            ...(leakage ? ['Neighbours in number', 'By chance'] : []),
          ],
          classes.map((c, i) => {
            const order = leakage?.classes[i]?.order;
            const numbers = order ? [percent(order.share), percent(order.chance)] : [];
            return [c.label, c.images, c.train, c.val, c.test, c.grey, ...numbers];
          }),
        )}
      </section>`,
    footer: html`<p>Made by mnv2-torch.</p>`,
  });
}

/** Contradictions first, then leaks. */
const urgency = ({ contradiction, leak }: EqualFiles | AlikeFiles): number => (contradiction ? 2 : 0) + (leak ? 1 : 0);
