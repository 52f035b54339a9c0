// What is typed, checked before anything is done: main() in this process, as the front of every command.
import fs from 'node:fs';
import os from 'node:os';
import { EXIT, EXIT_MEANINGS } from '../../dist/errors.js';
import { main } from '../../dist/cli/main.js';
import { nearest } from '../../dist/nearest.js';
import { cli } from '../support/cli.ts';
import { networkFile } from '../support/network-file.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('options');

/** Exit code and what was written while a command line ran in this process. */
async function run(...argv: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  const { stdout, stderr } = process;
  const [write, writeError] = [stdout.write, stderr.write];
  const said = { stdout: '', stderr: '' };
  stdout.write = (text: unknown) => ((said.stdout += String(text)), true);
  stderr.write = (text: unknown) => ((said.stderr += String(text)), true);
  try {
    return { status: await main(argv), ...said };
  } finally {
    stdout.write = write;
    stderr.write = writeError;
  }
}

const threads = 4 * os.availableParallelism();
// 'nowhere' does not exist: a message about it would say that work had begun.
test.each([
  [['train', 'nowhere', '--lr', 'abc'], "--lr: expected a number above 0, got 'abc'"],
  [['train', 'nowhere', '--lr', '0'], '--lr: expected a number above 0, got 0'],
  [['train', 'nowhere', '--lr', '1e999'], '--lr: expected a number above 0, got 1e999'],
  [['train', 'nowhere', '--lr', '0x10'], "--lr: expected a number above 0, got '0x10'"],
  [['train', 'nowhere', '--lr='], "--lr: expected a number above 0, got ''"],
  [['train', 'nowhere', '--lr', '1', '--lr', '2'], '--lr was given more than once'],
  [['train', 'nowhere', '--weight-decay', '-1'], '--weight-decay: expected a number of at least 0, got -1'],
  [['train', 'nowhere', '--epochs', '1.5'], '--epochs: expected a whole number of at least 1, got 1.5'],
  [
    ['train', 'nowhere', '--batchSize', '0'],
    '--batch-size: expected a whole number of at least 1 and at most 65536, got 0',
  ],
  [['train', 'nowhere', '--val-split', '2'], '--val-split: expected a number above 0 and below 1, got 2'],
  [['train', 'nowhere', '--views', '-1'], '--views: expected a whole number of at least 0, got -1'],
  [
    ['train', 'nowhere', '--seed', '1e20'],
    '--seed: expected a whole number of at least 0 and at most 9007199254740991, got 1e20',
  ],
  [
    ['train', 'nowhere', '--epochs', '1e20'],
    '--epochs: expected a whole number of at least 1 and at most 9007199254740991, got 1e20',
  ],
  [
    ['train', 'nowhere', '--threads', '0'],
    `--threads: expected a whole number of at least 1 and at most ${threads}, got 0`,
  ],
  [
    ['train', 'nowhere', '--threads', '10000'],
    `--threads: expected a whole number of at least 1 and at most ${threads}, got 10000`,
  ],
  [['train', 'nowhere', '--size', '1e6'], '--size: expected a whole number of at least 32 and at most 4096, got 1e6'],
  [['train', 'nowhere', '--width', '1e5'], '--width: expected a number above 0 and at most 32, got 1e5'],
  [['summary', '--width', '1e5'], '--width: expected a number above 0 and at most 32, got 1e5'],
  [['summary', '--classes', '1e9'], '--classes: expected a whole number of at least 1 and at most 1000000, got 1e9'],
  [['summary', '--freeze', 'most'], "--freeze: expected features, none or a number of blocks, got 'most'"],
  [['bench', '--batch-size', '1'], '--batch-size: expected a whole number of at least 2 and at most 65536, got 1'],
  [['bench', 'networks'], "<what>: expected network or depthwise, got 'networks'. Did you mean network?"],
  [
    ['eval', 'nowhere', 'nowhere', '--precision', 'fp16'],
    "--precision: expected fp32 or bf16, got 'fp16'. Did you mean fp32?",
  ],
  [['eval', 'nowhere', 'nowhere', '--split='], "--split: expected a path, got ''"],
  [['predict', 'nowhere', 'nowhere', '--top', '0'], '--top: expected a whole number of at least 1, got 0'],
  [['predict', 'nowhere', 'nowhere', '--device', 'gpu'], "--device: expected auto, cpu, cuda or cuda:n, got 'gpu'"],
  [['predict', 'nowhere', ''], "<images>: expected a path, got ''"],
  [['predict', 'nowhere', '-', '-'], "<images>: '-' was given more than once; standard input holds one image"],
])('%j', async (argv, message) => {
  expect(await run(...argv)).toEqual({ status: 2, stdout: '', stderr: `mnv2-torch: ${message}\n` });
});

