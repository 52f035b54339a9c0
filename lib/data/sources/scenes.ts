// Twenty-one kinds of aerial scene, drawn as SVG from a random stream. Owns the drawings; packing is synthetic.ts.
// Coordinates: a square of 256, seen from above, sun from the upper left. Class names follow UC Merced Land Use.
import type { Random } from '../../random.js';

type Draw = (r: Random) => string;

const n = (v: number): string => v.toFixed(1);
const rect = (x: number, y: number, w: number, h: number, fill: string, more = ''): string =>
  `<rect x="${n(x)}" y="${n(y)}" width="${n(w)}" height="${n(h)}" fill="${fill}" ${more}/>`;
const circle = (x: number, y: number, radius: number, fill: string, more = ''): string =>
  `<circle cx="${n(x)}" cy="${n(y)}" r="${n(radius)}" fill="${fill}" ${more}/>`;
const line = (x1: number, y1: number, x2: number, y2: number, color: string, width: number, more = ''): string =>
  `<line x1="${n(x1)}" y1="${n(y1)}" x2="${n(x2)}" y2="${n(y2)}" stroke="${color}" stroke-width="${n(width)}" ${more}/>`;
const path = (d: string, more: string): string => `<path d="${d}" ${more}/>`;
const group = (body: string, transform: string): string => `<g transform="${transform}">${body}</g>`;
const hsl = (h: number, s: number, l: number): string => `hsl(${n(h)},${n(s)}%,${n(l)}%)`;
const times = (count: number, draw: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => draw(i)).join('');
const over = (body: (at: number) => string, from: number, to: number, step: number): string =>
  times(Math.ceil((to - from) / step), (i) => body(from + i * step));

// --- materials: each draws its own shade, so that no class is a colour
const grass = (r: Random): string => hsl(r.between(70, 115), r.between(18, 42), r.between(30, 45));
const soil = (r: Random): string => hsl(r.between(25, 42), r.between(18, 40), r.between(45, 66));
const asphalt = (r: Random): string => hsl(r.between(200, 240), r.between(2, 8), r.between(34, 50));
const concrete = (r: Random): string => hsl(r.between(35, 60), r.between(3, 12), r.between(64, 80));
const water = (r: Random): string => hsl(r.between(175, 215), r.between(25, 55), r.between(22, 40));
const roof = (r: Random): string =>
  r.pick([
    hsl(r.between(8, 24), r.between(25, 45), r.between(42, 58)),
    hsl(r.between(25, 40), r.between(10, 25), r.between(52, 68)),
    hsl(r.between(200, 230), r.between(3, 10), r.between(48, 72)),
  ]);
const car = (r: Random): string =>
  r.pick(['#e8e8e8', '#f5f5f5', '#2b2b30', '#8d9096', '#7c1f1f', '#23456e', '#b9bcc0']);
const leaf = (r: Random): string => hsl(r.between(85, 130), r.between(20, 40), r.between(17, 30));

const ground = (fill: string): string => rect(-128, -128, 512, 512, fill);
/** Soft blotches, so that a surface is never one colour. */
const mottled = (r: Random, fill: string, spots = 14): string =>
  ground(fill) +
  times(spots, () =>
    circle(
      r.between(-20, 276),
      r.between(-20, 276),
      r.between(15, 60),
      r.chance(0.5) ? '#fff' : '#000',
      `opacity="${n(r.between(2, 7))}e-2"`,
    ),
  );
/** Anywhere, corners of a turned picture included. */
const anywhere = (r: Random): number => r.between(-55, 311);
const tree = (r: Random, x: number, y: number, radius: number): string =>
  circle(x + radius * 0.35, y + radius * 0.35, radius, '#000', 'opacity="0.35"') +
  circle(x, y, radius, leaf(r)) +
  circle(x - radius * 0.3, y - radius * 0.3, radius * 0.45, '#fff', 'opacity="0.1"');
/** A house seen from above: shadow, two roof faces, a ridge. */
const house = (r: Random, x: number, y: number, w: number, h: number, color = roof(r)): string =>
  rect(x + 4, y + 4, w, h, '#000', 'opacity="0.4"') +
  rect(x, y, w, h, color) +
  (w > h
    ? rect(x, y + h / 2, w, h / 2, '#000', 'opacity="0.18"')
    : rect(x + w / 2, y, w / 2, h, '#000', 'opacity="0.18"'));
