// docs/claims.md and docs/claims.svg from the results: every number is of a training that was done, what was not is said.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { claimsPicture } from './claims-picture.js';
import { FACTORS, plan, SEEDS, SETTINGS } from './plan.js';
import { interval } from './results.js';

const docs = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '..', 'docs');
export const NAMES = { mobilenet_v1: 'V1', mobilenet_v2: 'V2' };
const PICTURES = { scratch: 'drawn scenes, from scratch', photographs: 'photographs, fine-tuned' };

/** A row of the table: a factor on a network and its pictures, with the results of its seeds. */
export function rowsOf(results) {
  const rows = new Map();
  for (const { pictures, arch, factor } of plan())
    rows.set([pictures, arch, factor].join(' '), { pictures, arch, factor });
  const order = Object.keys(FACTORS);
  return [...rows.values()]
    .map((row) => {
      const of = (precision) =>
        results.filter(
          (r) => ['pictures', 'arch', 'factor'].every((k) => r[k] === row[k]) && r.precision === precision,
        );
      return { ...row, float: of('float'), eight: of('8 bits') };
    })
    .sort(
      (a, b) =>
        b.pictures.localeCompare(a.pictures) ||
        a.arch.localeCompare(b.arch) ||
        order.indexOf(a.factor) - order.indexOf(b.factor),
    );
}

const percent = (v) => (100 * v).toFixed(Math.abs(v) < 0.0995 ? 1 : 0);
/** 'mean ± half' in percent; 'not run' and 'n of 3' where seeds are missing. */
function cell(results, of) {
  if (results.some((r) => r.diverged)) return 'diverged';
  const values = results.map(of).filter((v) => v !== undefined && v !== null);
  if (values.length < SEEDS.length) return values.length === 0 ? 'not run' : `${values.length} of ${SEEDS.length} run`;
  const { mean, half } = interval(values);
  return `${percent(mean)} ± ${percent(half)}`;
}

const COLUMNS = [
  ['accuracy', ({ float }) => cell(float, (r) => r.accuracy)],
  ['empty', ({ float }) => cell(float, (r) => r.dead?.empty)],
  ['never open', ({ float }) => cell(float, (r) => r.dead?.neverOpened)],
  ['closed', ({ float }) => cell(float, (r) => r.dead?.closed)],
  ['silent', ({ float }) => cell(float, (r) => r.dead?.silent)],
  ['vanished', ({ float }) => cell(float, (r) => r.dead?.vanished)],
  ['at 6', ({ float }) => cell(float, (r) => r.dead?.saturation)],
  ['rounded, a tensor', ({ float }) => cell(float, (r) => r.rounded?.perTensor)],
  ['rounded, a channel', ({ float }) => cell(float, (r) => r.rounded?.perChannel)],
  ['silent then', ({ float }) => cell(float, (r) => r.dead?.silentPerTensor)],
  ['trained in 8 bits', ({ eight }) => cell(eight, (r) => r.accuracy)],
  ['silent there', ({ eight }) => cell(eight, (r) => r.dead?.silent)],
];
/** ReLU has no 6. */
const shown = (row, name, text) => (name === 'at 6' && row.factor === 'relu' ? '' : text);

/** The difference of two rows' figures, seed by seed. */
function difference(a, b, of) {
  const pairs = SEEDS.flatMap((seed) => {
    const [x, y] = [a, b].map((results) => results.find((r) => r.seed === seed && !r.diverged));
    const [u, v] = [x && of(x), y && of(y)];
    return typeof u === 'number' && typeof v === 'number' ? [u - v] : [];
  });
  return pairs.length === SEEDS.length ? interval(pairs) : undefined;
}

/** 'by 3.1 ± 2.0 points', and whether zero is outside. */
const points = ({ mean, half }) => `${mean < 0 ? '-' : '+'}${percent(Math.abs(mean))} ± ${percent(half)} points`;
const sure = ({ mean, half }) => Math.abs(mean) > half;

