// The command line as a process: standard input, readers who leave, failures nobody foresaw, memory that runs out.
import fs from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { add, compile, constant } from 'mnv2-torch';
import { describeFailure } from '../../dist/cli/failures.js';
import { cli, startCli } from '../support/cli.ts';
import { imageFolder } from '../support/image-folder.ts';
import { networkFile } from '../support/network-file.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('process');
const images = { classes: ['cat', 'dog', 'emu'], perClass: 4 };
/** Without libtorch's own warnings, such as those about the CPU it is on. */
const withoutLibtorch = (stderr: string): string => stderr.replace(/^\[W.*\n/gm, '');
/** Through a shell, for what it does before the program starts. */
const shell = (script: string, ...args: string[]) =>
  spawnSync('sh', ['-c', script, process.execPath, path.resolve('bin/mnv2-torch.js'), ...args], {
    encoding: 'utf8',
    cwd: at(),
    timeout: 60_000,
  });

beforeAll(async () => {
  await imageFolder(at('images'), images);
  fs.mkdirSync(at('run'));
  await networkFile(at('run', 'best.safetensors'), { widthMult: 0.25 });
  fs.copyFileSync(at('images', 'dog', '1.png'), at('-x.png'));
});

interface Line {
  image: string;
  predictions: { label: string; probability: number }[];
}
const lines = (stdout: string): Line[] =>
  stdout
    .trim()
    .split('\n')
    .map((l) => JSON.parse(l) as Line);

describe('operands', () => {
  test("'-' is standard input, what follows -- is a file whatever its name", () => {
    const input = fs.readFileSync(at('images', 'dog', '1.png'));
    const args = ['predict', 'run/best.safetensors', '--json', '--', 'images/dog/1.png', '-', '-x.png'];
    const { status, stdout, stderr } = cli(args, { cwd: at(), input });
    expect([status, stderr]).toEqual([0, '']);
    const [file, stdin, dashed] = lines(stdout);
    expect([file!.image, stdin!.image, dashed!.image]).toEqual(['images/dog/1.png', '-', '-x.png']);
    expect(stdin!.predictions).toEqual(file!.predictions);
    expect(dashed!.predictions).toEqual(file!.predictions);
  });
  test.each([
    ['nothing', '', 'standard input: expected one image, got nothing'],
    ['no image', 'just text', 'standard input: it contains unsupported image format'],
  ])('%s on standard input is named, the other images are answered, exit 4', (_, input, message) => {
    const { status, stdout, stderr } = cli(['predict', 'run/best.safetensors', '-', 'images/cat/0.png', '--json'], {
      cwd: at(),
      input,
    });
    expect(stderr).toBe(`mnv2-torch: ${message}\n`);
    expect(lines(stdout).map((l) => l.image)).toEqual(['images/cat/0.png']);
    expect(status).toBe(4);
  });
});

describe('a checkpoint', () => {
  test('of a run is its best: predict, eval and bench take the folder', () => {
    const [ofFile, ofRun] = ['run/best.safetensors', 'run'].map((it) =>
      cli(['predict', it, 'images/dog/1.png', '--json'], { cwd: at() }),
    );
    expect([ofRun!.status, ofRun!.stdout]).toEqual([0, ofFile!.stdout]);
    const figures = cli(['eval', 'run', 'images', '--json', '--quiet', '--device', 'cpu'], { cwd: at() });
    expect(JSON.parse(figures.stdout)).toMatchObject({ images: 12 });
    const empty = cli(['predict', 'images', 'images/dog/1.png'], { cwd: at() });
    expect(empty.stderr).toMatch(/^mnv2-torch: images .*best\.safetensors.*\n$/);
    expect(empty.status).toBe(4);
  });
  test.each([
    ['a pickle, as torch.save writes', 'net.pth', '\u0080\u0002\u008a', /net\.pth is not a usable PyTorch file/],
    ['HDF5', 'net.h5', '\u0089HDF\r\n\u001a\n', /net\.h5 is /],
    ['ONNX', 'net.onnx', '\b\u0007\u0012\u0007pytorch', /net\.onnx is not a usable \.onnx file/],
  ])('of another kind is named: %s', (_, name, start, message) => {
    fs.writeFileSync(at(name), Buffer.concat([Buffer.from(start, 'latin1'), Buffer.alloc(64)]));
    const { status, stderr } = cli(['predict', name, 'images/dog/1.png'], { cwd: at() });
    expect(stderr).toMatch(message);
    expect([status, stderr.split('\n').length]).toEqual([4, 2]);
  });
});

describe('a reader of stdout who leaves', () => {
  /** Runs until the first bytes came, then closes the pipe. */
  async function head(...args: string[]): Promise<{ status: number | null; stderr: string }> {
    const { child, ended } = startCli(args, { cwd: at() });
    child.stdout!.once('data', () => child.stdout!.destroy());
    return ended;
  }
  test('does not end a training: its checkpoints are there', async () => {
    const { status, stderr } = await head(
      ...['train', 'images', '--size', '32', '--width', '0.25', '--epochs', '3', '--batch-size', '3'],
      ...['--out', 'unread', '--json', '--quiet'],
    );
    expect([status, withoutLibtorch(stderr)]).toEqual([0, '']);
    expect(fs.readdirSync(at('unread'))).toEqual(expect.arrayContaining(['best.safetensors', 'last.safetensors']));
    expect(fs.readFileSync(at('unread', 'metrics.jsonl'), 'utf8').trim().split('\n')).toHaveLength(3);
  });
  test('ends other commands quietly', async () => {
    const many = Array.from({ length: 200 }, () => 'images/cat/0.png');
    expect(await head('predict', 'run/best.safetensors', '--json', ...many)).toMatchObject({ status: 0, stderr: '' });
  });
  test('is not a full disk: that is told, and a failure', () => {
    const { status, stderr } = shell('"$0" "$@" > /dev/full', 'summary');
    expect([status, stderr]).toEqual([1, 'mnv2-torch: ENOSPC: no space left on device, write\n']);
  });
});

test('a run folder that cannot be made is refused before the images are decoded', () => {
  const { status, stderr } = cli(['train', 'images', '--out', '/proc/run', '--device', 'cpu'], { cwd: at() });
  expect(stderr).toMatch(/^mnv2-torch: --out \/proc\/run: .*choose another folder\n$/);
  expect(status).toBe(2);
});

test('SIGHUP saves like the other signals: exit 129', async () => {
  const args = ['train', 'images', '--size', '32', '--width', '0.25', '--epochs', '100000', '--batch-size', '3'];
  const { child, seen, ended } = startCli([...args, '--out', 'hung', '--json', '--quiet'], { cwd: at() });
  await seen('"epoch":2');
  child.kill('SIGHUP');
  const { status, stdout } = await ended;
  expect(status).toBe(129);
  expect(JSON.parse(stdout.trim().split('\n').at(-1)!)).toMatchObject({
    event: 'stopped',
    checkpoint: path.join('hung', 'last.safetensors'),
  });
  expect(cli(['predict', 'hung/last.safetensors', 'images/cat/0.png'], { cwd: at() }).status).toBe(0);
});

describe('out of memory is exit 8', () => {
  /** What a call throws. */
  const thrown = async (call: () => unknown): Promise<unknown> => {
    try {
      await call();
    } catch (error) {
      return error;
    }
    throw new Error('expected it to throw');
  };
  test('where the engine gets none', async () => {
    const side = 2 ** 24; // their sum would take a petabyte
    const [column, row] = [constant(new Float32Array(side), [side, 1]), constant(new Float32Array(side), [1, side])];
    const error = await thrown(() => compile({ sum: add(column, row) }).run());
    expect(describeFailure(error)).toMatchObject({
      exitCode: 8,
      message: expect.stringContaining('not enough memory'),
    });
  });
  test('where Node gets none', async () => {
    for (const call of [() => new ArrayBuffer(2 ** 52), () => new Float32Array(2 ** 50)]) {
      const error = await thrown(call);
      expect(describeFailure(error)).toMatchObject({
        exitCode: 8,
        message: expect.stringMatching(/^out of memory \(/),
      });
    }
  });
  test('from the command line, in a process that may take no more than so much', () => {
    const args = ['bench', '--width', '0.25', '--size', '96', '--batch-size', '65536', '--n', '1', '--threads', '1'];
    const { status, stderr } = shell('ulimit -v 6000000; "$0" "$@"', ...args, '--device', 'cpu');
    expect(stderr).toMatch(/^mnv2-torch: not enough memory: tried to allocate \d+ bytes on the CPU\./);
    expect(status).toBe(8);
  });
});

test('a second Ctrl-C ends train in the middle of a step, with 130 and without a crash', async () => {
  // Steps long enough that both signals come within one; the first epoch's line says that the next one has begun.
  const options = ['--size', '320', '--epochs', '100000', '--device', 'cpu', '--out', 'interrupted', '--json'];
  const { child, seen, ended } = startCli(['train', 'images', ...options], { cwd: at() });
  await seen('"epoch":1');
  child.kill('SIGINT');
  await seen('again to stop at once');
  child.kill('SIGINT');
  const { status, signal, stdout } = await ended;
  expect(signal ?? status).toBe(130);
  expect(stdout).not.toContain('"stopped"');
});

describe('failures nobody foresaw', () => {
  /** Runs a command into whose first line of output `code` breaks. */
  const withCode = (code: string, env: Record<string, string> = {}) => {
    const module = `const { write } = process.stdout; process.stdout.write = function (...a) {
      process.stdout.write = write; setImmediate(() => { ${code} }); return write.apply(this, a); };`;
    const NODE_OPTIONS = `--import data:text/javascript,${encodeURIComponent(module)}`;
    return cli(['summary', '--json'], { env: { NODE_OPTIONS, DEBUG: undefined, ...env } });
  };
  const advice = '(unexpected; run again with DEBUG=1 for details, and report it)';

  test.each([
    ['thrown outside of any call', 'throw new TypeError("boom")'],
    ['a promise nobody awaits', 'Promise.reject(new TypeError("boom"))'],
  ])('%s: one line and exit 1, the stack with DEBUG', (_, code) => {
    const plain = withCode(code);
    expect(plain.stderr).toBe(`mnv2-torch: boom ${advice}\n`);
    expect(plain.status).toBe(1);
    const debugged = withCode(code, { DEBUG: '1' });
    expect(debugged.stderr).toMatch(/^mnv2-torch: boom \(unexpected; please report it\)\nTypeError: boom\n +at /);
    expect(debugged.status).toBe(1);
  });
  test("Node's warnings show with DEBUG alone", () => {
    const code = 'process.emitWarning("look out")';
    expect(withCode(code)).toMatchObject({ status: 0, stderr: '' });
    expect(withCode(code, { DEBUG: '1' }).stderr).toMatch(/^Warning: look out\n +at /);
  });
});
