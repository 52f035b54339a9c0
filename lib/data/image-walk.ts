// Names of images as a person gives them: files, folders, globs no shell expanded. Owns the walk, which looks into a
// folder when its turn comes: however many images there are, the names of one folder at a time are held.
import type { Dirent } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import picomatch from 'picomatch';
import { DataError } from '../errors.js';
import { IMAGE_EXTENSIONS, reasonOf } from './decode.js';

export interface WalkOptions {
  /** hears of what was named and is not there, of folders that cannot be read, or have no image in them */
  onFailure: (error: DataError) => void;
  /** a folder that is not looked into, wherever it is met */
  except?: string | undefined;
}

interface Found {
  readonly name: string;
  readonly folder: boolean;
}

/** What is walked below a folder. */
interface Way {
  readonly root: string;
  /** put before the names of what is found */
  readonly prefix: string;
  /** folders in folders that can have something in them */
  readonly depth: number;
  /** whether a name below the root is meant; absent: all are */
  readonly wanted?: (below: string) => boolean;
}

const byCodePoint = (a: Found, b: Found): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
const isImage = (name: string): boolean => IMAGE_EXTENSIONS.has(path.extname(name).toLowerCase());

/** Images that were named, those below folders that were named, those that globs mean; hidden ones are left out. */
export async function* walkImages(named: readonly string[], options: WalkOptions): AsyncGenerator<string, void> {
  const walk = new Walk(options);
  await walk.leaveOut(options.except);
  for (const name of named) yield* walk.named(name);
}

class Walk {
  #except: string | undefined;

  constructor(private readonly options: WalkOptions) {}

  async leaveOut(folder: string | undefined): Promise<void> {
    this.#except = folder === undefined ? undefined : await realpath(folder);
  }

  async *named(name: string): AsyncGenerator<string, void> {
    const found = await stat(name).catch(() => undefined);
    const { isGlob, base, glob } = picomatch.scan(name);
    // What exists is meant as it is, whatever is in its name; what is not there is told by whoever reads it.
    if (!found && isGlob) yield* this.#matching(name, base, glob);
    else if (found?.isDirectory())
      yield* this.#some(
        name,
        this.#below({ root: name, prefix: name, depth: Infinity }),
        'expected a folder of images, found none in it',
      );
    else yield name;
  }

  async *#some(name: string, images: AsyncGenerator<string, void>, none: string): AsyncGenerator<string, void> {
    let any = false;
    for await (const image of images) {
      any = true;
      yield image;
    }
    if (!any) this.options.onFailure(new DataError(`${name}: ${none}`, [name]));
  }

  #matching(pattern: string, base: string, glob: string): AsyncGenerator<string, void> {
    // A pattern without ** reaches as deep as it has parts.
    const depth = glob.includes('**') ? Infinity : glob.split('/').length;
    const images = this.#below({ root: base === '' ? '.' : base, prefix: base, depth, wanted: picomatch(glob) });
    return this.#some(pattern, images, 'expected an image, a folder, or a pattern that images match; found none');
  }

  /**
   * Images below a folder of the way, sorted folder by folder.
   * @param all whatever is in it is meant
   * @param above the folders it is in, as they really are: a link back to one leads in a circle
   */
  async *#below(
    way: Way,
    below = '',
    level = 1,
    all = way.wanted === undefined,
    above: readonly string[] = [],
  ): AsyncGenerator<string, void> {
    const folder = path.join(way.root, below);
    const real = await realpath(folder).catch(() => folder);
    if (above.includes(real) || real === this.#except) return;
    for (const entry of await this.#entries(folder)) {
      const name = below === '' ? entry.name : `${below}/${entry.name}`;
      // As a shell would: a folder that matches means all that is in it.
      const meant = all || way.wanted!(name);
      if (!entry.folder) {
        if (meant && isImage(name)) yield path.join(way.prefix, name);
      } else if (meant || level < way.depth) yield* this.#below(way, name, level + 1, meant, [...above, real]);
    }
  }

  async #entries(folder: string): Promise<Found[]> {
    let entries: Dirent[];
    try {
      entries = await readdir(folder, { withFileTypes: true });
    } catch (cause) {
      this.options.onFailure(new DataError(`${folder}: the folder: ${reasonOf(cause)}`, [folder], { cause }));
      return [];
    }
    const shown = entries.filter((e) => !e.name.startsWith('.'));
    const found = await Promise.all(
      shown.map(async (e): Promise<Found> => {
        const linked = e.isSymbolicLink() && (await stat(path.join(folder, e.name)).catch(() => undefined));
        return { name: e.name, folder: linked ? linked.isDirectory() : e.isDirectory() };
      }),
    );
    return found.sort(byCodePoint);
  }
}
