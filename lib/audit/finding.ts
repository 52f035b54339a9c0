// What is worth a person's look before a training, and what of it can be told without looking at pictures.

/** What a finding is about. */
export type FindingKind =
  | 'unreadable'
  | 'damaged'
  | 'unsplittable'
  | 'tiny-class'
  | 'imbalance'
  | 'contradiction'
  | 'duplicates'
  | 'near-duplicates'
  | 'leak'
  | 'grey'
  | 'small'
  | 'elongated'
  | 'flattery';

/** Something in the data that makes a worse model, or a figure that promises too much. */
export interface Finding {
  readonly kind: FindingKind;
  /** a sentence: what, how much, and what to do where that is not plain */
  readonly text: string;
  /** what it is about, relative to the root; empty where it is about all of them */
  readonly files: readonly string[];
}

/** Classes of fewer images are hardly learnt, and a figure on their few held-back images says nothing. */
export const TINY_CLASS = 10;
/** The largest class over the smallest, from which on a model leans to the large ones. */
export const IMBALANCE = 3;

/** 'a, b, c and 4 more' */
export function some(names: readonly string[], most = 3): string {
  const more = names.length - most;
  return more > 0 ? `${names.slice(0, most).join(', ')} and ${more} more` : names.join(', ');
}
/** '1 image', '2 images' */
export const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;

/** Classes too small to learn, and classes of very different sizes. `counts`: usable images of each class. */
export function countFindings(classes: readonly string[], counts: ArrayLike<number>): Finding[] {
  const findings: Finding[] = [];
  const sizes = classes.map((name, c) => ({ name, n: counts[c]! })).filter(({ n }) => n > 0);
  const tiny = sizes.filter(({ n }) => n < TINY_CLASS);
  if (tiny.length > 0) {
    const named = tiny.map(({ name, n }) => `${name} (${n})`);
    const text = `${count(tiny.length, 'class has', 'classes have')} fewer than ${TINY_CLASS} images: ${some(named, 5)}`;
    findings.push({ kind: 'tiny-class', text, files: [] });
  }
  const [least, most] = [sizes.reduce((a, b) => (b.n < a.n ? b : a)), sizes.reduce((a, b) => (b.n > a.n ? b : a))];
  if (most.n >= IMBALANCE * least.n) {
    const text = `${most.name} has ${(most.n / least.n).toFixed(1)} times the images of ${least.name} (${most.n} and ${least.n})`;
    findings.push({ kind: 'imbalance', text, files: [] });
  }
  return findings;
}

/** Rows with the same pixels, two or more a group. `sameAs`: for each row the first row with the same pixels. */
export function equalRows(rows: Iterable<number>, sameAs: ArrayLike<number>): number[][] {
  const groups = new Map<number, number[]>();
  for (const row of rows) {
    const group = groups.get(sameAs[row]!);
    if (group) group.push(row);
    else groups.set(sameAs[row]!, [row]);
  }
  return [...groups.values()].filter((group) => group.length > 1);
}

/** The same picture in two classes: whatever a model answers, it is wrong about one of them. */
export function contradictions(
  groups: readonly (readonly number[])[],
  labels: ArrayLike<number>,
  files: readonly string[],
): Finding[] {
  const against = groups.filter((group) => group.some((row) => labels[row] !== labels[group[0]!]));
  if (against.length === 0) return [];
  const named = against.map((group) => group.map((row) => files[row]!).join(' = '));
  return [
    {
      kind: 'contradiction',
      text: `${count(against.length, 'picture is', 'pictures are')} in two classes: ${some(named)}`,
      files: against.flat().map((row) => files[row]!),
    },
  ];
}

/**
 * The cheap part of an audit, which every training looks at: sizes of classes, and pictures that are in two of them.
 * @param parts rows by use
 * @param sameAs for each row the first row with the same pixels; absent: not known
 */
export function glance(
  data: { classes: readonly string[]; files: readonly string[]; labels: Int32Array },
  parts: readonly Int32Array[],
  sameAs?: ArrayLike<number>,
): Finding[] {
  const rows = parts.flatMap((part) => [...part]);
  const counts = new Int32Array(data.classes.length);
  for (const row of rows) counts[data.labels[row]!]!++;
  const same = sameAs ? contradictions(equalRows(rows, sameAs), data.labels, data.files) : [];
  return [...countFindings(data.classes, counts), ...same];
}
