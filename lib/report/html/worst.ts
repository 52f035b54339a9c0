// One of a report's worst pictures: the picture, what the network looked at beside it, and what is said of it.
import type { Report } from './data.js';
import { html, type Markup } from './markup.js';

/** @param seen what the map beside the picture shows, for those who do not see it */
export function worstPicture({ pictures, files }: Report, row: number, seen: string, said: Markup): Markup {
  const { plain, explained } = pictures.large.get(row)!;
  const file = files[row]!;
  return html`<li>
    <div class="pair">
      <img src="${plain}" alt="${file}" width="160" height="160" />
      ${explained !== undefined && html`<img src="${explained}" alt="the same with ${seen}" width="160" height="160" />`}
    </div>
    ${said}
    <p class="about file" title="${file}">${file}</p>
  </li>`;
}
