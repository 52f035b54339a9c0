// The parts of a report beside the confusion matrix, in the order of the page.
import type { Evaluation } from '../../infer/evaluate.js';
import { isMulticlass } from '../../infer/evaluation.js';
import { mistakes } from '../../infer/judged.js';
import { lineChart, reliabilityDiagram, type Line } from './charts.js';
import type { Phase, ValidPhase } from '../../train/events.js';
import { MEASURES, type Measure } from '../../train/measures.js';
import type { Figure, Report } from './data.js';
import { figureList } from './figures.js';
import { findings } from './findings.js';
import { labelFigures } from './labels.js';
import { numberFigures } from './numbers.js';
import { worstPicture } from './worst.js';
import { imagesByPart } from './facts.js';
import { bar, capital, count, duration, html, number, percent, plural, scroll, type Markup } from './markup.js';

const told = (measure: Measure, value: number): string => (measure.share ? percent(value, 2) : measure.text(value));

const classFigures = ({ accuracy, judged, images, macroF1, classes, loss, calibration }: Evaluation): Figure[] => [
  ['Accuracy', percent(accuracy), `${plural(mistakes(judged).length, 'mistake')} in ${plural(images, 'image')}`],
  ['Macro F1', percent(macroF1), `mean of ${plural(classes.length, 'class', 'classes')}`],
  ['Loss', loss.toFixed(3), 'mean cross entropy'],
  ['Calibration error', percent(calibration.ece), `${calibration.bins.length} bins`],
];

/** The figures a reader wants first. */
export function keyFigures({ evaluation, training }: Report): Markup | undefined {
  if (!evaluation) return undefined;
  const seconds = (training?.history ?? []).reduce((a, e) => a + e.train.seconds + e.valid.seconds, 0);
  const figures = isMulticlass(evaluation)
    ? classFigures(evaluation)
    : evaluation.task === 'multilabel'
      ? labelFigures(evaluation)
      : numberFigures(evaluation);
  if (training?.best !== undefined)
    figures.push(['Best epoch', String(training.best), `of ${training.epochs}, ${duration(seconds)} in epochs`]);
  return figureList(figures);
}

export function findingsSection(report: Report): Markup | undefined {
  const found = findings(report);
  if (found.length === 0 && report.notes.length === 0) return undefined;
  return html`<section id="findings" aria-labelledby="findings-title">
    <h2 id="findings-title">What to look at</h2>
    <ul class="findings">
      ${found.map((f) => html`<li><a href="#${f.section}">${f.text}</a></li>`)}
      ${report.notes.map((note) => html`<li>${note}</li>`)}
    </ul>
  </section>`;
}

