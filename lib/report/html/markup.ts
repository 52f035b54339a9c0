// HTML from templates in which every value is text unless it was made by one: what users named cannot become markup.

/** Finished markup. */
export class Markup {
  constructor(private readonly text: string) {}
  toString(): string {
    return this.text;
  }
}

/** What a template takes: text and numbers are escaped, lists joined, `undefined` and `false` left out. */
export type Piece = Markup | string | number | undefined | false | readonly Piece[];

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escaped = (text: string): string => text.replace(/[&<>"']/g, (c) => ESCAPES[c]!);

function written(piece: Piece): string {
  if (piece === undefined || piece === false) return '';
  if (piece instanceof Markup) return String(piece);
  if (typeof piece === 'object') return piece.map(written).join('');
  return escaped(String(piece));
}

/** A piece of a page; attributes that take values must be quoted. */
export function html(strings: TemplateStringsArray, ...values: Piece[]): Markup {
  return new Markup(strings.reduce((text, next, i) => text + written(values[i - 1]) + next));
}

/** Data for a script, as the content of a <script type="application/json">: no character in it can end that. */
export function json(value: unknown): Markup {
  const unsafe = /[<>&\u2028\u2029]/g;
  return new Markup(
    JSON.stringify(value).replace(unsafe, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
}

export const percent = (share: number, digits = 1): string => `${(100 * share).toFixed(digits)}%`;
export const count = (n: number): string => n.toLocaleString('en-US');
export const plural = (n: number, one: string, many = `${one}s`): string => `${count(n)} ${n === 1 ? one : many}`;

/** 0.0123 s -> '12 ms', 75 -> '1 min 15 s'. */
export function duration(seconds: number): string {
  if (seconds < 0.1) return `${(1000 * seconds).toPrecision(2)} ms`;
  if (seconds < 60) return `${seconds.toPrecision(seconds < 10 ? 2 : 3)} s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  const rest = Math.round(seconds) % 60;
  return minutes < 60 ? `${minutes} min ${rest} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Three digits that count. */
export const number = (value: number): string =>
  value === 0 ? '0' : Math.abs(value) < 1e-4 ? value.toExponential(1) : String(Number(value.toPrecision(3)));

/** A table that scrolls by itself where the page is narrow. */
export const scroll = (label: string, table: Markup): Markup =>
  html`<div class="scroll" tabindex="0" role="region" aria-label="${label}">${table}</div>`;

/** A title; names such as mAP stay. */
export const capital = (text: string): string => text.replace(/^[a-z](?![A-Z])/, (first) => first.toUpperCase());

/** A number over a bar as long as its share. */
export const bar = (share: number, text: string, tone: string): Markup =>
  html`<td class="bar ${tone}" style="--share:${share.toFixed(4)}"><span>${text}</span></td>`;
