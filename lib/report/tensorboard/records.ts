// TensorBoard's files, byte by byte: records with masked checksums (TFRecord), and in each an Event in protobuf's wire
// format. Only the fields that are written; numbers are those of tensorflow's event.proto, summary.proto, tensor.proto.

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  return c >>> 0;
});

/** CRC-32C (Castagnoli). */
export function crc32c(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (const byte of bytes) c = (c >>> 8) ^ CRC_TABLE[(c ^ byte) & 0xff]!;
  return (c ^ 0xffffffff) >>> 0;
}

/** As TFRecord stores it: a checksum of bytes that hold their own would be a constant. */
const masked = (bytes: Uint8Array): number => {
  const c = crc32c(bytes);
  return (((c >>> 15) | (c << 17)) + 0xa282ead8) >>> 0;
};

/** One record: length, its checksum, the data, its checksum. */
export function record(data: Uint8Array): Buffer {
  const head = Buffer.alloc(12);
  head.writeBigUInt64LE(BigInt(data.length));
  head.writeUInt32LE(masked(head.subarray(0, 8)), 8);
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(masked(data));
  return Buffer.concat([head, data, tail]);
}

/** A whole number of at least 0, seven bits a byte, lowest first. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) + 128);
  }
}
const whole = (field: number, value: number): Buffer => Buffer.concat([varint(8 * field), varint(value)]);
function bytes(field: number, value: Uint8Array | string): Buffer {
  const content = Buffer.from(value as string);
  return Buffer.concat([varint(8 * field + 2), varint(content.length), content]);
}
function double(field: number, value: number): Buffer {
  const content = Buffer.alloc(8);
  content.writeDoubleLE(value);
  return Buffer.concat([varint(8 * field + 1), content]);
}
function float(field: number, value: number): Buffer {
  const content = Buffer.alloc(4);
  content.writeFloatLE(value);
  return Buffer.concat([varint(8 * field + 5), content]);
}
const message = (...fields: Buffer[]): Buffer => Buffer.concat(fields);

/** What an event says under a tag. */
export type Value =
  | { readonly tag: string; readonly scalar: number }
  /** markdown */
  | { readonly tag: string; readonly text: string }
  | { readonly tag: string; readonly image: { width: number; height: number; encoded: Uint8Array } };

const DT_STRING = 7;
const RGB = 3;

function valueOf(value: Value): Buffer {
  const tag = bytes(1, value.tag);
  if ('scalar' in value) return message(tag, float(2, value.scalar));
  if ('image' in value) {
    const { width, height, encoded } = value.image;
    return message(tag, bytes(4, message(whole(1, height), whole(2, width), whole(3, RGB), bytes(4, encoded))));
  }
  // Text is a tensor of one string that the text plugin is named for.
  const shape = bytes(2, bytes(2, whole(1, 1)));
  const tensor = message(whole(1, DT_STRING), shape, bytes(8, value.text));
  return message(tag, bytes(8, tensor), bytes(9, bytes(1, bytes(1, 'text'))));
}

/** An event of some values at a step. @param seconds since 1970 */
export function event(seconds: number, step: number, values: readonly Value[]): Buffer {
  const summary = message(...values.map((v) => bytes(1, valueOf(v))));
  return record(message(double(1, seconds), whole(2, step), bytes(5, summary)));
}

/** The first record of every file. */
export function fileVersion(seconds: number): Buffer {
  return record(message(double(1, seconds), bytes(3, 'brain.Event:2')));
}
