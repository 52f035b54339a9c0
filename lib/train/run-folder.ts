// The run folder: its files' names, and the lock that keeps two trainings out of one folder. Knows no training.
import { existsSync, readFileSync } from 'node:fs';
import { access, constants, mkdir, open, readdir, readFile, rm, rmdir, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { UsageError } from '../errors.js';

const LOCK = '.lock';

interface Holder {
  pid: number;
  host: string;
  /** distinguishes a process from a later one of the same number */
  started: string;
}

/** When a process began, in the kernel's ticks; '' where that cannot be known. */
function startOf(pid: number): string {
  try {
    // The second field, the command in brackets, may hold anything: what follows its last bracket is plain.
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(')').at(-1)!.trim().split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function alive({ pid, host, started }: Holder): boolean {
  if (host !== os.hostname()) return true; // on a shared disk: cannot be asked
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return started === '' || startOf(pid) === started;
}

export class RunFolder {
  #released = false;

  private constructor(
    readonly path: string,
    /** folders this run made, innermost last */
    private readonly made: readonly string[],
  ) {}

  /** Refuses a folder that cannot take a run, without touching it: what `claim` would refuse, earlier. */
  static async check(out: string): Promise<void> {
    const folder = path.resolve(out);
    const existing = nearestExisting(folder);
    const info = await stat(existing).catch(refused(out, existing));
    if (!info.isDirectory()) throw new UsageError(`--out ${out}: ${existing} is a file; choose another folder`);
    await access(existing, constants.W_OK).catch(refused(out, existing));
    if (existing !== folder) return;
    const holder = await holderOf(folder);
    if (holder && alive(holder)) throw taken(out, holder);
    const files = await readdir(folder).catch(refused(out, folder));
    if (files.some((f) => f === 'config.json' || f.endsWith('.safetensors'))) {
      throw new UsageError(`--out ${out}: a run is already there; choose another folder, nothing was changed`);
    }
  }

  /**
   * Makes the folder and locks it for this process.
   * @throws UsageError when it is a file, cannot be written, holds a run, or is another process's
   */
  static async claim(out: string): Promise<RunFolder> {
    await RunFolder.check(out);
    const folder = path.resolve(out);
    const made: string[] = [];
    // One by one: a recursive mkdir never ends below /proc.
    for (let next = folder; !existsSync(next); next = path.dirname(next)) made.unshift(next);
    const run = new RunFolder(out, made);
    try {
      for (const dir of made) {
        await mkdir(dir).catch((e: NodeJS.ErrnoException) => (e.code === 'EEXIST' ? undefined : refused(out, dir)(e)));
      }
      await lock(out, folder);
    } catch (error) {
      await run.#clear();
      throw error;
    }
    return run;
  }

  file(name: string): string {
    return path.join(this.path, name);
  }

  /** Lets others in; a folder in which nothing was written goes. Idempotent. */
  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    await rm(this.file(LOCK), { force: true });
    await this.#clear();
  }

  /** Takes away the folders this run made and left empty. */
  async #clear(): Promise<void> {
    for (const dir of [...this.made].reverse()) {
      const gone = await rmdir(dir).then(
        () => true,
        () => false,
      );
      if (!gone) return;
    }
  }
}

function nearestExisting(folder: string): string {
  while (!existsSync(folder)) folder = path.dirname(folder);
  return folder;
}

const refused =
  (out: string, where: string) =>
  (e: NodeJS.ErrnoException): never => {
    const why = e.code === 'ENOTDIR' ? 'is a file' : `cannot be written to (${e.code})`;
    throw new UsageError(`--out ${out}: ${where} ${why}; choose another folder`);
  };

const taken = (out: string, { pid, host }: Holder): UsageError =>
  new UsageError(
    `--out ${out}: process ${pid}${host === os.hostname() ? '' : ` on ${host}`} is writing a run there; ` +
      `choose another folder${host === os.hostname() ? '' : `, or remove ${path.join(out, LOCK)} if it is gone`}`,
  );

/** Whose lock lies in a folder; undefined where none does, or what lies there is none. */
async function holderOf(folder: string): Promise<Holder | undefined> {
  try {
    const { pid, host, started } = JSON.parse(await readFile(path.join(folder, LOCK), 'utf8')) as Holder;
    return Number.isInteger(pid) ? { pid, host: String(host), started: String(started) } : undefined;
  } catch {
    return undefined;
  }
}

async function lock(out: string, folder: string): Promise<void> {
  const file = path.join(folder, LOCK);
  const me: Holder = { pid: process.pid, host: os.hostname(), started: startOf(process.pid) };
  for (let tries = 0; ; tries++) {
    try {
      const handle = await open(file, 'wx');
      await handle.writeFile(JSON.stringify(me)).finally(() => handle.close());
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
        return refused(out, folder)(error as NodeJS.ErrnoException);
      const holder = await holderOf(folder);
      if ((holder && alive(holder)) || tries > 0) throw taken(out, holder ?? { ...me, pid: NaN });
      await rm(file, { force: true }); // its process is gone
    }
  }
}
