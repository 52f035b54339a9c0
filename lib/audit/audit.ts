// audit: a look at a folder of images before anything is trained on it. What is looked for is in the files beside this.
import { DataError, UsageError } from '../errors.js';
import { pictureSize } from '../data/decode.js';
import { inLanes } from '../data/pack.js';
import type { ListedImages, OpenOptions } from '../data/listed-images.js';
import { ImageFolder } from '../data/sources/image-folder.js';
import type { ManifestOptions } from '../data/sources/image-manifest.js';
import { openImages } from '../data/sources/open-images.js';
import type { SplitOptions } from '../data/split-options.js';
import type { Split } from '../data/split.js';
import type { Checkpoint } from '../weights/checkpoint.js';
import { equalRows } from './finding.js';
import { findingsOf } from './findings.js';
import { Fingerprints } from './fingerprint.js';
import { measureLeakage } from './leakage.js';
import { nearPairs } from './near-duplicates.js';
import type { Audit } from './result.js';

/** How a folder or a manifest is read and split, and what of it is looked at. */
export interface AuditOptions
  extends
    SplitOptions,
    Pick<OpenOptions, 'cache' | 'cacheDir' | 'maxPixels' | 'concurrency' | 'signal'>,
    Pick<ManifestOptions, 'columns' | 'root'> {
  /** side of the square a training would resize images to, pixels (default: what the weights say, else 224) */
  size?: number;
  /** a backbone whose features neighbours are looked for with; absent: that is left out, which takes most of the time */
  weights?: Checkpoint;
  /** where the backbone runs: 'cpu' (default), 'cuda', 'cuda:n' or 'auto' */
  device?: string;
  /** hears how far it is, and before that what there is to know (`note`) */
  onProgress?: (progress: { phase: 'decode' | 'features'; done: number; total: number; note?: string }) => void;
}

/** Longer side over the shorter one, beyond which squashing to a square changes what is seen. */
const ELONGATED = 2;

/**
 * Looks at a folder of images before it is trained on: counts, sizes, files that cannot be read, pictures that are there
 * more than once, turned, mirrored, saved anew or in two classes, and what of it leaks from training into validation.
 * With `weights` also how often the nearest neighbour of an image is its neighbour in number.
 * @param dir a folder as `ImageFolder.open` reads it, or a manifest of classes as `ImageManifest.open` does; files that
 * those would refuse are findings here
 * @throws UsageError for options out of range; DataError when there are no images in class folders
 * @example
 * import { audit } from 'mnv2-torch';
 * import { copyFileSync, mkdirSync, mkdtempSync } from 'node:fs';
 * import sharp from 'sharp';
 * const root = mkdtempSync('/tmp/mnv2-');
 * for (const [name, r] of [['blue', 0], ['red', 255]]) {
 *   mkdirSync(`${root}/${name}`);
 *   for (const n of [1, 2, 3]) {
 *     const create = { width: 40 + n, height: 40, channels: 3, background: { r, g: 20 * n, b: 255 - r } };
 *     await sharp({ create }).png().toFile(`${root}/${name}/${n}.png`);
 *   }
 * }
 * copyFileSync(`${root}/red/1.png`, `${root}/blue/copy.png`);
 * const { images, findings } = await audit(root, { size: 32, cache: 'off' });
 * console.log(images, findings.find((f) => f.kind === 'contradiction').text); // 7 1 picture is in two classes: blue/copy.png = red/1.png
 */
