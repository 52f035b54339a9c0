// The parts of a report on images that numbers are told of: figures, answers over truth, the images furthest off.
import { furthestOff, type RegressionEvaluation } from '../../infer/regression.js';
import { scatter } from './charts.js';
import type { Figure, Report } from './data.js';
import { imagesByPart } from './facts.js';
import { html, number, plural, scroll, type Markup } from './markup.js';
import { worstPicture } from './worst.js';

/** Charts that are still looked at. */
const MOST_CHARTS = 9;

export const numberFigures = ({ mae, rmse, r2, images, numbers }: RegressionEvaluation): Figure[] => {
  const of = numbers.length === 1 ? numbers[0]!.name : `mean of ${numbers.length} numbers`;
  return [
    ['Mean absolute error', number(mae), of],
    ['R²', r2.toFixed(3), '1 is perfect, 0 no better than the mean'],
    ['RMSE', number(rmse), of],
    ['Images', String(images), 'judged'],
  ];
};

export function numbersSection({ parts, classes }: Report, evaluation: RegressionEvaluation | undefined): Markup {
  const shown = (evaluation?.numbers ?? []).slice(0, MOST_CHARTS);
  return html`<section id="classes" aria-labelledby="classes-title">
    <h2 id="classes-title">Numbers</h2>
    <p class="lead">
      ${imagesByPart(parts)} images with ${plural(classes.length, 'number')}
      each.${shown.length > 0 && ' A dot is an image: what it was given over what it has; on the line both are equal.'}
    </p>
    <div class="charts">
      ${shown.map(({ name }, c) =>
        scatter({ title: name, points: evaluation!.judged.map((j) => [j.truth[c]!, j.predicted[c]!]) }),
      )}
    </div>
    ${
      evaluation &&
      scroll(
        'Figures by number',
        html`<table class="numbers">
          <caption class="hidden">
            Errors of each number
          </caption>
          <thead>
            <tr>
              ${['Number', 'Mean absolute error', 'RMSE', 'R²', 'Bias'].map((h) => html`<th scope="col">${h}</th>`)}
            </tr>
          </thead>
          <tbody>
            ${evaluation.numbers.map(
              (n) =>
                html`<tr>
                  <th scope="row">${n.name}</th>
                  <td>${number(n.mae)}</td>
                  <td>${number(n.rmse)}</td>
                  <td>${n.r2.toFixed(3)}</td>
                  <td>${number(n.bias)}</td>
                </tr>`,
            )}
          </tbody>
        </table>`,
      )
    }
  </section>`;
}

export function furthestSection(report: Report, evaluation: RegressionEvaluation): Markup | undefined {
  const { large, exact } = report.pictures;
  const shown = furthestOff(evaluation.judged).filter((j) => large.has(j.row));
  if (shown.length === 0) return undefined;
  const names = evaluation.numbers.map((n) => n.name);
  return html`<section id="mistakes" aria-labelledby="mistakes-title">
    <h2 id="mistakes-title">Furthest off</h2>
    <p class="lead">
      The ${plural(shown.length, 'image')} with the largest
      errors.${exact !== undefined && ` Beside each picture lies its activation map: the glow is what raised ${names[0]!}.`}
    </p>
    <ol class="mistakes">
      ${shown.map((j) => {
        const said = names.map(
          (name, c) =>
            html`<p class="verdict">
              ${name} <b>${number(j.truth[c]!)}</b>, given <b class="bad">${number(j.predicted[c]!)}</b>
            </p>`,
        );
        return worstPicture(report, j.row, `what raised ${names[0]!}`, html`${said}`);
      })}
    </ol>
  </section>`;
}
