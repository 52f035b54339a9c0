// Terminates workers in the middle of a loop, one after the other, and prints the memory of this process after each,
// in MiB. For test/napi/exit.slow.test.ts.
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { startEndlessLoop } from './endless-loop.js';

if (isMainThread) {
  for (let i = 0; i < Number(process.argv[2]); i++) {
    const worker = new Worker(new URL(import.meta.url));
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    await worker.terminate();
    console.log(Math.round(process.memoryUsage.rss() / 2 ** 20));
  }
} else {
  await startEndlessLoop();
  parentPort.postMessage('terminate me');
}
