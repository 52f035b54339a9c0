// Members of a zip archive, which .pth and .keras files are. Owns what an archive may be: yauzl reads its directory.
import { promisify } from 'node:util';
import { crc32, inflateRaw } from 'node:zlib';
import {
  fromRandomAccessReaderPromise,
  getFileNameLowLevel,
  RandomAccessReader,
  validateFileName,
  type Entry,
  type ZipFile,
} from 'yauzl';
import { DataError, shown } from '../../errors.js';
import { ZIP_HEADER } from './content.js';
import type { OpenFile } from './open-file.js';

/** More members than any network has tensors. */
const MOST_MEMBERS = 100_000;
/** What compressed members may become: numbers compress little, descriptions in JSON well but are short. */
const LARGEST_GROWTH = 20;
const ALWAYS_ALLOWED = 16 << 20;

export interface Zip {
  /** bytes of each file in the archive once it is read, by its path */
  readonly sizes: ReadonlyMap<string, number>;
  /**
   * A whole member, its checksum compared.
   * @throws DataError where there is none of this name, or it is damaged
   */
  read(name: string): Promise<Buffer>;
}

/** What yauzl asks for, from a file that is open. */
class OpenFileReader extends RandomAccessReader {
  constructor(private readonly file: OpenFile) {
    super();
  }
  override read(
    into: Buffer,
    offset: number,
    length: number,
    position: number,
    done: (error: Error | null) => void,
  ): void {
    this.file.read(position, length).then((bytes) => {
      bytes.copy(into, offset);
      done(null);
    }, done);
  }
}

/**
 * Opens an archive and looks at its whole directory; nothing is inflated before `read` asks.
 * @throws DataError for an archive that is cut short, split or encrypted, whose members overlap, leave their folder,
 * share a name or would grow beyond all proportion
 */
export async function openZip(file: OpenFile): Promise<Zip> {
  const bad = (what: string): DataError =>
    new DataError(`${file.path} is not a usable zip archive: ${what}`, [file.path]);
  try {
    const archive = await fromRandomAccessReaderPromise(new OpenFileReader(file), file.size, {
      autoClose: false,
      decodeStrings: false,
      strictFileNames: true,
    });
    const members = await directory(archive, bad);
    checkPlaces([...members], file.size, bad);
    return {
      sizes: new Map([...members].map(([name, { uncompressedSize }]) => [name, uncompressedSize])),
      read: async (name) => {
        const entry = members.get(name);
        if (!entry) throw bad(`it holds no ${shown(name)}`);
        return readMember(file, archive, entry, (what) => bad(`${shown(name)} ${what}`));
      },
    };
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    throw bad(`${oneLine((cause as Error).message.split('. ')[0]!)}; is it cut short, or a part of a split one?`);
  }
}

const oneLine = (text: string): string => shown(text).slice(1, -1);

/** The files of the archive; folders have no content. */
async function directory(archive: ZipFile, bad: (what: string) => DataError): Promise<Map<string, Entry>> {
  if (archive.entryCount > MOST_MEMBERS)
    throw bad(`it states ${archive.entryCount} members; expected ${MOST_MEMBERS} at most`);
  const members = new Map<string, Entry>();
  for await (const entry of archive.eachEntry()) {
    const name = getFileNameLowLevel(entry.generalPurposeBitFlag, entry.fileNameRaw, entry.extraFields, true);
    const member = `its member ${shown(name)}`;
    const wrongName = validateFileName(name);
    if (wrongName !== null) throw bad(`${member} has no path inside the archive`);
    if (entry.isEncrypted()) throw bad(`${member} is encrypted; unpack it with its password and pack it again`);
    if (!entry.canDecodeFileData())
      throw bad(`${member} is compressed by method ${entry.compressionMethod}; expected 0 (stored) or 8 (deflate)`);
    if (members.has(name)) throw bad(`it holds ${shown(name)} twice`);
    if (!name.endsWith('/')) members.set(name, entry);
  }
  return members;
}

/** Each member has its own bytes of the file, and all of them together grow in proportion to it. */
function checkPlaces(members: [string, Entry][], size: number, bad: (what: string) => DataError): void {
  const total = members.reduce((sum, [, { uncompressedSize }]) => sum + uncompressedSize, 0);
  const most = ALWAYS_ALLOWED + LARGEST_GROWTH * size;
  if (total > most)
    throw bad(`its members state ${total} bytes in a file of ${size}; at most ${most} are unpacked from it`);
  members.sort(([, a], [, b]) => a.relativeOffsetOfLocalHeader - b.relativeOffsetOfLocalHeader);
  for (const [i, [name, entry]] of members.entries()) {
    const end = entry.relativeOffsetOfLocalHeader + ZIP_HEADER + entry.fileNameLength + entry.compressedSize;
    const next = members[i + 1];
    if (end > size) throw bad(`its member ${shown(name)} ends at byte ${end}, the file has ${size}`);
    if (next && end > next[1].relativeOffsetOfLocalHeader)
      throw bad(`its members ${shown(name)} and ${shown(next[0])} overlap`);
  }
}

async function readMember(
  file: OpenFile,
  archive: ZipFile,
  entry: Entry,
  bad: (what: string) => DataError,
): Promise<Buffer> {
  const header = await archive.readLocalFileHeaderPromise(entry).catch((e: Error) => {
    throw bad(`cannot be found: ${oneLine(e.message)}`);
  });
  // Programs that trust one name or the other would see two archives.
  if (!header.fileName.equals(entry.fileNameRaw))
    throw bad(`is called ${shown(header.fileName.toString())} where it lies`);
  const stored = await file.read(header.fileDataStart, entry.compressedSize);
  const bytes = entry.isCompressed() ? await inflate(stored, entry.uncompressedSize, bad) : stored;
  if (bytes.length !== entry.uncompressedSize)
    throw bad(`holds ${bytes.length} bytes, its entry says ${entry.uncompressedSize}`);
  // PyTorch can be told to compute no checksums (set_crc32_options); it writes 0 then.
  if (entry.crc32 !== 0 && crc32(bytes) !== entry.crc32)
    throw bad('is damaged: its bytes do not have the checksum stated');
  return bytes;
}

const inflated = promisify(inflateRaw) as (from: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>;

/** Stops at the first byte more than `size`. */
async function inflate(from: Buffer, size: number, bad: (what: string) => DataError): Promise<Buffer> {
  try {
    return await inflated(from, { maxOutputLength: Math.max(1, size) });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw bad(code === 'ERR_BUFFER_TOO_LARGE' ? `unpacks to more than the ${size} bytes stated` : oneLine(message));
  }
}
