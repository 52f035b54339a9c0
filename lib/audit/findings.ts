// From what an audit saw to sentences: what is worth a look, most urgent first. Owns the words and the order.
import { count, countFindings, some, type Finding, type FindingKind } from './finding.js';
import type { SplitLeakage } from './leakage.js';
import { flatters, PLACES } from './neighbours.js';
import type { Audit } from './result.js';

const percent = (share: number): string => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}%`;

/** @param obstacle why no split can be made */
export function findingsOf(audit: Omit<Audit, 'findings'>, obstacle?: string): Finding[] {
  const findings: Finding[] = [];
  const find = (kind: FindingKind, text: string, files: readonly string[] = []): void =>
    void findings.push({ kind, text, files });
  const { unreadable, damaged, classes, images } = audit;
  const why = ({ file, reason }: { file: string; reason: string }): string => `${file} (${reason})`;
  if (unreadable.length > 0)
    find(
      'unreadable',
      `${count(unreadable.length, 'file')} cannot be read: ${some(unreadable.map(why))}. Repair or remove them, or train with --skip-bad`,
      unreadable.map((f) => f.file),
    );
  if (damaged.length > 0)
    find(
      'damaged',
      `${count(damaged.length, 'file is', 'files are')} damaged: ${some(damaged.map(why))}. Replace them, or train with --skip-bad or --allow-damaged`,
      damaged.map((f) => f.file),
    );
  if (obstacle !== undefined) find('unsplittable', `nothing can be trained and validated: ${obstacle}`);
  copies(audit, find);
  findings.push(
    ...countFindings(
      classes.map((c) => c.label),
      classes.map((c) => c.images),
    ),
  );
  const { grey, small, elongated, size } = audit;
  if (grey.length > 0 && grey.length < images) {
    const where = classes.filter((c) => c.grey > 0).map((c) => `${c.label} ${c.grey} of ${c.images}`);
    find(
      'grey',
      `${count(grey.length, 'image has', 'images have')} no colours among others that do: ${some(where, 5)}`,
      grey,
    );
  }
  if (small.length > 0)
    find(
      'small',
      `${count(small.length, 'image is', 'images are')} smaller than ${size} pixels and will be enlarged: ${some(small)}`,
      small,
    );
  if (elongated.length > 0)
    find(
      'elongated',
      `${count(elongated.length, 'image is', 'images are')} more than twice as long one way as the other and will be squashed: ${some(elongated)}`,
      elongated,
    );
  flattery(audit, find);
  return findings;
}

type Find = (kind: FindingKind, text: string, files?: readonly string[]) => void;

/** Pictures that are there more than once: the same, and nearly the same. */
function copies({ duplicates, nearDuplicates }: Omit<Audit, 'findings'>, find: Find): void {
  const equal = duplicates.map((d) => ({ ...d, text: d.files.join(' = ') }));
  const near = nearDuplicates.map((d) => ({
    ...d,
    text: `${d.files.join(' ~ ')}${d.pose === 'as it is' ? '' : ` (${d.pose})`}`,
  }));
  const list = (of: readonly { text: string }[]): string => some(of.map((d) => d.text));
  const files = (of: readonly { files: readonly string[] }[]): string[] => of.flatMap((d) => d.files);
  const all = [...equal, ...near];

  const against = all.filter((d) => d.contradiction);
  if (against.length > 0)
    find(
      'contradiction',
      `${count(against.length, 'picture is', 'pictures are')} in two classes: ${list(against)}`,
      files(against),
    );
  const leaks = all.filter((d) => d.leak);
  if (leaks.length > 0)
    find(
      'leak',
      `${count(leaks.length, 'picture is', 'pictures are')} trained on as well as held back: ${list(leaks)}`,
      files(leaks),
    );
  if (equal.length > 0)
    find(
      'duplicates',
      `${count(equal.length, 'picture is', 'pictures are')} there more than once: ${list(equal)}`,
      files(equal),
    );
  if (near.length > 0)
    find(
      'near-duplicates',
      `${count(near.length, 'pair')} of pictures ${near.length === 1 ? 'is' : 'are'} nearly the same: ${list(near)}`,
      files(near),
    );
}

/** A random split of pictures that lie side by side. */
function flattery({ leakage, split }: Omit<Audit, 'findings'>, find: Find): void {
  if (!leakage || split?.kind !== 'random' || !flatters(leakage.order)) return;
  const of = (kind: string): SplitLeakage => leakage.splits.find((s) => s.kind === kind)!;
  const [random, blocked] = [of('random'), of('blocked')];
  const { share, chance } = leakage.order;
  find(
    'flattery',
    `a random split flatters: the nearest neighbour of ${percent(share)} of the images lies within ${PLACES} file numbers, where chance gives ${percent(chance)}; ` +
      `${percent(random.alike)} of what is validated on is almost the same as a training image, with --split blocked ${percent(blocked.alike)}; ` +
      `by their nearest training image ${percent(random.agreeing)} are classified right, with --split blocked ${percent(blocked.agreeing)}`,
  );
}
