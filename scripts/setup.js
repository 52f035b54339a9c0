#!/usr/bin/env node
// Finds libtorch, or gets one, and builds the addon and the TypeScript. Plain JavaScript: it runs before anything is
// built. `npm start` and `npm test` call it; nothing is downloaded at install time.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CACHE = path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'mnv2-torch');
const EXIT_ENVIRONMENT = 3;
const HELP = `mnv2-torch setup: find libtorch (or get one) and build the native addon

  --from <path>   use this libtorch: a folder, or a .zip or .whl that holds one
  --force         build again even when nothing changed
  --verbose       show the compiler's output
  --quiet         say nothing when there is nothing to do

libtorch is looked for in $LIBTORCH, the active Python's torch, the system's libtorch-dev, and an earlier set-up.
If none is there, it is fetched with pip, or with apt when root. It is kept in ${CACHE}.`;

class SetupError extends Error {}

const { values: flags } = parseArgs({
  options: {
    from: { type: 'string' },
    force: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    quiet: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
let spoke = false;
const say = (text) => {
  spoke = true;
  process.stderr.write(`${text}\n`);
};
/** What was looked at and passed over, told when nothing was found. */
const passed = [];

// --- finding ---------------------------------------------------------------------------------------------------------

function firstExisting(...candidates) {
  return candidates.find((c) => fs.existsSync(c));
}

/** { root, version, cuda, source } of a libtorch folder, or undefined with the reason noted. */
function inspect(root, source) {
  if (!root) return undefined;
  const include = path.join(root, 'include');
  const arch = `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
  const library = firstExisting(
    ...['lib', 'lib64', `lib/${arch}`].flatMap((d) =>
      ['so', 'dylib'].map((e) => path.join(root, d, `libtorch_cpu.${e}`)),
    ),
  );
  if (!fs.existsSync(path.join(include, 'ATen/ATen.h')) || !library) {
    passed.push(`${source}: ${root} has no ${library ? 'include/ATen/ATen.h' : 'libtorch_cpu'}`);
    return undefined;
  }
  const headers = [
    path.join(include, 'torch/headeronly/version.h'),
    path.join(include, 'torch/csrc/api/include/torch/version.h'),
  ];
  const text = headers.map((h) => (fs.existsSync(h) ? fs.readFileSync(h, 'utf8') : '')).join('\n');
  const version =
    /TORCH_VERSION "?(\d+\.\d+\.\d+)/.exec(text)?.[1] ??
    ['MAJOR', 'MINOR', 'PATCH'].map((p) => new RegExp(`TORCH_VERSION_${p} (\\d+)`).exec(text)?.[1]).join('.');
  const cuda = fs.existsSync(library.replace('torch_cpu', 'torch_cuda'));
  const { mtimeMs, size } = fs.statSync(library);
  return { root: path.resolve(root), version, cuda, source, stamp: `${Math.round(mtimeMs)}-${size}` };
}

const pythons = () => ['python3', 'python'].filter((p) => spawnSync(p, ['-c', ''], { stdio: 'ignore' }).status === 0);

/** The folder of the active Python's torch, without importing it (that takes a second). */
function pythonTorch() {
  for (const python of pythons()) {
    const code =
      "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')";
    const { stdout } = spawnSync(python, ['-c', code], { encoding: 'utf8' });
    if (stdout?.trim()) return stdout.trim();
  }
  return undefined;
}

const cached = () => {
  const folder = path.join(CACHE, 'libtorch');
  if (!fs.existsSync(folder)) return [];
  const byVersion = (a, b) => b.localeCompare(a, 'en', { numeric: true });
  return fs
    .readdirSync(folder)
    .filter((d) => !d.startsWith('.'))
    .sort(byVersion)
    .flatMap((d) => ['torch', 'libtorch', '.'].map((s) => path.join(folder, d, s)))
    .filter((d) => fs.existsSync(path.join(d, 'include')));
};

function find() {
  if (process.env.LIBTORCH) {
    const found = inspect(process.env.LIBTORCH, 'LIBTORCH');
    if (!found)
      throw new SetupError(
        `LIBTORCH is set, but ${passed.at(-1)}. Point it at a folder with include/ and lib/, or unset it.`,
      );
    return found;
  }
  const system = ['/usr', '/usr/local'].filter((p) => fs.existsSync(path.join(p, 'include/ATen/ATen.h')));
  return (
    inspect(pythonTorch(), "Python's torch") ??
    system.map((p) => inspect(p, 'system')).find(Boolean) ??
    cached()
      .map((p) => inspect(p, 'earlier set-up'))
      .find(Boolean)
  );
}

// --- getting ---------------------------------------------------------------------------------------------------------

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28, ...options });
  if (result.error) throw new SetupError(`${command}: ${result.error.message}`);
  return { ok: result.status === 0, out: result.stdout ?? '', err: result.stderr ?? '' };
}

/** Unpacks into a temporary folder and renames: an interrupted set-up leaves nothing that looks finished. */
function intoCache(name, fill) {
  const target = path.join(CACHE, 'libtorch', name);
  if (fs.existsSync(target)) fs.rmSync(target, { recursive: true });
  const temporary = `${path.join(CACHE, 'libtorch', `.${name}`)}-${process.pid}`;
  fs.mkdirSync(temporary, { recursive: true });
  try {
    fill(temporary);
    fs.renameSync(temporary, target);
  } finally {
    fs.rmSync(temporary, { recursive: true, force: true });
  }
  return firstExisting(
    path.join(target, 'torch/include'),
    path.join(target, 'libtorch/include'),
    path.join(target, 'include'),
  );
}

/** Headers, libraries and CMake files of a wheel or a libtorch zip: a third of the wheel is Python that nobody runs. */
function unpack(archive, into) {
  const wanted = "n.split('/')[0] in ('torch', 'libtorch') and n.split('/')[1] in ('lib', 'include', 'share')";
  const code = `import sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
for n in z.namelist():
    if not n.endswith('/') and ${wanted} and 'libtorch_python' not in n: z.extract(n, sys.argv[2])`;
  const [python] = pythons();
  const { ok, err } = python
    ? run(python, ['-c', code, archive, into])
    : run('unzip', ['-q', archive, '*/lib/*', '*/include/*', '*/share/*', '-d', into]);
  if (!ok) throw new SetupError(`cannot unpack ${archive}: ${err.trim().split('\n').at(-1)}`);
}

const hasDriver = () => fs.existsSync('/proc/driver/nvidia/version');

/** Versions of torch that pip can get, newest first. */
function pipVersions(python) {
  const { ok, out } = run(python, ['-m', 'pip', 'index', 'versions', 'torch', '--disable-pip-version-check']);
  const listed = /Available versions: (.*)/.exec(out)?.[1];
  return ok && listed ? listed.split(',').map((v) => v.trim()) : [];
}

function withPip(versions, python) {
  const cpu = versions.find((v) => v.endsWith('+cpu'));
  const version = hasDriver() ? (versions.find((v) => !v.endsWith('+cpu')) ?? cpu) : (cpu ?? versions[0]);
  say(`Getting torch ${version} with pip (once, kept in ${CACHE}) ...`);
  return intoCache(version, (folder) => {
    if (version.endsWith('+cpu')) {
      const { ok, err } = run(python, [
        '-m',
        'pip',
        'download',
        '--quiet',
        '--no-deps',
        '--only-binary',
        ':all:',
        '-d',
        folder,
        `torch==${version}`,
      ]);
      const wheel = fs.readdirSync(folder).find((f) => f.endsWith('.whl'));
      if (!ok || !wheel)
        throw new SetupError(`pip could not download torch ${version}: ${err.trim().split('\n').at(-1)}`);
      unpack(path.join(folder, wheel), folder);
      fs.rmSync(path.join(folder, wheel));
    } else {
      // A CUDA build needs the CUDA libraries that pip brings along as packages.
      const { ok, err } = run(python, ['-m', 'pip', 'install', '--quiet', '--target', folder, `torch==${version}`]);
      if (!ok) throw new SetupError(`pip could not install torch ${version}: ${err.trim().split('\n').at(-1)}`);
    }
  });
}

function withApt() {
  say('Getting libtorch-dev with apt-get ...');
  const install = () =>
    run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'libtorch-dev'], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  let result = install();
  if (!result.ok) {
    run('apt-get', ['update', '-qq']);
    result = install();
  }
  if (!result.ok)
    throw new SetupError(`apt-get could not install libtorch-dev: ${result.err.trim().split('\n').at(-1)}`);
  return inspect('/usr', 'system');
}

/** pip first: its libtorch is years newer than a distribution's, and its fused convolutions are twice as fast. */
function get() {
  const attempts = [];
  const attempt = (what, work) => {
    try {
      return work();
    } catch (error) {
      attempts.push(`${what}: ${error.message}`);
      return undefined;
    }
  };
  const python = pythons().find((p) => run(p, ['-m', 'pip', '--version']).ok);
  const versions = python ? pipVersions(python) : [];
  const fits = versions.length > 0 && (hasDriver() || versions.some((v) => v.endsWith('+cpu')));
  const apt = process.getuid?.() === 0 && run('sh', ['-c', 'command -v apt-get']).ok;
  const pip = () => inspect(path.dirname(withPip(versions, python)), 'pip');
  if (!python) attempts.push('pip: no python3 with pip');
  else if (versions.length === 0) attempts.push('pip: its index has no torch for this Python');
  // Without a card, a CUDA wheel's gigabytes are the last resort.
  const found =
    (fits && attempt('pip', pip)) ||
    (apt && attempt('apt', withApt)) ||
    (!fits && versions.length > 0 && attempt('pip', pip));
  if (!apt) attempts.push('apt: needs apt-get and root');
  if (found) return found;
  const notes = [...passed, ...attempts].map((n) => `  ${n}`).join('\n');
  throw new SetupError(
    `No libtorch was found and none could be fetched:\n${notes}\nInstall one and set LIBTORCH to its folder, or pass --from <folder|zip|whl>.`,
  );
}

function given(from) {
  const source = path.resolve(from);
  if (!fs.existsSync(source)) throw new SetupError(`--from: ${source} does not exist`);
  if (fs.statSync(source).isDirectory()) {
    const found = ['.', 'torch', 'libtorch'].map((d) => inspect(path.join(source, d), '--from')).find(Boolean);
    if (!found) throw new SetupError(`--from: no libtorch (include/ATen/ATen.h and lib/libtorch_cpu) in ${source}`);
    return found;
  }
  say(`Unpacking ${source} ...`);
  const include = intoCache(path.basename(source).replace(/\.(zip|whl)$/, ''), (folder) => unpack(source, folder));
  if (!include) throw new SetupError(`--from: no libtorch in ${source}`);
  return inspect(path.dirname(include), '--from');
}

// --- building --------------------------------------------------------------------------------------------------------

/** Changes when a file below `folders` does. */
function fingerprint(...folders) {
  const hash = createHash('sha256');
  const visit = (file) => {
    if (!fs.existsSync(file)) return;
    const stat = fs.statSync(file);
    if (stat.isDirectory()) for (const name of fs.readdirSync(file).sort()) visit(path.join(file, name));
    else hash.update(`${file} ${stat.size} ${Math.round(stat.mtimeMs)}\n`);
  };
  for (const folder of folders) visit(path.join(ROOT, folder));
  return hash.digest('hex').slice(0, 16);
}

function need(command, fix) {
  if (!run('sh', ['-c', `command -v ${command}`]).ok) throw new SetupError(`'${command}' is not installed. ${fix}`);
}

function buildAddon(libtorch, work) {
  need('cmake', 'Install CMake 3.22 or newer (apt-get install cmake).');
  need(process.env.CXX?.split(' ')[0] || 'c++', 'Install a C++17 compiler (apt-get install g++).');
  const key = `${libtorch.version}-${createHash('sha256').update(libtorch.root).digest('hex').slice(0, 6)}`;
  const out = path.join(work, key);
  // libtorch's headers take about a gigabyte a compiler process.
  const jobs = Math.max(1, Math.min(os.availableParallelism(), 4, Math.floor(os.freemem() / 2 ** 30 / 1.5)));
  say(
    `Building the addon against libtorch ${libtorch.version}${libtorch.cuda ? ' (CUDA)' : ''} with ${jobs} jobs; this takes a minute or two the first time ...`,
  );
  const require = createRequire(import.meta.url);
  const cmakeJs = path.join(path.dirname(require.resolve('cmake-js/package.json')), 'bin/cmake-js');
  const args = [cmakeJs, 'compile', '-d', ROOT, '-O', out, '-p', String(jobs), `--CDLIBTORCH=${libtorch.root}`];
  const { ok, out: stdout, err } = run(process.execPath, args, flags.verbose ? { stdio: 'inherit' } : {});
  if (!ok) {
    const lines = `${stdout}\n${err}`.split('\n');
    const errors = lines.filter((l) => /error|CMake Error|FATAL/i.test(l)).slice(0, 12);
    throw new SetupError(
      `The addon did not build:\n${(errors.length ? errors : lines.slice(-15)).join('\n')}\nRun again with --verbose for everything.`,
    );
  }
  for (const line of `${stdout}${err}`.split('\n')) if (/there is no nvcc/.test(line)) say(line.trim());
  return path.join(out, 'Release/mnv2_torch.node');
}

function buildTypeScript() {
  const require = createRequire(import.meta.url);
  say('Compiling TypeScript ...');
  const { ok, out } = run(process.execPath, [
    require.resolve('typescript/bin/tsc'),
    '-p',
    path.join(ROOT, 'tsconfig.json'),
  ]);
  if (!ok) throw new SetupError(`TypeScript does not compile:\n${out}`);
}

/** One set-up at a time; a lock whose process is gone is taken over. */
async function locked(work, body) {
  const lock = path.join(work, '.lock');
  for (;;) {
    try {
      fs.writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      const owner = Number(fs.existsSync(lock) && fs.readFileSync(lock, 'utf8'));
      const alive = owner && fs.existsSync(`/proc/${owner}`);
      if (!alive) fs.rmSync(lock, { force: true });
      else await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
  try {
    return await body();
  } finally {
    fs.rmSync(lock, { force: true });
  }
}

/** The package's own build folder, or one in the cache where the package cannot be written to. */
function workFolder() {
  const own = path.join(ROOT, 'build');
  try {
    fs.mkdirSync(own, { recursive: true });
    fs.accessSync(own, fs.constants.W_OK);
    return own;
  } catch {
    const { version } = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
    const other = path.join(CACHE, `build-${version}`);
    fs.mkdirSync(other, { recursive: true });
    return other;
  }
}

async function main() {
  if (flags.help) return console.log(HELP);
  const work = workFolder();
  const recordFile = path.join(work, 'setup.json');
  await locked(work, async () => {
    const record = fs.existsSync(recordFile) ? JSON.parse(fs.readFileSync(recordFile, 'utf8')) : {};
    const sources = fingerprint('native', 'CMakeLists.txt');
    // What was used last stays in use until something else is asked for or it is gone: finding takes a Python start.
    const asked = process.env.LIBTORCH ?? '';
    const still =
      !flags.from &&
      !flags.force &&
      record.asked === asked &&
      record.libtorch &&
      inspect(record.libtorch.root, record.libtorch.source);
    const libtorch = still || (flags.from ? given(flags.from) : (find() ?? get()));
    if (!libtorch) throw new SetupError('libtorch could not be used');
    if (!still)
      say(
        `Using libtorch ${libtorch.version}${libtorch.cuda ? ' with CUDA' : ''} from ${libtorch.source}: ${libtorch.root}`,
      );
    const same =
      record.sources === sources &&
      record.libtorch?.root === libtorch.root &&
      record.libtorch?.stamp === libtorch.stamp &&
      record.node === process.versions.modules;
    const next = { ...record, asked, libtorch, sources, node: process.versions.modules };
    if (flags.force || !same || !fs.existsSync(record.addon ?? '')) next.addon = buildAddon(libtorch, work);
    const save = () => fs.writeFileSync(recordFile, `${JSON.stringify(next, null, 2)}\n`);
    save();
    if (fs.existsSync(path.join(ROOT, 'tsconfig.json')) && fs.existsSync(path.join(ROOT, 'lib'))) {
      const typescript = fingerprint('lib', 'tsconfig.json');
      if (flags.force || record.typescript !== typescript || !fs.existsSync(path.join(ROOT, 'dist/index.js')))
        buildTypeScript();
      next.typescript = typescript;
      save();
    }
    if (spoke || !flags.quiet) say(`Ready: ${next.addon}`);
  });
}

try {
  await main();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  process.stderr.write(`setup: ${error.message}\n`);
  process.exitCode = EXIT_ENVIRONMENT;
}
