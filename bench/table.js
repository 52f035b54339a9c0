// The tables of README.md, from the newest results file. Owns what stands between the markers, nothing else.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const START = '<!-- results: written by run.js -->';
const END = '<!-- end of results -->';
const digits = (x, d = 3) => (x >= 1000 ? x.toFixed(0) : Number(x.toPrecision(d)).toString());
const milliseconds = (s) => (s >= 1 ? `${digits(s)} s` : `${digits(s * 1e3)} ms`);

function figuresRow(result, name, c) {
  return Object.entries(c.figures).map(([key, f]) => `| ${result.row} | ${result.case} | ${name} | ${key.replaceAll('_', ' ')}: ${digits(f.median)} | ${digits(f.min)} to ${digits(f.max)} | ${f.n} | | ${digits(c.peak_memory_mib)} | |`);
}

function timedRow(result, name, c) {
  const ratio = c.peer_over_ours ? `${digits(c.peer_over_ours.median)}x (${digits(c.peer_over_ours.min)} to ${digits(c.peer_over_ours.max)})` : '';
  const time = `${milliseconds(c.median)}${c.extrapolated ? ` (extrapolated from ${c.measured_epochs} of ${c.epochs} epochs)` : ''}${c.p99_ms ? `, p99 ${digits(c.p99_ms)} ms` : ''}`;
  return [`| ${result.row} | ${result.case} | ${name} | ${time} | ${milliseconds(c.min)} to ${milliseconds(c.max)} | ${c.n} | ${c.images_per_second ? digits(c.images_per_second) : ''} | ${digits(c.peak_memory_mib)} | ${ratio} |`];
}

export function tables(report) {
  const { machine: m, results } = report;
  const lines = [
    `${m.cpu} (family ${m.family}, model ${m.model}), ${m.cores} cores, ${m.memory_gib} GiB, AVX-512 ${m.avx512 ? 'yes' : 'no'}, bf16 instructions ${m.avx512_bf16 ? 'yes' : 'no'}, AMX ${m.amx_bf16 ? 'yes' : 'no'}; ${report.threads} threads each; ${report.images} images. Commits: ${[...new Set(results.map((r) => r.commit.slice(0, 7) + (r.uncommitted_changes ? ' with changes' : '')))].join(', ')}.`,
    '',
    '| row | case | contender | median | spread (min to max) | n | images/s | peak memory, MiB | time over ours, paired: median (min to max) |',
    '| ---: | --- | --- | --- | --- | ---: | ---: | ---: | --- |',
    ...results.flatMap((r) => Object.entries(r.contenders).flatMap(([name, c]) => (c.figures ? figuresRow : timedRow)(r, name, c))),
    '',
    '| what must hold | against | wanted | found | |',
    '| --- | --- | ---: | ---: | --- |',
    ...report.thresholds.map((t) => `| ${t.name} | ${t.against ?? ''} | ${t.at_least ? `at least ${t.at_least}x` : `at most ${digits(t.at_most)}`} | ${t.ratio ? `${digits(t.ratio)}x${t.extrapolated ? ' (peer extrapolated)' : ''}` : digits(t.value)} | ${t.held ? 'held' : '**not held**'} |`),
  ];
  const skipped = new Map(Object.entries(report.unavailable));
  for (const r of results) for (const [name, reason] of Object.entries(r.skipped)) skipped.set(`${name}, ${r.case}`, reason);
  if (skipped.size > 0) lines.push('', 'Not run:', '', ...[...skipped].map(([name, reason]) => `- ${name}: ${reason}`));
  const versions = new Map(results.flatMap((r) => Object.values(r.contenders).flatMap((c) => Object.entries(c.versions ?? {}))));
  return [...lines, '', `Versions: ${[...versions].map(([k, v]) => `${k} ${v}`).join(', ')}.`].join('\n');
}

export function writeTable(here) {
  const folder = path.join(here, 'results');
  const newest = existsSync(folder) ? readdirSync(folder).filter((f) => f.endsWith('.json')).sort().at(-1) : undefined;
  const file = path.join(here, 'README.md');
  const readme = readFileSync(file, 'utf8');
  const body = newest ? `From \`results/${newest}\`.\n\n${tables(JSON.parse(readFileSync(path.join(folder, newest), 'utf8')))}` : 'Not measured yet.';
  const [head, tail] = [readme.slice(0, readme.indexOf(START) + START.length), readme.slice(readme.indexOf(END))];
  writeFileSync(file, `${head}\n${body}\n${tail}`);
}
