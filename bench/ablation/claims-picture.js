// The ablation as an SVG that follows the reader's colours: a line a row, its silent channels and its accuracy with intervals.
import { FACTORS, SEEDS } from './plan.js';
import { interval } from './results.js';

const [ROW, LEFT, WIDE, GAP] = [20, 370, 250, 60];
const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #1f1e1b; } .soft { fill: #625e56; } line { stroke: #625e56; stroke-width: 1.5; }
  .grid { stroke: #e5e1d8; stroke-width: 1; } .float { fill: #1a6a94; } .eight { fill: #b4560a; }
  @media (prefers-color-scheme: dark) { text { fill: #ebe8e1; } .soft { fill: #a8a297; } line { stroke: #a8a297; }
    .grid { stroke: #35322d; } .float { fill: #74bbe2; } .eight { fill: #f0a05a; } }`;

const whole = (results, of) => {
  const values = results.filter((r) => !r.diverged).map(of);
  return values.length === SEEDS.length ? interval(values) : undefined;
};
const escaped = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');

export function claimsPicture(rows) {
  const drawn = rows.filter((r) => whole(r.float, (x) => x.accuracy));
  const height = 70 + ROW * drawn.length;
  const largest = Math.max(
    0.05,
    ...drawn.flatMap((r) => [r.float, r.eight].map((of) => whole(of, (x) => x.dead.silent)?.mean ?? 0)),
  );
  const scales = [
    { at: LEFT, most: Math.ceil(largest * 20) / 20, of: (r) => r.dead.silent, title: 'silent depthwise channels' },
    { at: LEFT + WIDE + GAP, most: 1, of: (r) => r.accuracy, title: 'accuracy' },
  ];
  const parts = scales.flatMap(({ at, most, title }) => [
    `<text x="${at}" y="18">${title}</text>`,
    ...[0, 0.5, 1].flatMap((share) => {
      const x = at + share * WIDE;
      return [
        `<line class="grid" x1="${x}" x2="${x}" y1="26" y2="${height - 40}"/>`,
        `<text class="soft" x="${x}" y="${height - 24}" text-anchor="middle">${Number((100 * share * most).toFixed(1))}%</text>`,
      ];
    }),
  ]);
  drawn.forEach((row, i) => {
    const y = 38 + i * ROW;
    const name = `${row.pictures === 'scratch' ? 'drawn' : 'photographs'}, ${row.arch.endsWith('1') ? 'V1' : 'V2'}: ${FACTORS[row.factor].said}`;
    parts.push(`<text x="0" y="${y + 4}">${escaped(name)}</text>`);
    for (const { at, most, of } of scales) {
      for (const [tone, results, shift] of [
        ['float', row.float, -3],
        ['eight', row.eight, 4],
      ]) {
        const found = whole(results, of);
        if (!found) continue;
        const x = (v) => (at + WIDE * Math.min(Math.max(v / most, 0), 1)).toFixed(1);
        parts.push(
          `<line x1="${x(found.mean - found.half)}" x2="${x(found.mean + found.half)}" y1="${y + shift}" y2="${y + shift}"/>`,
          `<circle class="${tone}" cx="${x(found.mean)}" cy="${y + shift}" r="3.5"/>`,
        );
      }
    }
  });
  parts.push(
    `<circle class="float" cx="${LEFT + 6}" cy="${height - 8}" r="3.5"/><text x="${LEFT + 16}" y="${height - 4}">trained in float32</text>`,
    `<circle class="eight" cx="${LEFT + 146}" cy="${height - 8}" r="3.5"/><text x="${LEFT + 156}" y="${height - 4}">trained in 8 bits</text>`,
  );
  const width = LEFT + 2 * WIDE + GAP + 30;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="Silent depthwise channels and accuracy by factor, means of three seeds with 95% intervals"><style>${STYLE}</style>\n${parts.join('\n')}\n</svg>\n`;
}