test('all that is wrong is said at once', async () => {
  const { status, stderr } = await run('train', 'nowhere', '--lr', 'abc', '--optimizer', 'adm', '--dropout', '1');
  expect(stderr.split('\n')).toEqual([
    'mnv2-torch: 3 things cannot be used:',
    '  --dropout: expected a number of at least 0 and below 1, got 1',
    "  --optimizer: expected sgd, adam, adamw or rmsprop, got 'adm'. Did you mean adam?",
    "  --lr: expected a number above 0, got 'abc'",
    '',
  ]);
  expect(status).toBe(2);
});

test.each([
  [['train', '--lrate', '1'], 'Unknown argument: lrate\nDid you mean --lr?'],
  [['train', '--learning-rate', '1'], 'Unknown argument: learning-rate\nDid you mean --lr?'],
  [
    ['train', '--batchsize=8', '--epoch', '1'],
    'Unknown arguments: batchsize, epoch\nDid you mean --batch-size, --epochs?',
  ],
  [['train', '--labelSmooth', '1'], 'Unknown argument: labelSmooth\nDid you mean --label-smoothing?'],
  // Told once, not in both spellings.
  [['train', '--mixture-part', '1'], 'Unknown argument: mixture-part'],
  [['train', '-epoch', '1'], 'Unknown argument: epoch\nDid you mean --epochs?'],
  [['eval', 'a', 'b', '--slpit', 'c'], 'Unknown argument: slpit\nDid you mean --split?'],
  [['predict', 'a', 'b', '--topk', '1'], 'Unknown argument: topk\nDid you mean --top?'],
  [['summary', '--num-classes', '1'], 'Unknown argument: num-classes\nDid you mean --classes?'],
  [['summary', 'weights'], 'Unknown argument: weights'],
  [['summary', '--', '--json'], 'Unknown argument: --json'],
  [['bench', '--thread', '1'], 'Unknown argument: thread\nDid you mean --threads?'],
  [['doctor', '--jsno'], 'Unknown argument: jsno\nDid you mean --json?'],
  [['setup', '--form', 'x'], 'Unknown argument: form\nDid you mean --from?'],
  [['train', '--lr'], 'Not enough arguments following: lr'],
])('%j', async ([command, ...rest], message) => {
  const { status, stderr } = await run(command!, ...rest);
  expect(stderr).toBe(`mnv2-torch: ${message}\nSee: mnv2-torch ${command} --help\n`);
  expect(status).toBe(2);
});

test('nothing is guessed where nothing is near', () => {
  expect(nearest('colour', ['lr', 'epochs', 'out'])).toBeUndefined();
  expect(nearest('x', ['lr', 'n', 'top'])).toBeUndefined();
  expect(nearest('wieghts', ['width', 'weights'])).toBe('weights');
});

test('summary shows the network of a checkpoint, or of a run, and refuses flags that contradict it', async () => {
  fs.mkdirSync(at('run'));
  const file = await networkFile(at('run', 'best.safetensors'), { arch: 'mobilenet_v1', widthMult: 0.25 });
  const ofFile = await run('summary', '--weights', file, '--json');
  expect(await run('summary', '--weights', at('run'), '--json')).toEqual(ofFile);
  const asked = await run(
    'summary',
    '--arch',
    'mobilenet_v1',
    '--width',
    '0.25',
    '--classes',
    '3',
    '--size',
    '32',
    '--json',
  );
  expect(JSON.parse(ofFile.stdout)).toEqual(JSON.parse(asked.stdout));
  expect(await run('summary', '--weights', file, '--width', '1')).toEqual({
    status: 2,
    stdout: '',
    stderr: `mnv2-torch: --width 1: the weights in ${file} are for 0.25; leave the flag out or use other weights\n`,
  });
});

test('the help names types, defaults and exit codes; the README has the same codes', () => {
  const { stdout } = cli(['train', '--help']);
  const front = cli(['--help'])
    .stdout.split('\n')
    .map((l) => l.trim());
  const line = (name: string): string => stdout.split('\n').find((l) => l.includes(`--${name} `))!;
  expect(line('val-split')).toMatch(/\[a number above 0 and below 1\] +\[default: 0.3\]$/);
  expect(line('precision')).toMatch(/\[fp32 or bf16\] +\[default: fp32\]$/);
  expect(line('json')).toMatch(/\[boolean\]$/);
  const readme = fs.readFileSync('README.md', 'utf8');
  for (const [name, code] of Object.entries(EXIT)) {
    const meaning = EXIT_MEANINGS[name as keyof typeof EXIT];
    expect(front).toContain(`${code}  ${meaning}`);
    expect(readme).toContain(`| ${code} | ${meaning} |`);
  }
});
