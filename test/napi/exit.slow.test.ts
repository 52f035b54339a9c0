// Ends under a running loop, of processes and of workers, at varied moments: each with the exit code asked for, none by a
// signal. A hundred of them in `npm run test:long`.
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { times } from '../support/long.ts';

const script = path.resolve('test/support/ending.js');

interface End {
  way: string;
  status: number | null;
  signal: string | null;
  stdout: string;
}

function end(way: string, delay: number): Promise<End> {
  const child = spawn(process.execPath, [script, way, String(delay)], {
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += String(chunk)));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status, signal) => resolve({ way, status, signal, stdout }));
  });
}

/** All of them, three at a time. */
async function ends(list: readonly (readonly [string, number])[]): Promise<End[]> {
  const waiting = [...list];
  const done: End[] = [];
  const next = async (): Promise<void> => {
    for (let item = waiting.shift(); item; item = waiting.shift()) done.push(await end(...item));
  };
  await Promise.all([next(), next(), next()]);
  return done;
}

const codes: Record<string, number> = { exit: 7, really: 7, signal: 7, progress: 7, thrown: 1, rejected: 1 };

const processes = times(12, 40);
test(`${processes} processes end as asked: process.exit, reallyExit, in a signal handler, in onProgress, uncaught, unhandled`, async () => {
  const list = Array.from({ length: processes }, (_, i) => [Object.keys(codes)[i % 6]!, (i * 7) % 50] as const);
  const done = await ends(list);
  expect(done).toHaveLength(processes);
  expect(done.filter(({ way, status, signal }) => signal !== null || status !== codes[way])).toEqual([]);
});

const delays = [10, 0, 25].slice(0, times(1, 3));
test(`${20 * delays.length} workers end as asked: process.exit, uncaught, terminate(); their processes under one more`, async () => {
  const done = await ends(delays.map((delay) => ['workers', delay]));
  for (const { status, signal, stdout } of done) {
    expect(signal ?? status).toBe(7);
    expect(stdout.trim()).toBe(Array(10).fill('7 1').join(' ')); // terminate() and an uncaught error both count as 1
  }
  expect(done).toHaveLength(delays.length);
});

test('a worker terminated in the middle of a loop leaves nothing behind', () => {
  // The order of the loop alone is 40 MB: a few of them kept are seen whatever else the process does.
  const { stdout } = spawnSync(process.execPath, [path.resolve('test/support/terminations.js'), '5'], {
    encoding: 'utf8',
    timeout: 100_000,
    killSignal: 'SIGKILL',
  });
  const mebibytes = stdout.trim().split('\n').map(Number);
  expect(mebibytes).toHaveLength(5);
  expect(mebibytes[4]! - mebibytes[1]!).toBeLessThan(60);
});
