// Results of trainings as lines of a file, and means over seeds with their intervals.
import { appendFileSync, existsSync, readFileSync } from 'node:fs';

/** Lines that are whole; what a kill cut short is none. */
export function resultsIn(file) {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return line === '' ? [] : [JSON.parse(line)];
      } catch {
        return [];
      }
    });
}

/** Adds a line; behind one that was cut short on a line of its own. */
export function addResult(file, result) {
  const torn = existsSync(file) && !/(^|\n)$/.test(readFileSync(file, 'utf8'));
  appendFileSync(file, `${torn ? '\n' : ''}${JSON.stringify(result)}\n`);
}

/** Student's t for 95% on both sides, by degrees of freedom; beyond the table the next lower one's, which is wider. */
const T = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

/** Mean and half the width of its 95% interval; undefined where there are less than two values. */
export function interval(values) {
  const n = values.length;
  if (n < 2) return undefined;
  const mean = values.reduce((a, b) => a + b, 0) / n;
  const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / (n - 1);
  return { mean, half: T[Math.min(n - 1, T.length) - 1] * Math.sqrt(variance / n), n };
}
