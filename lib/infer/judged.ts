// Images one by one as a model judged them, and what only single answers tell: losses, mistakes, calibration.

/** An image and what a model said of it. */
export interface Judged {
  /** of the store */
  readonly row: number;
  /** class it has, and class it was taken for, as indices */
  readonly label: number;
  readonly predicted: number;
  /** of the class predicted, 0 to 1 */
  readonly probability: number;
  /** cross entropy: -log of the probability of its own class */
  readonly loss: number;
}

/** Answers whose confidence lies in (low, high]; the first bin holds 0 too. */
export interface CalibrationBin {
  readonly low: number;
  readonly high: number;
  /** answers in it */
  readonly count: number;
  /** their mean probability, and the share of them that is right; 0 where there are none */
  readonly confidence: number;
  readonly accuracy: number;
}

/** Whether a model is right as often as it says. */
export interface Calibration {
  /**
   * expected calibration error (Guo et al. 2017): the mean over answers of |confidence - accuracy| of their bin
   */
  readonly ece: number;
  /** of equal width, from 0 to 1 */
  readonly bins: readonly CalibrationBin[];
}

/** Smallest positive float32: a probability that came out as 0 was below it. */
const LEAST = 1e-38;

/**
 * Answers image by image.
 * @param probabilities [images, classes]
 * @param labels of each row of the store
 */
export function judge(
  { indices, probabilities }: { readonly indices: Int32Array; readonly probabilities: Float32Array },
  labels: ArrayLike<number>,
  classes: number,
): Judged[] {
  return Array.from(indices, (row, i) => {
    const answer = probabilities.subarray(i * classes, i * classes + classes);
    let predicted = 0;
    for (let c = 1; c < classes; c++) if (answer[c]! > answer[predicted]!) predicted = c;
    const label = labels[row]!;
    return { row, label, predicted, probability: answer[predicted]!, loss: -Math.log(Math.max(answer[label]!, LEAST)) };
  });
}

/** The wrong answers, highest loss first. */
export function mistakes(judged: readonly Judged[]): Judged[] {
  return judged.filter((j) => j.predicted !== j.label).sort((a, b) => b.loss - a.loss);
}

/** Compares confidence with accuracy, in bins of equal width. */
export function calibration(judged: readonly Judged[], bins = 15): Calibration {
  const sums = Array.from({ length: bins }, () => ({ count: 0, confidence: 0, right: 0 }));
  for (const { label, predicted, probability } of judged) {
    const sum = sums[Math.min(Math.max(Math.ceil(probability * bins) - 1, 0), bins - 1)]!;
    sum.count++;
    sum.confidence += probability;
    if (predicted === label) sum.right++;
  }
  const gap = sums.reduce((a, s) => a + Math.abs(s.confidence - s.right), 0);
  return {
    ece: judged.length === 0 ? 0 : gap / judged.length,
    bins: sums.map(({ count, confidence, right }, i) => ({
      low: i / bins,
      high: (i + 1) / bins,
      count,
      confidence: count === 0 ? 0 : confidence / count,
      accuracy: count === 0 ? 0 : right / count,
    })),
  };
}
