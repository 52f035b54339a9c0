// `train --resume` after SIGKILL: the command line as a real child process, killed at seeded steps, whole files compared.
import fs from 'node:fs';
import path from 'node:path';
import { readSafetensors } from 'mnv2-torch';
import { Random } from '../../dist/random.js';
import { cli, startCli } from '../support/cli.ts';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('cli-resume');
const EPOCHS = 5;
const STEPS = 4; // 21 images in batches of 6
beforeAll(async () => {
  await imageFolder(at('images'), { classes: ['a', 'b', 'c'], perClass: 10 });
});

const network = ['--size', '32', '--width', '0.25', '--dropout', '0.3'];
const course = ['--epochs', String(EPOCHS), '--batch-size', '6', '--seed', '5', '--save-every', '1steps', '--quiet'];
const train = (...args: string[]): string[] => [
  'train',
  at('images'),
  ...network,
  ...course,
  '--threads',
  '1',
  ...args,
];
const bytes = (...name: string[]): string => fs.readFileSync(at(...name)).toString('hex');

async function savedStep(out: string): Promise<number> {
  const { metadata } = await readSafetensors(path.join(out, 'state.safetensors')).catch(() => ({
    metadata: undefined,
  }));
  return metadata ? (JSON.parse(metadata['position']!) as { step: number }).step : -1;
}

/** Kills it once the state of `step` is on disk, whatever it is doing then. */
async function killed(args: string[], out: string, step: number): Promise<void> {
  const { child, ended } = startCli(args);
  while ((await savedStep(out)) < step && child.exitCode === null)
    await new Promise((resolve) => setTimeout(resolve, 1));
  child.kill('SIGKILL');
  expect(await ended).toMatchObject({ signal: 'SIGKILL' });
}

test.each([
  ['all of it', ['--augment', 'strong', '--optimizer', 'adamw']],
  ['a cached head', ['--freeze', 'features', '--augment', 'aerial', '--views', '2']],
])('%s: killed three times, it ends with the bytes of a run that was not', async (name, options) => {
  const whole = at(name, 'whole');
  expect(cli(train(...options, '--out', whole))).toMatchObject({ status: 0, stderr: '' });
  const out = at(name, 'killed');
  const random = new Random(name, 'kills');
  const steps = [0, random.whole(1, 2 * STEPS), random.whole(2 * STEPS + 1, EPOCHS * STEPS - 3)];
  for (const [i, step] of steps.entries())
    await killed(i === 0 ? train(...options, '--out', out) : ['train', '--resume', out, '--quiet'], out, step);
  expect(await savedStep(out)).toBeLessThan(EPOCHS * STEPS);
  const { status, stdout } = cli(['train', '--resume', out, '--json']);
  expect(status).toBe(0);
  expect(stdout).toMatch(/the run goes on from/);
  for (const file of ['last.safetensors', 'best.safetensors', 'split.json'])
    expect([file, bytes(name, 'killed', file) === bytes(name, 'whole', file)]).toEqual([file, true]);
  expect(fs.readdirSync(out).sort()).toEqual(fs.readdirSync(whole).sort()); // no lock, no half-written file
});

test('a run that is done: nothing to do is said, exit 0; what differs is refused, exit 2', () => {
  const out = at('done');
  expect(cli(train('--freeze', 'features', '--out', out))).toMatchObject({ status: 0 });
  const before = fs.statSync(path.join(out, 'state.safetensors')).mtimeMs;
  const done = cli(['train', '--resume', out]);
  expect(done).toMatchObject({ status: 0 });
  expect(done.stderr).toContain(`all ${EPOCHS} epochs are trained, nothing is left to do`);
  expect(done.stdout).toContain('best.safetensors');
  expect(fs.statSync(path.join(out, 'state.safetensors')).mtimeMs).toBe(before);
  for (const [args, message] of [
    [['--batch-size', '8'], /resume: batchSize was 6, now 8/],
    [['--dropout', '0.1'], /network\.dropout was "0\.3", now "0\.1"/],
    [['--width', '1'], /--width 1: the weights in .*state\.safetensors are for 0\.25/],
    [['--epochs', '9'], /epochs was 5, now 9; a cosine schedule is laid out over all epochs/],
    [['--config', path.join(out, 'config.json')], /--config: a run goes on under its own settings/],
    [['--out', at('other')], /out: a run goes on in its own folder/],
  ] as const) {
    const { status, stderr } = cli(['train', '--resume', out, ...args]);
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
  }
  expect(cli(['train', '--resume', at('images')])).toMatchObject({ status: 2 });
});
