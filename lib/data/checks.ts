// Checks of options that sources of images share: each names the option, what it expects and what came.
import { inspect } from 'node:util';
import { UsageError } from '../errors.js';

/** Largest side of the square images are resized to, pixels. */
export const MOST_SIZE = 8192;
/** Largest picture that can be allowed, pixels: its bytes must fit into one buffer. */
export const MOST_PIXELS = 2 ** 29;

export const shown = (value: unknown): string => inspect(value, { depth: 0, breakLength: Infinity });

const expect = (holds: boolean, name: string, what: string, value: unknown): void => {
  if (!holds) throw new UsageError(`${name}: expected ${what}, got ${shown(value)}`);
};

export function checkWhole(name: string, value: unknown, least: number, most: number): void {
  const holds = Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
  expect(holds, name, `a whole number from ${least} to ${most}`, value);
}

export function checkShare(name: string, value: unknown): void {
  expect(typeof value === 'number' && value > 0 && value < 1, name, 'a share between 0 and 1', value);
}

export function checkText(name: string, value: unknown): void {
  expect(typeof value === 'string' && value !== '', name, 'a path', value);
}

export function checkFlag(name: string, value: unknown): void {
  expect(typeof value === 'boolean', name, 'true or false', value);
}

export function checkFunction(name: string, value: unknown): void {
  expect(typeof value === 'function', name, 'a function', value);
}

/** By what it does: a signal of another realm or of a polyfill will do. */
export function checkSignal(name: string, value: unknown): void {
  const signal = value as AbortSignal | null | undefined;
  const holds =
    typeof signal?.aborted === 'boolean' &&
    typeof signal.throwIfAborted === 'function' &&
    typeof signal.addEventListener === 'function';
  expect(holds, name, 'an AbortSignal', value);
}
