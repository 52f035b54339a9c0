// Which column of a manifest holds what: as it was said, or guessed by the columns' names.
import { DataError, few, UsageError } from '../../errors.js';
import { nearest } from '../../nearest.js';
import { shown } from '../checks.js';
import type { Task } from '../../weights/task.js';
import { looksLikeImage, type ManifestRows } from './manifest-rows.js';

/** Names of a manifest's columns; of a table without a line of names their numbers, from 1. */
export interface ManifestColumns {
  /** paths of the images */
  image?: string;
  /**
   * the label, the labels or the number; several columns for several numbers (regression), or of 0 and 1, each named as
   * its label (multilabel)
   */
  label?: string | readonly string[];
  /** train, val or test; '' for none where a column would be taken for it by its name */
  split?: string;
}

/** What is in which column. */
export interface Found {
  image: string;
  label: string | readonly string[];
  split: string | undefined;
  /** what was guessed, a sentence; undefined where all of it was said */
  guessed: string | undefined;
}

/** Names by which columns are known, without case, blanks and '_'; the first one that is there counts. */
const IMAGE = [
  ...['image', 'images', 'imagepath', 'imagefile', 'imagename', 'imagefilename', 'file', 'filename', 'filepath'],
  ...['path', 'img', 'imgpath', 'imgname', 'picture', 'photo'],
];
const LABEL = [...['label', 'class', 'category', 'target', 'classname', 'labelname', 'categoryname', 'species', 'y']];
const LABELS = ['labels', 'tags', 'classes', 'categories', 'targets', ...LABEL, 'tag'];
const NUMBERS = ['target', 'value', 'number', 'score', 'label', 'y'];
const SPLIT = ['split', 'subset', 'set', 'partition', 'part'];
const LABEL_NAMES: Readonly<Record<Task, readonly string[]>> = {
  multiclass: LABEL,
  multilabel: LABELS,
  regression: NUMBERS,
};

const plain = (name: string): string => name.toLowerCase().replace(/[\s_-]/g, '');

/**
 * @throws UsageError for a column that is not there; DataError where none can be guessed
 */
export function findColumns(manifest: ManifestRows, said: ManifestColumns, task: Task, file: string): Found {
  const { columns, header, rows } = manifest;
  const list = columns.map(shown).join(', ');
  const check = (what: string, name: string): string => {
    if (columns.includes(name)) return name;
    const near = nearest(name, columns);
    const without = header ? '' : '; the first line holds an image, so columns are counted from 1';
    throw new UsageError(
      `columns: ${file} has no column ${shown(name)} for the ${what}${without}; ${near ? `did you mean ${near}?` : `there are ${list}`}`,
    );
  };
  const guess = (names: readonly string[]): string | undefined =>
    names.map((name) => columns.find((column) => plain(column) === name)).find((column) => column !== undefined);
  const refuse = (what: 'image' | 'label', names: readonly string[]): never => {
    throw new DataError(
      header
        ? `${file}:1: expected a column for the ${what}, such as ${few(names, 6)}, found ${list}; say which one it is: --columns ${what}=...`
        : `${file}:1: the first line holds an image, so there are no names of columns; say which one the ${what} is in by its number, such as --columns ${what}=${columns.length}`,
      [file],
    );
  };

  const image =
    said.image === undefined
      ? ((header ? guess(IMAGE) : columns.find((name) => looksLikeImage(rows[0]?.[name]))) ?? refuse('image', IMAGE))
      : check('image', said.image);
  const others = columns.filter((name) => name !== image);
  const labelled = said.label;
  const label =
    labelled === undefined
      ? ((header ? guess(LABEL_NAMES[task]) : others.length === 1 ? others[0] : undefined) ??
        refuse('label', LABEL_NAMES[task]))
      : typeof labelled === 'string'
        ? check('label', labelled)
        : labelled.map((name) => check('label', name));
  const split =
    said.split === undefined
      ? header
        ? guess(SPLIT)
        : undefined
      : said.split === ''
        ? undefined
        : check('split', said.split);
  const places: [string, string | readonly string[] | undefined, boolean][] = [
    ['images', image, said.image === undefined],
    ['labels', label, labelled === undefined],
    ['parts', split, said.split === undefined],
  ];
  const guesses = places.flatMap(([what, name, wasGuessed]) =>
    wasGuessed && name !== undefined ? [`${what} in column ${shown(name)}`] : [],
  );
  const guessed =
    guesses.length === 0
      ? undefined
      : `${file}: ${guesses.join(', ')}, by ${header ? 'their names' : 'the look of the first line'}`;
  return { image, label, split, guessed };
}

/**
 * Columns as one types them: image=path,label=species; label may come several times, split= means none.
 * @throws UsageError for anything else
 */
export function columnsOf(typed: string): ManifestColumns {
  const columns: { image?: string; label?: string | string[]; split?: string } = {};
  for (const pair of typed.split(',')) {
    const [, what, name] = /^\s*(image|label|split)=(.*?)\s*$/.exec(pair) ?? [];
    const again = (what === 'image' || what === 'split') && columns[what] !== undefined;
    if (name === undefined || (name === '' && what !== 'split') || again)
      throw new UsageError(
        `expected columns such as image=path,label=species,split=part, got ${again ? `${what} twice` : shown(pair)}`,
      );
    if (what === 'label') columns.label = columns.label === undefined ? name : [columns.label, name].flat();
    else columns[what as 'image' | 'split'] = name;
  }
  return columns;
}
