// The confusion matrix: which classes and pictures of it a page shows, the table, and the data its script shows pictures
// from. Without scripts it is a table of numbers.
import type { Evaluation } from '../../infer/evaluate.js';
import type { Judged } from '../../infer/judged.js';
import type { Report } from './data.js';
import { html, json, percent, plural, type Markup } from './markup.js';

/** Classes side by side that can still be read. */
const MOST_CLASSES = 40;
/** Pictures of a cell: of mistakes, and of right answers. */
const [MOST_WRONG, MOST_RIGHT] = [12, 4];
/** Pictures of all cells. */
const MOST_PICTURES = 400;

/** Indices of the classes in the matrix: all, or those that take part in most mistakes, in their own order. */
export function shownClasses({ confusion, classes }: Evaluation): number[] {
  const all = classes.map((_, c) => c);
  if (all.length <= MOST_CLASSES) return all;
  const wrong = all.map((c) => confusion[c]!.reduce((a, n, p) => a + (p === c ? 0 : n + confusion[p]![c]!), 0));
  return [...all]
    .sort((a, b) => wrong[b]! - wrong[a]! || a - b)
    .slice(0, MOST_CLASSES)
    .sort((a, b) => a - b);
}

const key = (label: number, predicted: number): string => `${label},${predicted}`;

/** Answers by cell, highest loss first. */
function byCell(judged: readonly Judged[]): Map<string, Judged[]> {
  const cells = new Map<string, Judged[]>();
  for (const j of [...judged].sort((a, b) => b.loss - a.loss)) {
    const cell = cells.get(key(j.label, j.predicted));
    if (cell) cell.push(j);
    else cells.set(key(j.label, j.predicted), [j]);
  }
  return cells;
}

/** Rows whose pictures stand behind the cells: the first of each cell, then the second, ..., mistakes before the rest. */
export function cellPictures(evaluation: Evaluation): number[] {
  const shown = new Set(shownClasses(evaluation));
  const candidates = [...byCell(evaluation.judged).values()].flatMap((cell) => {
    const { label, predicted } = cell[0]!;
    if (!shown.has(label) || !shown.has(predicted)) return [];
    const right = label === predicted;
    return cell.slice(0, right ? MOST_RIGHT : MOST_WRONG).map(({ row }, rank) => ({ row, rank, right }));
  });
  candidates.sort((a, b) => Number(a.right) - Number(b.right) || a.rank - b.rank);
  return candidates.slice(0, MOST_PICTURES).map(({ row }) => row);
}

/** The table, and beside it the place where pictures appear. */
export function confusionSection(report: Report, evaluation: Evaluation): Markup {
  const { confusion, classes } = evaluation;
  const shown = shownClasses(evaluation);
  const most = Math.max(1, ...shown.flatMap((r) => shown.map((c) => (r === c ? 0 : confusion[r]![c]!))));
  const hidden = classes.length - shown.length;
  const cell = (r: number, c: number): Markup => {
    const n = confusion[r]![c]!;
    if (n === 0) return html`<td class="${r === c && 'right'}"></td>`;
    const said =
      r === c
        ? `${classes[r]!.label}: ${plural(n, 'image')} right`
        : `${classes[r]!.label} taken for ${classes[c]!.label}: ${plural(n, 'image')}`;
    const weight = r === c ? n / Math.max(1, classes[r]!.support) : 0.25 + 0.75 * (n / most);
    return html`<td class="${r === c ? 'right' : 'wrong'}">
      <button type="button" data-cell="${key(r, c)}" aria-label="${said}" style="--weight:${weight.toFixed(3)}">
        ${n}
      </button>
    </td>`;
  };
  return html`<section id="confusion" aria-labelledby="confusion-title">
    <h2 id="confusion-title">What is taken for what</h2>
    <p class="lead">
      A row is a true class, a column what it was taken for. Choose a number to see its images; arrow keys move between
      numbers.${hidden > 0 && ` Shown are the ${shown.length} classes with most mistakes; ${hidden} others are left out.`}
    </p>
    <div class="matrix ${shown.length > 24 && 'wide'}">
      <div class="scroll" tabindex="0" role="region" aria-label="Confusion matrix, scrolls sideways">
        <table class="confusion">
          <caption class="hidden">
            Confusion matrix: true classes in rows, predicted classes in columns
          </caption>
          <thead>
            <tr>
              <td class="corner"></td>
              ${shown.map((c) => html`<th scope="col"><span>${classes[c]!.label}</span></th>`)}
            </tr>
          </thead>
          <tbody>
            ${shown.map(
              (r) =>
                html`<tr>
                  <th scope="row">${classes[r]!.label}</th>
                  ${shown.map((c) => cell(r, c))}
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
      <div id="behind" class="behind" role="region" aria-live="polite" aria-label="Images of the chosen cell">
        <p class="empty">Choose a number of the matrix to see its images here.</p>
      </div>
    </div>
    <script type="application/json" id="cells">
      ${json(cellData(report, evaluation, shown))}
    </script>
  </section>`;
}

/** For the script: pictures once, and for each cell its title, its count and what is said of each picture. */
function cellData(report: Report, { judged, classes }: Evaluation, shown: readonly number[]): unknown {
  const { thumbnails } = report.pictures;
  const at = new Map([...thumbnails.keys()].map((row, i) => [row, i]));
  const cells = [...byCell(judged)].flatMap(([name, cell]) => {
    const { label, predicted } = cell[0]!;
    if (!shown.includes(label) || !shown.includes(predicted)) return [];
    const pictures = cell.flatMap(({ row, probability, loss }) => {
      const picture = at.get(row);
      return picture === undefined
        ? []
        : [{ picture, file: report.files[row]!, said: `${percent(probability)}, loss ${loss.toFixed(2)}` }];
    });
    const [a, b] = [classes[label]!.label, classes[predicted]!.label];
    const order = label === predicted ? 'least certain first' : 'highest loss first';
    const some = pictures.length < cell.length ? `, ${pictures.length} shown` : '';
    const about = `${plural(cell.length, 'image')}${some}${cell.length > 1 ? `, ${order}` : ''}`;
    return [[name, { title: label === predicted ? `${a}, right` : `${a} taken for ${b}`, about, pictures }]];
  });
  return { pictures: [...thumbnails.values()], cells: Object.fromEntries(cells) as unknown };
}