const vehicle = (r: Random, x: number, y: number, w: number, h: number): string =>
  rect(x + 1, y + 1, w, h, '#000', 'opacity="0.35"') + rect(x, y, w, h, car(r), 'rx="1.5"');
/** A wavy line across the picture, starting at height y, as path data. */
function wave(r: Random, y: number, amplitude: number, slope = 0): string {
  const phase = r.between(0, 6.28);
  const length = r.between(60, 130);
  const points = Array.from({ length: 68 }, (_, i) => [
    i * 6 - 70,
    y + slope * i * 6 + amplitude * Math.sin((i * 18) / length + phase),
  ]);
  return `M${points.map(([a, b]) => `${n(a!)},${n(b!)}`).join('L')}`;
}

/** A street of lots: `lot` wide, houses of about `size`, `trees` a lot. The three densities of housing. */
function housing(r: Random, lot: number, size: number, trees: number, streets: number[]): string {
  const rows = (y: number, down: boolean): string =>
    over(
      (x) => {
        const [w, h] = [size * r.between(0.75, 1.1), size * r.between(0.65, 0.95)];
        const top = down ? y + r.between(6, 12) : y - h - r.between(6, 12);
        const drive = rect(x + lot * 0.62, down ? y : y - 12, lot * 0.13, 14, concrete(r));
        const around = times(Math.floor(trees) + (r.chance(trees % 1) ? 1 : 0), () =>
          tree(r, x + r.between(0, lot), down ? y + h + r.between(12, 30) : y - h - r.between(12, 30), r.between(4, 9)),
        );
        return drive + house(r, x + (lot - w) / 2, top, w, h) + around;
      },
      -lot * r.next() - 30,
      290,
      lot,
    );
  return (
    mottled(r, grass(r)) +
    streets
      .map(
        (y) =>
          rect(-60, y - 8, 380, 16, asphalt(r)) +
          rows(y + 8, true) +
          rows(y - 8, false) +
          (r.chance(0.7) ? vehicle(r, r.between(0, 240), y + 1, 10, 5) : ''),
      )
      .join('')
  );
}

function agricultural(r: Random): string {
  const color = r.chance(0.6) ? grass(r) : soil(r);
  const gap = r.between(5, 12);
  const dark = r.chance(0.5) ? soil(r) : hsl(r.between(80, 120), 30, 24);
  const rows = over(
    (y) => rect(-130, y, 520, gap * r.between(0.35, 0.5), dark, `opacity="${r.between(0.5, 0.9).toFixed(2)}"`),
    -130,
    390,
    gap,
  );
  const edge = r.chance(0.4) ? rect(-130, r.between(20, 240), 520, r.between(5, 10), soil(r)) : '';
  return mottled(r, color, 6) + rows + edge;
}

function plane(r: Random, s: number): string {
  const white = hsl(210, 6, r.between(86, 98));
  const body = `M0,${n(-s)}C${n(s * 0.16)},${n(-s * 0.8)} ${n(s * 0.15)},${n(s * 0.6)} ${n(s * 0.05)},${n(s)}L${n(-s * 0.05)},${n(s)}C${n(-s * 0.15)},${n(s * 0.6)} ${n(-s * 0.16)},${n(-s * 0.8)} 0,${n(-s)}Z`;
  const wings = `M${n(-s * 0.1)},${n(-s * 0.25)}L${n(-s * 1.05)},${n(s * 0.35)}L${n(-s * 1.05)},${n(s * 0.5)}L0,${n(s * 0.2)}L${n(s * 1.05)},${n(s * 0.5)}L${n(s * 1.05)},${n(s * 0.35)}L${n(s * 0.1)},${n(-s * 0.25)}Z`;
  const tail = `M0,${n(s * 0.65)}L${n(-s * 0.4)},${n(s * 0.95)}L${n(-s * 0.4)},${n(s * 1.03)}L0,${n(s * 0.92)}L${n(s * 0.4)},${n(s * 1.03)}L${n(s * 0.4)},${n(s * 0.95)}Z`;
  const shape = (fill: string, more = ''): string =>
    [wings, tail, body].map((d) => path(d, `fill="${fill}" ${more}`)).join('');
  return (
    group(shape('#000', 'opacity="0.4"'), `translate(${n(s * 0.12)},${n(s * 0.12)})`) +
    shape(white) +
    line(0, -s * 0.8, 0, s * 0.9, r.pick(['#33518a', '#a33', '#666']), s * 0.04)
  );
}
const airplane: Draw = (r) => {
  const apron =
    mottled(r, concrete(r)) +
    times(5, () => line(-60, r.between(0, 256), 320, r.between(0, 256), '#d8b93c', 1.5, 'opacity="0.6"'));
  const count = r.pick([1, 1, 2, 3]);
  const s = count === 1 ? r.between(58, 92) : r.between(34, 50);
  const at = r.chance(0.5) ? 0 : r.between(-25, 25);
  return (
    apron +
    times(count, (i) =>
      group(
        plane(r, s),
        `translate(${n(128 + (i - (count - 1) / 2) * s * 2.3 + r.between(-8, 8))},${n(128 + r.between(-25, 25))}) rotate(${n(at)})`,
      ),
    )
  );
};

