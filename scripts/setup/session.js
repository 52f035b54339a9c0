// What all of set-up shares: its flags, its voice, its failures, and how it runs other programs.
import { spawnSync } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const CACHE = path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'mnv2-torch');

/** A failure that is one message, and exit code 3. */
export class SetupError extends Error {}

export const { values: flags } = parseArgs({
  options: {
    from: { type: 'string' },
    force: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    quiet: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

let lines = 0;
export const say = (text) => {
  lines++;
  process.stderr.write(`${text}\n`);
};
export const spoke = () => lines > 0;

export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28, ...options });
  if (result.error) throw new SetupError(`${command}: ${result.error.message}`);
  return { ok: result.status === 0, out: result.stdout ?? '', err: result.stderr ?? '' };
}
