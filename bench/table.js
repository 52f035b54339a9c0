// The tables of README.md and GPU.md, from the newest results files. Owns what stands between the markers, nothing else.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ratios } from './statistics.js';
import { GPU_THRESHOLDS, IDEAL_FUSION } from './rows.js';

const START = '<!-- results: written by run.js -->';
const GPU_START = '<!-- results: written by gpu.js -->';
const END = '<!-- end of results -->';
const digits = (x, d = 3) => (x >= 1000 ? x.toFixed(0) : Number(x.toPrecision(d)).toString());
const milliseconds = (s) => (s >= 1 ? `${digits(s)} s` : `${digits(s * 1e3)} ms`);

function figuresRow(result, name, c) {
  return Object.entries(c.figures).map(
    ([key, f]) =>
      `| ${result.row} | ${result.case} | ${name} | ${key.replaceAll('_', ' ')}: ${digits(f.median)} | ${digits(f.min)} to ${digits(f.max)} | ${f.n} | | ${digits(c.peak_memory_mib)} | |`,
  );
}

function timedRow(result, name, c) {
  const ratio = c.peer_over_ours
    ? `${digits(c.peer_over_ours.median)}x (${digits(c.peer_over_ours.min)} to ${digits(c.peer_over_ours.max)})`
    : '';
  const time = `${milliseconds(c.median)}${c.extrapolated ? ` (extrapolated from ${c.measured_epochs} of ${c.epochs} epochs)` : ''}${c.p99_ms ? `, p99 ${digits(c.p99_ms)} ms` : ''}`;
  return [
    `| ${result.row} | ${result.case} | ${name} | ${time} | ${milliseconds(c.min)} to ${milliseconds(c.max)} | ${c.n} | ${c.images_per_second ? digits(c.images_per_second) : ''} | ${digits(c.peak_memory_mib)} | ${ratio} |`,
  ];
}

export function tables(report) {
  const { machine: m, results } = report;
  const lines = [
    `${m.cpu} (family ${m.family}, model ${m.model}), ${m.cores} cores, ${m.memory_gib} GiB, AVX-512 ${m.avx512 ? 'yes' : 'no'}, bf16 instructions ${m.avx512_bf16 ? 'yes' : 'no'}, AMX ${m.amx_bf16 ? 'yes' : 'no'}; ${report.threads} threads each; ${report.images} images. Commits: ${[...new Set(results.map((r) => r.commit.slice(0, 7) + (r.uncommitted_changes ? ' with changes' : '')))].join(', ')}.`,
    '',
    '| row | case | contender | median | spread (min to max) | n | images/s | peak memory, MiB | time over ours, paired: median (min to max) |',
    '| ---: | --- | --- | --- | --- | ---: | ---: | ---: | --- |',
    ...results.flatMap((r) =>
      Object.entries(r.contenders).flatMap(([name, c]) => (c.figures ? figuresRow : timedRow)(r, name, c)),
    ),
    '',
    '| what must hold | against | wanted | found | |',
    '| --- | --- | ---: | ---: | --- |',
    ...report.thresholds.map(
      (t) =>
        `| ${t.name} | ${t.against ?? ''} | ${t.at_least ? `at least ${t.at_least}x` : `at most ${digits(t.at_most)}`} | ${t.ratio ? `${digits(t.ratio)}x${t.extrapolated ? ' (peer extrapolated)' : ''}` : digits(t.value)} | ${t.held ? 'held' : '**not held**'} |`,
    ),
  ];
  const skipped = new Map(Object.entries(report.unavailable));
  for (const r of results)
    for (const [name, reason] of Object.entries(r.skipped)) skipped.set(`${name}, ${r.case}`, reason);
  if (skipped.size > 0) lines.push('', 'Not run:', '', ...[...skipped].map(([name, reason]) => `- ${name}: ${reason}`));
  const versions = new Map(
    results.flatMap((r) => Object.values(r.contenders).flatMap((c) => Object.entries(c.versions ?? {}))),
  );
  return [...lines, '', `Versions: ${[...versions].map(([k, v]) => `${k} ${v}`).join(', ')}.`].join('\n');
}

/** Puts `body` between the markers of a document. */
function between(file, start, body) {
  const text = readFileSync(file, 'utf8');
  const [head, tail] = [text.slice(0, text.indexOf(start) + start.length), text.slice(text.indexOf(END))];
  writeFileSync(file, `${head}\n${body}\n${tail}`);
}

/** The newest results of a GPU, or of a CPU: [name, report]. */
function newest(here, gpu) {
  const folder = path.join(here, 'results');
  const files = existsSync(folder)
    ? readdirSync(folder)
        .filter((f) => f.endsWith('.json'))
        .sort()
        .reverse()
    : [];
  return (
    files
      .map((f) => [f, JSON.parse(readFileSync(path.join(folder, f), 'utf8'))])
      .find(([, report]) => (report.machine.gpu !== undefined) === gpu) ?? []
  );
}

export function writeTable(here) {
  const [name, report] = newest(here, false);
  between(
    path.join(here, 'README.md'),
    START,
    report ? `From \`results/${name}\`.\n\n${tables(report)}` : 'Not measured yet.',
  );
}

const spread = (c) =>
  `${milliseconds(c.median)} (${milliseconds(c.min)} to ${milliseconds(c.max)}, n ${c.n})${c.images_per_second ? `, ${digits(c.images_per_second)} images/s` : ''}${c.extrapolated ? `, extrapolated from ${c.measured_epochs} of ${c.epochs} epochs` : ''}`;

