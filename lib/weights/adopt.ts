// From tensors under another library's names to a checkpoint of ours: what its network is built with,
// and every tensor by our name and with our axes. recognise.ts says whose names they are.
import { DataError, few, shown } from '../errors.js';
import type { TensorData } from '../native/wire.js';
import { headClasses, inHead, type Head } from '../models/head.js';
import { optionsFromMetadata } from '../models/options.js';
import { ARCHITECTURES, architectureOf, createModel, type Arch, type ModelOptions } from '../models/registry.js';
import type { WeightFile } from './formats/weight-file.js';
import { shapeText } from './load.js';
import { parsePreprocess, type Preprocess } from './preprocess.js';
import { readings, rowsOf, type Found } from './recognise.js';

/** What a user says of a file that does not say it itself. */
export interface Wishes {
  arch?: Arch;
  widthMult?: number;
  padding?: 'symmetric' | 'tf-same';
  bnEps?: number;
  preprocess?: Preprocess;
  /** go on although tensors of the backbone are missing, or there are some that no layer takes */
  allowPartial?: boolean;
}

/** A file's tensors under our names, and all that its network is built with. */
export interface Adopted {
  readonly arch: Arch;
  readonly options: ModelOptions;
  readonly preprocess: Preprocess;
  readonly tensors: Map<string, TensorData>;
  /** what was recognised, assumed or left out: sentences for the user */
  readonly notes: readonly string[];
}

/** Widths published networks have, the likeliest first. */
export const WIDTHS: readonly number[] = [1, 0.5, 0.75, 0.35, 0.25, 1.4, 1.3, 1.2, 1.1, 1.5, 2];

/** A shape with its axes of one left out: a 1x1 convolution over pooled features is a linear layer. */
const squeezed = (shape: readonly number[]): string => shape.filter((n) => n !== 1).join();
const sameNumbers = (a: readonly number[], b: readonly number[]): boolean =>
  a.join() === b.join() || (a.length !== b.length && squeezed(a) === squeezed(b));
/** Names a message shows. */
const SHOWN = 6;

type Shapes = ReadonlyMap<string, readonly number[]>;
function shapesOf(arch: Arch, options: ModelOptions): Shapes {
  return new Map([...createModel(arch, options).namedParameters()].map(([name, { shape }]) => [name, shape]));
}

/**
 * Makes a checkpoint of ours of a file with other names.
 * @param path named in errors
 * @returns undefined where no library is recognised
 * @throws DataError that lists what is missing, unexpected, or of another shape
 */
export function adopt(file: WeightFile, path: string, wishes: Wishes = {}): Adopted | undefined {
  const [best] = readings(file, wishes.arch);
  if (!best || best.matched < rowsOf(best.arch).length / (wishes.allowPartial ? 8 : 4)) return undefined;
  const { library, arch, found, prefix, paths } = best;
  const architecture = architectureOf(arch)!;
  const { head } = architecture;
  const ours = new Map<string, Found>();
  const strangers: Found[] = [];
  for (const one of found) {
    const at = paths.get(one.layer);
    if (at === undefined) strangers.push(one);
    else ours.set(`${at}.${one.array}`, one);
  }
  const notes = [...file.notes];
  if (prefix !== '') notes.push(`left out the prefix '${prefix}' of its names`);
  takeOwnHead(ours, strangers, head, notes);

  const stated = optionsFromMetadata<ModelOptions>(architecture.options, file.metadata, path);
  const given = Object.fromEntries(
    (['widthMult', 'padding', 'bnEps'] as const).filter((k) => wishes[k] !== undefined).map((k) => [k, wishes[k]]),
  );
  const numClasses = headClasses(head, new Map([...ours].map(([name, { shape }]) => [name, { shape: linear(shape) }])));
  const base: ModelOptions = {
    ...library.options(arch),
    ...stated,
    ...given,
    ...(numClasses !== undefined && { numClasses }),
  };
  const { options, shapes } = fitted(arch, base, ours, head, path);
  dropForeignHead(ours, shapes, head, notes);
  const missing: string[] = [];
  const tensors = new Map<string, TensorData>();
  for (const [name, shape] of shapes) {
    const one = ours.get(name);
    if (one) tensors.set(name, { ...one.tensor(), shape: [...shape] });
    // Keras has no such counter, and some writers of PyTorch leave it out.
    else if (name.endsWith('.num_batches_tracked'))
      tensors.set(name, { data: BigInt64Array.of(0n), shape: [], dtype: 'int64' });
    else if (!inHead(head, name)) missing.push(name);
    ours.delete(name);
  }
  const unexpected = [...ours.values(), ...strangers].map((f) => f.name);
  if (missing.length > 0 || unexpected.length > 0) {
    const what = [
      ...(missing.length > 0 ? [`lacks ${few(missing, SHOWN)}`] : []),
      ...(unexpected.length > 0 ? [`holds what ${arch} has no layer for: ${few(unexpected, SHOWN)}`] : []),
    ].join('; and it ');
    if (!wishes.allowPartial)
      throw new DataError(
        `${path}: read as ${library.name}'s ${arch}, it ${what}. Expected all of the backbone and nothing else; ` +
          'use --allow-partial to take what fits, or --arch for another network',
        [path],
      );
    notes.push(`it ${what}`);
  }
  // Counters of layers that are missing themselves say nothing.
  for (const name of missing) tensors.delete(name.replace(/[^.]+$/, 'num_batches_tracked'));
  if (numClasses === undefined) notes.push('it has no classifier');
  const preprocess = wishes.preprocess ?? statedPreprocess(file, path) ?? library.preprocess(arch);
  return {
    arch,
    options,
    preprocess,
    tensors,
    notes: [`${library.name}'s names: ${arch}, width ${options.widthMult ?? 1}`, ...notes],
  };
}

