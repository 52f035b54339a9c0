// An inspection as text: a line a layer, what the columns mean, and what to do.
import { EMPTY, SIGMAS, VANISHED } from '../inspect/dead.js';
import type { DepthwiseState, Inspection } from '../inspect/result.js';
import { columns } from './columns.js';

const NONE = '-';
const counted = (list: readonly number[] | number | null): string =>
  list === null ? NONE : String(typeof list === 'number' ? list : list.length);
const percent = (share: number | null): string => (share === null ? NONE : `${(100 * share).toFixed(1)}%`);
const ratio = (of: number | null): string => (of === null ? NONE : of >= 1000 ? of.toExponential(1) : of.toFixed(1));

/** The first column to the left, the others to the right. */
const table = (rows: readonly (readonly string[])[]): string[] => columns(rows, (column) => column > 0);

/** What the columns of an inspection mean, for those who read it as text or on the page. */
export const COLUMNS: readonly (readonly [name: string, meaning: string])[] = [
  ['empty', `kernels of norm below ${EMPTY}; in int8: all zeros`],
  ['vanished', `BatchNorm's running variance is below ${VANISHED}`],
  [
    'never open',
    `beta + ${SIGMAS} |gamma| <= 0 (hard swish: -3): ${SIGMAS} standard deviations do not open the activation`,
  ],
  ['closed', 'zero whatever the image shows, by interval arithmetic from the range of pixels on'],
  ['silent', 'zero on all of the images'],
  ['at 6', 'share of values that ReLU6 cuts off, on the images'],
  ['range', "largest weight over the median channel's largest, BatchNorm folded in"],
  ['int8', 'of the weights, BatchNorm folded in, at 8 bits: one scale a tensor / one a channel'],
  ['effective rank', 'exp of the entropy of the singular values (Roy and Vetterli 2007), BatchNorm folded in'],
];

/** Figures once for a scale a tensor and once for a scale a channel. */
const both = <T>({ perTensor, perChannel }: Readonly<Record<'perTensor' | 'perChannel', T>>, of: (one: T) => string) =>
  `${of(perTensor)}/${of(perChannel)}`;

/** The inspection as a person reads it in a terminal. */
export function inspectionText(found: Inspection): string {
  const { arch, channels, depthwise, pointwise, totals, images, notes, advice } = found;
  const seen = images > 0;
  const cells = (of: { [K in keyof DepthwiseState]: DepthwiseState[K] | number }): string[] => [
    counted(of.closed),
    ...(seen ? [counted(of.silent), percent(of.saturation)] : []),
  ];
  const names = ['closed', ...(seen ? ['silent', 'at 6'] : [])];
  const line = (
    name: string,
    layer: (typeof totals & { channels: number; rangeRatio: number | null }) | (typeof depthwise)[number],
  ): string[] => [
    name,
    String(layer.channels),
    counted(layer.empty),
    counted(layer.vanished),
    counted(layer.neverOpened),
    ...cells(layer),
    ratio(layer.rangeRatio),
    both<{ empty: readonly number[] | number }>(layer.int8, (s) => counted(s.empty)),
    both<{ closed: readonly number[] | number | null }>(layer.int8, (s) => counted(s.closed)),
    ...(seen ? [both<{ silent: readonly number[] | number | null }>(layer.int8, (s) => counted(s.silent))] : []),
  ];
  const head = ['depthwise', 'kernels', 'empty', 'vanished', 'never open', ...names, 'range'];
  const int8 = ['int8 empty', 'closed', ...(seen ? ['silent'] : [])];
  const widest = depthwise.reduce((a, l) => Math.max(a, l.rangeRatio ?? 0), 0);
  return [
    `${arch}: ${channels} depthwise kernels in ${depthwise.length} layers${seen ? `, ${images} images` : ''}`,
    '',
    ...table([
      [...head, ...int8],
      ...depthwise.map((layer) => line(layer.layer, layer)),
      line('all', { ...totals, channels, rangeRatio: widest }),
    ]),
    '',
    ...table([
      ['pointwise', 'inputs', 'outputs', 'effective rank', 'of full', 'range', 'int8 rank'],
      ...pointwise.map((p) => [
        p.layer,
        String(p.inputs),
        String(p.outputs),
        p.effectiveRank.toFixed(1),
        percent(p.effectiveRank / Math.min(p.inputs, p.outputs)),
        ratio(p.rangeRatio),
        both(p.int8, (s) => s.effectiveRank.toFixed(1)),
      ]),
    ]),
    '',
    ...COLUMNS.filter(([name]) => seen || (name !== 'silent' && name !== 'at 6')).map(
      ([name, meaning]) => `${name}: ${meaning}`,
    ),
    '',
    ...notes.map((note) => `note: ${note}`),
    advice,
    '',
  ].join('\n');
}
