// Marks that say which process a file belongs to, and whether that process is still there.
import { createHash } from 'node:crypto';
import { readFile, readlink } from 'node:fs/promises';
import os from 'node:os';

/** When a process began, in ticks since the system did; '0' where the system does not say; undefined: it has ended. */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything; after it: state (field 3), ..., start (field 22).
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return '0';
  }
}

/** Where process numbers mean the same: this boot of this machine and, in a container, this container. */
async function realm(): Promise<string> {
  const parts = await Promise.all([
    readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => os.hostname()),
    readlink('/proc/self/ns/pid').catch(() => ''),
  ]);
  return createHash('sha1').update(parts.join('\n')).digest('hex').slice(0, 12);
}

/** This process' mark, for file names: `<pid>-<start>-<realm>`. */
export async function processMark(): Promise<string> {
  return `${process.pid}-${(await startOf(process.pid)) ?? '0'}-${await realm()}`;
}

/** Whether the process with this mark runs; undefined for one of another realm, or where the text is no mark. */
export async function isRunning(mark: string): Promise<boolean | undefined> {
  const [, pid, start, where] = /^(\d+)-(\d+)-([0-9a-f]+)$/.exec(mark) ?? [];
  if (pid === undefined || where !== (await realm())) return undefined;
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    // Not allowed to signal it: somebody else's, but running.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  // Numbers are given out again; the time of the start tells the next process from this one.
  return (await startOf(Number(pid))) === start;
}
