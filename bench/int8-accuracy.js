#!/usr/bin/env node
// What int8 costs in accuracy: finished runs of `mnv2-torch train`, each quantised in several ways, calibrated on what it
// was trained on and judged on what it held back. One results file; mean and range over the runs.
//   node bench/int8-accuracy.js [--label fine-tuned-v2] [--images 256] [--only name] [--qat 4] <run folder>...
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { completeCheckpoint, evaluate, ImageFolder, loadCheckpoint, quantize } from '../dist/index.js';
import { machine, revision, slug } from './machine.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const { values: args, positionals: runs } = parseArgs({
  allowPositionals: true,
  options: {
    label: { type: 'string', default: 'fine-tuned' },
    images: { type: 'string', default: '256' },
    qat: { type: 'string', default: '0' },
    only: { type: 'string', multiple: true },
  },
});
if (runs.length === 0) throw new Error('name run folders of `mnv2-torch train`: bench/int8-accuracy.js <run>...');
const say = (line) => console.error(`bench: ${line}`);

const epochs = Number(args.qat);
const CASES = [
  ['per channel', {}],
  ['per channel, minmax', { method: 'minmax' }],
  ['per tensor', { perTensor: true }],
  ['per tensor, equalised', { perTensor: true, equalize: true }],
  ['per tensor, equalised, biases corrected', { perTensor: true, equalize: true, biasCorrect: true }],
  ...(epochs > 0 ? [[`per channel, ${epochs} epochs of training`, { epochs }]] : []),
].filter(([name]) => !args.only || args.only.includes(name));

const evenly = (rows, most) =>
  Int32Array.from(
    { length: Math.min(most, rows.length) },
    (_, i) => rows[Math.floor((i * rows.length) / Math.min(most, rows.length))],
  );
const points = (share) => Number((100 * share).toFixed(2));
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

const facts = machine();
const rows = [];
for (const run of runs) {
  const config = JSON.parse(readFileSync(path.join(run, 'config.json'), 'utf8'));
  const float = completeCheckpoint(await loadCheckpoint(run));
  const { size } = float.preprocess;
  const data = await ImageFolder.open(config.data, { size, splitFile: path.join(run, 'split.json') });
  const split = await data.ready();
  const [indices, on] = split.test.length > 0 ? [split.test, 'test'] : [split.val, 'validation'];
  const judge = (checkpoint) => evaluate({ checkpoint, store: data.store, labels: data.labels, indices });
  const before = await judge(float);
  say(`${run}: float ${points(before.accuracy)}% of ${indices.length} ${on} images at ${size} px`);
  for (const [name, { epochs: trained, ...options }] of CASES) {
    const int8 = await quantize(float, {
      ...options,
      ...(trained && { qat: { epochs: trained, data } }),
      ...{ store: data.store, rows: evenly(split.train, Number(args.images)) },
    });
    const file = path.join(tmpdir(), `int8-accuracy-${process.pid}.safetensors`);
    await int8.save(file);
    const after = await judge(int8.checkpoint);
    const lost = points(before.accuracy) - points(after.accuracy);
    const ratio = readFileSync(file).length / readFileSync(float.file).length;
    const row = { run: path.basename(run), case: name, size, images: indices.length, on };
    rows.push({
      ...row,
      ...{ float: points(before.accuracy), int8: points(after.accuracy), lost: Number(lost.toFixed(2)) },
      ...{ lossFloat: before.loss, lossInt8: after.loss, fileRatio: Number(ratio.toFixed(4)) },
      noisiest: int8.layers.slice(0, 3),
    });
    say(`${run}: ${name}: ${points(after.accuracy)}% (${lost.toFixed(2)} points lost), file ${ratio.toFixed(3)}`);
  }
  data.dispose();
}

const table = CASES.map(([name]) => {
  const of = rows.filter((row) => row.case === name);
  const lost = of.map((row) => row.lost);
  return `| ${args.label} | ${name} | ${mean(of.map((r) => r.float)).toFixed(2)} | ${mean(of.map((r) => r.int8)).toFixed(2)} | ${mean(lost).toFixed(2)} (${Math.min(...lost).toFixed(2)} to ${Math.max(...lost).toFixed(2)}) | ${of.length} |`;
});
console.log(
  [
    '| network | int8 | float, % | int8, % | points lost (min to max) | runs |',
    '| --- | --- | ---: | ---: | ---: | ---: |',
    ...table,
  ].join('\n'),
);
const folder = path.join(here, 'results', 'int8-accuracy');
mkdirSync(folder, { recursive: true });
const date = new Date().toISOString().slice(0, 10);
const out = path.join(folder, `${date}-${slug(args.label)}.json`);
const result = {
  label: args.label,
  calibrationImages: Number(args.images),
  machine: facts,
  ...revision(path.join(here, '..')),
  rows,
};
writeFileSync(out, `${JSON.stringify(result, null, 2)}\n`);
say(`wrote ${out}`);
