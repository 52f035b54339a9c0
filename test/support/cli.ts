// The command line as a child process, with a cache of its own: tests neither use nor fill the user's.
import { spawn, spawnSync, type ChildProcess, type SpawnSyncReturns } from 'node:child_process';
import path from 'node:path';
import { temporaryFolder } from './temporary.ts';

const bin = path.resolve('bin/mnv2-torch.js');
const cache = temporaryFolder('cache');

export interface CliOptions {
  /** folder it runs in; the repository by default */
  cwd?: string;
  /** added to this process' environment; undefined takes a variable out */
  env?: Record<string, string | undefined>;
  /** what it reads from stdin; nothing by default */
  input?: string | Uint8Array;
  /** milliseconds after which it is killed: a hang fails its own test, not the whole run; 60,000 by default */
  timeout?: number;
}
const environment = (env: CliOptions['env']): NodeJS.ProcessEnv => ({
  ...process.env,
  XDG_CACHE_HOME: cache(),
  ...env,
});

/** Runs `mnv2-torch` with these arguments to its end. */
export function cli(args: readonly string[], options: CliOptions = {}): SpawnSyncReturns<string> {
  const { cwd, env, input = '', timeout = 60_000 } = options;
  return spawnSync(process.execPath, [bin, ...args], {
    encoding: 'utf8',
    maxBuffer: 64 << 20, // of a thousand classes, a confusion matrix
    input,
    timeout,
    killSignal: 'SIGKILL',
    env: environment(env),
    ...(cwd !== undefined && { cwd }),
  });
}

export interface Ended {
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}
export interface RunningCli {
  child: ChildProcess;
  /** Resolves once stdout and stderr together contain this text; rejects when the process ends without it. */
  seen(text: string): Promise<void>;
  ended: Promise<Ended>;
}

/** Starts `mnv2-torch` and returns at once, for tests that send signals or read while it works. */
export function startCli(args: readonly string[], options: CliOptions = {}): RunningCli {
  const { cwd, env, input = '', timeout = 60_000 } = options;
  const child = spawn(process.execPath, [bin, ...args], {
    timeout,
    killSignal: 'SIGKILL',
    env: environment(env),
    ...(cwd !== undefined && { cwd }),
  });
  child.stdin.on('error', () => undefined); // it may end without reading what it was given
  child.stdin.end(input);
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += String(chunk)));
  child.stderr.on('data', (chunk: Buffer) => (stderr += String(chunk)));
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status, signal) => resolve({ status, signal, stdout, stderr }));
  });
  const seen = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (stdout.includes(text) || stderr.includes(text)) resolve();
      };
      child.stdout.on('data', look);
      child.stderr.on('data', look);
      child.once('close', () => reject(new Error(`ended without '${text}':\n${stdout}${stderr}`)));
      look();
    });
  return { child, seen, ended };
}

/** Flags of the shortest training there is to look at: an epoch, whose seconds are those of starting up. */
export const shortTraining = (batchSize: number): string[] =>
  `--size 32 --width 0.35 --epochs 1 --batch-size ${batchSize} --threads 1`.split(' ');
