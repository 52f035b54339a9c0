// Archives: what is read from them, and every kind that is refused before anything is unpacked.
import fs from 'node:fs';
import { DataError } from 'mnv2-torch';
import { withFile } from '../../dist/weights/formats/open-file.js';
import { looksLikeZip } from '../../dist/weights/formats/content.js';
import { openZip } from '../../dist/weights/formats/zip.js';
import { temporaryFolder } from '../support/temporary.ts';
import { zipped, type Member } from '../support/zip.ts';

const at = temporaryFolder('zip');
const TEXT = Buffer.from('numbers '.repeat(400));
const A: Member = { name: 'a/one', bytes: TEXT };
const B: Member = { name: 'a/two', bytes: TEXT, deflate: true };

/** What every member of an archive of these bytes holds. */
async function contents(bytes: Buffer): Promise<Map<string, Buffer>> {
  fs.writeFileSync(at('archive'), bytes);
  return withFile(at('archive'), async (file) => {
    const { sizes, read } = await openZip(file);
    const found = new Map<string, Buffer>();
    for (const [name, size] of sizes) {
      found.set(name, await read(name));
      expect(found.get(name)).toHaveLength(size);
    }
    return found;
  });
}
async function refusal(bytes: Buffer): Promise<string> {
  const error = (await contents(bytes).catch((e: unknown) => e)) as Error;
  expect(error).toBeInstanceOf(DataError);
  expect(error.message).toMatch(/archive is not a usable zip archive: .+|archive: it ends before byte/);
  expect(error.message).not.toContain('\n');
  expect(error.message).not.toContain('\u001b');
  return error.message;
}

test('stored and compressed members, empty ones, folders and comments', async () => {
  const empty = { bytes: Buffer.alloc(0) };
  const folder = { name: 'a/', ...empty };
  const members = [
    A,
    B,
    { name: 'a/none', ...empty },
    { name: 'é', deflate: true, ...empty, states: { flags: 0x800 } },
  ];
  const found = await contents(zipped([folder, ...members]));
  expect([...found]).toEqual(members.map(({ name, bytes }) => [name, bytes]));
});

test('a checksum of 0 is none: PyTorch writes it where it was told to compute none', async () => {
  expect([...(await contents(zipped([{ ...A, states: { crc: 0 } }])))]).toEqual([['a/one', TEXT]]);
});

test('a member that is asked for and not there', async () => {
  fs.writeFileSync(at('archive'), zipped([A]));
  const read = withFile(at('archive'), async (file) => (await openZip(file)).read('a/thr\u001bee'));
  await expect(read).rejects.toThrow(/archive is not a usable zip archive: it holds no "a\/thr\\u001bee"$/);
});

test.each<[string, Buffer, RegExp]>([
  ['encrypted', zipped([A, { ...B, states: { flags: 1 } }]), /"a\/two" is encrypted; unpack it with its password/],
  ['strongly encrypted', zipped([{ ...A, states: { flags: 0x41 } }]), /strong encryption is not supported/],
  ['split', zipped([A], { disk: 1 }), /multi-disk zip files are not supported.*a part of a split one\?/],
  ['cut short', zipped([A, B]).subarray(0, -30), /End of central directory.*is it cut short/],
  ['of nothing but a beginning', zipped([A]).subarray(0, 4), /End of central directory/],
  ['empty', Buffer.alloc(0), /End of central directory/],
  ['with more behind it', Buffer.concat([zipped([A]), Buffer.alloc(9)]), /Invalid comment length/],
  ['with ../', zipped([A, { ...B, name: '../../etc/passwd' }]), /"..\/..\/etc\/passwd" has no path inside the archive/],
  ['with .. behind a name', zipped([{ ...A, name: 'a/../../x' }]), /has no path inside/],
  ['with an absolute name', zipped([{ ...A, name: '/etc/passwd' }]), /"\/etc\/passwd" has no path inside/],
  ['with a drive', zipped([{ ...A, name: 'C:/x' }]), /"C:\/x" has no path inside/],
  ['with backslashes', zipped([{ ...A, name: '..\\x' }]), /has no path inside/],
  [
    'with a name for the terminal',
    zipped([{ ...A, name: '/\n\u001b[2J', states: { flags: 0x800 } }]),
    /"\/\\n\\u001b\[2J" has no path inside/,
  ],
  ['with a name twice', zipped([A, { ...B, name: A.name }]), /it holds "a\/one" twice/],
  ['with two names of a member', zipped([{ ...A, localName: 'a/six' }]), /"a\/one" is called "a\/six" where it lies/],
  ['with another compression', zipped([{ ...A, states: { method: 12 } }]), /compressed by method 12; expected 0/],
  ['with a wrong checksum', zipped([{ ...A, states: { crc: 7 } }]), /"a\/one" is damaged: its bytes do not have/],
  ['with a wrong checksum of what was compressed', zipped([{ ...B, states: { crc: 7 } }]), /"a\/two" is damaged/],
  ['with a stored member of two sizes', zipped([{ ...A, states: { size: 9 } }]), /size mismatch for stored file/],
  ['of 10 GB', zipped([{ ...A, states: { size: 4e9, stored: 4e9 } }]), /state 4000000000 bytes in a file of \d+/],
  ['of many entries', zipped([A], { count: 2 }), /invalid central directory file header signature|ends before byte/],
  [
    'whose member lies beyond its end',
    zipped([{ ...A, states: { offset: 1e6 } }]),
    /ends at byte 100\d+, the file has/,
  ],
  ['whose member lies elsewhere', zipped([{ ...A, states: { offset: 40 } }]), /invalid local file header signature/],
  [
    'whose members overlap',
    zipped([A, { ...A, name: 'a/two', states: { offset: 10 } }]),
    /"a\/one" and "a\/two" overlap/,
  ],
  ['that unpacks to more than it states', zipped([{ ...B, states: { size: 9 } }]), /more than the 9 bytes stated/],
  [
    'that unpacks to less than it states',
    zipped([{ ...B, states: { size: 9999 } }]),
    /holds 3200 bytes, its entry says 9999/,
  ],
  ['whose compressed bytes are none', zipped([{ ...A, states: { method: 8 } }]), /"a\/one" invalid/],
])('an archive %s is refused in one line', async (_name, bytes, message) => {
  expect(await refusal(bytes)).toMatch(message);
});

test('a bomb is refused before it is unpacked, whether it states its size or not', async () => {
  const bomb: Member = { name: 'bomb', bytes: Buffer.alloc(64 << 20), deflate: true };
  expect(await refusal(zipped([bomb]))).toMatch(/state 67108864 bytes in a file of \d+; at most \d+ are unpacked/);
  const before = process.memoryUsage().rss;
  expect(await refusal(zipped([{ ...bomb, states: { size: 1000 } }]))).toMatch(/unpacks to more than the 1000 bytes/);
  expect(process.memoryUsage().rss - before).toBeLessThan(32 << 20);
});

test('an archive of 64-bit sizes that do not fit', async () => {
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE((1n << 63n) - 1n, 8);
  const plain = zipped([A]);
  expect(await refusal(Buffer.concat([plain.subarray(0, -22), locator, plain.subarray(-22)]))).toMatch(
    /ends before byte/,
  );
});

test('what begins as an archive', async () => {
  fs.writeFileSync(at('archive'), zipped([A]));
  expect(await withFile(at('archive'), (file) => Promise.resolve(looksLikeZip(file)))).toBe(true);
  fs.writeFileSync(at('archive'), 'PK\u0003\u0004');
  expect(await withFile(at('archive'), (file) => Promise.resolve(looksLikeZip(file)))).toBe(false);
});