const baseballdiamond: Draw = (r) => {
  const [s, x, y] = [r.between(100, 150), r.between(60, 100), r.between(150, 190)];
  const lawn = hsl(r.between(90, 115), r.between(32, 48), r.between(34, 44));
  const dirt = hsl(r.between(22, 34), r.between(35, 50), r.between(52, 64));
  const fan = (q: number, fill: string): string =>
    path(`M0,0L${n(q)},0A${n(q)},${n(q)} 0 0 0 0,${n(-q)}Z`, `fill="${fill}"`);
  const infield =
    fan(s * 0.62, dirt) +
    rect(s * 0.09, -s * 0.43, s * 0.34, s * 0.34, lawn) +
    circle(s * 0.26, -s * 0.26, s * 0.05, dirt) +
    circle(0, 0, s * 0.12, dirt);
  const lines = line(0, 0, s * 1.25, 0, '#f5f5f0', 1.6) + line(0, 0, 0, -s * 1.25, '#f5f5f0', 1.6);
  return (
    mottled(r, grass(r)) +
    group(fan(s * 1.3, lawn) + infield + lines, `translate(${n(x)},${n(y)})`) +
    times(3, () => tree(r, r.between(0, 256), r.between(215, 256), r.between(6, 11)))
  );
};

const beach: Draw = (r) => {
  const sand = hsl(r.between(36, 48), r.between(28, 45), r.between(70, 82));
  const shore = r.between(95, 160);
  const down = 'L340,400L-60,400Z';
  const sea = hsl(r.between(178, 205), r.between(38, 62), r.between(32, 48));
  const surf = (dy: number, width: number, opacity: number): string =>
    path(wave(r, shore + dy, 5), `fill="none" stroke="#fff" stroke-width="${n(width)}" opacity="${opacity}"`);
  return (
    mottled(r, sand) +
    path(`${wave(r, shore, 6)}${down}`, `fill="${hsl(185, 30, 62)}"`) +
    path(`${wave(r, shore + r.between(12, 28), 7)}${down}`, `fill="${sea}"`) +
    surf(2, 6, 0.85) +
    surf(r.between(16, 30), 4, 0.6) +
    surf(r.between(36, 56), 2.5, 0.35) +
    times(r.whole(0, 12), () =>
      circle(r.between(0, 256), r.between(10, shore - 20), 2.2, r.pick(['#c33', '#36c', '#eee', '#dc3'])),
    )
  );
};

const buildings: Draw = (r) => {
  const blocks = over(
    (x) =>
      over(
        (y) => {
          const [w, h] = [r.between(50, 80), r.between(46, 74)];
          const tall = r.between(8, 20);
          const top = hsl(r.between(20, 230), r.between(2, 12), r.between(58, 86));
          const units = times(r.whole(2, 5), () =>
            rect(
              x + r.between(6, w - 14),
              y + r.between(6, h - 12),
              r.between(4, 9),
              r.between(4, 8),
              '#555',
              'opacity="0.7"',
            ),
          );
          return (
            rect(x + tall, y + tall, w, h, '#000', 'opacity="0.5"') +
            rect(x, y, w, h, top) +
            rect(x + 3, y + 3, w - 6, h - 6, '#000', 'opacity="0.06"') +
            units
          );
        },
        -20,
        270,
        92,
      ),
    -25,
    280,
    98,
  );
  return (
    mottled(r, asphalt(r)) +
    rect(-60, 74, 380, 6, concrete(r)) +
    blocks +
    times(8, () => vehicle(r, r.between(0, 256), r.between(0, 256), 8, 4))
  );
};