export async function audit(dir: string, options: AuditOptions = {}): Promise<Audit> {
  const { weights, device, onProgress, ...folder } = options;
  const { signal } = folder;
  const size = options.size ?? weights?.preprocess?.size ?? 224;
  if (weights?.preprocess && weights.preprocess.size !== size)
    throw new UsageError(`size: the weights in ${weights.file} expect ${weights.preprocess.size} pixels, got ${size}`);
  const data = await openImages(dir, {
    ...folder,
    size,
    skipBad: true,
    allowDamaged: true,
    allowOneClass: true,
    onProgress: (progress) => onProgress?.({ phase: 'decode', ...progress }),
  });
  try {
    const given = await data.ready();
    const rows = [...given.train, ...given.val, ...given.test].sort((a, b) => a - b);
    const notes = [...data.notes];
    const { splits, obstacle } = await splitsOf(data, given, options, notes);
    const equal = equalRows(rows, await data.duplicates());
    const again = new Set(equal.flatMap((group) => group.slice(1)));
    const prints = await Fingerprints.take(data.store, rows, signal);
    const once = rows.filter((row) => !again.has(row));
    const pairs = await nearPairs(prints, once, signal);
    const sizes = await pictureSizes(data, rows, signal);
    const leakage =
      weights && splits.length > 0
        ? await measureLeakage({
            checkpoint: weights,
            data,
            rows,
            splits,
            device: device ?? 'cpu',
            onProgress: (done, total) => onProgress?.({ phase: 'features', done, total }),
            ...(signal && { signal }),
          })
        : null;

    const { files, labels, classes } = data;
    const [split] = splits;
    const side = sides(files.length, split);
    const differ = (some: readonly number[], of: ArrayLike<unknown>): boolean =>
      some.some((row) => of[row] !== of[some[0]!]);
    const counted = (label: number, some: Iterable<number> = []): number =>
      [...some].filter((row) => labels[row] === label).length;
    const grey = rows.filter((row) => prints.grey[row] === 1);
    const found: Omit<Audit, 'findings'> = {
      root: data instanceof ImageFolder ? dir : (data.root ?? dir),
      size,
      images: rows.length,
      classes: classes.map((label, c) => ({
        label,
        images: counted(c, rows),
        train: counted(c, split?.train),
        val: counted(c, split?.val),
        test: counted(c, split?.test),
        grey: counted(c, grey),
      })),
      split: split
        ? {
            ...(split.kind && { kind: split.kind }),
            seed: split.seed,
            train: split.train.length,
            val: split.val.length,
            test: split.test.length,
          }
        : null,
      pixels: sizes.length > 0 ? { width: spread(sizes, 'width'), height: spread(sizes, 'height') } : null,
      unreadable: data.skipped,
      damaged: data.damaged,
      ignored: data instanceof ImageFolder ? data.ignored : 0,
      duplicates: equal.map((group) => ({
        files: group.map((row) => files[row]!),
        contradiction: differ(group, labels),
        leak: differ(group, side),
      })),
      nearDuplicates: pairs.map(({ a, b, pose, distance, likeness }) => ({
        files: [files[a]!, files[b]!],
        pose,
        distance,
        likeness,
        contradiction: differ([a, b], labels),
        leak: differ([a, b], side),
      })),
      grey: grey.map((row) => files[row]!),
      small: sizes.filter((s) => Math.min(s.width, s.height) < size).map((s) => s.file),
      elongated: sizes
        .filter((s) => Math.max(s.width, s.height) > ELONGATED * Math.min(s.width, s.height))
        .map((s) => s.file),
      leakage,
      notes,
    };
    return { ...found, findings: findingsOf(found, obstacle) };
  } finally {
    data.dispose();
  }
}

/**
 * The split that is asked for or that the folder has, then random and blocked ones to compare it with; none where the
 * folder does not allow any, and why.
 */
async function splitsOf(
  data: ListedImages,
  given: Split,
  options: SplitOptions,
  notes: string[],
): Promise<{ splits: Split[]; obstacle?: string }> {
  if (given.val.length > 0) return { splits: [given] };
  const { valSplit, folds, fold, seed } = options;
  const shared = {
    ...(valSplit !== undefined && { valSplit }),
    ...(folds !== undefined && { folds }),
    ...(fold !== undefined && { fold }),
    ...(seed !== undefined && { seed }),
  };
  const { split: kind, group } = options;
  try {
    if (data.classes.length < 2) throw new DataError(`there is one class (${data.classes[0]}); expected at least two`);
    const asked = { ...shared, ...(kind && { split: kind }), ...(group && { group }) };
    const first = await data.splitBy(asked, (sentence) => void notes.push(sentence));
    const splits = [first];
    for (const other of ['random', 'blocked'] as const)
      if (other !== first.kind) splits.push(await data.splitBy({ ...shared, split: other }));
    return { splits };
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    return { splits: [], obstacle: error.message };
  }
}

/** Of each row the part it is in. */
function sides(count: number, split: Split | undefined): (string | undefined)[] {
  const side = new Array<string | undefined>(count);
  for (const part of ['train', 'val', 'test'] as const) for (const row of split?.[part] ?? []) side[row] = part;
  return side;
}

interface Sized {
  file: string;
  width: number;
  height: number;
}

/** What the heads of these files say. */
async function pictureSizes(
  data: ListedImages,
  rows: readonly number[],
  signal: AbortSignal | undefined,
): Promise<Sized[]> {
  const sizes = new Array<Sized>(rows.length);
  await inLanes(rows.length, 8, async (n) => {
    signal?.throwIfAborted();
    const row = rows[n]!;
    sizes[n] = { file: data.files[row]!, ...(await pictureSize(data.pathOf(row))) };
  });
  return sizes;
}

/** Least, median and largest. */
function spread(sizes: readonly Sized[], of: 'width' | 'height'): [number, number, number] {
  const values = sizes.map((s) => s[of]).sort((a, b) => a - b);
  return [values[0]!, values[Math.floor(values.length / 2)]!, values.at(-1)!];
}
