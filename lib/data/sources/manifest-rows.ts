// The rows of a manifest: CSV, TSV, JSON and NDJSON as cells by column, each with the line it is on. Knows no images.
import path from 'node:path';
import type { CsvError, Info } from 'csv-parse/sync';
import { DataError } from '../../errors.js';
import { shown } from '../checks.js';
import { IMAGE_EXTENSIONS, reasonOf } from '../decode.js';
import { readRegularFile } from '../regular-file.js';

export type Cells = Readonly<Record<string, unknown>>;

export interface ManifestRows {
  /** names of the columns; '1', '2', ... where a table has no line of names */
  columns: readonly string[];
  header: boolean;
  rows: readonly Cells[];
  /** the line a row is on, from 1 */
  lineOf(row: number): number;
}

/** Ten million short rows take less. */
const MOST_BYTES = 2 ** 29 - 2 ** 24;

type Reader = (text: string, file: string) => ManifestRows | Promise<ManifestRows>;
const READERS: Readonly<Record<string, Reader>> = {
  '.csv': (text, file) => table(text, file, delimiterOf(text)),
  '.tsv': (text, file) => table(text, file, '\t'),
  '.json': array,
  '.ndjson': lines,
  '.jsonl': lines,
};
/** How names of manifests end. */
export const MANIFEST_EXTENSIONS = Object.keys(READERS);
const readerOf = (file: string): Reader | undefined => READERS[path.extname(file).toLowerCase()];
/** Whether a file is a manifest by its name. */
export const isManifest = (file: string): boolean => readerOf(file) !== undefined;

/** By its name a file that can be decoded. */
export const looksLikeImage = (cell: unknown): boolean =>
  typeof cell === 'string' && IMAGE_EXTENSIONS.has(path.extname(cell.trim()).toLowerCase());

/**
 * Reads a manifest.
 * @throws DataError, with the line where there is one
 */
export async function readManifest(file: string): Promise<ManifestRows> {
  const read = readerOf(file);
  if (!read)
    throw new DataError(`${file}: expected a manifest named ${MANIFEST_EXTENSIONS.map((e) => `*${e}`).join(', ')}`, [
      file,
    ]);
  const bytes = await readRegularFile(file, async (size, all) => {
    if (size > MOST_BYTES)
      throw new DataError(`it has ${size} bytes, more than can be read at once; cut it into parts`);
    return all();
  }).catch((cause: unknown) => {
    throw new DataError(`${file}: cannot read the manifest: ${reasonOf(cause)}`, [file], { cause });
  });
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new DataError(`${file}: expected text in UTF-8, got bytes that are none; save it as UTF-8`, [file], {
      cause,
    });
  }
  const rows = await read(text, file);
  if (rows.rows.length > 0) return rows;
  throw new DataError(`${file}: expected a row an image, found ${text.trim() === '' ? 'an empty file' : 'none'}`, [
    file,
  ]);
}

/** Spreadsheets write ';' where the comma is in numbers. */
function delimiterOf(text: string): string {
  const first = /^[^\r\n]*/.exec(text)![0];
  return first.includes(',') ? ',' : first.includes(';') ? ';' : first.includes('\t') ? '\t' : ',';
}

async function table(text: string, file: string, delimiter: string): Promise<ManifestRows> {
  const { parse } = await import('csv-parse/sync'); // only those with such a table wait for it
  const options = { delimiter, skip_empty_lines: true, trim: true, relax_column_count: true } as const;
  let records: string[][];
  try {
    records = parse(text, options);
  } catch (cause) {
    const { message, lines: line } = cause as CsvError & { lines?: number };
    throw new DataError(`${file}:${line ?? 1}: ${message}`, [file], { cause });
  }
  // Lines are counted when one is asked for, of a table that is refused: counting them takes longer than reading it.
  const lineOf = (record: number): number =>
    (parse(text, { ...options, info: true, to: record + 1 }) as unknown as { info: Info }[])[record]!.info.lines;
  const first = records[0] ?? [];
  // Names of columns do not end as images do.
  const header = !first.some(looksLikeImage);
  const columns = header ? first : first.map((_, i) => String(i + 1));
  const again = columns.find((name, i) => name !== '' && columns.indexOf(name) !== i);
  if (again !== undefined)
    throw new DataError(`${file}:1: expected a name of its own for each column, got ${shown(again)} twice`, [file]);
  const before = header ? 1 : 0;
  const odd = records.findIndex((record) => record.length !== columns.length);
  if (odd >= 0)
    throw new DataError(
      `${file}:${lineOf(odd)}: expected ${columns.length} cells, as the first line has, got ${records[odd]!.length}`,
      [file],
    );
  return {
    columns,
    header,
    rows: records.slice(before).map((record) => Object.fromEntries(columns.map((name, i) => [name, record[i]]))),
    lineOf: (row) => lineOf(row + before),
  };
}

const isObject = (value: unknown): value is Cells =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function objects(values: readonly unknown[], file: string, lineOf: (row: number) => number): ManifestRows {
  const odd = values.findIndex((value) => !isObject(value));
  if (odd >= 0)
    throw new DataError(
      `${file}:${lineOf(odd)}: expected an object an image, such as {"image": "a.jpg", "label": "cat"}, got ${shown(values[odd])}`,
      [file],
    );
  const rows = values as Cells[];
  const columns = new Set<string>();
  for (const row of rows) for (const name of Object.keys(row)) columns.add(name);
  return { columns: [...columns], header: true, rows, lineOf };
}

function array(text: string, file: string): ManifestRows {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const { message } = cause as Error;
    const at = /position (\d+)/.exec(message)?.[1];
    const line = at === undefined ? '' : `:${lineAt(text, Number(at))}`;
    throw new DataError(`${file}${line}: not JSON: ${message}`, [file], { cause });
  }
  if (!Array.isArray(value))
    throw new DataError(
      `${file}:1: expected a list of objects, an object an image, got ${isObject(value) ? 'one object' : shown(value)}`,
      [file],
    );
  return objects(value, file, (row) => lineAt(text, startOf(text, row)));
}

const lineAt = (text: string, at: number): number => text.slice(0, at).split('\n').length;

/** Where a member of the outermost list begins; the text is JSON. */
function startOf(text: string, member: number): number {
  let depth = 0;
  let begun = false;
  let count = -1;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (/\s/.test(c)) continue;
    if (depth === 1 && c === ',') begun = false;
    else if (depth === 1 && !begun && c !== ']') {
      begun = true;
      if (++count === member) return i;
    }
    if (c === '"') for (i++; text[i] !== '"'; i++) if (text[i] === '\\') i++;
    if (c === '[' || c === '{') depth++;
    if (c === ']' || c === '}') depth--;
  }
  return 0;
}

function lines(text: string, file: string): ManifestRows {
  const values: unknown[] = [];
  const at: number[] = [];
  text.split('\n').forEach((line, i) => {
    if (line.trim() === '') return;
    try {
      values.push(JSON.parse(line));
    } catch (cause) {
      throw new DataError(`${file}:${i + 1}: not JSON: ${(cause as Error).message}`, [file], { cause });
    }
    at.push(i + 1);
  });
  return objects(values, file, (row) => at[row]!);
}
