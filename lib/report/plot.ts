// A curve as text: for terminals, where it can be read at once. Owns no colours.

/** What is marked below the curve: a place on the x axis and its sign. */
export interface PlotOptions {
  /** columns and rows of the area (default 64 x 12) */
  width?: number;
  height?: number;
  /** x grows by factors, not by sums */
  logarithmic?: boolean;
  /** how a value of x is written */
  label?: (x: number) => string;
  /** an x to mark */
  mark?: number | undefined;
}

/**
 * Draws y over x with a dot a column; x grows. Values of a column are averaged.
 * @returns lines, the axis and its two ends among them
 */
export function plot(xs: readonly number[], ys: readonly number[], options: PlotOptions = {}): string[] {
  const { width = 64, height = 12, logarithmic = false, label = String, mark } = options;
  const [first, last] = [xs[0]!, xs.at(-1)!];
  const place = (x: number): number => {
    const share = logarithmic ? Math.log(x / first) / Math.log(last / first) : (x - first) / (last - first);
    return Math.min(width - 1, Math.max(0, Math.round((Number.isFinite(share) ? share : 0) * (width - 1))));
  };
  const columns = Array.from({ length: width }, (): number[] => []);
  xs.forEach((x, i) => columns[place(x)]!.push(ys[i]!));
  const heights = columns.map((of) => (of.length > 0 ? of.reduce((a, b) => a + b, 0) / of.length : undefined));
  const known = heights.filter((h) => h !== undefined);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const row = (h: number): number => Math.round(((high - h) / (high - low || 1)) * (height - 1));
  const scale = (r: number): string => (r === 0 ? high.toPrecision(3) : r === height - 1 ? low.toPrecision(3) : '');
  const lines = Array.from(
    { length: height },
    (_, r) => `${scale(r).padStart(8)} │${heights.map((h) => (h !== undefined && row(h) === r ? '•' : ' ')).join('')}`,
  );
  const marked = mark === undefined ? -1 : place(mark);
  const axis = Array.from({ length: width }, (_, c) => (c === marked ? '▲' : '─')).join('');
  const [from, to] = [label(first), label(last)];
  const ends = `${from}${to.padStart(Math.max(1, width - from.length))}`;
  return [...lines, `${' '.repeat(8)} └${axis}`, `${' '.repeat(10)}${ends}`].map((line) => line.trimEnd());
}
