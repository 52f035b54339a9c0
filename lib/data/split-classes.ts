// Splits class by class: random and blocked ones, held back as a share or cut into folds.
import { DataError } from '../errors.js';
import { Random } from '../random.js';
import { naturalOrder } from './natural-order.js';

/** Rows that stay together: those of one picture. */
export type Unit = number[];

/** Rows by what they share, in order of the first one. */
export function together(rows: readonly number[], keyOf: (row: number) => number): Unit[] {
  const units = new Map<number, Unit>();
  for (const row of rows) {
    const key = keyOf(row);
    const unit = units.get(key);
    if (unit) unit.push(row);
    else units.set(key, [row]);
  }
  return [...units.values()];
}

/** Labels where those of a single unit, which cannot be on both sides, count as the most frequent one. */
export function joinLone(units: readonly Unit[], labels: Int32Array): Int32Array {
  const [inUnits, inRows] = [new Map<number, number>(), new Map<number, number>()];
  const count = (counts: Map<number, number>, label: number): void =>
    void counts.set(label, (counts.get(label) ?? 0) + 1);
  for (const unit of units) {
    for (const row of unit) count(inRows, labels[row]!);
    for (const label of new Set(unit.map((row) => labels[row]!))) count(inUnits, label);
  }
  const [most] = [...inRows].sort(([a, n], [b, m]) => m - n || a - b)[0] ?? [0];
  return labels.map((label) => (inUnits.get(label) === 1 ? most : label));
}

const sizeOf = (units: readonly Unit[]): number => units.reduce((a, unit) => a + unit.length, 0);

/**
 * Units by class, classes in order. A unit counts for the class of its first row: the same picture under two labels must
 * not be on both sides either.
 */
function byClass(units: readonly Unit[], labels: Int32Array): [label: number, units: Unit[]][] {
  const found = new Map<number, Unit[]>();
  for (const unit of units) {
    const label = labels[unit[0]!]!;
    const list = found.get(label);
    if (list) list.push(unit);
    else found.set(label, [unit]);
  }
  return [...found].sort(([a], [b]) => a - b);
}

/** A class's units in natural order of their first file, begun at one drawn by the seed. */
function natural(units: readonly Unit[], files: readonly string[], random: Random): Unit[] {
  const order = naturalOrder(units.map((unit) => files[unit[0]!]!));
  const start = random.whole(0, units.length - 1);
  return units.map((_, i) => units[order[(start + i) % units.length]!]!);
}

export interface ClassSplit {
  units: readonly Unit[];
  labels: Int32Array;
  files: readonly string[];
  kind: 'random' | 'blocked';
  seed: number;
}

/** Rows held back: of each class a share of `ratio`, at least one image and never all of them. */
export function holdBack({ units, labels, files, kind, seed }: ClassSplit, ratio: number): number[] {
  const held: number[] = [];
  for (const [label, list] of byClass(units, labels)) {
    const total = sizeOf(list);
    const wanted = Math.min(Math.max(Math.round(total * ratio), 1), total - 1);
    let count = 0;
    if (kind === 'random') {
      for (const unit of new Random(seed, 'split', label).shuffle(list)) {
        if (count + unit.length > wanted) continue;
        count += unit.length;
        held.push(...unit);
      }
    } else {
      for (const unit of natural(list, files, new Random(seed, 'blocked', label))) {
        if (count >= wanted || count + unit.length > total - 1) break;
        count += unit.length;
        held.push(...unit);
      }
    }
  }
  return held;
}

/**
 * Rows of each fold. Folds of a class differ by an image, or by one unit; which of them are the larger ones changes from
 * class to class.
 * @throws DataError for a class whose images are all the same picture
 */
export function deal(
  { units, labels, files, kind, seed }: ClassSplit,
  folds: number,
  classes: readonly string[],
): number[][] {
  const dealt: number[][] = Array.from({ length: folds }, () => []);
  for (const [label, list] of byClass(units, labels)) {
    if (list.length === 1)
      throw new DataError(
        `the images of ${classes[label]} are all the same picture: there would be none to train on in one of ${folds} folds`,
      );
    const random = new Random(seed, 'folds', label);
    const shift = random.whole(0, folds - 1);
    const total = sizeOf(list);
    let before = 0;
    for (const unit of kind === 'random' ? random.shuffle(list) : natural(list, files, random)) {
      dealt[(Math.floor((before * folds) / total) + shift) % folds]!.push(...unit);
      before += unit.length;
    }
  }
  return dealt;
}
