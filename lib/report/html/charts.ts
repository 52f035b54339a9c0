// Charts as SVG: lines over epochs, and the reliability diagram. Small enough to write out; each is named for those who
// do not see it, and stands beside a table of the same numbers.
import type { Calibration } from '../../infer/judged.js';
import { html, percent, type Markup } from './markup.js';

export interface Line {
  readonly name: string;
  /** class of the stylesheet that colours it: 'train', 'valid' or 'plain' */
  readonly tone: string;
  readonly values: readonly number[];
}

export interface LineChart {
  readonly title: string;
  readonly lines: readonly Line[];
  /** x of the first value */
  readonly first: number;
  /** x to mark */
  readonly mark?: number | undefined;
  readonly format: (value: number) => string;
  /** values are shares: the scale is in percent */
  readonly shares?: boolean;
}

const [WIDTH, HEIGHT] = [360, 210];
const BOX = { left: 46, right: 12, top: 14, bottom: 26 };

/** Up to five round numbers that cover a range. */
export function ticks(low: number, high: number): number[] {
  const span = high - low || Math.abs(high) || 1;
  const rough = span / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough)!;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: Math.max(last - first, 1) + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Digits after the point that a step of a scale needs: one for 2.5, none for 20. */
const digits = (step: number): number =>
  [0, 1, 2, 3].find((d) => Math.abs(step * 10 ** d - Math.round(step * 10 ** d)) < 1e-6) ?? 4;
const round = (v: number): string => String(Number(v.toFixed(2)));

/** Lines over epochs with a shared scale. */
export function lineChart({ title, lines, first, mark, format, shares = false }: LineChart): Markup {
  const all = lines.flatMap((l) => l.values).filter(Number.isFinite);
  const scale = ticks(Math.min(...all), Math.max(...all));
  const [low, high] = [scale[0]!, scale.at(-1)!];
  const label = shares ? (v: number): string => percent(v, digits(100 * (scale[1]! - low))) : format;
  const length = Math.max(...lines.map((l) => l.values.length));
  const x = (i: number): number => BOX.left + (WIDTH - BOX.left - BOX.right) * (length === 1 ? 0.5 : i / (length - 1));
  const y = (v: number): number => HEIGHT - BOX.bottom - ((HEIGHT - BOX.top - BOX.bottom) * (v - low)) / (high - low);
  const every = Math.max(1, Math.ceil(length / 8));
  const epochs = Array.from({ length }, (_, i) => i).filter((i) => i % every === 0);
  const summary = lines.map((l) => `${l.name} from ${format(l.values[0]!)} to ${format(l.values.at(-1)!)}`).join('; ');
  const marked = mark === undefined ? undefined : x(mark - first);
  return html`<figure class="chart">
    <figcaption>
      ${title}
      <span class="legend"
        >${lines.length > 1 && lines.map((l) => html`<span class="key ${l.tone}">${l.name}</span>`)}</span
      >
    </figcaption>
    <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title} by epoch: ${summary}">
      ${scale.map(
        (v) =>
          html`<line class="grid" x1="${BOX.left}" x2="${WIDTH - BOX.right}" y1="${round(y(v))}" y2="${round(y(v))}" />
            <text class="tick" x="${BOX.left - 8}" y="${round(y(v) + 3.5)}" text-anchor="end">${label(v)}</text>`,
      )}
      ${epochs.map(
        (i) => html`<text class="tick" x="${round(x(i))}" y="${HEIGHT - 8}" text-anchor="middle">${first + i}</text>`,
      )}
      ${
        marked !== undefined &&
        html`<line
          class="mark"
          x1="${round(marked)}"
          x2="${round(marked)}"
          y1="${BOX.top}"
          y2="${HEIGHT - BOX.bottom}"
        />`
      }
      ${lines.map((l) => {
        const points = l.values.map((v, i) => `${round(x(i))},${round(y(v))}`);
        return html`<polyline class="line ${l.tone}" points="${points.join(' ')}" /> ${l.values.map(
            (v, i) =>
              (length <= 40 || i === length - 1 || first + i === mark) &&
              html`<circle
                class="dot ${l.tone}"
                cx="${round(x(i))}"
                cy="${round(y(v))}"
                r="${first + i === mark ? 3.5 : 2}"
              >
                <title>epoch ${first + i}, ${l.name}: ${format(v)}</title>
              </circle>`,
          )}`;
      })}
    </svg>
  </figure>`;
}

