// A program bundled by esbuild, this package left out of it, does what it does unbundled: as ESM and as CommonJS.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { buildSync } from 'esbuild';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('bundle');

/** Decodes, trains, writes a checkpoint and classifies: sharp, the addon and what is imported late. */
const PROGRAM = `
import { Classifier, MobileNetV2, syntheticScenes, Trainer } from 'mnv2-torch';
import { answer } from './part.js';
async function main(): Promise<void> {
  const data = await syntheticScenes({ size: 32, perClass: 2 });
  const model = MobileNetV2({ numClasses: data.classes.length, widthMult: 0.35 });
  const result = await new Trainer(model, data, { epochs: 1, threads: 1 }).fit();
  await result.save(process.argv[2]!);
  console.log(JSON.stringify(await answer(await Classifier.load(process.argv[2]!, { threads: 1 }))));
}
void main();`;
const PART = `
import sharp from 'sharp';
import type { Classifier } from 'mnv2-torch';
export const answer = async (classifier: Classifier): Promise<unknown> =>
  classifier.classify(await sharp({ create: { width: 9, height: 9, channels: 3, background: 'teal' } }).png().toBuffer());`;

test('the same answers, bit for bit', () => {
  fs.mkdirSync(at('node_modules'));
  fs.symlinkSync(path.resolve('.'), at('node_modules/mnv2-torch'));
  fs.symlinkSync(path.resolve('node_modules/sharp'), at('node_modules/sharp'));
  fs.writeFileSync(at('program.ts'), PROGRAM);
  fs.writeFileSync(at('part.ts'), PART);
  const options = { entryPoints: [at('program.ts')], platform: 'node' as const, external: ['mnv2-torch', 'sharp'] };
  buildSync({ ...options, bundle: true, format: 'esm', outfile: at('bundle.mjs') });
  buildSync({ ...options, bundle: true, format: 'cjs', outfile: at('bundle.cjs') });
  for (const part of ['program', 'part'])
    buildSync({ entryPoints: [at(`${part}.ts`)], format: 'esm', outfile: at(`${part}.js`) });
  fs.writeFileSync(at('package.json'), '{"type":"module"}');
  const run = (program: string): string => {
    const { stdout, stderr, status } = spawnSync(process.execPath, [at(program), at('model.safetensors')], {
      encoding: 'utf8',
    });
    expect([status, stderr.replace(/.*ExperimentalWarning[^]*/, '')]).toEqual([0, '']);
    return stdout;
  };
  const plain = run('program.js');
  expect(JSON.parse(plain)).toHaveLength(5);
  expect([run('bundle.mjs'), run('bundle.cjs')]).toEqual([plain, plain]);
});
