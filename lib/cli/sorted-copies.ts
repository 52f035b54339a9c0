// Copies of pictures in a folder for each class, as `--copy-to` makes them. Owns their names: nothing that lies there is
// ever written over.
import { constants, copyFile, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { UsageError } from '../errors.js';

/** A label as the name of one folder, wherever the checkpoint comes from: never a way out of the folder it is put in. */
function folderName(label: string): string {
  const name = label.replace(/[/\\\0]/g, '_');
  return name === '' || name === '.' || name === '..' ? name.replace(/\./g, '_') || '_' : name;
}

export class SortedCopies {
  /** of names that were taken: the number to try next */
  readonly #next = new Map<string, number>();
  #count = 0;

  private constructor(private readonly folder: string) {}

  static async into(folder: string): Promise<SortedCopies> {
    await mkdir(folder, { recursive: true }).catch((cause: Error) => {
      throw new UsageError(`--copy-to ${folder}: cannot be made: ${cause.message}`, { cause });
    });
    return new SortedCopies(folder);
  }

  /** What was done, and what was not. @param without images that had no class at or above the threshold */
  summary(without: number, threshold: string): string {
    const left = without > 0 ? `; ${without} with no class at or above ${threshold} were not copied` : '';
    return `copied ${this.#count} images into ${this.folder}${left}`;
  }

  /** Copies a file into its class's folder; of two with one name the second gets a number. Returns where it is. */
  async copy(file: string, label: string): Promise<string> {
    const folder = path.join(this.folder, folderName(label));
    const { name, ext } = path.parse(file);
    const plain = path.join(folder, name + ext);
    try {
      await mkdir(folder, { recursive: true });
      for (let n = this.#next.get(plain) ?? 1; ; n++) {
        const copy = n === 1 ? plain : path.join(folder, `${name}-${n}${ext}`);
        if (await copied(file, copy)) {
          this.#count++;
          if (n > 1) this.#next.set(plain, n + 1);
          return copy;
        }
      }
    } catch (cause) {
      throw new UsageError(`--copy-to: cannot copy ${file} into ${folder}: ${(cause as Error).message}`, { cause });
    }
  }
}

/** Whether the name was free. */
const copied = (from: string, to: string): Promise<boolean> =>
  copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return false;
      throw error;
    },
  );
