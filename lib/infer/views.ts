// Test-time augmentation: the symmetries an image is also asked about, and the mean of the answers.
import { UsageError } from '../errors.js';

/**
 * Views of an image whose answers are averaged: 'horizontal', it and its mirror image, for photos; 'aerial', the eight
 * symmetries of the square, for pictures that have no "up".
 */
export type TestTimeAugmentation = 'horizontal' | 'aerial';
/** Their names. */
export const TTA = ['horizontal', 'aerial'] as const satisfies readonly TestTimeAugmentation[];

/** The views beyond the plain one, as `symmetry` of a binding. */
function otherViews(tta: TestTimeAugmentation): readonly number[] {
  if (tta === 'horizontal') return [1];
  if (tta === 'aerial') return [1, 2, 3, 4, 5, 6, 7];
  throw new UsageError(`tta: expected ${TTA.join(' or ')}, got '${String(tta)}'`);
}

/** How many views an image has. @throws UsageError for what is no test-time augmentation */
export const viewsOf = (tta: TestTimeAugmentation): number => 1 + otherViews(tta).length;

/**
 * The mean over all views of the probabilities.
 * @param plain of the images as they are
 * @param ask the same for a view
 */
export async function meanOverViews(
  plain: Float32Array,
  tta: TestTimeAugmentation,
  ask: (symmetry: number) => Promise<Float32Array>,
): Promise<Float32Array> {
  const sums = Float64Array.from(plain);
  for (const symmetry of otherViews(tta)) (await ask(symmetry)).forEach((p, i) => (sums[i]! += p));
  return Float32Array.from(sums, (sum) => sum / viewsOf(tta));
}
