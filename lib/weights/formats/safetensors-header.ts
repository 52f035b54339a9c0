// The header of a .safetensors file: read as the format defines it, refused where it says anything else. Owns no tensors.
import { DataError, shown } from '../../errors.js';

/** Where a tensor lies: bytes `from` to `to` of what follows the header. */
export interface Entry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly from: number;
  readonly to: number;
}

export interface Header {
  readonly metadata: Record<string, string>;
  readonly entries: readonly Entry[];
}

/** Bytes an element. */
export const ELEMENT: ReadonlyMap<unknown, number> = new Map([
  ['F64', 8],
  ['F32', 4],
  ['F16', 2],
  ['BF16', 2],
  ['I64', 8],
  ['I32', 4],
  ['I8', 1],
  ['U8', 1],
  ['BOOL', 1],
]);
/** libtorch's tensors have no more. */
const MOST_DIMENSIONS = 64;

const isObject = (v: unknown): v is Record<string, unknown> => typeof v === 'object' && v !== null && !Array.isArray(v);
/** JSON's -0 is a number that no writer of sizes writes. */
const isSize = (v: unknown): v is number => Number.isSafeInteger(v) && (v as number) >= 0 && !Object.is(v, -0);

/**
 * @param bytes the JSON
 * @param body how many bytes follow it: the tensors must cover all of them, once
 * @throws DataError that names the file and what is wrong
 */
export function parseHeader(bytes: Uint8Array, body: number, file: string): Header {
  const bad = (what: string): DataError => new DataError(`${file} is not a usable .safetensors file: ${what}`, [file]);
  let header: unknown;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    header = JSON.parse(text);
  } catch {
    throw bad('its header is not JSON');
  }
  if (!isObject(header)) throw bad(`its header is not an object but ${shown(header)}`);
  const twice = repeatedKey(text);
  if (twice !== undefined) throw bad(`its header holds ${twice} twice`);

  const { __metadata__: stated = {}, ...rest } = header;
  if (!isObject(stated)) throw bad(`__metadata__: expected an object of strings, got ${shown(stated)}`);
  for (const [key, value] of Object.entries(stated)) {
    if (typeof value !== 'string') throw bad(`__metadata__ ${shown(key)}: expected a string, got ${shown(value)}`);
  }
  const entries = Object.entries(rest).map(([name, entry]) => readEntry(name, entry, bad));
  checkCover(entries, body, bad);
  return { metadata: stated as Record<string, string>, entries };
}

function readEntry(name: string, entry: unknown, bad: (what: string) => DataError): Entry {
  const tensor = `tensor '${shown(name).slice(1, -1)}'`;
  if (!isObject(entry)) throw bad(`${tensor}: expected its dtype, shape and offsets, got ${shown(entry)}`);
  const { dtype, shape, data_offsets: offsets } = entry;
  const size = ELEMENT.get(dtype);
  if (size === undefined) {
    const said = typeof dtype === 'string' ? shown(dtype).slice(1, -1) : shown(dtype);
    throw bad(`${tensor} has the dtype ${said}; expected one of ${[...ELEMENT.keys()].join(', ')}`);
  }
  if (!Array.isArray(shape) || shape.length > MOST_DIMENSIONS || !shape.every(isSize))
    throw bad(`${tensor}: expected a shape of whole numbers, got ${shown(shape)}`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize))
    throw bad(`${tensor}: expected two offsets in bytes, got ${shown(offsets)}`);
  const [from, to] = offsets as [number, number];
  // With a zero in it, a shape takes nothing, whatever its other numbers are.
  const needed = shape.includes(0) ? 0 : (shape as number[]).reduce((a, b) => a * b, size);
  if (to - from !== needed)
    throw bad(`${tensor} of shape ${shown(shape)} needs ${needed} bytes, its offsets span ${to - from}`);
  return { name, dtype: dtype as string, shape: shape as number[], from, to };
}

/** Every byte belongs to one tensor: a file of two meanings, or with more in it than it says, is none of this format. */
function checkCover(entries: readonly Entry[], body: number, bad: (what: string) => DataError): void {
  const named = (e: Entry): string => `tensor '${shown(e.name).slice(1, -1)}'`;
  const sorted = [...entries].sort((a, b) => a.from - b.from || a.to - b.to);
  let end = 0;
  for (const entry of sorted) {
    if (entry.to > body) throw bad(`${named(entry)} ends at byte ${entry.to}, the file has ${body}: it is cut short`);
    if (entry.from < end) throw bad(`${named(entry)} begins at byte ${entry.from}, inside the tensor before it`);
    if (entry.from > end) throw bad(`no tensor holds bytes ${end} to ${entry.from}`);
    end = entry.to;
  }
  if (end !== body) throw bad(`${body - end} bytes follow its last tensor`);
}

/** The first key that one object of a valid JSON text holds twice, as it is written there; JSON.parse keeps the last. */
function repeatedKey(text: string): string | undefined {
  const open: Set<string>[] = [];
  let key: { end: number; text: string } | undefined;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '"') {
      const start = i++;
      while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
      key = { end: i, text: text.slice(start, i + 1) };
    } else if (c === ':') {
      // Two spellings of one name are one name.
      const name = key!.text.includes('\\') ? JSON.stringify(JSON.parse(key!.text)) : key!.text;
      const keys = open.at(-1)!;
      if (keys.has(name)) return shown(JSON.parse(name));
      keys.add(name);
    } else if (c === '{') {
      open.push(new Set());
    } else if (c === '}') {
      open.pop();
    }
  }
  return undefined;
}