/** Accuracy over confidence, a bar a bin; how many answers a bin holds is its opacity's and the table's matter. */
export function reliabilityDiagram({ bins, ece }: Calibration): Markup {
  const size = 240;
  const [left, top] = [40, 10];
  const at = (v: number): number => left + v * size;
  const up = (v: number): number => top + (1 - v) * size;
  const most = Math.max(...bins.map((b) => b.count));
  return html`<figure class="chart reliability">
    <figcaption>How often it is right, by how sure it is</figcaption>
    <svg
      viewBox="0 0 ${left + size + 12} ${top + size + 40}"
      role="img"
      aria-label="Reliability diagram: accuracy by confidence in ${bins.length} bins; the expected calibration error is ${percent(ece)}"
    >
      ${[0, 0.25, 0.5, 0.75, 1].map(
        (v) =>
          html`<line class="grid" x1="${left}" x2="${left + size}" y1="${up(v)}" y2="${up(v)}" />
            <text class="tick" x="${left - 8}" y="${up(v) + 3.5}" text-anchor="end">${percent(v, 0)}</text>
            <text class="tick" x="${at(v)}" y="${top + size + 16}" text-anchor="middle">${percent(v, 0)}</text>`,
      )}
      ${bins.map(
        (b) =>
          b.count > 0 &&
          html`<rect
              class="bin"
              x="${round(at(b.low) + 0.75)}"
              y="${round(up(b.accuracy))}"
              width="${round(size / bins.length - 1.5)}"
              height="${round(Math.max(b.accuracy * size, 1))}"
              style="--weight:${round(0.3 + 0.7 * Math.sqrt(b.count / most))}"
            >
              <title>
                ${percent(b.low, 0)} to ${percent(b.high, 0)} sure: ${percent(b.accuracy)} right of ${b.count}
              </title>
            </rect>
            <circle class="dot plain" cx="${round(at(b.confidence))}" cy="${round(up(b.accuracy))}" r="2.5" />`,
      )}
      <line class="ideal" x1="${at(0)}" y1="${up(0)}" x2="${at(1)}" y2="${up(1)}" />
      <text class="tick" x="${left + size / 2}" y="${top + size + 34}" text-anchor="middle">confidence</text>
    </svg>
  </figure>`;
}

/** Answers over truth, a dot each, both on one scale; on the dashed line they are equal. */
export function scatter({ title, points }: { title: string; points: readonly (readonly [number, number])[] }): Markup {
  const all = points.flat().filter(Number.isFinite);
  const scale = ticks(Math.min(...all), Math.max(...all));
  const [low, high] = [scale[0]!, scale.at(-1)!];
  const size = 240;
  const [left, top] = [56, 10];
  const at = (v: number): number => left + (size * (v - low)) / (high - low);
  const up = (v: number): number => top + size - (size * (v - low)) / (high - low);
  const label = (v: number): string => String(v);
  return html`<figure class="chart scatter">
    <figcaption>${title}</figcaption>
    <svg
      viewBox="0 0 ${left + size + 16} ${top + size + 40}"
      role="img"
      aria-label="${title}: answers over truth of ${points.length} images, both from ${low} to ${high}"
    >
      ${scale.map(
        (v) =>
          html`<line class="grid" x1="${left}" x2="${left + size}" y1="${round(up(v))}" y2="${round(up(v))}" />
            <text class="tick" x="${left - 8}" y="${round(up(v) + 3.5)}" text-anchor="end">${label(v)}</text>
            <text class="tick" x="${round(at(v))}" y="${top + size + 16}" text-anchor="middle">${label(v)}</text>`,
      )}
      <line class="ideal" x1="${at(low)}" y1="${up(low)}" x2="${at(high)}" y2="${up(high)}" />
      ${points.map(([x, y]) => html`<circle class="dot valid" cx="${round(at(x))}" cy="${round(up(y))}" r="2" opacity="0.55" />`)}
      <text class="tick" x="${left + size / 2}" y="${top + size + 34}" text-anchor="middle">truth</text>
    </svg>
  </figure>`;
}