const chaparral: Draw = (r) =>
  mottled(r, hsl(r.between(32, 50), r.between(18, 34), r.between(58, 72))) +
  times(r.whole(180, 300), () => {
    const [x, y, s] = [anywhere(r), anywhere(r), r.between(2.5, 7)];
    return (
      circle(x + 1.2, y + 1.2, s, '#000', 'opacity="0.3"') +
      circle(x, y, s, hsl(r.between(70, 105), r.between(12, 26), r.between(24, 36)))
    );
  });

const denseresidential: Draw = (r) =>
  housing(
    r,
    r.between(27, 32),
    r.between(23, 26),
    0.25,
    [20, 92, 164, 236].map((y) => y + r.between(-3, 3)),
  );
const mediumresidential: Draw = (r) =>
  housing(
    r,
    r.between(52, 62),
    r.between(34, 42),
    1.6,
    [58, 198].map((y) => y + r.between(-12, 12)),
  );
const sparseresidential: Draw = (r) => {
  const land =
    mottled(r, r.chance(0.5) ? grass(r) : soil(r)) +
    times(r.whole(34, 64), () => tree(r, anywhere(r), anywhere(r), r.between(5, 13)));
  const drive = path(wave(r, r.between(150, 220), 16), `fill="none" stroke="${concrete(r)}" stroke-width="7"`);
  const [x, y] = [r.between(70, 130), r.between(70, 120)];
  const pool = r.chance(0.5) ? rect(x + 62, y + 30, 20, 12, '#4fb6cf', 'rx="5"') : '';
  return land + drive + house(r, x, y, r.between(42, 56), r.between(30, 40)) + house(r, x + 14, y + 26, 26, 22) + pool;
};

const forest: Draw = (r) =>
  ground(hsl(110, 30, 13)) + times(r.whole(420, 540), () => tree(r, anywhere(r), anywhere(r), r.between(6, 15)));

const freeway: Draw = (r) => {
  const y = 128 + r.between(-14, 14);
  const deck = asphalt(r);
  const carriageway = (at: number): string =>
    rect(-130, at, 520, 44, deck) +
    [14.5, 29].map((d) => over((x) => rect(x, at + d, 8, 1.4, '#f4f4ee'), -130, 390, 18)).join('') +
    rect(-130, at + 1.5, 520, 1.4, '#e8d27a') +
    rect(-130, at + 41.5, 520, 1.4, '#f4f4ee') +
    times(r.whole(4, 8), () => vehicle(r, r.between(-20, 256), at + 4 + 14.5 * r.whole(0, 2), r.between(8, 17), 6));
  return (
    mottled(r, r.chance(0.5) ? grass(r) : soil(r)) +
    carriageway(y - 51) +
    rect(-130, y - 7, 520, 14, r.chance(0.5) ? grass(r) : concrete(r)) +
    carriageway(y + 7) +
    (r.chance(0.5) ? rect(-130, y + 74, 520, 12, deck) : '')
  );
};

const golfcourse: Draw = (r) => {
  const fairway = hsl(r.between(85, 110), r.between(35, 52), r.between(42, 52));
  const ways = times(2, (i) =>
    path(
      wave(r, 70 + i * 110, 22, r.between(-0.1, 0.1)),
      `fill="none" stroke="${fairway}" stroke-width="${n(r.between(44, 62))}" stroke-linecap="round"`,
    ),
  );
  const green = (x: number, y: number): string =>
    circle(x, y, r.between(17, 24), hsl(100, 50, 58)) + circle(x + 3, y - 3, 1.8, '#fff');
  const bunkers = times(r.whole(4, 7), () =>
    path(
      `M0,0q12,-14 24,-2t10,16t-24,4t-10,-18Z`,
      `fill="${hsl(44, 45, 82)}" transform="translate(${n(r.between(10, 220))},${n(r.between(20, 230))}) scale(${n(r.between(0.5, 1.1))})"`,
    ),
  );
  return (
    mottled(r, hsl(r.between(90, 115), r.between(28, 40), r.between(26, 33))) +
    ways +
    green(r.between(40, 210), r.between(50, 200)) +
    bunkers +
    times(r.whole(14, 30), () => tree(r, r.between(0, 256), r.between(0, 256), r.between(5, 11)))
  );
};

