// What every page has around its sections: a head that lets nothing be loaded, the looks, the landmarks.
import { html, Markup, type Piece } from './markup.js';
import { STYLE } from './style.js';

/** Pictures are data: URLs; nothing is loaded from anywhere. */
const POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

export interface Shell {
  title: string;
  header: Piece;
  main: Piece;
  footer: Piece;
  /** the one script that may run, and its SHA-256 in base64 */
  script?: { text: string; digest: string };
}

/** A whole page, as text. */
export function page({ title, header, main, footer, script }: Shell): string {
  const policy = script ? `${POLICY}; script-src 'sha256-${script.digest}'` : POLICY;
  return String(
    html`<!doctype html>
      <html lang="en">
        <head>
          <meta charset="utf-8" />
          <meta http-equiv="Content-Security-Policy" content="${new Markup(policy)}" />
          <meta name="viewport" content="width=device-width, initial-scale=1" />
          <meta name="color-scheme" content="light dark" />
          <meta name="generator" content="mnv2-torch" />
          <link rel="icon" href="data:," />
          <title>${title}</title>
          <style>
            ${new Markup(STYLE)}
          </style>
        </head>
        <body>
          <a class="skip" href="#main">Skip to the figures</a>
          <header>${header}</header>
          <main id="main">${main}</main>
          <footer>${footer}</footer>
          ${script && new Markup(`<script>${script.text}</script>`)}
        </body>
      </html> `,
  );
}
