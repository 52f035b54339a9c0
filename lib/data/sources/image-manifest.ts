// ImageManifest: a table of images and labels as a list and as a Dataset. Reading rows is manifest-rows.ts, telling its
// columns manifest-columns.ts, the rest ../listed-images.ts.
import path from 'node:path';
import { DataError, UsageError } from '../../errors.js';
import { checkText, shown } from '../checks.js';
import { TASKS, type Task } from '../../weights/task.js';
import { ImageList } from '../image-list.js';
import { manyLabels, oneLabel, oneNumber, yesOrNo } from '../labels.js';
import type { ListedImages } from '../listed-images.js';
import { checkOpenOptions, type OpenOptions } from '../listed-images.js';
import { partNotes, partOf, type Label, type Listed, type ListedImage, type Part } from '../listing.js';
import { findColumns, type Found, type ManifestColumns } from './manifest-columns.js';
import { readManifest, type Cells } from './manifest-rows.js';

/** How a manifest is understood. */
export interface ManifestOptions {
  /** what is learned of an image (default 'multiclass') */
  task?: Task;
  /** which column holds what; those not said are guessed by their names, and `notes` says how */
  columns?: ManifestColumns;
  /** multilabel: what is between labels in one cell (default '|' or ';') */
  separator?: string;
  /** the folder that paths in it are relative to (default: the one it lies in) */
  root?: string;
}
/** How a manifest is understood, and its images decoded, split and cached. */
export type ImageManifestOptions = ManifestOptions & OpenOptions;

/** @throws UsageError naming the option, before any work */
export function checkManifestOptions(options: ManifestOptions): void {
  const { task, columns, separator, root } = options;
  if (task !== undefined && !TASKS.includes(task))
    throw new UsageError(`task: expected ${TASKS.join(', ')}, got ${shown(task)}`);
  if (separator !== undefined && (typeof separator !== 'string' || separator === ''))
    throw new UsageError(`separator: expected text, got ${shown(separator)}`);
  if (separator !== undefined && task !== 'multilabel')
    throw new UsageError(`separator: expected none but for the task multilabel, got ${shown(separator)}`);
  if (root !== undefined) checkText('root', root);
  if (columns === undefined) return;
  const { image, label, split, ...unknown } = (columns ?? {}) as Record<keyof ManifestColumns, unknown>;
  const text = (value: unknown): boolean => typeof value === 'string';
  const labels = Array.isArray(label) ? (label as unknown[]) : [label ?? ''];
  const fits = text(image ?? '') && text(split ?? '') && labels.length > 0 && labels.every(text);
  if (typeof columns !== 'object' || !fits || Object.keys(unknown).length > 0)
    throw new UsageError(
      `columns: expected names such as { image: 'path', label: 'species', split: 'part' }, got ${shown(columns)}`,
    );
  if (Array.isArray(label) && (task ?? 'multiclass') === 'multiclass')
    throw new UsageError('columns: expected one column of labels for the task multiclass; several are for multilabel');
  if (new Set(labels).size < labels.length)
    throw new UsageError(`columns: expected each column of labels once, got ${labels.join(', ')}`);
}

/** A table of images and their labels, packed while it is used. */
export class ImageManifest {
  private constructor() {}

  /**
   * Reads a manifest and starts decoding. It is CSV or TSV (with a line of names, in UTF-8), JSON (a list of objects) or
   * NDJSON (an object a line), told by its name: a row an image, with its path, its label, and where there is a column
   * for it train, val (valid, validation) or test in any case. Paths are relative to the manifest's folder, or to `root`;
   * files that cannot be read are treated as those of a folder. The order of its rows does not matter: a folder and a
   * manifest of it train to the same bytes.
   *
   * The task multilabel takes several labels in a cell, 'cat|dog' or a list in JSON, several rows of one file, or
   * several columns of 0 and 1; regression takes one or several columns of numbers. `group: { column: 'site' }` keeps
   * rows with the same cell in that column on one side.
   * @throws UsageError for options out of range or columns that are not there; DataError, with the line, for what cannot
   * be understood: no label, a file with two labels, a URL, a number that is none
   * @example
   * import { ImageManifest } from 'mnv2-torch';
   * import { mkdtempSync, writeFileSync } from 'node:fs';
   * import sharp from 'sharp';
   * const root = mkdtempSync('/tmp/mnv2-');
   * const lines = ['photo,species'];
   * for (const [name, r] of [['fox', 200], ['owl', 90]]) {
   *   for (const n of [1, 2, 3]) {
   *     const create = { width: 8, height: 8, channels: 3, background: { r, g: 20 * n, b: 9 } };
   *     await sharp({ create }).png().toFile(`${root}/${name}${n}.png`);
   *     lines.push(`${name}${n}.png,${name}`);
   *   }
   * }
   * writeFileSync(`${root}/labels.csv`, lines.join('\n'));
   * const data = await ImageManifest.open(`${root}/labels.csv`, { size: 8, cache: 'off' });
   * await data.ready();
   * console.log(data.classes.join(' '), data.files[0]); // fox owl fox1.png
   * console.log(data.notes[0].slice(root.length + 1)); // labels.csv: images in column 'photo', labels in column 'species', by their names
   * data.dispose();
   */
  static async open(file: string, options: ImageManifestOptions): Promise<ListedImages> {
    checkOpenOptions(options);
    return (await ImageManifest.list(file, options)).open(options);
  }

