// `mnv2-torch weights`: the published weights there are. What is known of them is weights/published.ts.
import { cachedFile, isCached } from '../weights/cached.js';
import { publishedWeights, type PublishedWeights } from '../weights/published.js';
import { define } from './command.js';
import { choice, flag } from './options.js';

type Row = PublishedWeights & { file: string; cached: boolean };

const HEAD = ['name', 'network', 'width', 'classes', 'top-1', 'licence', 'MiB', 'checked by', 'cached'] as const;
/** Columns of numbers stand to the right. */
const RIGHT = [2, 3, 4, 6];

/** What a download is compared with, and whose word that is. */
const checkedBy = ({ hash }: PublishedWeights): string => (hash ? `${hash.algorithm} (${hash.from})` : "server's md5");

function table(rows: readonly Row[]): string {
  const cells = rows.map((w) => [
    `${w.name}${w.isDefault ? ' *' : ''}`,
    w.arch,
    String(w.widthMult),
    w.classes > 0 ? String(w.classes) : '-',
    w.top1.toFixed(1),
    w.license,
    w.mebibytes?.toFixed(1) ?? '',
    checkedBy(w),
    w.cached ? 'yes' : '',
  ]);
  const lines = [[...HEAD], ...cells];
  const widths = HEAD.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  const line = (words: readonly string[]): string =>
    words
      .map((word, i) => (RIGHT.includes(i) ? word.padStart(widths[i]!) : word.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  return [
    ...lines.map(line),
    '',
    "* what 'imagenet' means for this network and width. No classes: a backbone alone, all that training needs.",
    '',
  ].join('\n');
}

export const command = define({
  usage: 'weights [what]',
  describe: 'weights that libraries publish',
  operands: {
    what: choice(['list'] as const, { default: 'list', describe: 'list: all there are' }),
  },
  options: { json: flag({ describe: 'one JSON line, with their URLs and hashes' }) },
  run: async (a) => {
    const all = publishedWeights();
    const rows = await Promise.all(all.map(async (w) => ({ ...w, file: cachedFile(w), cached: await isCached(w) })));
    process.stdout.write(a.json ? `${JSON.stringify(rows)}\n` : table(rows));
  },
});
