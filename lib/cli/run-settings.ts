// Everything a run of `train` can be told in a config file: the settings of the training, and those of the data and the
// network around it. Owns reading such a file; a mistake in it is told with its line.
import { isMap, isScalar, LineCounter, parseDocument, type Document, type Node } from 'yaml';
import { z } from 'zod';
import { MOST_PIXELS } from '../data/checks.js';
import type { ManifestOptions } from '../data/sources/image-manifest.js';
import { columnsOf } from '../data/sources/manifest-columns.js';
import { groupRule, MOST_FOLDS, SPLIT_KINDS } from '../data/split-options.js';
import { DEFAULT_MAX_PIXELS } from '../data/decode.js';
import { readRegularFile } from '../data/regular-file.js';
import { UsageError } from '../errors.js';
import { MOST_WIDTH } from '../models/classifier-network.js';
import { ARCHITECTURES } from '../models/registry.js';
import { choice, flag, mistakes, number, setting, text as words, told, whole, type Mistake } from '../schema.js';
import { settingsSchema, type Settings } from '../train/settings.js';
import { MOST_SIZE } from '../weights/preprocess.js';
import { TASKS } from '../weights/task.js';

/** More would not make an interval any narrower that a person cares about. */
const MOST_REPEATS = 100;
const path = words('a path');
/** What commands learn from or look at. */
export const IMAGES =
  'folder of images, one subfolder a class (or train/ and val/), or a manifest of them (.csv, .tsv, .json, .ndjson)';
const GROUP =
  "'folder' (<class>/<group>/<image>), 'column:<name>' of a manifest or a pattern with one capture group, such as 'site(\\d+)'";
const COLUMNS = 'columns such as image=path,label=species,split=part';

const readableBy =
  (read: (typed: string) => object) =>
  (typed: string): boolean => {
    try {
      return read(typed) !== undefined;
    } catch {
      return false;
    }
  };

export const runSchema = z.strictObject(
  {
    data: setting(path, `${IMAGES}; none: the built-in scenes`),
    task: setting(
      choice(TASKS),
      'what is learned of an image: its class, several labels, or numbers; the last two of a manifest',
      {
        default: 'multiclass',
      },
    ),
    columns: setting(
      words(COLUMNS).refine(readableBy(columnsOf), { error: COLUMNS }),
      'which column of a manifest holds what (default: by their names); label may come several times',
    ),
    separator: setting(words('text'), "between labels in one cell (default '|' or ';')"),
    root: setting(path, 'folder that the paths in a manifest are relative to (default: its own)'),
    arch: setting(choice(ARCHITECTURES), 'network (default mobilenet_v2, or what the weights say)'),
    width: setting(number({ above: 0, most: MOST_WIDTH }), 'width multiplier (default 1, or what the weights say)'),
    size: setting(
      whole({ least: 32, most: MOST_SIZE }),
      'side of the square images are resized to, pixels (default 224, or what the weights say)',
    ),
    weights: setting(
      path,
      "pretrained weights: 'imagenet' or another published name (see weights), a file (.safetensors, .pth, .pt, .h5, .keras, .onnx), the folder of a run, or 'none' (default)",
    ),
    allowPartial: setting(flag(), 'take of the weights what fits, though tensors are missing or too many'),
    dropout: setting(number({ least: 0, below: 1 }), 'probability before the classifier', { default: 0.2 }),
    valSplit: setting(number({ above: 0, below: 1 }), 'share of the images validated on', { default: 0.3 }),
    split: setting(
      choice(SPLIT_KINDS),
      'images validated on: scattered (default), in runs of file names, or whole groups (see --group)',
    ),
    group: setting(words(GROUP).refine(readableBy(groupRule), { error: GROUP }), 'keeps groups of images whole'),
    folds: setting(
      whole({ least: 2, most: MOST_FOLDS }),
      'cross-validation: the images are cut into this many parts, and a network is trained for each that is held back',
    ),
    fold: setting(whole({ least: 1, most: MOST_FOLDS }), 'of the folds only this one, from 1'),
    repeat: setting(
      whole({ least: 2, most: MOST_REPEATS }),
      'so many trainings, each with a seed and a split of its own; mean and 95% interval are told',
    ),
    skipBad: setting(flag(), 'leave unreadable images out instead of stopping'),
    allowDamaged: setting(flag(), 'use what is left of damaged images'),
    maxPixels: setting(whole({ least: 1, most: MOST_PIXELS }), 'pixels of the largest image that is read', {
      default: DEFAULT_MAX_PIXELS,
    }),
    ...settingsSchema.shape,
    /** what a run tells of itself in its config.json; not a setting */
    about: z.unknown().optional(),
  },
  { error: 'settings by their names' },
);
/** Settings of a run; absent ones are left to whoever has their default. */
export type RunSettings = Omit<z.output<typeof runSchema>, 'about'>;

/** How a manifest is understood, as options have it. */
export function manifestOptions({
  task,
  columns,
  separator,
  root,
}: Pick<RunSettings, 'task' | 'columns' | 'separator' | 'root'>): ManifestOptions {
  return {
    ...(task !== undefined && { task }),
    ...(columns !== undefined && { columns: columnsOf(columns) }),
    ...(separator !== undefined && { separator }),
    ...(root !== undefined && { root }),
  };
}

/** Those of the training, and those of the data and the network. */
export function divided(settings: RunSettings): { training: Settings; around: Omit<RunSettings, keyof Settings> } {
  const part = (own: boolean): object =>
    Object.fromEntries(Object.entries(settings).filter(([key]) => key in settingsSchema.shape === own));
  return { training: part(true), around: part(false) };
}

/** Larger than any settings. */
const MOST_BYTES = 2 ** 20;

/**
 * Reads settings from YAML or JSON, such as the config.json of a run.
 * @throws UsageError with the line and the path of what is wrong
 */
export async function readConfig(file: string): Promise<RunSettings> {
  const lines = new LineCounter();
  const text = await readRegularFile(file, async (size, read) => {
    if (size > MOST_BYTES) throw new Error(`expected settings, got a file of ${size} bytes`);
    return (await read()).toString('utf8');
  }).catch((cause: Error) => {
    throw new UsageError(`--config ${file}: ${cause.message}`, { cause });
  });
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [bad] = document.errors;
  if (bad) throw new UsageError(`${file}:${lines.linePos(bad.pos[0]).line}: ${bad.message}`);
  const value = settingsOf(file, document);
  const found = mistakes(runSchema, value).map(
    (mistake) => `${file}${lineOf(document, lines, mistake)}: ${told(mistake)}`,
  );
  if (found.length === 1) throw new UsageError(found[0]!);
  if (found.length > 1) throw new UsageError(`${found.length} things cannot be used:\n  ${found.join('\n  ')}`);
  const { about: _, ...settings } = value as z.output<typeof runSchema>;
  return settings;
}

/** An empty file is an object without settings. */
function settingsOf(file: string, document: Document): unknown {
  try {
    return document.toJS() ?? {};
  } catch (cause) {
    throw new UsageError(`${file}: ${(cause as Error).message}`, { cause }); // aliases that grow beyond bounds
  }
}

/** ':7' where what is wrong has a place in the document. */
function lineOf(document: Document, lines: LineCounter, { path, key }: Mistake): string {
  const node = document.getIn(path, true);
  const pair =
    key !== undefined && isMap(node) ? node.items.find((p) => isScalar(p.key) && p.key.value === key) : undefined;
  const place = (pair ? pair.key : node) as Node | undefined;
  return place?.range ? `:${lines.linePos(place.range[0]).line}` : '';
}
