// Words in columns, for a terminal.

/** The longest word of each column, in characters. */
export const widthsOf = (rows: readonly (readonly string[])[]): number[] =>
  rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));

/** A line a row, columns two spaces apart, set to the left or, where `right` says so, to the right. */
export function columns(rows: readonly (readonly string[])[], right: (column: number) => boolean): string[] {
  const widths = widthsOf(rows);
  return rows.map((row) =>
    row
      .map((word, i) => (right(i) ? word.padStart(widths[i]!) : word.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd(),
  );
}
