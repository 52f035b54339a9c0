// A file that is being downloaded, beside the place it will appear in. Owns names and hand-over: one process at a time
// writes a partial file, and one left behind by a process that ended or gave up is taken on by the next.
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { isRunning, processMark } from '../cache/live-process.js';

/** In place of a process' mark: nobody writes it. */
const LEFT = 'left';
/** Files of processes that cannot be asked after (another container's) are taken on when untouched for so long. */
const ABANDONED_MS = 24 * 3600 * 1000;

export class PartialFile {
  private constructor(
    private readonly target: string,
    private readonly key: string,
    private readonly mark: string,
    private readonly handle: FileHandle,
    /** bytes there are */
    public size: number,
    /** what a server called the version these bytes are of; absent: they cannot be gone on with */
    public validator: string | undefined,
  ) {}

  /** One that was left behind, or a new one. @throws what the system says of a folder that cannot be written to */
  static async of(target: string): Promise<PartialFile> {
    const [dir, mark] = [path.dirname(target), await processMark()];
    await mkdir(dir, { recursive: true });
    for (const name of await readdir(dir)) {
      const [, owner, key] = partsOf(path.basename(target), name) ?? [];
      if (owner === undefined || key === undefined) continue;
      if (owner !== LEFT && (await isAtWork(owner, path.join(dir, name)))) continue;
      const own = nameOf(target, mark, key);
      // Whoever renames it first has it.
      const taken = await rename(path.join(dir, name), own).then(
        () => true,
        () => false,
      );
      if (!taken) continue;
      const handle = await open(own, 'r+');
      const validator = await readFile(validatorOf(target, key), 'utf8').catch(() => undefined);
      return new PartialFile(target, key, mark, handle, (await handle.stat()).size, validator);
    }
    const key = randomBytes(4).toString('hex');
    const handle = await open(nameOf(target, mark, key), 'wx+');
    return new PartialFile(target, key, mark, handle, 0, undefined);
  }

  get path(): string {
    return nameOf(this.target, this.mark, this.key);
  }

  /** Empty again, to be filled with a version of this name. */
  async restart(validator: string | undefined): Promise<void> {
    await this.handle.truncate(0);
    this.size = 0;
    this.validator = validator;
    if (validator === undefined) await rm(validatorOf(this.target, this.key), { force: true });
    else await writeFile(validatorOf(this.target, this.key), validator);
  }

  async append(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const { bytesWritten } = await this.handle.write(bytes, at, bytes.length - at, this.size);
      at += bytesWritten;
      this.size += bytesWritten;
    }
  }

  /** Appears at its place, whole. */
  async keep(): Promise<void> {
    await this.handle.datasync();
    await this.handle.close();
    await rename(this.path, this.target);
    await rm(validatorOf(this.target, this.key), { force: true });
  }

  /** Stays for the next attempt, in this process or another. */
  async leave(): Promise<void> {
    if (this.size === 0 || this.validator === undefined) return this.drop();
    await this.handle.close();
    await rename(this.path, nameOf(this.target, LEFT, this.key));
  }

  async drop(): Promise<void> {
    await this.handle.close();
    await rm(this.path, { force: true });
    await rm(validatorOf(this.target, this.key), { force: true });
  }
}

/** Whether a process still writes a file, as far as can be told; nobody writes one that is gone. */
async function isAtWork(owner: string, file: string): Promise<boolean> {
  const running = await isRunning(owner);
  if (running !== undefined) return running;
  const touched = await stat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
  return Date.now() - touched < ABANDONED_MS;
}

const nameOf = (target: string, owner: string, key: string): string => `${target}.${owner}.${key}.part`;
const validatorOf = (target: string, key: string): string => `${target}.${key}.version`;

/** Owner and key of a partial file of this name. */
function partsOf(base: string, name: string): [string, string, string] | undefined {
  if (!name.startsWith(`${base}.`)) return undefined;
  return (/^([0-9a-z-]+)\.([0-9a-f]{8})\.part$/.exec(name.slice(base.length + 1)) ?? undefined) as
    [string, string, string] | undefined;
}