export function curvesSection({ training, task }: Report): Markup | undefined {
  const history = training?.history ?? [];
  if (!training || history.length === 0) return undefined;
  const both = (of: (phase: Phase) => number): Line[] => [
    { name: 'training', tone: 'train', values: history.map((e) => of(e.train)) },
    { name: 'validation', tone: 'valid', values: history.map((e) => of(e.valid)) },
  ];
  const measures = MEASURES[task];
  const lines = ({ key, running }: Measure): Line[] =>
    running ? both((p) => (p as ValidPhase)[key]!) : [both((p) => (p as ValidPhase)[key] ?? NaN)[1]!];
  // Of several classes the F1 tells the same as the accuracy.
  const drawn = task === 'multiclass' ? measures.slice(0, 1) : measures;
  const shared = { first: history[0]!.epoch, mark: training.best };
  const known = history.flatMap(({ deadKernels }) => deadKernels ?? []);
  const dead = known.length === history.length && known;
  return html`<section id="curves" aria-labelledby="curves-title">
    <h2 id="curves-title">Training</h2>
    <div class="charts">
      ${lineChart({ ...shared, title: 'Loss', lines: both((p) => p.loss), format: number })}
      ${drawn.map((m) =>
        lineChart({
          ...shared,
          title: capital(m.name),
          lines: lines(m),
          format: m.share ? percent : number,
          shares: m.share,
        }),
      )}
      ${lineChart({
        ...shared,
        title: 'Learning rate',
        lines: [{ name: 'learning rate', tone: 'plain', values: history.map((e) => e.lr) }],
        format: number,
      })}
      ${
        dead &&
        lineChart({
          ...shared,
          title: 'Dead depthwise kernels',
          lines: [{ name: 'dead depthwise kernels', tone: 'plain', values: dead }],
          format: (v) => percent(v, 2),
          shares: true,
        })
      }
    </div>
    <details>
      <summary>Every epoch as a table</summary>
      ${scroll(
        'Epochs',
        html`<table class="numbers">
          <caption class="hidden">
            Loss, figures and learning rate by epoch
          </caption>
          <thead>
            <tr>
              ${[
                ...['Epoch', 'Training loss'],
                ...measures.flatMap((m) => (m.running ? [`Training ${m.name}`] : [])),
                'Validation loss',
                ...measures.map((m) => (m.running ? `Validation ${m.name}` : capital(m.name))),
                ...(dead ? ['Dead kernels'] : []),
                ...['Learning rate', 'Images a second'],
              ].map((h) => html`<th scope="col">${h}</th>`)}
            </tr>
          </thead>
          <tbody>
            ${history.map(
              (e) =>
                html`<tr class="${e.epoch === training.best && 'best'}">
                  <th scope="row">${e.epoch}${e.epoch === training.best && ' (best)'}</th>
                  <td>${e.train.loss.toFixed(4)}</td>
                  ${measures.map((m) => m.running && html`<td>${told(m, (e.train as ValidPhase)[m.key]!)}</td>`)}
                  <td>${e.valid.loss.toFixed(4)}</td>
                  ${measures.map((m) => html`<td>${told(m, e.valid[m.key]!)}</td>`)}
                  ${dead && html`<td>${percent(e.deadKernels!, 2)}</td>`}
                  <td>${number(e.lr)}</td>
                  <td>${count(Math.round(e.train.imagesPerSecond))}</td>
                </tr>`,
            )}
          </tbody>
        </table>`,
      )}
    </details>
  </section>`;
}

/** What a class is most often taken for. */
function takenFor({ confusion, classes }: Evaluation, c: number): Markup | string {
  const others = confusion[c]!.map((n, p) => ({ n: p === c ? 0 : n, p })).sort((a, b) => b.n - a.n);
  return others[0]!.n === 0 ? '' : html`${classes[others[0]!.p]!.label} <small>${others[0]!.n}</small>`;
}

