// The parts of a report on images with any number of labels: figures, a table of labels, the worst answers.
import { labelMistakes, type JudgedLabels, type MultilabelEvaluation } from '../../infer/multilabel.js';
import type { Figure, Report } from './data.js';
import { imagesByPart } from './facts.js';
import { bar, capital, count, html, percent, plural, scroll, type Markup } from './markup.js';
import { worstPicture } from './worst.js';

export const labelFigures = ({
  mAP,
  macroF1,
  microF1,
  accuracy,
  images,
  classes,
  loss,
}: MultilabelEvaluation): Figure[] => [
  ['mAP', percent(mAP), `mean of ${plural(classes.filter((c) => c.support > 0).length, 'label')}`],
  ['Macro F1', percent(macroF1), 'at the thresholds below'],
  ['Micro F1', percent(microF1), 'all labels together'],
  ['All labels right', percent(accuracy), `of ${plural(images, 'image')}`],
  ['Loss', loss.toFixed(3), 'mean binary cross entropy'],
];

/** A line a label, lowest average precision first. */
export function labelsSection({ parts, classes }: Report, evaluation: MultilabelEvaluation | undefined): Markup {
  const most = Math.max(1, ...parts.flatMap((p) => p.counts));
  const order = classes.map((_, c) => c);
  if (evaluation) order.sort((a, b) => evaluation.classes[a]!.ap - evaluation.classes[b]!.ap || a - b);
  const heads = ['Average precision', 'F1', 'Precision', 'Recall', 'Threshold'];
  return html`<section id="classes" aria-labelledby="classes-title">
    <h2 id="classes-title">Labels</h2>
    <p class="lead">
      ${imagesByPart(parts)} images with any of
      ${plural(classes.length, 'label')}.${evaluation && ' Lowest average precision first. A label is given where its probability is at least its threshold: the one of the highest F1 on the validation images, where F1, precision and recall flatter a little.'}
    </p>
    ${scroll(
      'Figures by label',
      html`<table class="classes">
        <caption class="hidden">
          Average precision, F1, precision, recall and threshold of each label, and images that have it
        </caption>
        <thead>
          <tr>
            <th scope="col">Label</th>
            ${evaluation && heads.map((h) => html`<th scope="col">${h}</th>`)}
            ${parts.map((p) => html`<th scope="col">${capital(p.name)}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${order.map((c) => {
            const of = evaluation?.classes[c];
            return html`<tr>
              <th scope="row">${classes[c]!}</th>
              ${
                of && [
                  bar(of.ap, of.support > 0 ? percent(of.ap) : 'none has it', 'score'),
                  html`<td>${percent(of.f1)}</td>
                    <td>${percent(of.precision)}</td>
                    <td>${percent(of.recall)}</td>
                    <td>${of.threshold.toFixed(2)}</td>`,
                ]
              }
              ${parts.map((p) => bar(p.counts[c]! / most, count(p.counts[c]!), 'images'))}
            </tr>`;
          })}
        </tbody>
      </table>`,
    )}
  </section>`;
}

export function labelMistakesSection(report: Report, evaluation: MultilabelEvaluation): Markup | undefined {
  const { large, exact } = report.pictures;
  const wrong = labelMistakes(evaluation.judged);
  const shown = wrong.filter((m) => large.has(m.row));
  if (shown.length === 0) return undefined;
  const names = (list: readonly number[], { probabilities }: JudgedLabels): string =>
    list.map((c) => `${report.classes[c]!} (${percent(probabilities[c]!, 0)})`).join(', ');
  return html`<section id="mistakes" aria-labelledby="mistakes-title">
    <h2 id="mistakes-title">Worst mistakes</h2>
    <p class="lead">
      ${shown.length < wrong.length ? `The ${shown.length} of ${wrong.length} images with a label missed or wrong that have the highest loss.` : `All ${plural(wrong.length, 'image')} with a label missed or wrong, highest loss first.`}
      ${exact !== undefined && 'Beside each picture lies the class activation map of the first label named.'}
    </p>
    <ol class="mistakes">
      ${shown.map((m) => {
        const about = report.classes[(m.wrong[0] ?? m.missed[0])!]!;
        const said = html`${m.wrong.length > 0 && html`<p class="verdict">not there: <b class="bad">${names(m.wrong, m)}</b></p>`}
          ${m.missed.length > 0 && html`<p class="verdict">missed: <b>${names(m.missed, m)}</b></p>`}
          <p class="about">loss ${m.loss.toFixed(2)}</p>`;
        return worstPicture(report, m.row, `what spoke for ${about}`, said);
      })}
    </ol>
  </section>`;
}
