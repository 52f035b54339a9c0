// Zip archives laid out by hand, right ones and those a hostile writer makes.
import { crc32, deflateRawSync } from 'node:zlib';

export interface Member {
  name: string;
  bytes: Uint8Array;
  /** compress it */
  deflate?: boolean;
  /** as its header names it, where that differs from the directory */
  localName?: string;
  /** fields of the directory's entry, where they are not the true ones */
  states?: Partial<Record<'flags' | 'method' | 'crc' | 'stored' | 'size' | 'offset', number>>;
}

/** The bytes of an archive; `disk` is the number of the disk its end says it lies on. */
export function zipped(members: readonly Member[], { disk = 0, count = members.length } = {}): Buffer {
  const files: Buffer[] = [];
  const entries: Buffer[] = [];
  let at = 0;
  for (const { name, bytes, deflate = false, localName = name, states = {} } of members) {
    const stored = deflate ? deflateRawSync(bytes) : bytes;
    const { flags = 0, method = deflate ? 8 : 0, crc = crc32(bytes), offset = at } = states;
    const sizes = [crc, states.stored ?? stored.length, states.size ?? bytes.length] as const;
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    // Version, flags, method, time and date; checksum and sizes; lengths of the name and of extra fields.
    [20, flags, method, 0, 0].forEach((v, i) => local.writeUInt16LE(v, 4 + 2 * i));
    sizes.forEach((v, i) => local.writeUInt32LE(v, 14 + 4 * i));
    local.writeUInt16LE(Buffer.byteLength(localName), 26);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    [20, 20, flags, method, 0, 0].forEach((v, i) => entry.writeUInt16LE(v, 4 + 2 * i));
    sizes.forEach((v, i) => entry.writeUInt32LE(v, 16 + 4 * i));
    entry.writeUInt16LE(Buffer.byteLength(name), 28);
    entry.writeUInt32LE(offset, 42);
    files.push(local, Buffer.from(localName), Buffer.from(stored));
    entries.push(entry, Buffer.from(name));
    at += 30 + Buffer.byteLength(localName) + stored.length;
  }
  const directory = Buffer.concat(entries);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  [disk, disk, count, count].forEach((v, i) => end.writeUInt16LE(v, 4 + 2 * i));
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...files, directory, end]);
}
