// The page of a report: what stands on it, in order. One file that loads nothing; its policy would stop it from trying.
import { createHash } from 'node:crypto';
import { isMulticlass, type AnyEvaluation } from '../../infer/evaluation.js';
import type { MultilabelEvaluation } from '../../infer/multilabel.js';
import type { RegressionEvaluation } from '../../infer/regression.js';
import type { Report } from './data.js';
import { confusionSection } from './confusion.js';
import { labelMistakesSection, labelsSection } from './labels.js';
import { count, html, plural, type Piece } from './markup.js';
import { furthestSection, numbersSection } from './numbers.js';
import { SCRIPT } from './script.js';
import {
  calibrationSection,
  classesSection,
  curvesSection,
  detailsSection,
  findingsSection,
  keyFigures,
  mistakesSection,
} from './sections.js';
import { page } from './shell.js';

const script = { text: SCRIPT, digest: createHash('sha256').update(SCRIPT).digest('base64') };

const STATES = { running: 'in training', done: 'done', stopped: 'stopped', failed: 'failed', diverged: 'diverged' };

function status({ training }: Report): string {
  if (!training) return '';
  const { state, history, epochs } = training;
  return `${STATES[state]}${state === 'done' ? '' : `, ${history.length} of ${plural(epochs, 'epoch')}`}`;
}

/** What the network answered, as its task has it. */
function answered(report: Report): Piece {
  const { evaluation, task } = report;
  const of = <T extends AnyEvaluation>(is: (e: AnyEvaluation) => e is T): T | undefined =>
    evaluation && is(evaluation) ? evaluation : undefined;
  if (task === 'multilabel') {
    const labels = of((e): e is MultilabelEvaluation => 'task' in e && e.task === 'multilabel');
    return [labels && labelMistakesSection(report, labels), labelsSection(report, labels)];
  }
  if (task === 'regression') {
    const numbers = of((e): e is RegressionEvaluation => 'task' in e && e.task === 'regression');
    return [numbersSection(report, numbers), numbers && furthestSection(report, numbers)];
  }
  const classes = of(isMulticlass);
  return [
    classes && confusionSection(report, classes),
    classes && mistakesSection(report, classes),
    classesSection(report, classes),
    classes && calibrationSection(classes),
  ];
}

/** Renders a report; equal reports give equal bytes. */
export function renderPage(report: Report): string {
  const { title, subtitle, training, evaluation, judgedOn, pictures, written } = report;
  const when = `${written.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  const state = status(report);
  const embedded = pictures.thumbnails.size + 2 * pictures.large.size;
  return page({
    title,
    script,
    header: html`<h1>${title}</h1>
      <p>${subtitle}</p>
      <p class="when">
        ${state !== '' && html`<span class="state ${training?.state}">${state}</span> `}Written
        ${when}${training?.state === 'running' && '; load it again for newer figures'}.
      </p>`,
    main: html`${keyFigures(report)} ${training && evaluation && html`<p class="judged">Of ${judgedOn}.</p>`}
    ${findingsSection(report)} ${curvesSection(report)} ${answered(report)} ${detailsSection(report)}`,
    footer: html`<p>
      ${embedded > 0 && `${count(pictures.thumbnails.size)} small and ${count(pictures.large.size)} large pictures are part of this file; it loads nothing. `}Made
      by mnv2-torch.
    </p>`,
  });
}
