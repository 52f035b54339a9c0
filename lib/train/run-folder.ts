// The run folder: its files' names, and the lock that keeps two trainings out of one folder. Knows no training.
import { existsSync } from 'node:fs';
import { access, constants, mkdir, open, readdir, readFile, rm, rmdir, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { UsageError } from '../errors.js';
import { isRunning, processMark } from '../cache/live-process.js';

const LOCK = '.lock';

/** Who locked a folder: the mark says whether it still runs, the rest names it to people. */
interface Holder {
  mark: string;
  pid: number;
  host: string;
}

/** A process of another machine or container cannot be asked: it counts as there. */
const gone = async ({ mark }: Holder): Promise<boolean> => (await isRunning(mark)) === false;

export class RunFolder {
  #released = false;

  private constructor(
    readonly path: string,
    /** folders this run made, innermost last */
    private readonly made: readonly string[],
  ) {}

  /** Refuses what `claim` would refuse, earlier: the folder is made, locked, and left as it was. */
  static async check(out: string): Promise<void> {
    await (await RunFolder.claim(out)).release();
  }

  /** What can be seen without touching anything. */
  static async #inspect(out: string): Promise<void> {
    const folder = path.resolve(out);
    const option = `--out ${out}`;
    const existing = nearestExisting(folder);
    const info = await stat(existing).catch(refused(option, existing));
    if (!info.isDirectory()) throw new UsageError(`${option}: ${existing} is a file; choose another folder`);
    await access(existing, constants.W_OK).catch(refused(option, existing));
    if (existing !== folder) return;
    const holder = await holderOf(folder);
    if (holder && !(await gone(holder))) throw taken(option, folder, holder);
    const files = await readdir(folder).catch(refused(option, folder));
    if (files.some((f) => f === 'config.json' || f.endsWith('.safetensors'))) {
      throw new UsageError(
        `${option}: a run is already there; choose another folder, or go on with it (--resume); nothing was changed`,
      );
    }
  }

  /**
   * Makes the folder and locks it for this process.
   * @throws UsageError when it is a file, cannot be written, holds a run, or is another process's
   */
  static async claim(out: string): Promise<RunFolder> {
    await RunFolder.#inspect(out);
    const folder = path.resolve(out);
    const made: string[] = [];
    // One by one: a recursive mkdir never ends below /proc.
    for (let next = folder; !existsSync(next); next = path.dirname(next)) made.unshift(next);
    const run = new RunFolder(out, made);
    const option = `--out ${out}`;
    try {
      for (const dir of made) {
        await mkdir(dir).catch((e: NodeJS.ErrnoException) =>
          e.code === 'EEXIST' ? undefined : refused(option, dir)(e),
        );
      }
      await lock(option, folder);
    } catch (error) {
      await run.#clear();
      throw error;
    }
    return run;
  }

  /**
   * Locks the folder of a run to go on with it; what a killed process was writing goes.
   * @throws UsageError when it is no folder, cannot be written to, or is another process's
   */
  static async reopen(existing: string): Promise<RunFolder> {
    const option = `--resume ${existing}`;
    const folder = path.resolve(existing);
    const info = await stat(folder).catch(() => undefined);
    if (!info?.isDirectory()) throw new UsageError(`${option}: expected the folder of a run; there is none`);
    await lock(option, folder);
    for (const file of await readdir(folder)) {
      if (/^\..+\.tmp$/.test(file)) await rm(path.join(folder, file), { force: true });
    }
    return new RunFolder(existing, []);
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
  (option: string, where: string) =>
  (e: NodeJS.ErrnoException): never => {
    const why = e.code === 'ENOTDIR' ? 'is a file' : `cannot be written to (${e.code})`;
    throw new UsageError(`${option}: ${where} ${why}; choose another folder`);
  };

const taken = (option: string, folder: string, { pid, host }: Holder): UsageError =>
  new UsageError(
    `${option}: process ${pid}${host === os.hostname() ? '' : ` on ${host}`} is writing a run there; ` +
      `choose another folder, or remove ${path.join(folder, LOCK)} if that process is gone`,
  );

/** Whose lock lies in a folder; undefined where none does, or what lies there is none. */
async function holderOf(folder: string): Promise<Holder | undefined> {
  try {
    const { mark, pid, host } = JSON.parse(await readFile(path.join(folder, LOCK), 'utf8')) as Holder;
    return typeof mark === 'string' ? { mark, pid: Number(pid), host: String(host) } : undefined;
  } catch {
    return undefined;
  }
}

async function lock(option: string, folder: string): Promise<void> {
  const file = path.join(folder, LOCK);
  const me: Holder = { mark: await processMark(), pid: process.pid, host: os.hostname() };
  for (let tries = 0; ; tries++) {
    try {
      const handle = await open(file, 'wx');
      await handle.writeFile(JSON.stringify(me)).finally(() => handle.close());
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
        return refused(option, folder)(error as NodeJS.ErrnoException);
      const holder = await holderOf(folder);
      // No holder: it is being written this moment, or was cut off; the second look decides.
      if (holder ? !(await gone(holder)) || tries > 1 : tries > 0)
        throw taken(option, folder, holder ?? { ...me, pid: NaN });
      if (holder) await rm(file, { force: true });
      else await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
