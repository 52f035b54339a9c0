// Settings described once: what a value may be, as a check, as a type and in words for help and messages. Owns the kinds
// of values and how a mistake is told; which settings there are is the business of those who have them.
import { z } from 'zod';
import { shown, UsageError } from './errors.js';
import { nearest } from './nearest.js';

/** What a person reads about a setting. */
export interface Help {
  readonly describe: string;
  /** what it may be, as it reads after 'expected' */
  readonly expected: string;
  /** what holds where it is left out, when that is one value */
  readonly default?: string | number;
}
/** Of every setting made by `setting`. */
export const help = z.registry<Help>();

/** Bounds of a number: `above` and `below` are not reached, `least` and `most` are. */
export interface Range {
  above?: number;
  least?: number;
  below?: number;
  most?: number;
}

/** 'a number above 0 and at most 10' */
export function ranged(what: string, { above, least, below, most }: Range): string {
  const low = above !== undefined ? ` above ${above}` : least !== undefined ? ` of at least ${least}` : '';
  const high = below !== undefined ? ` below ${below}` : most !== undefined ? ` at most ${most}` : '';
  return `${what}${low}${low && high ? ' and' : ''}${high}`;
}

/** 'a, b or c' */
export function listed(values: readonly string[]): string {
  return values.length < 2 ? values.join('') : `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`;
}

function bounded<S extends z.ZodNumber>(schema: S, { above, least, below, most }: Range, error: string): S {
  if (above !== undefined) schema = schema.gt(above, { error });
  if (least !== undefined) schema = schema.gte(least, { error });
  if (below !== undefined) schema = schema.lt(below, { error });
  if (most !== undefined) schema = schema.lte(most, { error });
  return schema;
}

// Every message is what was expected: 'expected ... , got ...' is put around it when it is told.
/** A finite number; `what` names it with its unit, as in 'seconds, a number'. */
export function number(range: Range = {}, what = 'a number'): z.ZodNumber {
  const expected = ranged(what, range);
  return bounded(z.number({ error: expected }), range, expected);
}

/** A whole number that a double holds exactly. */
export function whole(range: Range = {}, what = 'a whole number'): z.ZodInt {
  const expected = ranged(what, range);
  const huge = ranged(what, { ...range, most: range.most ?? Number.MAX_SAFE_INTEGER });
  return bounded(
    z.int({ error: ({ input }) => (typeof input === 'number' && input > Number.MAX_SAFE_INTEGER ? huge : expected) }),
    range,
    expected,
  );
}

/** One of a few words. */
export function choice<const V extends readonly string[]>(values: V) {
  return z.enum(values, { error: listed(values) });
}

/** True or false. */
export function flag(): z.ZodBoolean {
  return z.boolean({ error: 'true or false' });
}

/** Text that is not empty. */
export function text(expected = 'a text'): z.ZodString {
  return z.string({ error: expected }).min(1, { error: expected });
}

/** A value that code of its own judges, which throws what is wrong with it. */
export function judged<T>(judge: (value: unknown) => unknown) {
  return z.custom<T>().superRefine((value, context) => {
    try {
      judge(value);
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message, input: value, params: { complete: true } });
    }
  });
}

/** A setting that may be left out. `expected` is what its schema says where it has one kind of value. */
export function setting<S extends z.ZodType>(schema: S, describe: string, more: Partial<Help> = {}) {
  const optional = schema.optional();
  help.add(optional, { describe, expected: expectedOf(schema), ...more });
  return optional;
}

/** What a schema made above expects: its message for a value of no kind. */
export function expectedOf(schema: z.ZodType): string {
  return schema.safeParse(Symbol('nothing')).error?.issues[0]?.message ?? '';
}

/** The issue a person can do most about: of alternatives, the one that got farthest into the value. */
function deepest(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== 'invalid_union' || typeof issue.input !== 'object' || issue.input === null) return issue;
  const inner = issue.errors
    .flat()
    .map((i) => deepest({ ...i, path: [...issue.path, ...i.path] }))
    .filter((i) => i.path.length > issue.path.length || i.code === 'unrecognized_keys');
  return inner.sort((a, b) => b.path.length - a.path.length)[0] ?? issue;
}

/** A mistake in a value: where it is, and what was expected and came. */
export interface Mistake {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  /** the message names the setting itself */
  readonly complete?: boolean;
  /** a key that nothing knows; `path` leads to what it stands in */
  readonly key?: string;
}

/** What is wrong with a value; nothing where it fits. */
export function mistakes(schema: z.ZodType, value: unknown): Mistake[] {
  const { error } = schema.safeParse(value, { reportInput: true });
  return (error?.issues ?? []).map((found) => {
    const issue = deepest(found);
    const { path } = issue;
    if (issue.code === 'custom' && issue.params?.['complete']) return { path, message: issue.message, complete: true };
    if (issue.code !== 'unrecognized_keys') {
      // Where a kind is none, zod hands over the whole object.
      const kind = issue.code === 'invalid_union' && 'discriminator' in issue;
      const input = kind ? (issue.input as Record<PropertyKey, unknown>)[path.at(-1)!] : issue.input;
      const came = typeof input === 'string' ? `'${shown(input).slice(1, -1)}'` : shown(input);
      return { path, message: `expected ${issue.message}, got ${came}` };
    }
    const [key] = issue.keys as [string];
    const known = keysAt(schema, path);
    const meant = nearest(key, known);
    return {
      path,
      message: `there is no '${key}'${meant ? `. Did you mean ${meant}?` : `; expected ${listed(known)}`}`,
    };
  });
}

/** Names a schema's object has at a path, where that can be told. */
function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let at: unknown = schema;
  const open = (s: unknown): unknown => (s instanceof z.ZodOptional ? open(s.unwrap()) : s);
  for (const key of path) {
    const object = objectOf(open(at));
    if (!object) return [];
    at = object.shape[String(key)];
  }
  return Object.keys(objectOf(open(at))?.shape ?? {});
}
function objectOf(schema: unknown): z.ZodObject | undefined {
  if (schema instanceof z.ZodObject) return schema;
  if (schema instanceof z.ZodUnion) return schema.options.map(objectOf).find((o) => o !== undefined);
  return undefined;
}

/** 'schedule.every: expected epochs above 0, got 0' */
export const told = ({ path, message, complete }: Mistake): string =>
  path.length > 0 && !complete ? `${path.map(String).join('.')}: ${message}` : message;

/** Throws what is wrong with a value first; `at` is where the value itself stands. */
export function check(schema: z.ZodType, value: unknown, ...at: string[]): void {
  const [first] = mistakes(schema, value);
  if (first) throw new UsageError(told({ ...first, path: [...at, ...first.path] }));
}
