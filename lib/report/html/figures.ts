// Figures as all pages show them: the few a reader wants first, and tables of the rest.
import type { Figure } from './data.js';
import { html, scroll, type Markup, type Piece } from './markup.js';

/** Name, value and what more there is to say of each. */
export const figureList = (figures: readonly Readonly<Figure>[]): Markup =>
  html`<dl class="figures">
    ${figures.map(
      ([name, value, more]) =>
        html`<div>
          <dt>${name}</dt>
          <dd><strong>${value}</strong><span>${more}</span></dd>
        </div>`,
    )}
  </dl>`;

/** A table whose rows begin with their name. `caption`: for those who hear it, besides the label of what scrolls. */
export function figureTable(
  label: string,
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
  caption?: string,
): Markup {
  const cells = ([first, ...others]: readonly (string | number)[]): Piece => [
    html`<th scope="row">${first}</th>`,
    others.map((cell) => html`<td>${cell}</td>`),
  ];
  return scroll(
    label,
    html`<table class="numbers">
      ${
        caption !== undefined &&
        html`<caption class="hidden">
          ${caption}
        </caption>`
      }
      <thead>
        <tr>
          ${head.map((h) => html`<th scope="col">${h}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) =>
            html`<tr>
              ${cells(row)}
            </tr>`,
        )}
      </tbody>
    </table>`,
  );
}
