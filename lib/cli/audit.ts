// `mnv2-torch audit`: what to know of a folder of images before training on it. The looking is audit/, the page
// report/audit-page.ts.
import { writeFile } from 'node:fs/promises';
import { DataError, EXIT } from '../errors.js';
import { audit } from '../audit/audit.js';
import { groupRule } from '../data/split-options.js';
import { PLACES } from '../audit/neighbours.js';
import type { Audit } from '../audit/result.js';
import { auditPage } from '../report/audit-page.js';
import { Progress } from '../report/progress.js';
import { define } from './command.js';
import { badImageFlags, deviceFlag, seedFlag, sizeFlag } from './flags.js';
import { openWeights } from './network.js';
import { flag, given, ofSettings, optionalPath, path, type Values } from './options.js';
import { IMAGES, manifestOptions, runSchema } from './run-settings.js';

const operands = { data: path({ describe: IMAGES }) };
const options = {
  size: sizeFlag({
    least: 1,
    describe: 'side of the square of a training, pixels (default 224, or what the weights say)',
  }),
  ...ofSettings(runSchema.pick({ columns: true, root: true, split: true, group: true, valSplit: true })),
  seed: seedFlag({ describe: 'of the split' }),
  weights: optionalPath({ describe: 'backbone whose features tell how alike neighbours are; takes most of the time' }),
  device: deviceFlag({ default: 'cpu' }),
  ...badImageFlags({ skipBad: 'files that cannot be read are named, but no failure' }),
  report: optionalPath({ describe: 'an HTML page of it, with the pictures' }),
  json: flag({ describe: 'one JSON line' }),
  quiet: flag({ describe: 'no progress' }),
};

const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;

/** What a person reads: counts, sizes, neighbours, findings. */
function text({ classes, images, split, pixels, size, leakage, findings, notes }: Audit): string {
  const width = Math.max(5, ...classes.map((c) => c.label.length));
  const line = (label: string, ...counts: (string | number)[]): string =>
    label.padEnd(width) + counts.map((n) => String(n).padStart(8)).join('');
  const held = classes.some((c) => c.test > 0);
  const row = (label: string, n: number, train: number, val: number, test: number): string =>
    line(label, n, ...(split ? [train, val, ...(held ? [test] : [])] : []));
  const said = (what: 'width' | 'height'): string => {
    const [least, median, most] = pixels![what];
    return least === most ? String(least) : `${least} to ${most} (median ${median})`;
  };
  return [
    line('class', 'images', ...(split ? ['train', 'val', ...(held ? ['test'] : [])] : [])),
    ...classes.map((c) => row(c.label, c.images, c.train, c.val, c.test)),
    row('all', images, split?.train ?? 0, split?.val ?? 0, split?.test ?? 0),
    '',
    ...(split?.kind ? [`split: ${split.kind}, seed ${split.seed}`] : []),
    ...(pixels ? [`pictures: ${said('width')} wide, ${said('height')} high, resized to ${size} x ${size}`] : []),
    ...notes,
    ...(leakage ? ['', ...neighbours(leakage)] : []),
    '',
    ...(findings.length > 0 ? ['worth a look:', ...findings.map((f) => `- ${f.text}`)] : ['nothing found']),
    '',
  ].join('\n');
}

function neighbours({ threshold, splits, order, classes }: NonNullable<Audit['leakage']>): string[] {
  const ends = [...classes].filter((c) => c.order.images > 0).sort((a, b) => a.order.share - b.order.share);
  const [least, most] = [ends[0], ends.at(-1)];
  const between =
    least && most
      ? ` (${least.label} ${percent(least.order.share)} to ${most.label} ${percent(most.order.share)})`
      : '';
  return [
    `nearest neighbour of its class within ${PLACES} file numbers: ${percent(order.share)} of the images${between}, by chance ${percent(order.chance)}`,
    `almost the same: cosine of at least ${threshold.toFixed(3)}, as of an image and a window of 3/4 of its side`,
    ...splits.map(
      (s) =>
        `${(s.kind ?? 'val/').padEnd(8)} nearest training image almost the same for ${percent(s.alike)} of ${s.images} validated on, of the same class for ${percent(s.agreeing)}`,
    ),
  ];
}

async function run(a: Values<typeof operands> & Values<typeof options>): Promise<number> {
  const { data, split, valSplit, seed, device, maxPixels } = a;
  const group = a.group === undefined ? undefined : groupRule(a.group);
  const weights = a.weights === undefined ? undefined : await openWeights(a.weights, {}, a.quiet);
  const progress = new Progress();
  const since = performance.now();
  const found = await audit(data, {
    seed,
    device,
    maxPixels,
    ...manifestOptions(a),
    ...given({ size: a.size, split, group, valSplit, weights }),
    onProgress: ({ phase, done, total, note }) => {
      if (note !== undefined && !a.quiet) progress.line(note);
      const label = phase === 'decode' ? 'decode images' : 'features';
      if (!a.quiet) progress.draw(label, done, total, (performance.now() - since) / 1000);
    },
  });
  if (a.report !== undefined) {
    const page = await auditPage(found);
    await writeFile(a.report, page).catch((cause: Error) => {
      throw new DataError(`cannot write ${a.report}: ${cause.message}`, [a.report!], { cause });
    });
  }
  process.stdout.write(a.json ? `${JSON.stringify(found)}\n` : text(found));
  // Findings are the result, and no failure; what a training would refuse to read is one.
  const bad = found.unreadable.length + (a.allowDamaged ? 0 : found.damaged.length);
  return bad > 0 && !a.skipBad ? EXIT.data : EXIT.ok;
}

export const command = define({
  usage: 'audit <data>',
  describe: 'look at images before training: counts, copies, leaks, files that cannot be read',
  operands,
  options,
  run,
});