export function classesSection(report: Report, evaluation: Evaluation | undefined): Markup {
  const { parts, classes } = report;
  const most = Math.max(1, ...parts.flatMap((p) => p.counts));
  const order = classes.map((_, c) => c);
  if (evaluation) order.sort((a, b) => evaluation.classes[a]!.f1 - evaluation.classes[b]!.f1 || a - b);
  return html`<section id="classes" aria-labelledby="classes-title">
    <h2 id="classes-title">Classes</h2>
    <p class="lead">
      ${imagesByPart(parts)} images of
      ${plural(classes.length, 'class', 'classes')}.${evaluation && ' Lowest F1 first.'}
    </p>
    ${scroll(
      'Figures by class',
      html`<table class="classes">
        <caption class="hidden">
          Images, precision, recall and F1 of each class
        </caption>
        <thead>
          <tr>
            <th scope="col">Class</th>
            ${evaluation && ['F1', 'Precision', 'Recall'].map((h) => html`<th scope="col">${h}</th>`)}
            ${evaluation && html`<th scope="col" class="text">Most often taken for</th>`}
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
                  bar(of.f1, percent(of.f1), 'score'),
                  html`<td>${percent(of.precision)}</td>
                    <td>${percent(of.recall)}</td>`,
                  html`<td class="text">${takenFor(evaluation, c)}</td>`,
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

export function mistakesSection(report: Report, evaluation: Evaluation): Markup | undefined {
  const { large, exact } = report.pictures;
  const wrong = mistakes(evaluation.judged);
  const shown = wrong.filter((m) => large.has(m.row));
  if (shown.length === 0) return undefined;
  const explained =
    exact === undefined
      ? 'This network has no activation maps: it does not end in a global average pooling and a head.'
      : `Beside each picture lies its class activation map: the glow is what spoke for the class it was taken for${exact ? '' : ', to first order (Grad-CAM: the head is not linear)'}.`;
  return html`<section id="mistakes" aria-labelledby="mistakes-title">
    <h2 id="mistakes-title">Worst mistakes</h2>
    <p class="lead">
      ${shown.length < wrong.length ? `The ${shown.length} of ${wrong.length} mistakes with the highest loss.` : `All ${plural(wrong.length, 'mistake')}, highest loss first.`}
      ${explained}
    </p>
    <ol class="mistakes">
      ${shown.map((m) => {
        const [label, predicted] = [report.classes[m.label]!, report.classes[m.predicted]!];
        const said = html`<p class="verdict"><b>${label}</b> taken for <b class="bad">${predicted}</b></p>
          <p class="about">${percent(m.probability)} sure, loss ${m.loss.toFixed(2)}</p>`;
        return worstPicture(report, m.row, `what spoke for ${predicted}`, said);
      })}
    </ol>
  </section>`;
}

export function calibrationSection({ calibration, judged }: Evaluation): Markup {
  const said = judged.reduce((a, j) => a + j.probability, 0) / judged.length;
  const right = judged.filter((j) => j.label === j.predicted).length / judged.length;
  const filled = calibration.bins.filter((b) => b.count > 0);
  return html`<section id="calibration" aria-labelledby="calibration-title">
    <h2 id="calibration-title">Calibration</h2>
    <div class="calibration">
      ${reliabilityDiagram(calibration)}
      <div>
        <p class="lead">
          Mean confidence ${percent(said)}, accuracy ${percent(right)}. The expected calibration error, the mean
          distance of the bars from the diagonal, is ${percent(calibration.ece)}. Pale bars hold few images.
        </p>
        <table class="numbers">
          <caption class="hidden">
            Accuracy by confidence
          </caption>
          <thead>
            <tr>
              <th scope="col">Confidence</th>
              <th scope="col">Images</th>
              <th scope="col">Mean</th>
              <th scope="col">Right</th>
            </tr>
          </thead>
          <tbody>
            ${filled.map(
              (b) =>
                html`<tr>
                  <th scope="row">${percent(b.low, 0)} to ${percent(b.high, 0)}</th>
                  <td>${count(b.count)}</td>
                  <td>${percent(b.confidence)}</td>
                  <td>${percent(b.accuracy)}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
    </div>
  </section>`;
}

export function detailsSection({ timings, settings, fingerprint }: Report): Markup {
  return html`<section id="details" aria-labelledby="details-title">
    <h2 id="details-title">Time, settings, data</h2>
    <div class="details">
      ${
        timings.length > 0 &&
        html`<table class="pairs">
          <caption>
            Time
          </caption>
          <tbody>
            ${timings.map(
              (t) =>
                html`<tr>
                  <th scope="row">${t.what}</th>
                  <td>${duration(t.seconds)}${t.note !== undefined && html` <small>${t.note}</small>`}</td>
                </tr>`,
            )}
          </tbody>
        </table>`
      }
      <table class="pairs">
        <caption>
          Settings
        </caption>
        <tbody>
          ${settings.map(
            ([name, value]) =>
              html`<tr>
                <th scope="row">${name}</th>
                <td>${value}</td>
              </tr>`,
          )}
          <tr>
            <th scope="row">data fingerprint</th>
            <td class="mono">${fingerprint}</td>
          </tr>
        </tbody>
      </table>
    </div>
  </section>`;
}
