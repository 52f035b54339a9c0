// Running a case with its contenders in turn, and what is said of the samples. Owns no case and writes no file.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Contender, wholeProcess } from './processes.js';
import { pairedRatio, quantile, summary } from './statistics.js';

const cli = fileURLToPath(new URL('../bin/mnv2-torch.js', import.meta.url));
export const say = (line) => console.error(`bench: ${line}`);

/**
 * What every contender is given.
 * @typedef {{ threads: number, device: string, weights: string, cache: string, n: number, jobs: number, epochs: number, measureEpochs: number }} Setting
 */

/** Seconds until a case that began now must have ended. */
const countdown = (limit = Infinity) => {
  const end = performance.now() / 1000 + limit;
  return () => end - performance.now() / 1000;
};

/** One whole job; uncached contenders may run fewer epochs and have the rest added at the median epoch's time. */
async function job(o, name, command, spec, data, left) {
  const { threads, device, weights, cache, epochs, measureEpochs } = o;
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mnv2-bench-job-'));
  try {
    let result;
    if (name === 'ours') {
      const train = [
        process.execPath,
        cli,
        'train',
        data,
        '--weights',
        weights,
        '--freeze',
        'features',
        '--epochs',
        String(epochs),
        '--batch-size',
        '16',
        '--precision',
        spec.precision,
        '--threads',
        String(threads),
        '--device',
        device,
        '--json',
        '--quiet',
        '--out',
        path.join(folder, 'run'),
      ];
      result = await wholeProcess(train, threads, {
        env: { XDG_CACHE_HOME: path.join(folder, 'cache') },
        limit: left(),
      }); // a cold start: nothing packed before
      result.done = result.messages.find((m) => m.event === 'done');
      result.accuracy = result.messages.filter((m) => m.event === 'epoch').at(-1)?.valid.accuracy;
      if (!existsSync(path.join(folder, 'run', 'best.safetensors'))) result.done = undefined;
    } else {
      const few = name !== 'pytorch-cached' && measureEpochs < epochs;
      const peer = [
        ...command.slice(0, 2),
        'job',
        ...command.slice(2),
        '--data',
        data,
        '--weights',
        weights,
        '--threads',
        String(threads),
        '--device',
        device,
        '--cache',
        path.join(cache, name),
        '--precision',
        spec.precision,
        '--epochs',
        String(epochs),
        '--measure-epochs',
        String(few ? measureEpochs : 0),
        '--out',
        path.join(folder, 'checkpoint.safetensors'),
      ];
      result = await wholeProcess(peer, threads, { limit: left() });
      result.done = result.messages.find((m) => m.type === 'done');
      const each = result.messages.filter((m) => m.type === 'epoch');
      result.accuracy = each.at(-1)?.accuracy;
      if (few && result.done) {
        const times = each.map((m) => m.seconds);
        Object.assign(result, {
          measuredSeconds: result.seconds,
          seconds: result.seconds + (epochs - times.length) * quantile(times.slice(1), 0.5),
          extrapolated: true,
          measured_epochs: times.length,
          epoch_seconds: times,
        });
      }
      if (readdirSync(folder).length === 0) result.done = undefined;
    }
    if (!result.done) return { skip: `no checkpoint: ${result.error || `exit ${result.code}`}` };
    const { seconds, peakMiB, accuracy, extrapolated, measured_epochs, epoch_seconds, done } = result;
    return {
      seconds,
      peakMiB,
      accuracy,
      versions: done.versions,
      ...(extrapolated && { extrapolated, measured_epochs, epoch_seconds }),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Whole processes, one of each contender a round. */
export async function jobCase(o, spec, commands, data) {
  const { jobs, epochs } = o;
  const left = countdown(spec.limit);
  const out = {};
  const skipped = {};
  for (let round = 0; round < jobs; round++) {
    for (const [name, command] of commands) {
      if (skipped[name]) continue;
      const result = await job(o, name, command, spec, data, left);
      if (result.skip) {
        // Rounds already measured stay.
        if (!out[name]) skipped[name] = result.skip;
        say(`${spec.key}: ${name} ${out[name] ? 'ended after some rounds' : 'skipped'}: ${result.skip}`);
        continue;
      }
      const mine = (out[name] ??= { unit: 's', samples: [], peak_memory_mib: 0 });
      mine.samples.push(result.seconds);
      mine.peak_memory_mib = Math.max(mine.peak_memory_mib, result.peakMiB);
      mine.accuracy = result.accuracy;
      if (result.versions) mine.versions = result.versions;
      if (result.extrapolated)
        Object.assign(mine, {
          extrapolated: true,
          measured_epochs: result.measured_epochs,
          epochs,
          epoch_seconds: [...(mine.epoch_seconds ?? []), ...result.epoch_seconds],
        });
      say(
        `${spec.key}: ${name} ${result.seconds.toFixed(2)} s${result.extrapolated ? ` (extrapolated from ${result.measured_epochs} epochs)` : ''}, ${result.peakMiB.toFixed(0)} MiB, accuracy ${result.accuracy?.toFixed(3)}`,
      );
    }
  }
  return { out, skipped };
}

/** Ours alone: seconds from process start until a full fine-tune's validation accuracy reaches `spec.accuracy`, a seed a round. */
export async function targetCase(o, spec, commands, data) {
  const left = countdown(spec.limit);
  const mine = { unit: 's', samples: [], epochs: [], accuracies: [], peak_memory_mib: 0 };
  const skipped = {};
  for (let seed = 0; seed < o.jobs; seed++) {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'mnv2-bench-target-'));
    try {
      const command = [
        process.execPath,
        cli,
        'train',
        data,
        '--weights',
        o.weights,
        '--freeze',
        'none',
        '--augment',
        'aerial',
        '--epochs',
        String(o.epochs),
        '--batch-size',
        '16',
        '--precision',
        'bf16',
        '--seed',
        String(seed),
        '--threads',
        String(o.threads),
        '--device',
        o.device,
        '--json',
        '--quiet',
        '--out',
        path.join(folder, 'run'),
      ];
      const there = (m) => m.event === 'epoch' && m.valid.accuracy >= spec.accuracy;
      const result = await wholeProcess(command, o.threads, {
        env: { XDG_CACHE_HOME: path.join(folder, 'cache') },
        limit: left(),
        until: there,
      });
      const reached = result.messages.find(there);
      if (!reached) {
        const seen = result.messages.filter((m) => m.event === 'epoch').map((m) => m.valid.accuracy);
        skipped[`seed ${seed}`] =
          seen.length > 0
            ? `${(100 * Math.max(...seen)).toFixed(1)}% at best in ${seen.length} epochs`
            : result.error || `exit ${result.code}`;
        say(`${spec.key}: seed ${seed}: ${skipped[`seed ${seed}`]}`);
        continue;
      }
      mine.samples.push(reached.at);
      mine.epochs.push(reached.epoch);
      mine.accuracies.push(reached.valid.accuracy);
      mine.peak_memory_mib = Math.max(mine.peak_memory_mib, result.peakMiB);
      say(
        `${spec.key}: seed ${seed}: ${(100 * reached.valid.accuracy).toFixed(1)}% after ${reached.epoch} epochs, ${reached.at.toFixed(2)} s`,
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  return { out: mine.samples.length > 0 ? { ours: mine } : {}, skipped };
}

/** Contenders stay alive and are asked in turn, one sample each a round. */
export async function servedCase(o, spec, commands, data) {
  const { threads, device, weights, cache, n } = o;
  const left = countdown(spec.limit);
  const out = {};
  const skipped = {};
  const alive = [];
  for (const [name, command] of commands) {
    const peer = [
      ...command.slice(0, 2),
      'serve',
      ...command.slice(2),
      '--data',
      data,
      '--weights',
      weights,
      '--threads',
      String(threads),
      '--device',
      device,
      '--cache',
      path.join(cache, name),
    ];
    mkdirSync(path.join(cache, name), { recursive: true });
    const contender = new Contender(name, peer, threads, { TORCHINDUCTOR_CACHE_DIR: path.join(cache, 'inductor') });
    const hello = await contender.next(left());
    const ready =
      hello.type === 'hello'
        ? await contender.ask({ op: 'prepare', ...spec.request }, left() - (spec.reserve ?? 0))
        : hello;
    if (ready.type !== 'ready') {
      skipped[name] = ready.reason;
      say(`${spec.key}: ${name} skipped: ${ready.reason}`);
      await contender.end();
      continue;
    }
    out[name] = { unit: 's', samples: [], peak_memory_mib: 0, versions: hello.versions };
    alive.push(contender);
  }
  for (let round = 0; round < (spec.large ? 1 : n); round++) {
    for (const contender of [...alive]) {
      const sample = await contender.ask({ op: 'measure', units: spec.units }, left());
      const mine = out[contender.name];
      if (sample.type !== 'sample') {
        skipped[contender.name] = sample.reason;
        say(`${spec.key}: ${contender.name} skipped: ${sample.reason}`);
        delete out[contender.name];
        alive.splice(alive.indexOf(contender), 1);
        await contender.end();
        continue;
      }
      mine.peak_memory_mib = Math.max(mine.peak_memory_mib, sample.peakMiB);
      if (sample.cudaGraph) mine.cuda_graph = sample.cudaGraph;
      if (sample.figures) (mine.figures ??= []).push(sample.figures);
      else mine.samples.push(quantile(sample.seconds, 0.5));
      if (spec.latency) (mine.latencies ??= []).push(...sample.seconds);
    }
  }
  for (const contender of alive) {
    await contender.end();
    const mine = out[contender.name];
    if (mine.figures) {
      delete mine.unit;
      delete mine.samples;
      mine.figures = Object.fromEntries(
        Object.keys(mine.figures[0]).map((k) => [k, summary(mine.figures.map((f) => f[k]))]),
      );
    }
    say(
      `${spec.key}: ${contender.name} ${mine.figures ? JSON.stringify(Object.fromEntries(Object.entries(mine.figures).map(([k, v]) => [k, Number(v.median.toPrecision(4))]))) : `${(quantile(mine.samples, 0.5) * 1000).toFixed(2)} ms, ${(spec.images / quantile(mine.samples, 0.5)).toFixed(1)} images/s`}`,
    );
  }
  return { out, skipped };
}

/** The samples' summaries and their ratios to ours. */
export function finish(spec, { out, skipped }) {
  for (const result of Object.values(out)) {
    if (!result.samples) continue;
    Object.assign(result, summary(result.samples));
    if (spec.images) result.images_per_second = spec.images / result.median;
    if (result.latencies) {
      Object.assign(result, {
        p50_ms: quantile(result.latencies, 0.5) * 1e3,
        p99_ms: quantile(result.latencies, 0.99) * 1e3,
      });
      delete result.latencies;
    }
  }
  for (const [name, result] of Object.entries(out)) {
    if (name !== 'ours' && out.ours?.samples && result.samples)
      result.peer_over_ours = pairedRatio(out.ours.samples, result.samples);
  }
  return { case: spec.key, contenders: out, skipped };
}
