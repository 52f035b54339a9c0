// Samples of a time and what is said of them. Measures nothing itself.

/** Milliseconds: the middle and the ends of n samples. */
export interface Spread {
  n: number;
  median: number;
  min: number;
  max: number;
}

/** The value below which a share q of the values lies, between neighbours in proportion. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!];
  return low + (high - low) * (at - Math.floor(at));
}

export function spread(milliseconds: readonly number[]): Spread {
  return {
    n: milliseconds.length,
    median: quantile(milliseconds, 0.5),
    min: Math.min(...milliseconds),
    max: Math.max(...milliseconds),
  };
}

/** A sample lasts at least this long, in milliseconds: many short steps make one. */
const SAMPLE = 200;

/** Milliseconds a step, in n samples: `work` does so many steps in one go. The first go warms up, the second sets how many. */
export async function sampled(n: number, work: (steps: number) => Promise<unknown>): Promise<number[]> {
  const time = async (steps: number): Promise<number> => {
    const since = performance.now();
    await work(steps);
    return (performance.now() - since) / steps;
  };
  await time(2);
  const steps = Math.max(1, Math.ceil(SAMPLE / (await time(1))));
  const taken: number[] = [];
  for (let i = 0; i < n; i++) taken.push(await time(steps));
  return taken;
}