const boat = (x: number, y: number, w: number, h: number): string =>
  path(
    `M${n(x)},${n(y + h)}L${n(x)},${n(y + h * 0.35)}Q${n(x + w / 2)},${n(y - h * 0.2)} ${n(x + w)},${n(y + h * 0.35)}L${n(x + w)},${n(y + h)}Z`,
    'fill="#f4f4f2"',
  ) + rect(x + w * 0.25, y + h * 0.45, w * 0.5, h * 0.35, '#7d8b99');
const harbor: Draw = (r) => {
  const pier = concrete(r);
  const piers = over(
    (x) =>
      rect(x, -60, 9, 380, pier) +
      over(
        (y) => {
          const [w, h] = [r.between(9, 12), r.between(26, 34)];
          const right = r.chance(0.9)
            ? group(boat(0, 0, w, h), `translate(${n(x + 12)},${n(y + w)}) rotate(90) translate(${n(-w)},${n(-h)})`)
            : '';
          const left = r.chance(0.9)
            ? group(boat(0, 0, w, h), `translate(${n(x - 3)},${n(y)}) rotate(-90) translate(${n(-w)},${n(-h)})`)
            : '';
          return rect(x - 26, y - 2, 60, 1.6, pier) + left + right;
        },
        -30,
        290,
        16,
      ),
    r.between(-10, 20),
    290,
    r.between(84, 96),
  );
  return mottled(r, water(r)) + piers;
};

const intersection: Draw = (r) => {
  const deck = asphalt(r);
  const w = r.between(38, 54);
  const [x, y] = [128 + r.between(-18, 18), 128 + r.between(-18, 18)];
  const lanes = over((d) => rect(d, y - 0.8, 9, 1.6, '#f4e48a') + rect(x - 0.8, d, 1.6, 9, '#f4e48a'), -60, 320, 18);
  const stripes = over(
    (d) =>
      rect(x - w / 2 + d, y - w / 2 - 11, 3, 9, '#fff') +
      rect(x - w / 2 + d, y + w / 2 + 2, 3, 9, '#fff') +
      rect(x - w / 2 - 11, y - w / 2 + d, 9, 3, '#fff') +
      rect(x + w / 2 + 2, y - w / 2 + d, 9, 3, '#fff'),
    2,
    w - 2,
    6.5,
  );
  const corners = [
    [-1, -1],
    [1, -1],
    [-1, 1],
    [1, 1],
  ]
    .map(([a, b]) => {
      const [cx, cy] = [x + a! * (w / 2 + 52), y + b! * (w / 2 + 52)];
      return r.chance(0.65)
        ? house(r, cx - 32, cy - 28, 62, 54)
        : times(5, () => tree(r, cx + r.between(-35, 35), cy + r.between(-35, 35), r.between(6, 12)));
    })
    .join('');
  const middle = rect(x - w / 2, y - w / 2, w, w, deck);
  return (
    mottled(r, r.chance(0.5) ? concrete(r) : grass(r)) +
    corners +
    rect(-60, y - w / 2, 380, w, deck) +
    rect(x - w / 2, -60, w, 380, deck) +
    lanes +
    middle +
    stripes +
    times(7, () =>
      r.chance(0.5)
        ? vehicle(r, r.between(0, 256), y + r.pick([-w / 3, w / 6]), 11, 6)
        : vehicle(r, x + r.pick([-w / 3, w / 6]), r.between(0, 256), 6, 11),
    )
  );
};

const mobilehomepark: Draw = (r) => {
  const tilt = r.between(12, 24);
  const rows = over(
    (y) =>
      rect(-60, y + 50, 380, 11, asphalt(r)) +
      over(
        (x) =>
          group(
            rect(3, 3, 15, 46, '#000', 'opacity="0.35"') +
              rect(0, 0, 15, 46, hsl(r.between(30, 220), r.between(2, 14), r.between(72, 94))) +
              rect(7, 0, 1.2, 46, '#000', 'opacity="0.25"'),
            `translate(${n(x)},${n(y)}) skewX(${n(-tilt)})`,
          ) + (r.chance(0.3) ? tree(r, x + 24, y + 10, 4) : ''),
        -40,
        320,
        27,
      ),
    -70,
    300,
    63,
  );
  return mottled(r, hsl(40, 14, 54)) + rows;
};

