// Options of the command line: what each takes, how it is described, and how typed text becomes a checked value.
// Owns no option itself; commands declare theirs with these, and those they share are in flags.ts.
import { z } from 'zod';
import { UsageError } from '../errors.js';
import { nearest } from '../nearest.js';
import * as schema from '../schema.js';
import type { Range } from '../schema.js';

/** One option or operand. Made by the functions below; its key in a command's table is its name in camelCase. */
export interface Option<T> {
  readonly describe: string;
  /** what may be typed, as it reads after 'expected'; '' for switches */
  readonly expected: string;
  /** all that may be typed, where that is a few words */
  readonly words?: readonly string[];
  /** a switch takes no value, a list takes several words, anything else one word, once */
  readonly kind: 'switch' | 'value' | 'list';
  /** the value where nothing was typed */
  readonly absent: T;
  /** what the help says of it; default: `absent` */
  readonly default?: string | number | undefined;
  /** @throws UsageError that says what was expected and what was typed; it does not know the option's name */
  read(typed: string): T;
}
export type Options = Readonly<Record<string, Option<unknown>>>;
/** The values of a table of options, by the same keys. */
export type Values<O extends Options> = { [K in keyof O]: O[K] extends Option<infer T> ? T : never };

interface Described<D> {
  describe: string;
  /** shown in the help; without one the value is undefined where nothing was typed */
  default?: D;
}
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
/** Numbers as they were typed, anything else in quotes. */
const quoted = (typed: string): string => (NUMBER.test(typed) ? typed : `'${typed}'`);
const refuse = (expected: string, typed: string, hint = ''): never => {
  throw new UsageError(`expected ${expected}, got ${quoted(typed)}${hint}`);
};

/** Text as a schema takes it: numbers as numbers, anything else as it was typed. */
function reader<S extends z.ZodType>(of: S): (typed: string) => z.output<S> {
  return (typed) => {
    const result = of.safeParse(NUMBER.test(typed) ? Number(typed) : typed);
    if (result.success) return result.data;
    const near = nearest(typed, wordsOf(of));
    return refuse(result.error.issues[0]!.message, typed, near ? `. Did you mean ${near}?` : '');
  };
}

/** The words a schema takes. */
function wordsOf(of: z.ZodType): string[] {
  if (of instanceof z.ZodOptional) return wordsOf(of.unwrap() as z.ZodType);
  if (of instanceof z.ZodEnum) return of.options.map(String);
  return of instanceof z.ZodUnion ? of.options.flatMap((o) => wordsOf(o as z.ZodType)) : [];
}

/** A setting of a schema as an option; a setting that is true or false becomes a switch. */
function ofSetting<S extends z.ZodType>(of: S): Option<z.output<S>> {
  const { describe, expected, default: fallback } = schema.help.get(of)!;
  const inner: unknown = of instanceof z.ZodOptional ? of.unwrap() : of;
  const kind = inner instanceof z.ZodBoolean ? 'switch' : 'value';
  return {
    describe,
    expected: kind === 'switch' ? '' : expected,
    words: wordsOf(of),
    kind,
    absent: undefined as never,
    default: fallback,
    read: reader(of),
  };
}

/** The settings of a schema as options, by the same names; `but` are not for the command line. */
export function ofSettings<S extends z.ZodObject, B extends keyof S['shape'] = never>(
  { shape }: S,
  but: readonly B[] = [],
): { [K in Exclude<keyof S['shape'], B>]: Option<z.output<S['shape'][K]>> } {
  const kept = Object.entries(shape).filter(([key]) => !but.includes(key as B));
  return Object.fromEntries(kept.map(([key, of]) => [key, ofSetting(of as z.ZodType)])) as never;
}

function valued<S extends z.ZodType, D>(of: S, { describe, default: absent }: Described<D>): Option<never> {
  return {
    describe,
    expected: schema.expectedOf(of),
    words: wordsOf(of),
    kind: 'value',
    absent: absent as never,
    read: reader(of) as never,
  };
}

/** A number within a range. */
export function number<D extends number | undefined = undefined>(
  o: Range & Described<D>,
): Option<number | (undefined extends D ? undefined : number)> {
  return valued(schema.number(o), o);
}

/** A whole number within a range; never one that a double does not hold exactly. */
export function whole<D extends number | undefined = undefined>(
  o: Omit<Range, 'above' | 'below'> & Described<D>,
): Option<number | (undefined extends D ? undefined : number)> {
  return valued(schema.whole(o), o);
}

/** One of a few words. */
export function choice<V extends string, D extends V | undefined = undefined>(
  values: readonly V[],
  o: Described<D>,
): Option<V | (undefined extends D ? undefined : V)> {
  return valued(schema.choice(values), o);
}

/** Text of a form of its own: `parse` gives its value, or undefined for what is refused. */
export function word<T, D extends T | undefined = undefined>(
  o: Described<D> & { expected: string; parse: (typed: string) => T | undefined },
): Option<T | (undefined extends D ? undefined : T)> {
  const read = (typed: string): T => o.parse(typed) ?? refuse(o.expected, typed);
  return { describe: o.describe, expected: o.expected, kind: 'value', absent: o.default as never, read };
}

const readPath = (typed: string): string => (typed === '' ? refuse('a path', typed) : typed);

/** A file or folder that may be left out. */
export function optionalPath(o: { describe: string }): Option<string | undefined> {
  return { describe: o.describe, expected: 'a path', kind: 'value', absent: undefined, read: readPath };
}

/** A file or folder that the command's usage demands. */
export function path(o: { describe: string }): Option<string> {
  return { describe: o.describe, expected: 'a path', kind: 'value', absent: '', read: readPath };
}

/** Files, one or more. */
export function paths(o: { describe: string }): Option<string[]> {
  return { describe: o.describe, expected: 'paths', kind: 'list', absent: [], read: (typed) => [readPath(typed)] };
}

/** On when it is given. */
export function flag(o: { describe: string }): Option<boolean> {
  return { describe: o.describe, expected: '', kind: 'switch', absent: false, read: () => true };
}

/** batchSize -> batch-size: an option as it is typed. */
export const flagName = (key: string): string => key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);

/** The same with its dashes: --batch-size. */
export const dashed = (key: string): string => `--${flagName(key)}`;

/** Keys with a value: an absent option leaves the default to whoever has it. */
export function given<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, v]) => v !== undefined)) as never;
}

/**
 * Reads every option of a table from what was typed.
 * @param typed words by flag name; lists and what was typed twice are arrays
 * @param label how an option is named in messages
 * @returns the values, and one message for each that cannot be used
 */
export function readOptions<O extends Options>(
  options: O,
  typed: Readonly<Record<string, unknown>>,
  label: (key: string) => string,
): { values: Values<O>; problems: string[] } {
  const problems: string[] = [];
  const entries = Object.entries(options).map(([key, option]): [string, unknown] => {
    const came = typed[flagName(key)];
    try {
      if (option.kind === 'switch') return [key, came === undefined ? option.absent : came === true];
      if (option.kind === 'list') return [key, (came as string[]).flatMap((w) => option.read(w) as string[])];
      if (Array.isArray(came)) problems.push(`${label(key)} was given more than once`);
      else if (came !== undefined) return [key, option.read(came as string)];
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      problems.push(`${label(key)}: ${error.message}`);
    }
    return [key, option.absent];
  });
  return { values: Object.fromEntries(entries) as Values<O>, problems };
}