const linear = (shape: readonly number[]): readonly number[] =>
  shape.length === 4 && shape[2] === 1 && shape[3] === 1 ? shape.slice(0, 2) : shape;

function statedPreprocess({ metadata }: WeightFile, path: string): Preprocess | undefined {
  const text = metadata['preprocess'];
  return text === undefined ? undefined : parsePreprocess(text, `${path}: metadata 'preprocess'`);
}

/** A backbone with one linear layer of somebody's own after it: that layer is the classifier. */
function takeOwnHead(ours: Map<string, Found>, strangers: Found[], head: Head, notes: string[]): void {
  const layer = head.classes.replace(/\.weight$/, '');
  const layers = new Set(strangers.map((f) => f.layer));
  if (
    ours.has(head.classes) ||
    layers.size !== 1 ||
    !strangers.some((f) => f.array === 'weight' && linear(f.shape).length === 2)
  )
    return;
  for (const one of strangers.splice(0)) ours.set(`${layer}.${one.array}`, one);
  notes.push(`took '${[...layers][0]!}' for its classifier`);
}

/** The options under which every tensor of the backbone has its shape: the width is found by trying. */
function fitted(
  arch: Arch,
  base: ModelOptions,
  found: ReadonlyMap<string, Found>,
  head: Head,
  path: string,
): { options: ModelOptions; shapes: Shapes } {
  const widths = base.widthMult === undefined ? WIDTHS : [base.widthMult];
  let first: string | undefined;
  for (const widthMult of widths) {
    const options = { ...base, widthMult };
    const shapes = shapesOf(arch, options);
    const wrong = [...found].find(
      ([name, { shape }]) => shapes.has(name) && !inHead(head, name) && !sameNumbers(shape, shapes.get(name)!),
    );
    if (!wrong) return { options, shapes };
    const [name, one] = wrong;
    const expected = shapeText(shapes.get(name)!);
    first ??= `'${one.name}': expected ${expected} at width ${widthMult}, found ${shapeText(one.shape)}`;
  }
  throw new DataError(
    `${path}: its tensors are those of no ${arch} of width ${widths.join(', ')}: ${first}. ` +
      'Give another width with --width, or another network with --arch',
    [path],
  );
}

/** A classifier that is built another way than ours is left out; one of other classes is none. */
function dropForeignHead(ours: Map<string, Found>, shapes: Shapes, head: Head, notes: string[]): void {
  const mine = [...ours].filter(([name]) => inHead(head, name));
  const wrong = mine.find(([name, { shape }]) => !shapes.has(name) || !sameNumbers(shape, shapes.get(name)!));
  if (!wrong) return;
  for (const [name] of mine) ours.delete(name);
  const wanted = shapes.get(wrong[0]);
  notes.push(
    `left out its classifier: '${wrong[1].name}' is ${shapeText(wrong[1].shape)}` +
      (wanted ? `, ours would be ${shapeText(wanted)}` : ', for which ours has no place'),
  );
}

/** What was expected of a file in which no network was recognised. */
export function unrecognised(tensors: ReadonlyMap<string, unknown>, path: string): DataError {
  const names = [...tensors.keys()];
  return new DataError(
    `${path}: no network is recognised in its ${names.length} tensors (${few(
      names.map((n) => shown(n).slice(1, -1)),
      SHOWN,
    )}): ` + `expected the layers of ${ARCHITECTURES.join(', ')} as torchvision, timm or Keras name them`,
    [path],
  );
}
