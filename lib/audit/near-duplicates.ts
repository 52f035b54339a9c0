// Pairs of pictures that are nearly the same: saved anew, made smaller, brightened, turned, mirrored.
import { POSES, type Fingerprints, type Pose } from './fingerprint.js';

/**
 * Signs of 63 that may differ. Measured on 1,680 aerial scenes: of copies re-encoded down to JPEG quality 30, made half as
 * large, darkened, changed in contrast, without colours, mirrored or turned all are found, of those brightened by 30%, some
 * of it clipped, 95%.
 */
const SIGNS = 8;
/**
 * Least correlation of the small copies. Of 1.4 million pairs of different scenes in eight poses two are within 8 signs
 * (chance gives 31), correlated by 0.41 at most; none of them is a false alarm.
 */
const LIKENESS = 0.9;

/** Two pictures that are nearly the same. */
export interface NearPair {
  a: number;
  b: number;
  /** how `b` has to be laid to look like `a` */
  pose: Pose;
  /** signs of 63 that differ */
  distance: number;
  /** correlation of their pixels */
  likeness: number;
}

/**
 * All near pairs among these rows, most alike first. Takes time with the square of their number (of 20,000: seconds) and
 * yields to the event loop meanwhile.
 */
export async function nearPairs(
  prints: Fingerprints,
  rows: readonly number[],
  signal?: AbortSignal,
): Promise<NearPair[]> {
  const pairs: NearPair[] = [];
  let since = performance.now();
  for (const [n, a] of rows.entries()) {
    if (performance.now() - since > 20) {
      await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
      since = performance.now();
    }
    for (let m = 0; m < n; m++) {
      const b = rows[m]!;
      let [distance, pose] = [Infinity, 0];
      for (let p = 0; p < POSES.length; p++) {
        const d = prints.distance(b, a, p);
        if (d < distance) [distance, pose] = [d, p];
      }
      if (distance > SIGNS) continue;
      const likeness = prints.likeness(b, a, pose);
      if (likeness >= LIKENESS) pairs.push({ a: b, b: a, pose: POSES[pose]!, distance, likeness });
    }
  }
  return pairs.sort((x, y) => y.likeness - x.likeness);
}
