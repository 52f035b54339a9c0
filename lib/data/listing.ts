// Images before they are decoded, whatever lists them, and how they become rows: order, classes, labels, targets.
import { DataError } from '../errors.js';
import type { Task } from '../weights/task.js';
import type { BadFile } from './dataset.js';

/** What images can be used for, where whoever lists them says so. */
export type Part = 'train' | 'val' | 'test';

/**
 * What is to be learned of an image: a label (multiclass), its labels (multilabel), or its numbers by name
 * (regression).
 */
export type Label = string | readonly string[] | Readonly<Record<string, number>>;

/** An image before it is decoded. */
export interface ListedImage {
  /** name of its row: the file relative to the root, with '/' */
  readonly name: string;
  /** path of the file */
  readonly image: string;
  readonly label: Label;
  /** what it is used for, where a folder or a column says so */
  readonly split?: Part;
  /** the other cells of its row in a manifest, by the names of their columns */
  readonly fields?: Readonly<Record<string, string>>;
  /** the folder it lies in below its class folder */
  readonly folder?: string;
}

/** Images of one source, or of several put together. */
export interface Listed {
  readonly task: Task;
  readonly images: readonly ListedImage[];
  /** what it is called in messages: the path as it was given */
  readonly from: string;
  /** names are relative to it; absent: nowhere */
  readonly root?: string;
  /** whether parts are folders, train/ and val/, or said image by image */
  readonly partFolders: boolean;
  /** folders and links that could not be followed */
  readonly unlisted: readonly BadFile[];
  readonly notes: readonly string[];
}

/** The same as rows of a store. */
export interface Listing extends Listed {
  readonly classes: string[];
  readonly files: string[];
  readonly labels: Int32Array;
  readonly targets?: Float32Array;
}

const PARTS: Readonly<Record<string, Part>> = {
  train: 'train',
  training: 'train',
  val: 'val',
  valid: 'val',
  validation: 'val',
  test: 'test',
};
/** The part with this name, whatever its case. */
export const partOf = (name: string): Part | undefined =>
  Object.hasOwn(PARTS, name.toLowerCase()) ? PARTS[name.toLowerCase()] : undefined;

export const byCodePoint = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** As folders have them: by class where there are classes, then by name. The order of a manifest's rows does not matter. */
export function inOrder(images: readonly ListedImage[]): ListedImage[] {
  const classOf = ({ label }: ListedImage): string => (typeof label === 'string' ? label : '');
  return [...images].sort((a, b) => byCodePoint(classOf(a), classOf(b)) || byCodePoint(a.name, b.name));
}

/**
 * Images as rows.
 * @throws DataError where there are none, or two have one name
 */
export function rowsOf(listed: Listed): Listing {
  const images = inOrder(listed.images);
  if (images.length === 0) throw new DataError(`${listed.from} leaves no images; expected at least one`, [listed.from]);
  const names = new Set<string>();
  const twice = images.filter(({ name }) => names.size === names.add(name).size);
  if (twice.length > 0) {
    const [{ name }] = twice as [ListedImage];
    const count = twice.length === 1 ? '' : ` (and ${twice.length - 1} more)`;
    throw new DataError(
      `${listed.from} has ${name} more than once${count}; expected each image once, under a name of its own`,
      twice.map((image) => image.name),
    );
  }
  return { ...listed, images, files: images.map(({ name }) => name), ...learned[listed.task](images) };
}

type Learned = Pick<Listing, 'classes' | 'labels' | 'targets'>;

const learned: Record<Task, (images: readonly ListedImage[]) => Learned> = {
  multiclass(images) {
    const classes = [...new Set(images.map(({ label }) => label as string))].sort(byCodePoint);
    const index = new Map(classes.map((name, i) => [name, i]));
    return { classes, labels: Int32Array.from(images, ({ label }) => index.get(label as string)!) };
  },
  multilabel(images) {
    const lists = images.map(({ label }) => label as readonly string[]);
    const classes = [...new Set(lists.flat())].sort(byCodePoint);
    const index = new Map(classes.map((name, i) => [name, i]));
    const targets = new Float32Array(images.length * classes.length);
    const counts = new Int32Array(classes.length);
    lists.forEach((list, row) => {
      for (const c of new Set(list.map((name) => index.get(name)!))) {
        targets[row * classes.length + c] = 1;
        counts[c]!++;
      }
    });
    // A split that keeps rare labels' shares keeps frequent ones' nearly.
    const rarest = (list: readonly string[]): number =>
      list.reduce((best, name) => {
        const c = index.get(name)!;
        return best < 0 || counts[c]! < counts[best]! || (counts[c] === counts[best] && c < best) ? c : best;
      }, -1);
    const labels = Int32Array.from(lists, (list) => (list.length === 0 ? classes.length : rarest(list)));
    return { classes, labels, targets };
  },
  regression(images) {
    const classes = Object.keys(images[0]!.label);
    const numbers = images.map(({ label }) => label as Readonly<Record<string, number>>);
    const odd = numbers.findIndex((of) => Object.keys(of).length !== classes.length || !classes.every((c) => c in of));
    if (odd >= 0)
      throw new DataError(
        `${images[odd]!.name}: expected the numbers ${classes.join(', ')}, as ${images[0]!.name} has, got ${Object.keys(numbers[odd]!).join(', ')}`,
        [images[odd]!.name],
      );
    const targets = Float32Array.from(numbers.flatMap((of) => classes.map((name) => of[name]!)));
    const first = (row: number): number => numbers[row]![classes[0]!]!;
    const ranked = [...numbers.keys()].sort((a, b) => first(a) - first(b) || a - b);
    const labels = new Int32Array(images.length);
    // Of fewer than ten images no share can be held back that is nearly the one asked for.
    const parts = Math.min(10, Math.max(1, Math.floor(images.length / 10)));
    ranked.forEach((row, rank) => (labels[row] = Math.floor((parts * rank) / images.length)));
    return { classes, labels, targets };
  },
};

/** Names of what `labels` counts: of classes, of rarest labels, of tenths. */
export function strataOf({ task, classes }: Pick<Listing, 'task' | 'classes'>): readonly string[] {
  if (task === 'multilabel') return [...classes, 'no label'];
  if (task === 'regression') return Array.from({ length: 10 }, (_, i) => `tenth ${i + 1} of ${classes[0]}`);
  return classes;
}

/** What is to be known of images of which some have a part, but none is to validate on. */
export function partNotes(from: string, images: readonly ListedImage[]): string[] {
  const has = (part: Part): boolean => images.some(({ split }) => split === part);
  if (has('val') || !(has('train') || has('test'))) return [];
  const kept = has('test') ? '; those of test are kept apart' : '';
  return [`${from} marks no images val: a share of the others is held back to validate on${kept}`];
}
