#!/usr/bin/env node
// The runner behind `npm run ablate`: trainings that show which of the tutorial's claims hold. Each that is done is a line of
// a results file and is not done again; one that is killed leaves no line. The table and the picture are ablation/claims.js.
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { plan, SETTINGS } from './ablation/plan.js';
import { addResult, resultsIn } from './ablation/results.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const HELP = `npm run ablate -- [options]
  --only <text>     trainings whose name has it, such as 'scratch v1' (--list names them)
  --results <file>  default bench/results/ablation.jsonl: what is in it is not trained again
  --data <folder>   default $MNV2_DATA; without it photographs are left out
  --list            names of the trainings, and which are done
  --table           only write docs/claims.md and docs/claims.svg again`;
const flag = { type: 'boolean', default: false };
const text = { type: 'string' };
const { values: args } = parseArgs({
  options: { only: text, results: text, data: text, list: flag, table: flag, help: flag },
});

async function main() {
  if (args.help) return console.log(HELP);
  const file = args.results ?? path.join(here, 'results', 'ablation.jsonl');
  const root = args.data ?? process.env.MNV2_DATA;
  const results = resultsIn(file);
  // A training under other settings is another training.
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  const isDone = ({ key, pictures }) => results.some((r) => r.key === key && same(r.settings, SETTINGS[pictures]));
  const wanted = plan().filter(({ key }) => args.only === undefined || key.includes(args.only));
  if (args.list) return wanted.forEach((run) => console.log(`${isDone(run) ? 'done' : '    '} ${run.key}`));
  if (!args.table) {
    const { trained } = await import('./ablation/training.js');
    mkdirSync(path.dirname(file), { recursive: true });
    for (const run of wanted) {
      if (isDone(run) || (run.pictures !== 'scratch' && root === undefined)) continue;
      const figures = await trained(run, root);
      addResult(file, { ...run, settings: SETTINGS[run.pictures], ...figures });
      console.log(
        `${run.key}: ${figures.diverged ? 'diverged' : `accuracy ${(100 * figures.accuracy).toFixed(1)}%`}, ${figures.seconds.toFixed(0)} s`,
      );
    }
  }
  const { writeClaims } = await import('./ablation/claims.js');
  const kept = resultsIn(file).filter((r) => same(r.settings, SETTINGS[r.pictures]));
  writeClaims(
    kept,
    readFileSync(path.join(here, 'ablation', 'verdict.md'), 'utf8')
      .trim()
      .split('\n'),
  );
}

await main();
