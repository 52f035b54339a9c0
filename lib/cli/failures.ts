// Failures as a person or a script meets them: one message and an exit code, a stack only where DEBUG is set. Owns what
// happens to failures nobody awaits and to output nobody reads.
import { inspect } from 'node:util';
import { EXIT, Mnv2Error } from '../errors.js';

const debugging = (): boolean => (process.env['DEBUG'] ?? '') !== '';

/** Node's own words for memory it did not get. */
const NO_MEMORY = /^Array buffer allocation failed|^Invalid (typed )?array (buffer )?length/;

/** What to say about a failure, and what to exit with. */
export function describeFailure(error: unknown): { message: string; exitCode: number } {
  const { name, message, code, syscall } = (error ?? {}) as NodeJS.ErrnoException;
  const text = message || name || String(error);
  const details = debugging() ? `\n${inspect(error)}` : '';
  if (error instanceof Mnv2Error) return { message: text + details, exitCode: error.exitCode };
  if (code === 'ERR_MEMORY_ALLOCATION_FAILED' || (name === 'RangeError' && NO_MEMORY.test(text)))
    return { message: `out of memory (${text})${details}`, exitCode: EXIT.memory };
  // The system said no: its words are the reason, and no mistake of this program's.
  if (syscall !== undefined) return { message: text + details, exitCode: EXIT.failure };
  const advice = debugging()
    ? '(unexpected; please report it)'
    : '(unexpected; run again with DEBUG=1 for details, and report it)';
  return { message: `${text} ${advice}${details}`, exitCode: EXIT.failure };
}

/** Writes the message of a failure and gives its exit code. */
export function report(error: unknown): number {
  const { message, exitCode } = describeFailure(error);
  process.stderr.write(`mnv2-torch: ${message}\n`);
  return exitCode;
}

let outlives = false;
let lost: Error | undefined;

/** From now on a reader of stdout who leaves ends nothing: what is written after that is dropped. */
export function outliveReader(): void {
  outlives = true;
}

/** Why output was lost that somebody still wanted (a full disk), if it was. */
export const outputLost = (): Error | undefined => lost;

/**
 * Once for a process, before its work: failures outside of any call are reported like those in one, Node's warnings
 * show with DEBUG alone, and a reader of stdout who has seen enough (`| head`) ends the process quietly.
 */
export function guardProcess(): void {
  const end = (error: unknown): never => process.exit(report(error));
  process.on('uncaughtException', end).on('unhandledRejection', end);
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    if (debugging()) process.stderr.write(`${inspect(warning)}\n`);
  });
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    const left = error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED';
    if (!outlives) {
      if (left) process.exit(EXIT.ok);
      end(error);
    }
    if (!left && !lost) report((lost = error));
  });
  // Where nobody reads messages there is nobody to tell.
  process.stderr.on('error', () => {});
}
