// Set-up: nothing to do is quick to say, what is asked for and not there is exit 3 with the fix, nothing is left behind.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'mnv2-setup-'));
afterAll(() => fs.rmSync(dir, { recursive: true }));
/** A copy of what set-up reads, so that no test touches the real build. */
const copy = path.join(dir, 'package');
beforeAll(() => {
  for (const part of ['scripts', 'native', 'CMakeLists.txt', 'package.json'])
    fs.cpSync(part, path.join(copy, part), { recursive: true });
  fs.symlinkSync(path.resolve('node_modules'), path.join(copy, 'node_modules'));
});
const setup = (args: string[], env: Record<string, string> = {}, root = copy) =>
  spawnSync(process.execPath, [path.join(root, 'scripts/setup.js'), ...args], {
    encoding: 'utf8',
    env: { ...process.env, XDG_CACHE_HOME: path.join(dir, 'cache'), ...env },
  });

test('with everything built it says nothing and changes nothing', () => {
  const record = fs.readFileSync('build/setup.json', 'utf8');
  const { status, stderr } = spawnSync(process.execPath, ['scripts/setup.js', '--quiet'], { encoding: 'utf8' });
  expect([status, stderr]).toEqual([0, '']);
  expect(fs.readFileSync('build/setup.json', 'utf8')).toBe(record);
});
test('LIBTORCH that holds none is named', () => {
  const { status, stderr } = setup([], { LIBTORCH: dir });
  expect(stderr).toMatch(
    /LIBTORCH is set, but LIBTORCH: .* has no libtorch_cpu\. Point it at a folder with include\/ and lib\//,
  );
  expect(status).toBe(3);
});
test.each([
  ['a path that is not there', () => path.join(dir, 'nowhere'), /does not exist/],
  ['a folder without libtorch', () => dir, /no libtorch \(include\/ATen\/ATen\.h and lib\/libtorch_cpu\)/],
  [
    'a file that is no archive',
    () => (fs.writeFileSync(path.join(dir, 'x.zip'), 'no zip'), path.join(dir, 'x.zip')),
    /cannot unpack/,
  ],
])('--from: %s', (_name, from, message) => {
  const { status, stderr } = setup(['--from', from()]);
  expect(stderr).toMatch(message);
  expect(status).toBe(3);
  const left = path.join(dir, 'cache/mnv2-torch/libtorch');
  expect(fs.existsSync(left) ? fs.readdirSync(left) : []).toEqual([]);
});
test('a missing tool is named with what to install', () => {
  const { libtorch } = JSON.parse(fs.readFileSync('build/setup.json', 'utf8')) as { libtorch: { root: string } };
  const { status, stderr } = setup([], { LIBTORCH: libtorch.root, CXX: 'no-such-compiler' });
  expect(stderr).toMatch(/'no-such-compiler' is not installed\. Install a C\+\+17 compiler/);
  expect(status).toBe(3);
  expect(fs.existsSync(path.join(copy, 'build/.lock'))).toBe(false);
});
describe('doctor', () => {
  const root = path.join(dir, 'doctored');
  const addon = path.join(root, 'build/Release/mnv2_torch.node');
  const doctor = () =>
    spawnSync(process.execPath, [path.join(root, 'bin/mnv2-torch.js'), 'doctor', '--json'], { encoding: 'utf8' });
  interface Report {
    check: { ok: boolean; detail: string };
    problems: { problem: string; fix: string }[];
  }
  beforeAll(() => {
    for (const part of ['bin', 'dist', 'package.json']) fs.cpSync(part, path.join(root, part), { recursive: true });
    fs.symlinkSync(path.resolve('node_modules'), path.join(root, 'node_modules'));
    fs.mkdirSync(path.dirname(addon), { recursive: true });
  });
  const crashing = (): void => {
    const source = path.join(dir, 'crash.cc');
    fs.writeFileSync(source, '#include <cstdlib>\n__attribute__((constructor)) static void crash() { abort(); }\n');
    const built = spawnSync(process.env['CXX'] ?? 'c++', ['-shared', '-fPIC', source, '-o', addon], {
      encoding: 'utf8',
    });
    if (built.status !== 0) throw new Error(built.stderr);
  };
  test.each<[string, () => void, RegExp, string]>([
    ['no addon', () => fs.rmSync(addon, { force: true }), /the native addon is not built/, 'npx mnv2-torch setup'],
    [
      'a file that is no library',
      () => fs.writeFileSync(addon, 'no library'),
      /the depthwise convolution .*does not load/,
      'npx mnv2-torch setup --force',
    ],
    [
      'an addon that kills its process',
      crashing,
      /the depthwise convolution crashed with SIGABRT/,
      'npx mnv2-torch setup --force',
    ],
  ])('%s: exit 3, what is wrong and what to run', (_name, prepare, problem, fix) => {
    prepare();
    const { status, stdout } = doctor();
    const report = JSON.parse(stdout) as Report;
    expect(status).toBe(3);
    expect(report.check.ok).toBe(false);
    expect(report.problems).toEqual([{ problem: expect.stringMatching(problem), fix }]);
  });
  test('this installation: ok', () => {
    const { status, stdout } = spawnSync(process.execPath, ['bin/mnv2-torch.js', 'doctor'], { encoding: 'utf8' });
    expect(stdout).toMatch(/check +ok: depthwise convolution forward and backward: largest difference /);
    expect(status).toBe(0);
  });
});
describe('a package that was copied elsewhere', () => {
  const root = path.join(dir, 'elsewhere/node_modules/mnv2-torch');
  const at = (...parts: string[]): string => path.join(root, ...parts);
  const record = () => JSON.parse(fs.readFileSync(at('build/setup.json'), 'utf8')) as Record & { addon: string };
  interface Record {
    libtorch: { root: string; lib: string; version: string };
  }
  interface Report {
    addon: { file: string };
    check: { ok: boolean; detail: string };
    problems: { problem: string; fix: string }[];
  }
  const doctor = (): Report & { status: number | null } => {
    const { status, stdout } = spawnSync(process.execPath, [at('bin/mnv2-torch.js'), 'doctor', '--json'], {
      encoding: 'utf8',
    });
    return { ...(JSON.parse(stdout) as Report), status };
  };
  /** Whatever is done here is done without a compiler. */
  const bare = { CXX: 'no-such-compiler' };
  let libtorch: string;
  beforeAll(() => {
    const built = JSON.parse(fs.readFileSync('build/setup.json', 'utf8')) as Record & { addon: string };
    libtorch = built.libtorch.root;
    for (const part of ['bin', 'dist', 'native', 'scripts', 'CMakeLists.txt', 'package.json', 'LICENSE'])
      fs.cpSync(part, at(part), { recursive: true });
    const own = path.dirname(built.addon);
    fs.cpSync(path.join('build', own), at('build', own), { recursive: true });
    fs.copyFileSync('build/setup.json', at('build/setup.json'));
    // Packages of its own beside the others, which are those of this one.
    fs.mkdirSync(at('node_modules'));
    for (const name of fs.readdirSync('node_modules').filter((n) => n !== '@mnv2-torch' && !n.startsWith('.')))
      fs.symlinkSync(path.resolve('node_modules', name), at('node_modules', name));
  });

  test('works as it is', () => {
    const { status, addon } = doctor();
    expect(status).toBe(0);
    expect(addon.file.startsWith(root)).toBe(true);
    const again = setup(['--quiet'], { ...bare, LIBTORCH: process.env['LIBTORCH'] ?? '' }, root);
    expect([again.status, again.stderr]).toEqual([0, '']);
  });

  test.each([
    ['require', 'cjs', "const { MobileNetV2 } = require('mnv2-torch');"],
    ['import', 'mjs', "import { MobileNetV2 } from 'mnv2-torch';"],
  ])('%s finds it', (_, ending, line) => {
    const program = path.join(dir, 'elsewhere', `program.${ending}`);
    fs.writeFileSync(program, `${line}\nconsole.log(MobileNetV2({ numClasses: 7 }).options.numClasses);\n`);
    const { stdout, stderr } = spawnSync(process.execPath, [program], { encoding: 'utf8' });
    expect([stdout, stderr.replace(/.*ExperimentalWarning[^]*/, '')]).toEqual(['7\n', '']);
  });

  test('where libtorch is gone, doctor says so; set-up finds another and compiles nothing', () => {
    const link = path.join(path.dirname(at('build', record().addon)), 'libtorch');
    fs.rmSync(link);
    fs.symlinkSync(path.join(dir, 'nowhere'), link);
    const { status, check, problems } = doctor();
    expect([status, check.ok]).toEqual([3, false]);
    expect(problems).toEqual([
      {
        problem: expect.stringContaining(`libtorch is no longer in ${path.join(dir, 'nowhere')}`),
        fix: 'npx mnv2-torch setup',
      },
    ]);
    const linked = setup([], { ...bare, LIBTORCH: libtorch }, root);
    expect(linked.stderr).toContain(`in ${libtorch} from now on`);
    expect([linked.status, doctor().status]).toEqual([0, 0]);
  });

  describe('with a prebuilt addon', () => {
    let folder: string;
    const fresh = (change: (folder: string) => void = () => undefined) => {
      fs.rmSync(at('build'), { recursive: true });
      fs.rmSync(at('node_modules/@mnv2-torch'), { recursive: true, force: true });
      fs.cpSync(path.join(dir, 'prebuilt'), at('node_modules/@mnv2-torch', path.basename(folder)), { recursive: true });
      change(at('node_modules/@mnv2-torch', path.basename(folder)));
      return setup([], { ...bare, LIBTORCH: libtorch }, root);
    };
    beforeAll(() => {
      const made = spawnSync(process.execPath, [at('scripts/prebuild.js')], { encoding: 'utf8', cwd: root });
      expect([made.status, made.stderr]).toEqual([0, '']);
      folder = at(made.stdout.trim());
      fs.cpSync(folder, path.join(dir, 'prebuilt'), { recursive: true });
    });

    test('it is named after its platform and libtorch, and holds no libtorch', () => {
      const { name, os: systems } = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8')) as {
        name: string;
        os: string[];
      };
      expect(name).toMatch(/^@mnv2-torch\/linux-(x64|arm64)-torch-\d+\.\d+-(cpu|cuda\d+)$/);
      expect(systems).toEqual(['linux']);
      expect(fs.readdirSync(folder).sort()).toEqual(['LICENSE', 'facts.json', 'mnv2_torch.node', 'package.json']);
    });

    test('it is used where it fits: no compiler is asked for', () => {
      const { status, stderr } = fresh();
      expect([status, stderr]).toEqual([0, expect.stringContaining('Using the prebuilt addon of @mnv2-torch/')]);
      expect([doctor().status, record().addon]).toEqual([0, expect.stringMatching(/^prebuilt-/)]);
    });

    test.each<[string, (folder: string) => void, RegExp]>([
      [
        'of other sources',
        (f) => fs.writeFileSync(path.join(f, 'facts.json'), '{"sources":"0"}'),
        /is of another version of mnv2-torch/,
      ],
      [
        'that does not load',
        (f) => fs.writeFileSync(path.join(f, 'mnv2_torch.node'), 'no library'),
        /does not work with libtorch/,
      ],
    ])('one %s is left alone, and the addon is built', (_, change, message) => {
      const { status, stderr } = fresh(change);
      expect(stderr).toMatch(message);
      // Building starts, and this machine has no compiler.
      expect([status, stderr]).toEqual([3, expect.stringContaining("'no-such-compiler' is not installed")]);
    });
  });
});
test('--help', () => {
  expect(setup(['--help']).stdout).toContain('--from <path>');
});