const overpass: Draw = (r) => {
  const deck = asphalt(r);
  const [w1, w2] = [r.between(52, 70), r.between(46, 62)];
  const under =
    rect(-130, 128 - w1 / 2, 520, w1, deck) +
    over((x) => rect(x, 127, 9, 1.6, '#fff'), -130, 390, 18) +
    times(4, () => vehicle(r, r.between(0, 250), 128 + r.pick([-w1 / 3, w1 / 6]), 13, 6));
  const bridge =
    rect(128 + w2 / 2, -130, 12, 520, '#000', 'opacity="0.5"') +
    rect(128 - w2 / 2, -130, w2, 520, hsl(50, 5, r.between(62, 74))) +
    rect(128 - w2 / 2, -130, 3, 520, '#efefe8') +
    rect(125 + w2 / 2, -130, 3, 520, '#efefe8') +
    over((y) => rect(127, y, 1.8, 9, '#777'), -130, 390, 18) +
    times(4, () => vehicle(r, 128 + r.pick([-w2 / 3, w2 / 6]), r.between(0, 250), 6, 13));
  const ramp = r.chance(0.6) ? path('M-40,256Q90,240 100,120', `fill="none" stroke="${deck}" stroke-width="18"`) : '';
  return (
    mottled(r, r.chance(0.5) ? grass(r) : soil(r)) +
    ramp +
    under +
    group(bridge, `rotate(${n(r.between(-22, 22))} 128 128)`)
  );
};

const parkinglot: Draw = (r) => {
  const full = r.between(0.7, 0.97);
  const rows = over(
    (y) =>
      over(
        (x) =>
          rect(x, y, 0.9, 42, '#eee', 'opacity="0.8"') +
          [y + 2, y + 23].map((at) => (r.chance(full) ? vehicle(r, x + 2.4, at, 8.6, 17) : '')).join(''),
        -40,
        300,
        13.4,
      ) + rect(-40, y + 20.6, 340, 0.9, '#eee', 'opacity="0.8"'),
    r.between(-50, -10),
    290,
    r.between(64, 72),
  );
  return mottled(r, asphalt(r)) + rows;
};

const river: Draw = (r) => {
  const trees = times(r.whole(80, 180), () => tree(r, anywhere(r), anywhere(r), r.between(5, 12)));
  const d = wave(r, r.between(100, 156), r.between(20, 44), r.between(-0.12, 0.12));
  const width = r.between(42, 76);
  const stroke = (color: string, w: number): string =>
    path(d, `fill="none" stroke="${color}" stroke-width="${n(w)}" stroke-linejoin="round"`);
  return (
    mottled(r, grass(r)) +
    trees +
    stroke(soil(r), width + r.between(6, 16)) +
    stroke(water(r), width) +
    stroke('#fff', 2).replace('/>', ' opacity="0.12"/>')
  );
};

const runway: Draw = (r) => {
  const w = r.between(74, 104);
  const y = 128 + r.between(-16, 16);
  const deck = hsl(220, r.between(2, 6), r.between(40, 58));
  const keys = over((d) => rect(28, y - w / 2 + d, 42, 4.4, '#f6f6f2'), 8, w - 8, 9.4);
  const centre = over((x) => rect(x, y - 1.6, 26, 3.2, '#f6f6f2'), 92, 320, 44);
  const rubber = times(4, () =>
    rect(r.between(70, 120), y + r.between(-14, 12), r.between(70, 130), 2.5, '#111', 'opacity="0.3"'),
  );
  return (
    mottled(r, r.chance(0.5) ? grass(r) : soil(r)) +
    rect(-130, y - w / 2, 520, w, deck) +
    rect(-130, y - w / 2 + 2, 520, 1.8, '#f6f6f2') +
    rect(-130, y + w / 2 - 4, 520, 1.8, '#f6f6f2') +
    rubber +
    (r.chance(0.75) ? keys : '') +
    centre
  );
};

