// Ends in the way and after the milliseconds its arguments name, while an endless loop runs. For test/napi/exit.slow.test.ts.
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { startEndlessLoop } from './endless-loop.js';

const [way, delay] = isMainThread ? process.argv.slice(2) : workerData;
const after = (work) => setTimeout(work, Number(delay));

const endings = {
  exit: () => after(() => process.exit(7)),
  really: () => after(() => process.reallyExit(7)), // what packages that wrap process.exit call: no 'exit' event
  thrown: () =>
    after(() => {
      throw new Error('thrown');
    }),
  rejected: () => after(() => Promise.reject(new Error('rejected'))),
  signal: () => {
    process.once('SIGTERM', () => process.exit(7));
    after(() => process.kill(process.pid, 'SIGTERM'));
  },
  terminated: () => after(() => parentPort.postMessage('end me')),
};

/** Runs this file in a worker; resolves to the exit code, once it has one. */
function worker(way, delay) {
  const it = new Worker(new URL(import.meta.url), { workerData: [way, delay], stderr: true });
  it.on('error', () => {}); // the one it was asked for
  it.on('message', () => void it.terminate());
  return {
    online: new Promise((resolve) => it.once('online', resolve)),
    ended: new Promise((resolve) => it.once('exit', resolve)),
  };
}

if (way === 'progress') {
  await startEndlessLoop(() => process.exit(7));
} else if (way === 'workers') {
  // Twenty, two at a time; then the main thread's own end under one that still works.
  const codes = [];
  for (let i = 0; i < 10; i++) {
    const pair = [
      ['exit', i * 4],
      [i % 2 ? 'thrown' : 'terminated', i * 7],
    ].map(([w, d]) => worker(w, d).ended);
    codes.push(...(await Promise.all(pair)));
  }
  console.log(codes.join(' '));
  const { online } = worker('exit', 60_000);
  await online;
  after(() => process.exit(7));
} else {
  await startEndlessLoop();
  endings[way]();
}
