// `mnv2-torch weights`: the published weights there are, and getting some. What is known of them is
// weights/published.ts, getting them weights/pull.ts.
import { UsageError } from '../errors.js';
import { columns } from '../report/columns.js';
import { cachedFile, isCached } from '../weights/cached.js';
import { publishedWeights, type PublishedWeights } from '../weights/published.js';
import type { PulledWeights } from '../weights/pull.js';
import { define } from './command.js';
import { archFlag, widthFlag } from './flags.js';
import { pull, wishesOf } from './network.js';
import { choice, flag, word } from './options.js';

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
  return [
    ...columns([[...HEAD], ...cells], (column) => RIGHT.includes(column)),
    '',
    "* what 'imagenet' means for this network and width. No classes: a backbone alone, all that training needs.",
    '',
  ].join('\n');
}

const HASH_FROM = { name: 'as in its name', library: 'as its library has it', 'third party': 'as others found it' };

function told({ weights, file, checked }: PulledWeights): string {
  const { name, license, hash } = weights;
  const by = hash ? `${checked}, ${HASH_FROM[hash.from]}` : `${checked}; no hash of it is published`;
  return `${name} (${license}): ${file}\n${checked === undefined ? 'it was there already' : `checked by ${by}`}\n`;
}

export const command = define({
  usage: 'weights [what] [name]',
  describe: 'weights that libraries publish: list them, get some into the cache',
  operands: {
    what: choice(['list', 'pull'] as const, { default: 'list', describe: 'list: all there are; pull: get <name>' }),
    name: word({ expected: 'a name', parse: (typed) => typed || undefined, describe: "as listed, or 'imagenet'" }),
  },
  options: {
    arch: archFlag(),
    width: widthFlag(),
    json: flag({ describe: 'one JSON line: all, with URLs and hashes; of pull where the file is' }),
    quiet: flag({ describe: 'no progress bar' }),
  },
  run: async (a) => {
    if (a.what === 'list') {
      if (a.name !== undefined) throw new UsageError(`weights list: takes no name, got '${a.name}'`);
      const all = publishedWeights();
      const rows = await Promise.all(all.map(async (w) => ({ ...w, file: cachedFile(w), cached: await isCached(w) })));
      process.stdout.write(a.json ? `${JSON.stringify(rows)}\n` : table(rows));
      return;
    }
    if (a.name === undefined)
      throw new UsageError("weights pull: expected a name, such as 'imagenet'; 'mnv2-torch weights' lists them all");
    const pulled = await pull(a.name, wishesOf(a), a.quiet);
    process.stdout.write(a.json ? `${JSON.stringify(pulled)}\n` : told(pulled));
  },
});
