// Reading and writing .safetensors files. Owns the format, knows nothing of models.
import { DataError, shown } from '../../errors.js';
import type { DType, HostArray, TensorData } from '../../native/wire.js';
import { brainsToFloats, floatsToBrains, floatsToHalves, halvesToFloats } from './half.js';
import { inMemory, withFile, type OpenFile } from './open-file.js';
import { ELEMENT, parseHeader } from './safetensors-header.js';
import { writeWhole } from './whole-file.js';

/** A checkpoint in memory. All metadata values are strings, as the format says. */
export interface SafeTensors {
  metadata: Record<string, string>;
  tensors: Map<string, TensorData>;
}

const WRITTEN: Partial<Record<DType, string>> = {
  float64: 'F64',
  float32: 'F32',
  int64: 'I64',
  int32: 'I32',
  int8: 'I8',
  uint8: 'U8',
};
/** Headers are JSON of names and shapes: a longer one is not a header. */
const MOST_HEADER = 100 << 20;
/** What a header begins with. */
const BRACE = 0x7b;

/**
 * The values of one tensor: a view of the bytes where they are aligned; 16-bit floats widen to float32.
 * @param dtype one of ELEMENT
 */
export function decodeNumbers(dtype: string, bytes: Uint8Array): { data: HostArray; dtype: DType } {
  const size = ELEMENT.get(dtype)!;
  const aligned = bytes.byteOffset % size === 0 ? bytes : Uint8Array.from(bytes);
  const span = [aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.length / size] as const;
  switch (dtype) {
    case 'F32':
      return { data: new Float32Array(...span), dtype: 'float32' };
    case 'F64':
      return { data: new Float64Array(...span), dtype: 'float64' };
    case 'I64':
      return { data: new BigInt64Array(...span), dtype: 'int64' };
    case 'I32':
      return { data: new Int32Array(...span), dtype: 'int32' };
    case 'I8':
      return { data: new Int8Array(...span), dtype: 'int8' };
    case 'BF16':
      return { data: brainsToFloats(new Uint16Array(...span)), dtype: 'float32' };
    case 'F16':
      return { data: halvesToFloats(new Uint16Array(...span)), dtype: 'float32' };
    default:
      return { data: aligned, dtype: 'uint8' };
  }
}

/**
 * Reads a checkpoint. Takes no more memory than the file is long, whatever its header says.
 * @throws DataError that says what is wrong with the file: missing, no regular file, cut short, of another format, a
 * header that contradicts itself or the file
 * @example
 * import { readSafetensors, writeSafetensors } from 'mnv2-torch';
 * import { mkdtempSync } from 'node:fs';
 * const file = mkdtempSync('/tmp/mnv2-') + '/x.safetensors';
 * await writeSafetensors(file, new Map([['w', { data: Float32Array.of(1, 2), shape: [2], dtype: 'float32' }]]), { arch: 'mine' });
 * const { metadata, tensors } = await readSafetensors(file);
 * console.log(metadata.arch, [...tensors.get('w').data]); // mine [ 1, 2 ]
 */
export function readSafetensors(file: string): Promise<SafeTensors> {
  return withFile(file, readOpened);
}

/** Whether a file begins as the format does: a length that fits, and a brace. */
export function looksLikeSafetensors({ size, start }: OpenFile): boolean {
  return start.length > 8 && start[8] === BRACE && 8 + Number(start.readBigUInt64LE(0)) <= size;
}

/** The same of a file that is open. */
export async function readOpened({ path: file, size, start, read }: OpenFile): Promise<SafeTensors> {
  const bad = (what: string): DataError => new DataError(`${file} is not a usable .safetensors file: ${what}`, [file]);
  if (start.length < 8) throw bad(`expected at least 8 bytes, got ${start.length}`);
  const length = Number(start.readBigUInt64LE(0));
  if (length > MOST_HEADER || 8 + length > size)
    throw bad(`its header would take ${length} bytes of a file of ${size}; is it cut short, or another format?`);
  const header = 8 + length <= start.length ? start.subarray(8, 8 + length) : await read(8, length);
  const { metadata, entries } = parseHeader(header, size - 8 - length, file);
  const body = await read(8 + length, size - 8 - length);
  return {
    metadata,
    tensors: new Map(
      entries.map((e) => [e.name, { ...decodeNumbers(e.dtype, body.subarray(e.from, e.to)), shape: [...e.shape] }]),
    ),
  };
}

/** The same of bytes in memory, which messages call `name`. */
export function decodeSafetensors(bytes: Buffer, name: string): Promise<SafeTensors> {
  return readOpened(inMemory(bytes, name));
}

/**
 * Writes a checkpoint whole or not at all. What was there before stays until then.
 * @throws DataError when a tensor has no place in the format or the file cannot be written
 * @example
 * import { readSafetensors, writeSafetensors } from 'mnv2-torch';
 * import { mkdtempSync } from 'node:fs';
 * const file = mkdtempSync('/tmp/mnv2-') + '/x.safetensors';
 * await writeSafetensors(file, new Map([['n', { data: BigInt64Array.of(7n), shape: [], dtype: 'int64' }]]));
 * console.log((await readSafetensors(file)).tensors.get('n').data[0]); // 7n
 */
export async function writeSafetensors(
  file: string,
  tensors: ReadonlyMap<string, TensorData>,
  metadata: Record<string, string> = {},
): Promise<void> {
  await writeWhole(file, encodeSafetensors(tensors, metadata));
}

/** How float32 tensors are written. */
export type FloatFormat = 'fp32' | 'fp16' | 'bf16';

/** A float32 tensor's numbers in the type they have in the file. */
function narrowed(
  { data, dtype }: TensorData,
  floats: FloatFormat,
): { data: HostArray | Uint16Array; type: string | undefined } {
  if (dtype !== 'float32' || floats === 'fp32') return { data, type: WRITTEN[dtype] };
  return floats === 'fp16'
    ? { data: floatsToHalves(data as Float32Array), type: 'F16' }
    : { data: floatsToBrains(data as Float32Array), type: 'BF16' };
}

/**
 * The bytes of a file, in parts.
 * @throws DataError when a tensor has no place in the format
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, TensorData>,
  metadata: Record<string, string> = {},
  floats: FloatFormat = 'fp32',
): Uint8Array[] {
  // Without a prototype, a tensor may be called anything.
  const header = Object.assign(Object.create(null) as Record<string, unknown>, { __metadata__: metadata });
  let offset = 0;
  const parts: Uint8Array[] = [];
  for (const [name, tensor] of tensors) {
    const { shape, dtype } = tensor;
    const refuse = (what: string): DataError => new DataError(`tensor '${name}' cannot be written: ${what}`);
    const { data, type } = narrowed(tensor, floats);
    if (!type) throw refuse(`expected one of ${Object.keys(WRITTEN).join(', ')}, got ${dtype}`);
    if (Object.hasOwn(header, name)) throw refuse('the format has another use for this name');
    const bytes = shape.reduce((a, b) => a * b, ELEMENT.get(type)!);
    if (bytes !== data.byteLength) throw refuse(`${shown(shape)} needs ${bytes} bytes, it has ${data.byteLength}`);
    header[name] = { dtype: type, shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
    parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== 'string') throw new DataError(`metadata '${key}': expected a string, got ${shown(value)}`);
  }
  // Padded with spaces so that the numbers start at a multiple of eight.
  let text = JSON.stringify(header);
  text = text.padEnd(Math.ceil(Buffer.byteLength(text) / 8) * 8 - Buffer.byteLength(text) + text.length);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));

  return [prefix, Buffer.from(text), ...parts];
}