/** What the numbers say of each claim, in sentences; a comparison without all of its seeds says nothing. */
export function sentences(results) {
  const rows = rowsOf(results);
  const find = (pictures, arch, factor) =>
    rows.find((r) => r.pictures === pictures && r.arch === arch && r.factor === factor);
  const said = [];
  const compare = (title, a, b, of) => {
    const d = a && b && difference(a, b, of);
    if (d && (d.mean !== 0 || d.half !== 0))
      said.push(`- ${title}: ${points(d)}${sure(d) ? '' : ', which these seeds do not tell from none'}.`);
  };
  for (const pictures of Object.keys(SETTINGS)) {
    for (const [arch, name] of Object.entries(NAMES)) {
      const base = find(pictures, arch, 'base');
      const where = `${name}, ${PICTURES[pictures]}`;
      for (const [factor, { said: what }] of Object.entries(FACTORS)) {
        const row = find(pictures, arch, factor);
        if (factor === 'base' || !row || !base) continue;
        compare(`${where}: silent channels with ${what} over the base`, row.float, base.float, (r) => r.dead?.silent);
        compare(`${where}: empty kernels with ${what} over the base`, row.float, base.float, (r) => r.dead?.empty);
      }
      const [spared, decay] = [find(pictures, arch, 'spared'), find(pictures, arch, 'decay')];
      compare(
        `${where}: accuracy when strong decay spares depthwise kernels`,
        spared?.float,
        decay?.float,
        (r) => r.accuracy,
      );
      for (const factor of ['base', 'relu', 'nonlinear', 'plain']) {
        const row = find(pictures, arch, factor);
        if (!row) continue;
        const what = FACTORS[factor].said;
        const lost = (scales) => (r) => r.rounded && r.rounded[scales] - r.accuracy;
        compare(
          `${where}, ${what}: accuracy after rounding, one scale a tensor`,
          row.float,
          row.float.map((r) => ({ ...r, rounded: undefined, zero: 0 })),
          (r) => r.zero ?? lost('perTensor')(r),
        );
        compare(`${where}, ${what}: accuracy trained in 8 bits over float32`, row.eight, row.float, (r) => r.accuracy);
      }
    }
  }
  return said;
}

/** Verdicts are of the author, on the results of the date they name; the numbers beside them are written anew. */
export function writeClaims(results, verdict) {
  const rows = rowsOf(results);
  const done = results.length;
  const all = plan().length;
  const tried = rows.filter((row) => row.float.length + row.eight.length > 0);
  const named = ({ pictures, arch, factor }) =>
    `${pictures === 'scratch' ? 'drawn' : 'photographs'} ${NAMES[arch]} ${FACTORS[factor].said}`;
  const untried = rows.filter((row) => !tried.includes(row)).map(named);
  const table = [
    ['pictures', 'network', 'factor', ...COLUMNS.map(([name]) => name)],
    ['---', '---', '---', ...COLUMNS.map(() => '---:')],
    ...tried.map((row) => [
      row.pictures === 'scratch' ? 'drawn' : 'photographs',
      NAMES[row.arch],
      FACTORS[row.factor].said,
      ...COLUMNS.map(([name, of]) => shown(row, name, of(row))),
    ]),
  ].map((cells) => `| ${cells.join(' | ')} |`);
  const text = [
    "# The tutorial's claims, measured",
    '',
    'Written by `npm run ablate`, which trains, keeps each finished training in a results file and writes this page. ' +
      `${done} of ${all} trainings are done; the rest is marked.`,
    '',
    ...(verdict.length > 0 ? [...verdict, ''] : []),
    '## The picture',
    '',
    '![Silent depthwise channels and accuracy by factor, with 95% intervals](claims.svg)',
    '',
    '## The table',
    '',
    'Percent, mean of three seeds and half of its 95% interval (Student). One factor at a time differs from the base. All figures are of the epoch that validated best, which flatters each row alike.',
    '',
    ...table,
    '',
    ...(untried.length > 0 ? [`Not run yet: ${untried.join('; ')}.`, ''] : []),
    ...settingsText(),
    '',
    '## The differences',
    '',
    'Seed by seed, with 95% intervals; three seeds see large effects alone.',
    '',
    ...sentences(results),
    '',
  ].join('\n');
  writeFileSync(path.join(docs, 'claims.md'), text);
  writeFileSync(path.join(docs, 'claims.svg'), claimsPicture(rows));
}

function settingsText() {
  const of = (pictures) => {
    const { data, model, train } = SETTINGS[pictures];
    return `${data.perClass} images of each of 21 classes at ${data.size} px, a third held back, width ${model.widthMult ?? 1}, ${train.epochs} epochs in batches of ${train.batchSize}, learning rate ${train.lr}, weight decay ${train.weightDecay}`;
  };
  return [
    `- Drawn: \`syntheticScenes\`, from scratch; ${of('scratch')}.`,
    `- Photographs: UC Merced from MNV2_DATA, V2 from \`mobilenet_v2_tfslim\`, V1 from \`mobilenet_v1_keras_partial\` with its last pointwise convolution fresh; ${of('photographs')}.`,
    "- The optimizer is the papers': RMSprop with decay 0.9, momentum 0.9 and epsilon 1.",
    '- Shares of all depthwise channels, as `mnv2-torch inspect` counts them: empty (norm below 0.01), never open (beta + 3|gamma| <= 0), closed (interval arithmetic), silent (zero on every validation image), vanished (variance below 1e-4). At 6: share of values that ReLU6 cuts off.',
    '- Rounded: weights with BatchNorm folded in to int8, one scale a tensor or a channel, and activations to uint8 by the ranges of 64 training images; nothing else is done to help. Silent then: with one scale a tensor.',
    '- Trained in 8 bits: weights and activations are rounded from the first step on, one scale a tensor, by the ranges of each batch (straight-through gradients); sums and gradients are float32. Silent there: with the weights it ended with, unrounded.',
  ];
}
