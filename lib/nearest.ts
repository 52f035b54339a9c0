// What somebody may have meant: the known word nearest to a mistyped one.

/** Words other programs use, and ours. */
const MEANT: Readonly<Record<string, string>> = {
  learningrate: 'lr',
  model: 'arch',
  network: 'arch',
  pretrained: 'weights',
  checkpoint: 'weights',
  numclasses: 'classes',
  workers: 'threads',
  gpu: 'device',
  imagesize: 'size',
  output: 'out',
};

/** Capitals, dashes and underscores are not what makes words differ. */
const plain = (word: string): string => word.toLowerCase().replace(/[-_]/g, '');

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    row = next;
  }
  return row[b.length]!;
}

/** The candidate at the smallest edit distance when it is small; else one that begins the word, or that it begins. */
export function nearest(typed: string, candidates: readonly string[]): string | undefined {
  const word = plain(typed);
  const meant = MEANT[word];
  if (meant !== undefined && candidates.includes(meant)) return meant;
  const ranked = candidates.map((c) => ({ c, distance: editDistance(word, plain(c)) }));
  ranked.sort((a, b) => a.distance - b.distance);
  const [best] = ranked;
  if (best && best.distance <= Math.min(2, word.length / 2)) return best.c;
  const begins = (a: string, b: string): boolean => b.length > 1 && a.startsWith(b);
  return ranked.find(({ c }) => begins(word, plain(c)) || begins(plain(c), word))?.c;
}