/** The GPU's tables; a row without both of its figures says why. */
export function gpuTables(report = { results: [], unavailable: {} }) {
  const { machine: m, results, unavailable } = report;
  const of = (key) => results.find((r) => r.case === key);
  const missing = (key, name) => {
    if (!m) return 'not measured';
    const { failed, skipped = {} } = of(key) ?? {};
    const seeds =
      name === 'ours'
        ? Object.entries(skipped)
            .map(([what, why]) => `${what}: ${why}`)
            .join('; ')
        : '';
    return `not measured: ${unavailable[name] ?? failed ?? (skipped[name] || seeds || 'this part did not run')}`;
  };
  const cell = (key, name) => {
    const c = of(key)?.contenders?.[name];
    return c ? `${spread(c)}${c.accuracies ? `, after ${c.epochs.join(' and ')} epochs` : ''}` : missing(key, name);
  };
  const [step, tune] = ['gpu/full-step/large/bf16', 'gpu/fine-tune'];
  const speed = of(step)?.contenders?.ours?.images_per_second;
  const share = speed && speed / IDEAL_FUSION;
  const verdict = (held) => (held ? 'held' : '**not held**');
  const rows = GPU_THRESHOLDS.map((t) => {
    const [key] = t.ours;
    const [found] = ratios(
      results.filter((r) => r.contenders),
      [t],
    );
    return `| ${t.name} | ${t.says} | ${t.atLeast}x | ${found ? `${digits(found.ratio)}x, ${verdict(found.held)}` : 'not measured'} | ${cell(key, 'ours')} | ${cell(key, t.against)} |`;
  });
  rows.splice(
    3,
    0,
    `| share of the ideal-fusion roofline (${(IDEAL_FUSION / 1000).toFixed(1)}k images/s), batch 256 | the limit | 40% | ${share ? `${digits(100 * share)}%, ${verdict(share >= 0.4)}` : 'not measured'} | ${cell(step, 'ours')} | |`,
  );
  rows.push(
    `| full fine-tune to 98% validation accuracy, process start to that epoch | | stated | ${of(tune)?.contenders?.ours ? 'stated' : 'not measured'} | ${cell(tune, 'ours')} | |`,
  );
  const lines = [
    '| row | against | at least | found | ours | peer |',
    '| --- | --- | ---: | --- | --- | --- |',
    ...rows,
  ];
  const depthwise = of('gpu/depthwise');
  const timed = Object.entries(depthwise?.routes ?? {});
  if (timed.length > 0) {
    const us = ({ ms, shareOfCopy }) =>
      `${digits(1000 * ms.median)} (${digits(1000 * ms.min)} to ${digits(1000 * ms.max)}), ${digits(100 * shareOfCopy)}%`;
    const each = timed[0][1].rows.flatMap((_, i) => timed.map(([, { rows: r }]) => r[i])); // the network's order, a shape's routes together
    lines.push(
      '',
      `Depthwise 3x3 alone, batch ${timed[0][1].batchSize}: median in us (min to max), share of the copy bandwidth measured in the same process (${timed.map(([route, r]) => `${route} ${(r.copyBandwidth / 1e12).toPrecision(3)} TB/s`).join(', ')}).`,
      '',
      '| C | side of x | stride | dtype | route | MB | forward | input gradient | weight gradient |',
      '| ---: | ---: | ---: | --- | --- | ---: | ---: | ---: | ---: |',
      ...each.map(
        (r) =>
          `| ${r.channels} | ${r.height} | ${r.stride} | ${r.dtype} | ${r.route}${m.gpu && !r.captured ? ', not as a graph' : ''} | ${digits(r.forward.bytes / 1e6)} | ${us(r.forward)} | ${us(r.inputGradient)} | ${us(r.weightGradient)} |`,
      ),
    );
  }
  if (!m) return lines.join('\n');
  const notes = results.flatMap((r) =>
    Object.entries({ ...r.skipped, ...(r.failed && { 'the whole part': r.failed }) }).map(
      ([name, why]) => `- ${name}, ${r.case}: ${why}`,
    ),
  );
  notes.unshift(...Object.entries(unavailable).map(([name, why]) => `- ${name}: ${why}`));
  if (notes.length > 0) lines.push('', 'Not run:', '', ...notes);
  const graphs = results.flatMap((r) =>
    r.contenders?.ours?.cuda_graph ? [`${r.case} ${r.contenders.ours.cuda_graph}`] : [],
  );
  if (graphs.length > 0) lines.push('', `CUDA graphs: ${graphs.join(', ')}.`);
  const versions = new Map(
    results.flatMap((r) => Object.values(r.contenders ?? {}).flatMap((c) => Object.entries(c.versions ?? {}))),
  );
  return [
    `${m.gpu ?? 'no GPU'}${m.capability ? `, capability ${m.capability}, driver for CUDA ${m.driver}` : ''}; ${m.cpu}, ${report.threads} cores; ${report.images} images; commit ${report.commit.slice(0, 7)}${report.uncommitted_changes ? ' with changes' : ''}; ${report.seconds.toFixed(0)} s in all.`,
    '',
    ...lines,
    '',
    `Versions: ${[...versions].map(([k, v]) => `${k} ${v}`).join(', ')}.`,
  ].join('\n');
}

export function writeGpuTable(here) {
  const [name, report] = newest(here, true);
  between(
    path.join(here, 'GPU.md'),
    GPU_START,
    report ? `From \`results/${name}\`: ${gpuTables(report)}` : gpuTables(),
  );
}