const storagetanks: Draw = (r) => {
  const radius = r.between(24, 46);
  const gap = radius * r.between(2.4, 2.8);
  const tank = (x: number, y: number): string => {
    const s = radius * r.between(0.85, 1.05);
    const top = hsl(r.between(30, 210), r.between(2, 10), r.between(76, 95));
    return (
      circle(x + s * 0.32, y + s * 0.32, s, '#000', 'opacity="0.45"') +
      circle(x, y, s, top) +
      circle(x, y, s * 0.93, 'none', 'stroke="#999" stroke-width="1.5"') +
      path(
        `M${n(x)},${n(y)}L${n(x + s)},${n(y)}A${n(s)},${n(s)} 0 0 1 ${n(x - s * 0.5)},${n(y + s * 0.87)}Z`,
        'fill="#000" opacity="0.1"',
      ) +
      line(x, y, x + s * 0.8, y - s * 0.5, '#888', 2)
    );
  };
  const [ox, oy] = [r.between(0, gap), r.between(0, gap)];
  return (
    mottled(r, r.chance(0.6) ? soil(r) : concrete(r)) +
    over((x) => line(x + gap / 2, -60, x + gap / 2, 320, '#8a8378', 4), ox - gap, 290, gap) +
    over((x) => over((y) => (r.chance(0.88) ? tank(x, y) : ''), oy - gap, 290, gap), ox - gap, 290, gap)
  );
};

const tenniscourt: Draw = (r) => {
  const inner = r.pick([hsl(205, 45, 42), hsl(130, 32, 36), hsl(150, 30, 40), hsl(12, 42, 46)]);
  const outer = r.pick([hsl(130, 30, 34), hsl(14, 40, 48), hsl(95, 20, 44)]);
  const court = (x: number, y: number, s: number): string => {
    const box = (a: number, b: number, w: number, h: number): string =>
      rect(x + a * s, y + b * s, w * s, h * s, 'none', 'stroke="#f7f7f2" stroke-width="1.7"');
    return (
      rect(x - 10 * s, y - 14 * s, 56 * s, 106 * s, outer) +
      rect(x, y, 36 * s, 78 * s, inner) +
      box(0, 0, 36, 78) +
      box(4.5, 0, 27, 78) +
      box(4.5, 18, 27, 42) +
      line(x + 18 * s, y + 18 * s, x + 18 * s, y + 60 * s, '#f7f7f2', 1.7) +
      line(x - 3 * s, y + 39 * s, x + 39 * s, y + 39 * s, '#222', 2.2)
    );
  };
  const s = r.between(1.25, 1.75);
  const count = r.pick([1, 2, 2, 3]);
  const wide = 56 * s;
  return (
    mottled(r, r.chance(0.7) ? grass(r) : concrete(r)) +
    times(count, (i) => court(128 - (count * wide) / 2 + i * wide + 10 * s, 128 - 39 * s + r.between(-2, 2), s)) +
    times(5, () => tree(r, r.between(0, 256), r.pick([r.between(0, 22), r.between(236, 256)]), r.between(6, 11)))
  );
};

/** By class name, sorted. */
export const SCENES: Readonly<Record<string, Draw>> = {
  agricultural,
  airplane,
  baseballdiamond,
  beach,
  buildings,
  chaparral,
  denseresidential,
  forest,
  freeway,
  golfcourse,
  harbor,
  intersection,
  mediumresidential,
  mobilehomepark,
  overpass,
  parkinglot,
  river,
  runway,
  sparseresidential,
  storagetanks,
  tenniscourt,
};

/**
 * One picture as SVG, `size` pixels square: turned to any direction, lit and hazed by chance, with fine grain.
 * @param name a key of SCENES
 */
export function sceneSvg(name: string, r: Random, size: number): string {
  const scale = r.between(0.9, 1.2);
  const turned = group(
    SCENES[name]!(r),
    `translate(128,128) rotate(${n(r.between(0, 360))}) scale(${scale.toFixed(2)}) translate(-128,-128)`,
  );
  const haze = r.chance(0.5)
    ? rect(0, 0, 256, 256, r.chance(0.5) ? '#fff4d8' : '#cfe0f2', `opacity="${r.between(0.02, 0.12).toFixed(2)}"`)
    : '';
  const shade = r.chance(0.4) ? rect(0, 0, 256, 256, '#000', `opacity="${r.between(0.03, 0.15).toFixed(2)}"`) : '';
  const grain = `<filter id="g" x="0" y="0" width="100%" height="100%"><feTurbulence type="fractalNoise" baseFrequency="${r.between(0.25, 0.5).toFixed(2)}" numOctaves="2" seed="${r.whole(1, 9999)}"/><feColorMatrix values="0 0 0 0 0.5  0 0 0 0 0.5  0 0 0 0 0.5  0.5 0.5 0 0 -0.36"/></filter>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}" viewBox="0 0 256 256">${grain}${turned}<rect width="256" height="256" filter="url(#g)" opacity="0.55"/>${haze}${shade}</svg>`;
}
