// The page of a report: what stands on it, in order. One file that loads nothing; its policy would stop it from trying.
import { createHash } from 'node:crypto';
import type { Report } from './data.js';
import { confusionSection } from './confusion.js';
import { count, html, plural } from './markup.js';
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
    ${findingsSection(report)} ${curvesSection(report)} ${evaluation && confusionSection(report, evaluation)}
    ${evaluation && mistakesSection(report, evaluation)} ${classesSection(report)}
    ${evaluation && calibrationSection(evaluation)} ${detailsSection(report)}`,
    footer: html`<p>
      ${embedded > 0 && `${count(pictures.thumbnails.size)} small and ${count(pictures.large.size)} large pictures are part of this file; it loads nothing. `}Made
      by mnv2-torch.
    </p>`,
  });
}
