// What one image is labelled with, as a cell of a manifest or a program gives it, checked for its task.
import { DataError } from '../errors.js';
import { shown } from './checks.js';

const isText = (value: unknown): value is string | number | boolean =>
  typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value));

/** A label; numbers and booleans by how they are written. @throws DataError */
export function oneLabel(value: unknown): string {
  const label = isText(value) ? String(value).trim() : '';
  if (label === '') throw new DataError(`expected a label, got ${shown(value ?? '')}`);
  return label;
}

/** Where labels in one cell part. */
const SEPARATORS = /[|;]/;

/** Any number of labels, of a list or of text with separators; nothing is none. @throws DataError */
export function manyLabels(value: unknown, separator: string | RegExp = SEPARATORS): string[] {
  if (value === undefined || value === null) return [];
  const list = Array.isArray(value)
    ? (value as unknown[]).map(oneLabel)
    : isText(value)
      ? split(value, separator)
      : undefined;
  if (!list) throw new DataError(`expected labels, got ${shown(value)}`);
  return [...new Set(list)];
}

const split = (value: string | number | boolean, separator: string | RegExp): string[] =>
  String(value)
    .split(separator)
    .map((label) => label.trim())
    .filter((label) => label !== '');

/** Whether an image has the label of a column. @throws DataError unless it says so */
export function yesOrNo(value: unknown): boolean {
  const word = isText(value) ? String(value).trim().toLowerCase() : '';
  if (/^(1|1\.0+|true|yes)$/.test(word)) return true;
  if (/^(0|0\.0+|false|no)$/.test(word)) return false;
  throw new DataError(`expected 1 or 0, got ${shown(value ?? '')}`);
}

/** A number that a float32 holds. @throws DataError */
export function oneNumber(value: unknown): number {
  const text = typeof value === 'string' ? value.trim() : value;
  const number = typeof text === 'number' ? text : typeof text === 'string' && text !== '' ? Number(text) : NaN;
  if (Number.isFinite(Math.fround(number))) return number;
  throw new DataError(`expected a number, got ${shown(value ?? '')}`);
}
