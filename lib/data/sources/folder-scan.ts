// What lies in a folder of class folders: classes, files, parts. Reads names alone, no images.
import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { DataError } from '../../errors.js';
import type { BadFile } from '../dataset.js';
import { IMAGE_EXTENSIONS, reasonOf } from '../decode.js';
import { folderBelow } from '../split.js';
import { byCodePoint, inOrder, partOf, type Listed, type ListedImage, type Part } from '../listing.js';

/** Class folders as a list. */
export interface FolderListing extends Listed {
  readonly root: string;
  readonly classes: readonly string[];
  /** files in class folders that are no images by their names */
  readonly ignored: number;
}

const isImage = (name: string): boolean => IMAGE_EXTENSIONS.has(path.extname(name).toLowerCase());

interface Folder {
  /** subfolders, links to folders included, sorted by code point */
  folders: string[];
  /** everything else that is not hidden */
  files: string[];
}

class Scanner {
  readonly unlisted: BadFile[] = [];
  ignored = 0;

  constructor(private readonly root: string) {}

  /** The folder `dir` below the root ('' for itself), hidden entries left out. */
  async folder(dir: string): Promise<Folder> {
    let entries: Dirent[] = [];
    try {
      entries = await readdir(path.join(this.root, dir), { withFileTypes: true });
    } catch (error) {
      this.unlisted.push({ file: dir || '.', reason: `the folder: ${reasonOf(error)}` });
    }
    const found: Folder = { folders: [], files: [] };
    for (const entry of entries.filter((e) => !e.name.startsWith('.')).sort((a, b) => byCodePoint(a.name, b.name)))
      ((await this.#leadsToFolder(dir, entry)) ? found.folders : found.files).push(entry.name);
    return found;
  }

  async #leadsToFolder(dir: string, entry: Dirent): Promise<boolean> {
    if (!entry.isSymbolicLink()) return entry.isDirectory();
    const name = dir ? `${dir}/${entry.name}` : entry.name;
    try {
      return (await stat(path.join(this.root, name))).isDirectory();
    } catch (error) {
      // By its name an image: it is refused with the other images that cannot be read.
      if (!isImage(entry.name)) {
        const reason =
          (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'a symbolic link to nothing' : reasonOf(error);
        this.unlisted.push({ file: name, reason });
      }
      return false;
    }
  }

  /** Images below a class folder, however deep, sorted; links to folders are not followed in there. */
  async images(dir: string): Promise<string[]> {
    const images: string[] = [];
    const walk = async (at: string): Promise<void> => {
      let entries: Dirent[] = [];
      try {
        entries = await readdir(path.join(this.root, at), { withFileTypes: true });
      } catch (error) {
        this.unlisted.push({ file: at, reason: `the folder: ${reasonOf(error)}` });
      }
      for (const entry of entries) {
        if (entry.name.startsWith('.')) continue;
        const name = `${at}/${entry.name}`;
        if (entry.isDirectory()) await walk(name);
        else if (isImage(entry.name)) images.push(name);
        else this.ignored++;
      }
    };
    await walk(dir);
    return images.sort(byCodePoint);
  }
}

/**
 * The folders that hold classes, each with its part: the root itself, or train/, val/ and test/ in it.
 * Part names are taken for parts when nothing else is there, or when train/ and another part both hold class folders;
 * otherwise they are classes like any other.
 */
async function partsOf(
  root: string,
  scanner: Scanner,
  lenient: boolean,
): Promise<{ part: Part | ''; dir: string; classes: string[] }[]> {
  const top = (await scanner.folder('')).folders;
  const named = await Promise.all(
    top.filter(partOf).map(async (dir) => ({ dir, part: partOf(dir)!, ...(await scanner.folder(dir)) })),
  );
  const flat = named.filter((n) => n.folders.length === 0 && n.files.some(isImage));
  const holds = (part: Part): boolean => named.some((n) => n.part === part && n.folders.length > 0);
  const parted =
    named.length > 0 && (named.length === top.length || (holds('train') && (holds('val') || holds('test'))));
  if (!parted) return [{ part: '', dir: '', classes: top }];
  // Pictures to be classified some day are often kept in test/: there is nothing to learn from them.
  const inTheWay = flat.filter((n) => n.part !== 'test' || !holds('train'));
  if (inTheWay.length > 0) {
    const { dir } = inTheWay[0]!;
    throw new DataError(
      `${path.join(root, dir)} holds images but no class folders; expected ${dir}/<class>/<image>.jpg`,
      [path.join(root, dir)],
    );
  }
  if (!holds('train') && !lenient) {
    throw new DataError(
      `${root} has ${top.map((n) => `${n}/`).join(' and ')} but no train/ with class folders; expected train/<class>/<image>.jpg, ` +
        'or class folders without parts',
      [root],
    );
  }
  return named.filter((n) => !flat.includes(n)).map(({ part, dir, folders }) => ({ part, dir, classes: folders }));
}

/**
 * Lists a folder of class folders, or of parts with class folders in each.
 * @param dir as it was given, for messages
 * @param lenient for evaluation: one class, classes that lack in a part and a missing train/ are all right
 * @throws DataError when there is nothing to train on
 */
export async function scanFolder(dir: string, lenient: boolean): Promise<FolderListing> {
  const root = path.resolve(dir);
  const expected = 'expected a folder with one subfolder of images a class';
  const info = await stat(root).catch((error: NodeJS.ErrnoException) => error);
  if (info instanceof Error) {
    const why = info.code === 'ENOENT' ? 'does not exist' : `cannot be opened (${reasonOf(info)})`;
    throw new DataError(`${root} ${why}; ${expected}`, [root], { cause: info });
  }
  if (!info.isDirectory()) throw new DataError(`${root} is a file; ${expected}`, [root]);

  const scanner = new Scanner(root);
  const parts = await partsOf(root, scanner, lenient);
  const images: ListedImage[] = [];
  for (const { part, dir, classes } of parts) {
    for (const label of classes) {
      const folder = dir ? `${dir}/${label}` : label;
      for (const name of await scanner.images(folder)) images.push(listed(root, name, label, folder, part));
    }
  }
  const { ignored, unlisted } = scanner;
  if (images.length === 0) {
    const [first] = unlisted;
    const others = ignored ? `; ${ignored} files of other kinds were passed over` : '';
    throw new DataError(
      `${root} has no images in class folders; expected <class>/<image>.jpg (or .png, .webp, .tif, ...)${others}` +
        (first ? `; ${first.file}: ${first.reason}` : ''),
      [root],
    );
  }
  const classes = [...new Set(images.map(({ label }) => label as string))].sort(byCodePoint);
  if (!lenient) refuseUntrainable(root, parts, classes);
  return {
    task: 'multiclass',
    images: inOrder(images),
    from: dir,
    root,
    classes,
    partFolders: true,
    ignored,
    unlisted,
    notes: notesOn(parts.map((p) => p.part)),
  };
}

function listed(root: string, name: string, label: string, classFolder: string, part: Part | ''): ListedImage {
  const folder = folderBelow(`${label}/${name.slice(classFolder.length + 1)}`);
  return {
    name,
    image: path.join(root, name),
    label,
    ...(part !== '' && { split: part }),
    ...(folder !== undefined && { folder }),
  };
}

function refuseUntrainable(root: string, parts: Awaited<ReturnType<typeof partsOf>>, classes: readonly string[]): void {
  for (const { part, dir, classes: names } of parts) {
    const missing = classes.filter((c) => !names.includes(c));
    if (part !== '' && missing.length > 0) {
      throw new DataError(
        `${path.join(root, dir)} lacks the classes ${missing.join(', ')}; train/ and val/ must have the same class folders`,
        [root],
      );
    }
  }
  if (classes.length === 1)
    throw new DataError(`${root} has one class (${classes[0]}); a classifier needs at least two class folders`, [root]);
}

function notesOn(parts: readonly (Part | '')[]): string[] {
  if (!parts.includes('train') || parts.includes('val')) return [];
  const kept = parts.includes('test') ? '; test/ is kept apart' : '';
  return [`there is no val/: a share of train/ is held back to validate on${kept}`];
}
