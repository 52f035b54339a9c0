// Reading and writing .safetensors files. Owns the format, knows nothing of models.
import { open, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { DataError } from '../../errors.js';
import type { DType, HostArray, TensorData } from '../../native/wire.js';

/** A checkpoint in memory. All metadata values are strings, as the format says. */
export interface SafeTensors {
  metadata: Record<string, string>;
  tensors: Map<string, TensorData>;
}

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

const BYTES: Record<string, number> = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, U8: 1, BOOL: 1 };
const WRITTEN: Partial<Record<DType, string>> = {
  float64: 'F64',
  float32: 'F32',
  int64: 'I64',
  int32: 'I32',
  uint8: 'U8',
};
/** Headers are JSON of names and shapes: a longer one is not a header. */
const MOST_HEADER = 100 << 20;

function halfToFloat(h: number): number {
  const [sign, exponent, fraction] = [h & 0x8000 ? -1 : 1, (h >> 10) & 31, h & 1023];
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The values of one tensor; 16-bit floats widen to float32. */
function decode(bytes: Uint8Array, dtype: string): { data: HostArray; dtype: DType } {
  // A copy starts at an aligned address, which the offset in the file need not be.
  const { buffer } = Uint8Array.from(bytes);
  switch (dtype) {
    case 'F32':
      return { data: new Float32Array(buffer), dtype: 'float32' };
    case 'F64':
      return { data: new Float64Array(buffer), dtype: 'float64' };
    case 'I64':
      return { data: new BigInt64Array(buffer), dtype: 'int64' };
    case 'I32':
      return { data: new Int32Array(buffer), dtype: 'int32' };
    case 'BF16': {
      const bits = Uint32Array.from(new Uint16Array(buffer), (b) => b << 16);
      return { data: new Float32Array(bits.buffer), dtype: 'float32' };
    }
    case 'F16':
      return { data: Float32Array.from(new Uint16Array(buffer), halfToFloat), dtype: 'float32' };
    default:
      return { data: new Uint8Array(buffer), dtype: 'uint8' };
  }
}

/**
 * Reads a checkpoint.
 * @throws DataError that says what is wrong with the file: missing, cut short, not this format, an unknown dtype
 * @example
 * import { readSafetensors, writeSafetensors } from 'mnv2-torch';
 * import { mkdtempSync } from 'node:fs';
 * const file = mkdtempSync('/tmp/mnv2-') + '/x.safetensors';
 * await writeSafetensors(file, new Map([['w', { data: Float32Array.of(1, 2), shape: [2], dtype: 'float32' }]]), { arch: 'mine' });
 * const { metadata, tensors } = await readSafetensors(file);
 * console.log(metadata.arch, [...tensors.get('w').data]); // mine [ 1, 2 ]
 */
export async function readSafetensors(file: string): Promise<SafeTensors> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    throw new DataError(`cannot read the checkpoint ${file}: ${(cause as Error).message}`, [file], { cause });
  }
  const bad = (what: string): DataError => new DataError(`${file} is not a usable .safetensors file: ${what}`, [file]);
  if (bytes.length < 8) throw bad(`expected at least 8 bytes, got ${bytes.length}`);
  const length = Number(bytes.readBigUInt64LE(0));
  if (length > MOST_HEADER || 8 + length > bytes.length) {
    throw bad(
      `its header would take ${length} bytes of a file of ${bytes.length}; is it cut short, or another format?`,
    );
  }
  let header: Record<string, Entry> & { __metadata__?: Record<string, string> };
  try {
    header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as typeof header;
  } catch {
    throw bad('its header is not JSON');
  }
  const { __metadata__: metadata = {}, ...entries } = header;
  const tensors = new Map<string, TensorData>();
  const body = bytes.subarray(8 + length);
  for (const [name, entry] of Object.entries(entries as Record<string, Entry>)) {
    const size = BYTES[entry?.dtype];
    if (!size)
      throw bad(`tensor '${name}' has the dtype ${entry?.dtype}; expected one of ${Object.keys(BYTES).join(', ')}`);
    const [from, to] = entry.data_offsets ?? [NaN, NaN];
    const expected = entry.shape.reduce((a, b) => a * b, size);
    if (to - from !== expected || from < 0)
      throw bad(
        `tensor '${name}' of shape [${entry.shape.join(', ')}] needs ${expected} bytes, its offsets span ${to - from}`,
      );
    if (to > body.length)
      throw bad(`tensor '${name}' ends at byte ${to}, the file has ${body.length}: it is cut short`);
    tensors.set(name, { ...decode(body.subarray(from, to), entry.dtype), shape: entry.shape });
  }
  return { metadata, tensors };
}

/**
 * Writes a checkpoint whole or not at all: into a temporary file beside it, flushed, then renamed.
 * @throws DataError when a tensor's dtype has no place in the format or the file cannot be written
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
  const header: Record<string, unknown> = { __metadata__: metadata };
  let offset = 0;
  for (const [name, { data, shape, dtype }] of tensors) {
    const type = WRITTEN[dtype];
    if (!type)
      throw new DataError(
        `tensor '${name}': ${dtype} cannot be written; expected one of ${Object.keys(WRITTEN).join(', ')}`,
      );
    header[name] = { dtype: type, shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  // Padded with spaces so that the numbers start at a multiple of eight.
  let text = JSON.stringify(header);
  text = text.padEnd(Math.ceil(Buffer.byteLength(text) / 8) * 8 - Buffer.byteLength(text) + text.length);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));

  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}.tmp`);
  try {
    const handle = await open(temporary, 'w');
    try {
      const parts = [
        prefix,
        Buffer.from(text),
        ...[...tensors.values()].map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
      ];
      for (const part of parts) await handle.writeFile(part);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw new DataError(`cannot write ${file}: ${(cause as Error).message}`, [file], { cause });
  }
}
