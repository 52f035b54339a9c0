// Classes of different sizes evened out: weights of the loss, and an order in which each class comes equally often.
// Pure arithmetic.
import { UsageError } from '../errors.js';
import { Random } from '../random.js';

/** 'balanced', or a number for each class in their order. */
export type ClassWeights = 'balanced' | readonly number[];

function counted(rows: Int32Array, labels: Int32Array, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const row of rows) counts[labels[row]!]!++;
  return counts;
}

/** Throws where numbers are given that are not one a class. */
export function checkClassWeights(weights: ClassWeights, classes: readonly string[]): void {
  if (weights === 'balanced' || weights.length === classes.length) return;
  throw new UsageError(
    `classWeights: expected ${classes.length} numbers, one a class (${classes.join(', ')}), got ${weights.length}`,
  );
}

/**
 * The weight of each class in the loss. Balanced: n / (k * n_c) for n images of k classes, n_c of class c, so that every
 * class weighs the same in sum and an image weighs 1 on average; 0 for a class without an image.
 */
export function classWeightsOf(
  weights: ClassWeights,
  rows: Int32Array,
  labels: Int32Array,
  classes: number,
): Float32Array {
  if (weights !== 'balanced') return Float32Array.from(weights);
  const counts = counted(rows, labels, classes);
  const present = counts.filter((n) => n > 0).length;
  return Float32Array.from(counts, (n) => (n === 0 ? 0 : rows.length / (present * n)));
}

/**
 * Of several labels an image, the weight of having each over not having it. Balanced: (n - n_c) / n_c for n images of
 * which n_c have it, so that both weigh the same in sum; 1 where none or all have it.
 * @param targets [store, classes], 1 or 0
 */
export function labelWeightsOf(
  weights: ClassWeights,
  rows: Int32Array,
  targets: Float32Array,
  classes: number,
): Float32Array {
  if (weights !== 'balanced') return Float32Array.from(weights);
  const having = Array.from({ length: classes }, (_, c) => rows.reduce((n, row) => n + targets[row * classes + c]!, 0));
  return Float32Array.from(having, (n) => (n === 0 || n === rows.length ? 1 : (rows.length - n) / n));
}

/**
 * As many rows as there are, of each class equally often (to within one, other classes each epoch): an image of a small
 * class comes again when all of its class have come, of a large one only some come. Depends on (seed, epoch) alone.
 */
export function balancedOrder(rows: Int32Array, labels: Int32Array, seed: number, epoch: number): Int32Array {
  const random = new Random(seed, 'balanced order', epoch);
  const byClass = new Map<number, number[]>();
  for (const row of rows) {
    const of = byClass.get(labels[row]!);
    if (of) of.push(row);
    else byClass.set(labels[row]!, [row]);
  }
  const classes = random.shuffle([...byClass.values()]);
  const order: number[] = [];
  for (const [place, members] of classes.entries()) {
    const share = Math.floor(rows.length / classes.length) + (place < rows.length % classes.length ? 1 : 0);
    for (let i = 0; i < share; i++) {
      if (i % members.length === 0) random.shuffle(members);
      order.push(members[i % members.length]!);
    }
  }
  return random.shuffle(Int32Array.from(order));
}
