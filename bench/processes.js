// One contender as a process: starting it with the same threads as all others, talking to it, watching its memory.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';
import { createInterface } from 'node:readline';
import { clearInterval, clearTimeout, setInterval, setTimeout } from 'node:timers';

const text = (file) => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // the process ended meanwhile
  }
};

function descendants(pid) {
  const all = readdirSync('/proc')
    .filter((d) => /^\d+$/.test(d))
    .map((d) => [Number(d), Number(text(`/proc/${d}/stat`).split(') ').at(-1)?.split(' ')[1])]);
  const found = [pid];
  for (let i = 0; i < found.length; i++) for (const [child, parent] of all) if (parent === found[i]) found.push(child);
  return found;
}

/** Ends a process and its children at once. */
function kill(pid) {
  for (const p of descendants(pid)) {
    try {
      process.kill(p, 'SIGKILL');
    } catch {
      // it ended meanwhile
    }
  }
}

/** Longest time a timer takes. */
const FOREVER = 2 ** 31 - 1;
const milliseconds = (seconds) => Math.min(Math.max(1000 * seconds, 1), FOREVER);

/** Proportional memory of a process and all its children in MiB: shared pages count once. */
function memoryMiB(pid) {
  return descendants(pid).reduce(
    (sum, p) => sum + Number(/^Pss:\s+(\d+)/m.exec(text(`/proc/${p}/smaps_rollup`))?.[1] ?? 0) / 1024,
    0,
  );
}

/** The command confined to `threads` cores, where the machine has more. */
export function confined(command, threads) {
  const confine = os.availableParallelism() > threads && existsSync('/usr/bin/taskset');
  const cores = confine ? ['taskset', '-c', `0-${threads - 1}`] : [];
  const n = String(threads);
  return {
    argv: [...cores, ...command],
    env: { ...process.env, OMP_NUM_THREADS: n, MKL_NUM_THREADS: n, OPENBLAS_NUM_THREADS: n },
  };
}

/** A started contender; `ask` writes one request and awaits one answer. */
export class Contender {
  #waiting = [];
  #answers = [];
  #errors = '';

  constructor(name, command, threads, env = {}) {
    const { argv, env: base } = confined(command, threads);
    this.name = name;
    this.child = spawn(argv[0], argv.slice(1), { env: { ...base, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
    this.child.stdin.on('error', () => {}); // it ended: `ask` reports how
    this.child.stderr.on('data', (chunk) => (this.#errors = (this.#errors + chunk).slice(-4000)));
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      if (line.startsWith('{')) this.#deliver(JSON.parse(line));
    });
    this.child.on('error', (error) => this.#deliver({ type: 'skip', reason: error.message }));
    this.child.on('close', (code, signal) => {
      const last = this.#errors.trim().split('\n').at(-1)?.slice(0, 300) ?? '';
      this.#deliver({ type: 'skip', ended: true, reason: `ended with ${signal ?? code}${last && `: ${last}`}` });
    });
  }

  #deliver(message) {
    const next = this.#waiting.shift();
    if (next) next(message);
    else this.#answers.push(message);
  }
  /** The next message; one that takes longer than `limit` seconds ends the contender. */
  next(limit = Infinity) {
    if (this.#answers.length > 0) return Promise.resolve(this.#answers.shift());
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#deliver({ type: 'skip', reason: `no answer within ${Math.max(0, limit).toFixed(0)} s` });
        if (this.child.pid) kill(this.child.pid);
      }, milliseconds(limit));
      this.#waiting.push((message) => {
        clearTimeout(timer);
        resolve(message);
      });
    });
  }
  ask(request, limit) {
    this.child.stdin.write(`${JSON.stringify(request)}\n`);
    return this.next(limit);
  }
  async end() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const closed = new Promise((resolve) => this.child.once('close', resolve));
    this.child.stdin.end(`${JSON.stringify({ op: 'exit' })}\n`);
    await closed;
  }
}

/**
 * Runs a command from start to end: wall seconds, its JSON lines with the second each came at, peak memory with children
 * (sampled 5 times a second). Ended after `limit` seconds, or asked to stop at the line `until` says yes to.
 */
export function wholeProcess(command, threads, { env = {}, limit = Infinity, until = () => false } = {}) {
  const { argv, env: base } = confined(command, threads);
  return new Promise((resolve) => {
    const start = performance.now();
    const child = spawn(argv[0], argv.slice(1), { env: { ...base, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    const messages = [];
    let [errors, peakMiB] = ['', 0];
    const watch = setInterval(() => child.pid && (peakMiB = Math.max(peakMiB, memoryMiB(child.pid))), 200);
    const timer = setTimeout(() => {
      if (child.pid) kill(child.pid);
      errors += `\nstopped after ${Math.max(0, limit).toFixed(0)} s`;
    }, milliseconds(limit));
    child.stderr.on('data', (chunk) => (errors = (errors + chunk).slice(-4000)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (!line.startsWith('{')) return;
      const message = { ...JSON.parse(line), at: (performance.now() - start) / 1000 };
      messages.push(message);
      if (until(message)) child.kill('SIGTERM');
    });
    child.on('error', (error) => (errors += error.message));
    child.on('close', (code) => {
      clearInterval(watch);
      clearTimeout(timer);
      resolve({
        code,
        seconds: (performance.now() - start) / 1000,
        messages,
        peakMiB,
        error: errors.trim().split('\n').at(-1)?.slice(0, 300),
      });
    });
  });
}
