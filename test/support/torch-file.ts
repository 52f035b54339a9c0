// PyTorch's files put together by hand, instruction by instruction: right ones and those a hostile writer makes.
import { zipped, type Member } from './zip.ts';

const u32 = (n: number): Buffer => Buffer.of(n, n >>> 8, n >>> 16, n >>> 24);
const at = (opcode: number, ...parts: (Buffer | string)[]): Buffer =>
  Buffer.concat([Buffer.of(opcode), ...parts.map((part) => Buffer.from(part as string))]);

/** Pieces of a pickle: each leaves one value, unless it says otherwise. */
export const p = {
  protocol: Buffer.of(0x80, 2),
  mark: Buffer.from('('),
  none: Buffer.from('N'),
  no: Buffer.of(0x89),
  text: (text: string) => at(0x58, u32(Buffer.byteLength(text)), text),
  int: (n: number) => at(0x4a, u32(n)),
  /** whole numbers of any size, from their bytes, the lowest first */
  long: (...bytes: number[]) => at(0x8a, Buffer.of(bytes.length, ...bytes)),
  tuple: (...items: Buffer[]) => Buffer.concat([p.mark, ...items, Buffer.from('t')]),
  list: (...items: Buffer[]) => Buffer.concat([Buffer.from(']('), ...items, Buffer.from('e')]),
  dict: (...items: [string, Buffer][]) =>
    Buffer.concat([Buffer.from('}('), ...items.flatMap(([k, v]) => [p.text(k), v]), Buffer.from('u')]),
  global: (module: string, name: string) => at(0x63, `${module}\n${name}\n`),
  call: (callee: Buffer, ...args: Buffer[]) => Buffer.concat([callee, p.tuple(...args), Buffer.from('R')]),
  /** keeps the value on top; leaves none of its own */
  put: (index: number) => Buffer.of(0x71, index),
  get: (index: number) => Buffer.of(0x68, index),
  outside: (id: Buffer) => Buffer.concat([id, Buffer.from('Q')]),
  whole: (...pieces: Buffer[]) => Buffer.concat([p.protocol, ...pieces, Buffer.from('.')]),
};

export interface TensorPieces {
  key?: string;
  /** PyTorch's class of the storage */
  type?: string;
  /** of the storage */
  count?: number;
  offset?: number | Buffer;
  shape?: (number | Buffer)[];
  strides?: (number | Buffer)[];
  /** instead of None, in a stream */
  view?: Buffer;
  stream?: boolean;
}
const size = (n: number | Buffer): Buffer => (typeof n === 'number' ? p.int(n) : n);

/** A tensor as torch.save describes it, of two numbers unless told otherwise. */
export function tensor(pieces: TensorPieces = {}): Buffer {
  const {
    key = '0',
    type = 'FloatStorage',
    count = 2,
    offset = 0,
    shape = [2],
    strides = [1],
    stream = false,
  } = pieces;
  const view = stream || pieces.view ? [pieces.view ?? p.none] : [];
  const id = p.tuple(p.text('storage'), p.global('torch', type), p.text(key), p.text('cpu'), p.int(count), ...view);
  const hooks = p.call(p.global('collections', 'OrderedDict'));
  return p.call(
    p.global('torch._utils', '_rebuild_tensor_v2'),
    p.outside(id),
    size(offset),
    p.tuple(...shape.map(size)),
    p.tuple(...strides.map(size)),
    p.no,
    hooks,
  );
}

export const floats = (...values: number[]): Buffer => Buffer.from(Float32Array.from(values).buffer);

/** An archive as torch.save writes it. */
export function torchArchive(pickle: Buffer, storages: Record<string, Buffer>, more: Member[] = []): Buffer {
  const name = (file: string): string => `archive/${file}`;
  return zipped([
    { name: name('data.pkl'), bytes: pickle },
    { name: name('byteorder'), bytes: Buffer.from('little') },
    ...Object.entries(storages).map(([key, bytes]) => ({ name: name(`data/${key}`), bytes })),
    ...more,
    { name: name('version'), bytes: Buffer.from('3\n') },
  ]);
}

/** A stream as torch.save wrote it before version 1.6: storages are [key, numbers, bytes]. */
export function torchStream(pickle: Buffer, storages: [string, number, Buffer][]): Buffer {
  const counted = storages.flatMap(([, count, bytes]) => {
    const length = Buffer.alloc(8);
    length.writeBigInt64LE(BigInt(count));
    return [length, bytes];
  });
  return Buffer.concat([
    p.whole(p.long(0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19)),
    p.whole(p.int(1001)),
    p.whole(p.dict(['little_endian', Buffer.of(0x88)])),
    pickle,
    p.whole(p.list(...storages.map(([key]) => p.text(key)))),
    ...counted,
  ]);
}
