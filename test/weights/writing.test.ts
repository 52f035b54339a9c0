// Writing a checkpoint: whole or not at all, whatever happens to the disk and whoever else writes.
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { DataError, readSafetensors, writeSafetensors, type TensorData } from 'mnv2-torch';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('writing');
const filled = (value: number, count: number): Map<string, TensorData> =>
  new Map([['w', { data: new Float32Array(count).fill(value), shape: [count], dtype: 'float32' as const }]]);
const MANY = 100_000;

test('a write that breaks off in the middle leaves the old file and nothing else', async () => {
  const file = at('limited', 'best.safetensors');
  fs.mkdirSync(at('limited'));
  await writeSafetensors(file, filled(1, 10));
  const before = fs.readFileSync(file);
  // A limit on the size of files: the write fails as on a full disk, and needs no rights to set up.
  const code = `
    import { writeSafetensors } from 'mnv2-torch';
    const data = new Float32Array(${MANY});
    await writeSafetensors(${JSON.stringify(file)}, new Map([['w', { data, shape: [${MANY}], dtype: 'float32' }]]))
      .catch((e) => console.log(e.name, e.exitCode, e.message));`;
  const { stdout } = spawnSync(
    'bash',
    ['-c', 'ulimit -f 16; exec "$0" --input-type=module -e "$1"', process.execPath, code],
    {
      encoding: 'utf8',
    },
  );
  expect(stdout).toMatch(/^DataError 4 cannot write .*best\.safetensors: EFBIG/);
  expect(fs.readFileSync(file).equals(before)).toBe(true);
  expect(fs.readdirSync(at('limited'))).toEqual(['best.safetensors']);
});

/** Why a file system of 64 KiB cannot be made here; '' where it can. */
const noMount = ((): string => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux';
  const folder = fs.mkdtempSync('/tmp/mnv2-mount-');
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder], { stdio: 'ignore' });
    execFileSync('umount', [folder], { stdio: 'ignore' });
    return '';
  } catch {
    return 'mounting is not allowed';
  } finally {
    fs.rmdirSync(folder);
  }
})();
(noMount ? describe.skip : describe)(`a full disk${noMount && ` (skipped: ${noMount})`}`, () => {
  const folder = (): string => at('disk');
  const file = (): string => path.join(folder(), 'last.safetensors');
  beforeAll(async () => {
    fs.mkdirSync(folder());
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder()]);
    await writeSafetensors(file(), filled(1, 10));
  });
  afterAll(() => void execFileSync('umount', [folder()]));
  const unharmed = async (): Promise<void> => {
    expect([...(await readSafetensors(file())).tensors.get('w')!.data]).toEqual(new Array(10).fill(1));
    expect(fs.readdirSync(folder())).toEqual(['last.safetensors']);
  };

  test('keeps the old file', async () => {
    await expect(writeSafetensors(file(), filled(2, MANY))).rejects.toThrow(/cannot write .*: ENOSPC/);
    await unharmed();
  });
  test('that became read-only keeps it too', async () => {
    execFileSync('mount', ['-o', 'remount,ro', folder()]);
    await expect(writeSafetensors(file(), filled(2, 5))).rejects.toThrow(/cannot write .*: EROFS/);
    await unharmed();
  });
});

const isRoot = process.getuid?.() === 0;
(isRoot ? test.skip : test)(
  `a folder without the right to write${isRoot ? ' (skipped: root may always)' : ''}`,
  async () => {
    fs.mkdirSync(at('closed'));
    await writeSafetensors(at('closed', 'x'), filled(1, 10));
    fs.chmodSync(at('closed'), 0o555);
    const failed = await writeSafetensors(at('closed', 'x'), filled(2, 10)).catch((e: unknown) => e);
    fs.chmodSync(at('closed'), 0o755);
    expect(failed).toBeInstanceOf(DataError);
    expect((await readSafetensors(at('closed', 'x'))).tensors.get('w')!.data[0]).toBe(1);
  },
);

test('many writers of one file at once: it is one of theirs, whole', async () => {
  fs.mkdirSync(at('shared'));
  const file = at('shared', 'x.safetensors');
  const count = 20_000;
  await Promise.all(Array.from({ length: 12 }, (_, i) => writeSafetensors(file, filled(i, count))));
  const data = (await readSafetensors(file)).tensors.get('w')!.data as Float32Array;
  expect(data).toHaveLength(count);
  expect(new Set(data).size).toBe(1);
  expect(fs.readdirSync(at('shared'))).toEqual(['x.safetensors']);
});

test('what is no file is not replaced by one', async () => {
  execFileSync('mkfifo', [at('pipe')]);
  await expect(writeSafetensors(at('pipe'), filled(1, 1))).rejects.toThrow(/pipe: it is a named pipe; choose/);
  expect(fs.statSync(at('pipe')).isFIFO()).toBe(true);
  await expect(writeSafetensors(at(), filled(1, 1))).rejects.toThrow(/it is a folder/);
});

test('a tensor may have any name but one; what could not be read again is not written', async () => {
  const one: TensorData = { data: Float32Array.of(3), shape: [1], dtype: 'float32' };
  const odd = ['__proto__', 'constructor', '', '\u2028'];
  await writeSafetensors(at('odd'), new Map(odd.map((name) => [name, one])));
  const { tensors } = await readSafetensors(at('odd'));
  expect([...tensors].map(([name, t]) => [name, t.data[0]])).toEqual(odd.map((name) => [name, 3]));
  const refused: [Map<string, TensorData>, Record<string, string>, RegExp][] = [
    [new Map([['__metadata__', one]]), {}, /'__metadata__' cannot be written: the format has another use/],
    [new Map([['w', { ...one, shape: [2] }]]), {}, /'w' cannot be written: \[2\] needs 8 bytes, it has 4/],
    [new Map(), { epoch: 3 as never }, /metadata 'epoch': expected a string, got 3/],
  ];
  for (const [values, metadata, message] of refused) {
    await expect(writeSafetensors(at('refused'), values, metadata)).rejects.toThrow(DataError);
    await expect(writeSafetensors(at('refused'), values, metadata)).rejects.toThrow(message);
  }
  expect(fs.existsSync(at('refused'))).toBe(false);
});
