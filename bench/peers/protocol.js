// The line protocol of protocol.py for peers written in JavaScript. Owns stdin and stdout; knows no framework.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

/** The peer does not do this case; the message says why. */
export class Skip extends Error {}

export function send(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

export function options() {
  const text = { type: 'string' };
  const { values } = parseArgs({
    allowPositionals: true,
    options: { data: text, weights: text, threads: text, device: text, cache: text, packages: text, model: text },
  });
  return { ...values, threads: Number(values.threads) };
}

/** VmHWM of this process in MiB. */
export function peakMiB() {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024;
}

/** prepare(request) warms a case up and returns measure(units) -> seconds[] or an object of fields. */
export async function serve(versions, prepare) {
  send({ type: 'hello', versions });
  let measure;
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    if (request.op === 'exit') break;
    try {
      if (request.op === 'prepare') {
        measure = await prepare(request);
        send({ type: 'ready', peakMiB: peakMiB() });
      } else {
        const result = await measure(request.units);
        send({ type: 'sample', peakMiB: peakMiB(), ...(Array.isArray(result) ? { seconds: result } : result) });
      }
    } catch (error) {
      if (!(error instanceof Skip)) console.error(error);
      send({
        type: 'skip',
        reason: error instanceof Skip ? error.message : `${error.name}: ${error.message.slice(0, 300)}`,
      });
    }
  }
  process.exit(0);
}

/** Calls work(i) `units` times, one after the other; seconds of each. */
export async function timed(units, work) {
  const seconds = [];
  for (let i = 0; i < units; i++) {
    const start = performance.now();
    await work(i);
    seconds.push((performance.now() - start) / 1000);
  }
  return seconds;
}
