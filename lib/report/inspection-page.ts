// The page of an inspection: one file that loads nothing, with the looks of a training's report.
import path from 'node:path';
import type { DepthwiseState, Inspection } from '../inspect/result.js';
import type { Figure } from './html/data.js';
import { figureList, figureTable } from './html/figures.js';
import { count, html, percent, plural, type Markup } from './html/markup.js';
import { page } from './html/shell.js';
import { COLUMNS } from './inspection-text.js';
import { kernelPicture } from './kernel-pictures.js';

const cell = (value: readonly number[] | number | null): string =>
  value === null ? '–' : count(typeof value === 'number' ? value : value.length);
const share = (value: number | null): string => (value === null ? '–' : percent(value));
const ratio = (value: number | null): string => (value === null ? '–' : value.toFixed(1));

function keyFigures({ channels, depthwise, totals, images }: Inspection): Markup {
  const figures: Figure[] = [
    ['Depthwise kernels', count(channels), plural(depthwise.length, 'layer')],
    ['Empty', count(totals.empty), percent(totals.empty / channels)],
    ['Never open', cell(totals.neverOpened), 'beta + 3 |gamma| at most 0'],
    images > 0
      ? ['Silent', cell(totals.silent), `zero on ${plural(images, 'image')}`]
      : ['Closed', cell(totals.closed), 'by interval arithmetic'],
    [
      'Emptied by int8',
      count(totals.int8.perTensor.empty),
      `one scale a tensor; a channel: ${totals.int8.perChannel.empty}`,
    ],
  ];
  return figureList(figures);
}

function layersTable({ depthwise, images }: Inspection): Markup {
  const seen = images > 0;
  const state = ({ closed, silent, saturation }: DepthwiseState): string[] => [
    cell(closed),
    ...(seen ? [cell(silent), share(saturation)] : []),
  ];
  const names = ['Closed', ...(seen ? ['Silent', 'At 6'] : [])];
  const rounded = ['Empty', ...names];
  const label = 'Figures by layer';
  return figureTable(
    label,
    [
      ...['Layer', 'Kernels', 'Empty', 'Vanished', 'Never open', ...names, 'Range'],
      ...rounded.map((name) => `${name}, int8 a tensor`),
      ...rounded.map((name) => `${name}, int8 a channel`),
    ],
    depthwise.map((l) => [
      ...[l.layer, count(l.channels), cell(l.empty), cell(l.vanished), cell(l.neverOpened), ...state(l)],
      ratio(l.rangeRatio),
      ...[l.int8.perTensor, l.int8.perChannel].flatMap((of) => [cell(of.empty), ...state(of)]),
    ]),
    label,
  );
}

function pointwiseTable({ pointwise }: Inspection): Markup {
  const label = 'Effective ranks by layer';
  return figureTable(
    label,
    [
      'Layer',
      'Inputs',
      'Outputs',
      'Effective rank',
      'Of full rank',
      'Range',
      'Rank, int8 a tensor',
      'Rank, int8 a channel',
    ],
    pointwise.map((p) => [
      ...[p.layer, count(p.inputs), count(p.outputs), p.effectiveRank.toFixed(1)],
      ...[percent(p.effectiveRank / Math.min(p.inputs, p.outputs)), ratio(p.rangeRatio)],
      ...[p.int8.perTensor, p.int8.perChannel].map((of) => of.effectiveRank.toFixed(1)),
    ]),
    label,
  );
}

/** Renders an inspection. */
export async function inspectionPage(found: Inspection): Promise<string> {
  const { file, arch, depthwise, advice, notes, images } = found;
  const pictures: Markup[] = [];
  for (const layer of depthwise) pictures.push(await kernelPicture(layer));
  const title = `Inspection of ${file === null ? arch : path.basename(file)}`;
  return page({
    title,
    header: html`<h1>${title}</h1>
      <p>${arch}${images > 0 && `, on ${plural(images, 'image')}`}</p>`,
    main: html`${keyFigures(found)}
      <section aria-labelledby="advice">
        <h2 id="advice">What to do</h2>
        <ul class="findings">
          ${[advice, ...notes].map((text) => html`<li>${text}</li>`)}
        </ul>
      </section>
      <section aria-labelledby="layers">
        <h2 id="layers">Depthwise layers</h2>
        ${layersTable(found)}
      </section>
      <section aria-labelledby="kernels">
        <h2 id="kernels">Every depthwise kernel</h2>
        <p class="lead">
          A square a weight: orange above zero, blue below, clear at zero, full from the median kernel's largest on.
          Framed are channels that are dead: filled where the kernel is empty, a whole line where the activation never
          opens or is closed, a dashed one where it is silent on the images.
        </p>
        ${pictures}
      </section>
      <section aria-labelledby="pointwise">
        <h2 id="pointwise">Pointwise layers</h2>
        ${pointwiseTable(found)}
      </section>
      <section aria-labelledby="columns">
        <h2 id="columns">What the columns mean</h2>
        <table class="pairs">
          <tbody>
            ${COLUMNS.map(
              ([name, meaning]) =>
                html`<tr>
                  <th scope="row">${name}</th>
                  <td>${meaning}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </section>`,
    footer: html`<p>Made by mnv2-torch.</p>`,
  });
}
