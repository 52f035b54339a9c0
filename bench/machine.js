// What a figure depends on besides its case: the machine and the commit.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';

export function machine() {
  const info = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '';
  const flags = /^flags\s*:\s*(.*)$/m.exec(info)?.[1].split(' ') ?? [];
  const has = (name) => flags.includes(name);
  return {
    cpu: os.cpus()[0].model,
    family: /^cpu family\s*:\s*(\d+)/m.exec(info)?.[1],
    model: /^model\s*:\s*(\d+)/m.exec(info)?.[1],
    cores: os.availableParallelism(),
    memory_gib: Math.round(os.totalmem() / 2 ** 30),
    avx2: has('avx2'),
    avx512: has('avx512f'),
    avx512_bf16: has('avx512_bf16'),
    amx_bf16: has('amx_bf16'),
    system: `${os.type()} ${os.release()}`,
    load_before: os.loadavg()[0],
  };
}

/** The repository's commit, and whether what is measured differs from it. */
export function revision(repository) {
  const git = (...args) =>
    execFileSync('git', ['-C', repository, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    return {
      commit: git('rev-parse', 'HEAD'),
      uncommitted_changes: git('status', '--porcelain', '--untracked-files=no', '--', 'lib', 'native') !== '',
    };
  } catch {
    return { commit: 'unknown', uncommitted_changes: false }; // no git, or no repository
  }
}

/** A name as part of a file's name. */
export const slug = (text) =>
  text
    .replace(/\(R\)|\(TM\)|CPU|Processor/g, ' ')
    .trim()
    .replace(/[^A-Za-z0-9]+/g, '-')
    .toLowerCase();
