// What a data set is, to the pixel, in little memory: whether a training that goes on sees the images it began with.
import type { TensorData } from '../native/wire.js';
import type { Dataset } from './dataset.js';
import type { Split } from './split.js';

/** Of each row of the store: its file and class, or targets. */
export type Listing = Pick<Dataset, 'labels' | 'targets'> & {
  readonly classes: readonly string[];
  readonly files: readonly string[];
};

/** And its use and pixels. */
export interface Fingerprint extends Listing {
  /** 0 trained, 1 validated, 2 tested on, 3 in no part */
  readonly parts: Int32Array;
  /** 64 bits of each image; 0 where it is in no part */
  readonly pixels: BigInt64Array;
}

const NO_PART = 3;
const PARTS = ['training', 'validation', 'test', 'no part'] as const;

/** Looks at every image that is used. Yields to the event loop now and then. */
export async function fingerprintOf(data: Dataset, split: Split): Promise<Fingerprint> {
  const { classes, files, labels, targets } = data;
  const parts = new Int32Array(files.length).fill(NO_PART);
  [split.train, split.val, split.test].forEach((rows, part) => rows.forEach((row) => (parts[row] = part)));
  const pixels = new BigInt64Array(files.length);
  for (let row = 0; row < files.length; row++) {
    if (row % 32 === 31) await new Promise((resolve) => setImmediate(resolve));
    if (parts[row] !== NO_PART) pixels[row] = BigInt.asIntN(64, BigInt(`0x${data.store.hash(row)}`));
  }
  return { classes, files, labels, ...(targets && { targets }), parts, pixels };
}

/** As tensors, to be kept with others. */
export function fingerprintTensors(print: Fingerprint): Map<string, TensorData> {
  const { classes, files, labels, targets, parts, pixels } = print;
  const names = Uint8Array.from(Buffer.from(JSON.stringify({ classes, files })));
  const tensors = new Map<string, TensorData>([
    ['data.names', { data: names, shape: [names.length], dtype: 'uint8' }],
    ['data.labels', { data: labels, shape: [labels.length], dtype: 'int32' }],
    ['data.parts', { data: parts, shape: [parts.length], dtype: 'int32' }],
    ['data.pixels', { data: pixels, shape: [pixels.length], dtype: 'int64' }],
  ]);
  if (targets) tensors.set('data.targets', { data: targets, shape: [files.length, classes.length], dtype: 'float32' });
  return tensors;
}

/** The reverse. @throws where a tensor is missing, or is not what it should be */
export function fingerprintFrom(tensors: ReadonlyMap<string, TensorData>): Fingerprint {
  const of = (name: string): TensorData['data'] => {
    const tensor = tensors.get(`data.${name}`);
    if (!tensor) throw new Error(`'data.${name}' is missing`);
    return tensor.data;
  };
  const names = JSON.parse(Buffer.from(of('names') as Uint8Array).toString()) as Pick<Fingerprint, 'classes' | 'files'>;
  return {
    classes: names.classes,
    files: names.files,
    labels: of('labels') as Int32Array,
    ...(tensors.has('data.targets') && { targets: of('targets') as Float32Array }),
    parts: of('parts') as Int32Array,
    pixels: of('pixels') as BigInt64Array,
  };
}

const some = (names: readonly string[]): string => `${names.slice(0, 3).join(', ')}${names.length > 3 ? ', ...' : ''}`;

/** The rows two lists of files share: name, row before, row now. */
function shared(was: Listing, now: Listing): [file: string, before: number, after: number][] {
  const before = new Map(was.files.map((file, row) => [file, row]));
  return now.files.flatMap((file, row) => (before.has(file) ? [[file, before.get(file)!, row]] : []));
}

const count = (names: readonly string[], what: string): string[] =>
  names.length === 0 ? [] : [`${names.length} ${names.length === 1 ? 'file' : 'files'} ${what} (${some(names)})`];

/** What is different in the lists, a phrase each; empty where nothing is. No image is looked at. */
export function listingChanges(was: Listing, now: Listing): string[] {
  const both = shared(was, now);
  const common = new Set(both.map(([file]) => file));
  const learnedOf = ({ classes, labels, targets }: Listing, row: number): string | undefined =>
    targets ? targets.subarray(row * classes.length, (row + 1) * classes.length).join() : classes[labels[row]!];
  const changes = [
    ...(was.classes.join('\n') === now.classes.join('\n')
      ? []
      : [`the classes were ${was.classes.join(', ')}, now ${now.classes.join(', ')}`]),
    ...count(
      [...was.files].filter((file) => !common.has(file)),
      'gone',
    ),
    ...count(
      [...now.files].filter((file) => !common.has(file)),
      'new',
    ),
    ...count(
      both.filter(([, old, row]) => learnedOf(was, old) !== learnedOf(now, row)).map(([file]) => file),
      was.targets ? 'with other targets' : 'in another class',
    ),
  ];
  const reordered = changes.length === 0 && was.files.some((file, row) => file !== now.files[row]);
  return reordered ? ['the files come in another order'] : changes;
}

/** The same with every image's use and pixels. */
export function dataChanges(was: Fingerprint, now: Fingerprint): string[] {
  const both = shared(was, now);
  const moved = both.filter(([, old, row]) => was.parts[old] !== now.parts[row]);
  const changed = both.filter(
    ([, old, row]) => was.parts[old] !== NO_PART && now.parts[row] !== NO_PART && was.pixels[old] !== now.pixels[row],
  );
  const uses = moved.slice(0, 1).map(([file, old, row]) => {
    const [from, to] = [PARTS[was.parts[old]!], PARTS[now.parts[row]!]];
    return `${moved.length} of the files used otherwise (${file} was in ${from}, now in ${to})`;
  });
  return [
    ...listingChanges(was, now),
    ...uses,
    ...count(
      changed.map(([file]) => file),
      'with other pixels',
    ),
  ];
}
