// Ends the process when a synchronous loop never does: a test's own time limit waits for it.
import { Worker } from 'node:worker_threads';

const LIMIT = 120_000;
const code = `
  const { workerData } = require('node:worker_threads');
  const { counter, what, limit } = workerData;
  let seen = -1;
  setInterval(() => {
    const now = Atomics.load(counter, 0);
    if (now === seen) {
      require('node:fs').writeSync(2, what + ': number ' + now + ' does not end\\n');
      process.kill(process.pid, 'SIGKILL');
    }
    seen = now;
  }, limit);`;

/**
 * `at(n)` says that number n begins; the process is killed, and n named, when none begins for two minutes. It watches
 * until `end()`.
 */
export function watchdog(what: string): { at(n: number): void; end(): Promise<unknown> } {
  const counter = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(code, { eval: true, workerData: { counter, what, limit: LIMIT } });
  return { at: (n) => void Atomics.store(counter, 0, n), end: () => worker.terminate() };
}
