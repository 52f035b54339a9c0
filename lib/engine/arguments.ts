// What callers pass, looked at before the engine sees it: refusals name the argument as the caller wrote it.
import { UsageError } from '../errors.js';

/** A value as an error message shows it: short, and never failing. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return String(value);
  const name = (Object.getPrototypeOf(value) as { constructor?: { name?: string } } | null)?.constructor?.name;
  return name === undefined || name === 'Object' ? 'an object' : `a value of type ${name}`;
}

/** @throws UsageError unless the value is an object */
export function requireObject(value: unknown, what: string, expected: string): void {
  if (typeof value !== 'object' || value === null)
    throw new UsageError(`${what}: expected ${expected}, got ${shown(value)}`);
}

/** @throws UsageError unless the value is made by this class of ours */
export function requireInstance(value: unknown, of: abstract new (...args: never[]) => unknown, what: string): void {
  if (!(value instanceof of)) throw new UsageError(`${what}: expected an instance of ${of.name}, got ${shown(value)}`);
}

/** @throws UsageError unless the value is a whole number of at least `least` */
export function requireWhole(value: unknown, least: number, what: string): void {
  if (!Number.isSafeInteger(value) || (value as number) < least)
    throw new UsageError(`${what}: expected a whole number of at least ${least}, got ${shown(value)}`);
}

/** @throws UsageError unless the value is absent or an AbortSignal, of this realm or another */
export function requireSignal(value: unknown, what: string): void {
  if (value === undefined) return;
  const { aborted, addEventListener } = (value ?? {}) as Partial<AbortSignal>;
  if (typeof aborted !== 'boolean' || typeof addEventListener !== 'function')
    throw new UsageError(`${what}: expected an AbortSignal, got ${shown(value)}`);
}

/** Whether the value is a typed array of this name, of this realm or another. */
export const isTypedArray = (value: unknown, name: 'Int32Array' | 'Float64Array' | 'Uint8Array'): boolean =>
  ArrayBuffer.isView(value) && Object.prototype.toString.call(value) === `[object ${name}]`;
