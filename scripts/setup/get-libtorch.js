// Gets a libtorch where there is none: a wheel by pip, Debian's package by apt, or what --from names.
import fs from 'node:fs';
import path from 'node:path';
import { firstExisting, inspect, passed, pythons } from './find-libtorch.js';
import { CACHE, run, say, SetupError } from './session.js';

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
export function get() {
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

export function given(from) {
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
