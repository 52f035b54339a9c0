// Splits that keep groups whole: what the group of an image is, and which groups are held back so that classes keep
// their shares as far as groups allow.
import { DataError } from '../errors.js';
import { Random } from '../random.js';
import { joinLone, together, type Unit } from './split-classes.js';
import { captureOf, type GroupRule } from './split-options.js';

/** Orders of the groups that are tried; the most even outcome is taken. */
const DRAWS = 64;
/** What a class costs that is nowhere to be trained on, or to be validated on; unevenness costs less than 1 a class. */
const NONE_TO_TRAIN = 1e6;
const NONE_TO_VALIDATE = 1e2;

const some = (names: readonly string[]): string => `${names.slice(0, 5).join(', ')}${names.length > 5 ? ', ...' : ''}`;

/** The name of each row's group. */
function groupNames(
  rows: readonly number[],
  files: readonly string[],
  rule: GroupRule,
  named: (row: number) => string | undefined,
): Map<number, string> {
  const pattern = 'pattern' in rule ? captureOf(rule.pattern) : undefined;
  const nameOf = (row: number): string | undefined => (pattern ? pattern.exec(files[row]!)?.[1] : named(row));
  const names = new Map<number, string>();
  const without: string[] = [];
  for (const row of rows) {
    const name = nameOf(row);
    if (name === undefined || name === '') without.push(files[row]!);
    else names.set(row, name);
  }
  if (without.length === 0) return names;
  const [what, expected] = pattern
    ? [`do not match ${String(pattern)} or capture nothing`, 'a group for every image']
    : 'column' in rule
      ? [`have nothing in column ${rule.column}`, 'a group for every image']
      : ['lie in no folder below their class folder', '<class>/<group>/<image>'];
  throw new DataError(`group: ${without.length} files ${what}: ${some(without)}; expected ${expected}`, without);
}

/** Rows of one group, or of groups that share a picture. */
function groupsOf(units: readonly Unit[], names: ReadonlyMap<number, string>): Unit[] {
  const root = new Map<string, string>();
  const find = (name: string): string => {
    const up = root.get(name) ?? name;
    if (up === name) return name;
    const top = find(up);
    root.set(name, top);
    return top;
  };
  for (const [first, ...others] of units)
    for (const other of others) root.set(find(names.get(other)!), find(names.get(first!)!));
  const number = new Map<string, number>();
  const keyOf = (row: number): number => {
    const name = find(names.get(row)!);
    if (!number.has(name)) number.set(name, number.size);
    return number.get(name)!;
  };
  return together([...names.keys()], keyOf);
}

export interface GroupSplit {
  units: readonly Unit[];
  rows: readonly number[];
  labels: Int32Array;
  files: readonly string[];
  classes: readonly string[];
  rule: GroupRule;
  /** the group of a row, where it is not a pattern that tells it */
  named: (row: number) => string | undefined;
  seed: number;
  /** whether a class that lies in one group only is refused; else it counts as the most frequent one */
  exact: boolean;
}

/**
 * Rows of each part. One share: that part is held back, and the rest, to be trained on, is in none.
 * @param shares of the images each part is to have; together at most 1
 * @throws DataError for files without a group, and when a class could not be trained on
 */
export function divideGroups(split: GroupSplit, shares: readonly number[]): number[][] {
  const { rows, files, classes, rule, named, seed, exact } = split;
  const names = groupNames(rows, files, rule, named);
  const groups = groupsOf(split.units, names);
  const labels = exact ? split.labels : joinLone(groups, split.labels);
  const counts = groups.map((group) => countsOf(group, labels));
  const lone = classes.filter((_, c) => counts.filter((count) => count.has(c)).length === 1);
  if (lone.length > 0)
    throw new DataError(
      `group: ${some(lone)} ${lone.length === 1 ? 'has' : 'have'} one group only; expected at least two a class, to train on and to validate on. ` +
        'Name groups another way, or split otherwise',
    );
  const rest = 1 - shares.reduce((a, b) => a + b, 0);
  const parts = rest > 1e-9 ? [...shares, rest] : shares;
  let best: { place: Int32Array; cost: number } | undefined;
  for (let draw = 0; draw < DRAWS; draw++) {
    const order = new Random(seed, 'group', draw).shuffle(Int32Array.from(groups.keys()));
    const tried = place(order, counts, parts, shares.length, classes.length);
    if (!best || tried.cost < best.cost) best = tried;
  }
  if (best!.cost >= NONE_TO_TRAIN)
    throw new DataError(
      'group: the groups cannot be divided so that every class is left to train on; expected more groups',
    );
  return shares.map((_, part) => groups.filter((_, g) => best!.place[g] === part).flat());
}

function countsOf(group: Unit, labels: Int32Array): Map<number, number> {
  const count = new Map<number, number>();
  for (const row of group) count.set(labels[row]!, (count.get(labels[row]!) ?? 0) + 1);
  return count;
}

/** Each group in turn goes where it makes the classes' shares least uneven. `validated`: parts, the first ones. */
function place(
  order: Int32Array,
  counts: readonly Map<number, number>[],
  shares: readonly number[],
  validated: number,
  classes: number,
): { place: Int32Array; cost: number } {
  const totals = new Float64Array(classes);
  for (const count of counts) for (const [c, n] of count) totals[c]! += n;
  const has = shares.map(() => new Float64Array(classes));
  /** squared distance of a class's share of a part from what it should be */
  const uneven = (part: number, c: number, more = 0): number =>
    ((has[part]![c]! + more) / totals[c]! - shares[part]!) ** 2;
  const where = new Int32Array(counts.length);
  for (const group of order) {
    let [chosen, least] = [0, Infinity];
    for (const part of shares.keys()) {
      let worse = 0;
      for (const [c, n] of counts[group]!) worse += uneven(part, c, n) - uneven(part, c);
      if (worse < least) [chosen, least] = [part, worse];
    }
    where[group] = chosen;
    for (const [c, n] of counts[group]!) has[chosen]![c]! += n;
  }
  let cost = 0;
  for (const part of shares.keys())
    for (let c = 0; c < classes; c++) {
      if (totals[c] === 0) continue;
      cost += uneven(part, c);
      if (part >= validated) continue;
      if (has[part]![c] === totals[c]) cost += NONE_TO_TRAIN;
      if (has[part]![c] === 0) cost += NONE_TO_VALIDATE;
    }
  return { place: where, cost };
}

/** Says where classes did not keep their shares: by more than an image and a tenth of the class. */
export function unevenness(
  held: readonly number[],
  rows: readonly number[],
  labels: Int32Array,
  classes: readonly string[],
  ratio: number,
): string | undefined {
  const [part, all] = [countsOf([...held], labels), countsOf([...rows], labels)];
  const off = classes.flatMap((name, c) => {
    const [n, total] = [part.get(c) ?? 0, all.get(c) ?? 0];
    const away = Math.abs(n - total * ratio);
    const tells = total > 0 && (n === 0 || (away > 1 && away > total / 10));
    return tells ? [`${name} ${Math.round((100 * n) / total)}%`] : [];
  });
  if (off.length === 0) return undefined;
  return `groups kept whole leave these classes another share to validate on than ${Math.round(100 * ratio)}%: ${off.join(', ')}`;
}