  /** The images of a manifest, to be chosen from before they are decoded. @throws as `open` does */
  static async list(file: string, options: ManifestOptions = {}): Promise<ImageList> {
    checkText('the manifest', file);
    checkManifestOptions(options);
    return new ImageList(await listOf(file, options));
  }
}

async function listOf(file: string, options: ManifestOptions): Promise<Listed> {
  const { task = 'multiclass' } = options;
  const root = path.resolve(options.root ?? path.dirname(file));
  const manifest = await readManifest(file);
  const found = findColumns(manifest, options.columns ?? {}, task, file);
  const used = new Set([found.image, found.label, found.split].flat());
  const others = manifest.columns.filter((name) => name !== '' && !used.has(name));
  const labelOf = labelReader(task, found, options.separator);
  const rows = manifest.rows.map((cells, row): ListedImage => {
    try {
      const name = nameOf(cells[found.image], root);
      const split = found.split === undefined ? undefined : usedFor(cells[found.split]);
      return {
        name,
        image: path.resolve(root, name),
        label: labelOf(cells),
        ...(split && { split }),
        ...(others.length > 0 && { fields: textOf(cells, others) }),
      };
    } catch (cause) {
      if (!(cause instanceof DataError)) throw cause;
      throw new DataError(`${file}:${manifest.lineOf(row)}: ${cause.message}`, [file], { cause });
    }
  });
  const { images, again } = merged(rows, task, file, manifest.lineOf);
  return {
    task,
    images,
    from: file,
    root,
    partFolders: false,
    unlisted: [],
    notes: [...(found.guessed === undefined ? [] : [found.guessed]), ...again, ...partNotes(file, images)],
  };
}

/** A path as it names its row: relative to the root where it lies in it or was written so, with '/'. */
function nameOf(cell: unknown, root: string): string {
  const typed = typeof cell === 'string' ? cell.trim() : '';
  if (typed === '') throw new DataError(`expected the path of an image, got ${shown(cell ?? '')}`);
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(typed))
    throw new DataError(
      `expected a path, got the URL ${shown(typed)}; download the images, or fetch them into fromImages()`,
    );
  const relative = path.relative(root, path.resolve(root, typed));
  const outside = path.isAbsolute(typed) && /^\.\.([/\\]|$)/.test(relative);
  return outside ? path.normalize(typed) : relative.split(path.sep).join('/');
}

function usedFor(cell: unknown): Part | undefined {
  if (cell === undefined || cell === null || cell === '') return undefined;
  const part = typeof cell === 'string' ? partOf(cell.trim()) : undefined;
  if (part) return part;
  throw new DataError(
    `expected train, val or test, or nothing, got ${shown(cell)}; name another column for it, or none: --columns split=`,
  );
}

/** How the label of a row is read. */
function labelReader(task: Task, { label }: Found, separator: string | undefined): (cells: Cells) => Label {
  const inColumn = <T>(read: (cell: unknown) => T, cells: Cells, name: string): T => {
    try {
      return read(cells[name]);
    } catch (cause) {
      throw new DataError(`${(cause as Error).message} in column ${shown(name)}`, [], { cause });
    }
  };
  if (task === 'regression') {
    const names = [label].flat();
    return (cells) => Object.fromEntries(names.map((name) => [name, inColumn(oneNumber, cells, name)]));
  }
  if (typeof label !== 'string') return (cells) => label.filter((name) => inColumn(yesOrNo, cells, name));
  return task === 'multilabel'
    ? (cells) => inColumn((cell) => manyLabels(cell, separator), cells, label)
    : (cells) => inColumn(oneLabel, cells, label);
}

/** Cells as text, for filters and groups. */
const textOf = (cells: Cells, names: readonly string[]): Record<string, string> =>
  Object.fromEntries(
    names.flatMap((name) => {
      const cell = cells[name];
      return ['string', 'number', 'boolean'].includes(typeof cell) ? [[name, String(cell)]] : [];
    }),
  );

/** Rows of one file as one image: the same again, or labels to be joined. Anything else is a contradiction. */
function merged(
  rows: readonly ListedImage[],
  task: Task,
  file: string,
  lineOf: (row: number) => number,
): { images: ListedImage[]; again: string[] } {
  const first = new Map<string, number>();
  const images: (ListedImage | undefined)[] = [...rows];
  let again = 0;
  rows.forEach((row, i) => {
    const before = first.get(row.name);
    if (before === undefined) return void first.set(row.name, i);
    const known = images[before]!;
    const lines = `${file}:${lineOf(before)} and ${lineOf(i)}: ${row.name} is`;
    if (known.split !== row.split)
      throw new DataError(
        `${lines} in ${known.split ?? 'no part'} and in ${row.split ?? 'no part'}; expected one part`,
        [row.name],
      );
    if (task === 'multilabel')
      images[before] = { ...known, label: [...new Set([known.label, row.label].flat() as string[])] };
    else if (JSON.stringify(known.label) !== JSON.stringify(row.label))
      throw new DataError(
        `${lines} labelled ${shown(known.label)} and ${shown(row.label)}; expected one label` +
          (task === 'multiclass' ? ' (several an image are for the task multilabel)' : ''),
        [row.name],
      );
    images[i] = undefined;
    again++;
  });
  const how = task === 'multilabel' ? 'their labels are joined' : 'with the same label: counted once';
  return {
    images: images.filter((image) => image !== undefined),
    again: again === 0 ? [] : [`${file}: ${again} ${again === 1 ? 'row names' : 'rows name'} a file again; ${how}`],
  };
}
