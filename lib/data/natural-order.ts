// Natural order of names: digits count as numbers, so that beach2 comes before beach10. What was photographed one after
// the other mostly lies side by side in it.

const byCodePoint = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Text and digits in turn; the first part is text, perhaps empty. */
const partsOf = (name: string): string[] => name.split(/(\d+)/);

/** Numbers of any length: 007 is 7, and no double has to hold it. */
function byNumber(a: string, b: string): number {
  const [x, y] = [a.replace(/^0+/, ''), b.replace(/^0+/, '')];
  return x.length - y.length || byCodePoint(x, y);
}

/** The order of these names; equal numbers written differently (`a1`, `a01`) keep the order of their code points. */
export function naturalOrder(names: readonly string[]): Int32Array {
  const parts = names.map(partsOf);
  const compare = (i: number, j: number): number => {
    const [a, b] = [parts[i]!, parts[j]!];
    for (let k = 0; k < Math.min(a.length, b.length); k++) {
      const order = k % 2 === 1 ? byNumber(a[k]!, b[k]!) : byCodePoint(a[k]!, b[k]!);
      if (order !== 0) return order;
    }
    return a.length - b.length || byCodePoint(names[i]!, names[j]!);
  };
  return Int32Array.from(names.keys()).sort(compare);
}
