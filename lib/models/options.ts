// One option of a network, described once: its default, what it may be, and how a checkpoint's metadata spells it.
// Owns checking and both directions; which options there are is each architecture's business.
import { DataError, shown, UsageError } from '../errors.js';

export interface Option<T> {
  /** its name in a checkpoint's metadata */
  readonly key: string;
  readonly default: T;
  /** what was expected, when `value` is not that */
  refuse(value: unknown): string | undefined;
  write(value: T): string;
  /** the value a text spells; anything that `refuse` refuses when it spells none */
  read(text: string): unknown;
}

/** A table of all options an architecture has: one that is missing here does not compile. */
export type OptionTable<O> = { readonly [K in keyof O]-?: Option<NonNullable<O[K]>> };

const DECIMAL = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i;
const parseNumber = (text: string): unknown => (DECIMAL.test(text) ? Number(text) : text);

interface Range {
  least?: number;
  above?: number;
  most?: number;
  below?: number;
}

/** A number within a range. Bounds keep a hostile file from describing a network no machine can hold. */
export function number(key: string, fallback: number, range: Range, whole = false): Option<number> {
  const { least, above, most, below } = range;
  const kind = whole ? 'a whole number' : 'a number';
  return {
    key,
    default: fallback,
    refuse(v) {
      const fits = typeof v === 'number' && (whole ? Number.isInteger(v) : Number.isFinite(v));
      if (fits && most !== undefined && v > most) return `${kind} of at most ${most}`;
      if (fits && below !== undefined && v >= below) return `${kind} below ${below}`;
      if (fits && (least === undefined || v >= least) && (above === undefined || v > above)) return undefined;
      return above !== undefined ? `${kind} above ${above}` : `${kind} of at least ${least}`;
    },
    write: String,
    read: parseNumber,
  };
}

export const wholeNumber = (key: string, fallback: number, most: number): Option<number> =>
  number(key, fallback, { least: 1, most }, true);

/** One of a few words; `spellings` are other words a file may use, the first of a value's is written. */
export function choice<T extends string>(
  key: string,
  fallback: T,
  allowed: readonly T[],
  spellings: Readonly<Record<string, T>> = {},
): Option<T> {
  return {
    key,
    default: fallback,
    refuse: (v) => (allowed.includes(v as T) ? undefined : allowed.map((a) => `'${a}'`).join(' or ')),
    write: (v) => Object.keys(spellings).find((s) => spellings[s] === v) ?? v,
    read: (text) => (Object.hasOwn(spellings, text) ? spellings[text] : text),
  };
}

export function flag(key: string, fallback: boolean): Option<boolean> {
  return {
    key,
    default: fallback,
    refuse: (v) => (typeof v === 'boolean' ? undefined : 'true or false'),
    write: String,
    read: (text) => (text === 'true' ? true : text === 'false' ? false : text),
  };
}

/** A value that metadata holds as JSON. */
export function json<T>(key: string, fallback: T, refuse: (value: unknown) => string | undefined): Option<T> {
  return {
    key,
    default: fallback,
    refuse,
    write: (v) => JSON.stringify(v),
    read(text) {
      try {
        return JSON.parse(text) as unknown;
      } catch {
        return text;
      }
    },
  };
}

const entries = <O>(table: OptionTable<O>): [keyof O & string, Option<unknown>][] => Object.entries(table) as never;

/** Checks and completes options; throws a UsageError that names the first that does not fit. */
export function resolveOptions<O extends object>(table: OptionTable<O>, given: O): Required<O> {
  const resolved = entries(table).map(([name, option]) => {
    const value = given[name] === undefined ? option.default : given[name];
    const expected = option.refuse(value);
    if (expected !== undefined) throw new UsageError(`${name}: expected ${expected}, got ${shown(value)}`);
    return [name, value] as const;
  });
  return Object.fromEntries(resolved) as Required<O>;
}

export function optionsToMetadata<O>(table: OptionTable<O>, options: Required<O>): Record<string, string> {
  return Object.fromEntries(entries(table).map(([name, option]) => [option.key, option.write(options[name])]));
}

/**
 * The options a file states; those it does not state are absent.
 * @throws DataError that names the first key whose value does not fit
 */
export function optionsFromMetadata<O>(
  table: OptionTable<O>,
  metadata: Readonly<Record<string, string>>,
  file: string,
): Partial<O> {
  const stated = entries(table).filter(([, option]) => Object.hasOwn(metadata, option.key));
  const read = stated.map(([name, option]) => {
    const text = metadata[option.key]!;
    const value = option.read(text);
    const expected = option.refuse(value);
    if (expected !== undefined)
      throw new DataError(`${file}: metadata '${option.key}': expected ${expected}, got ${shown(text)}`, [file]);
    return [name, value] as const;
  });
  return Object.fromEntries(read) as Partial<O>;
}
