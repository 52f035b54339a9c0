// Finds a libtorch: $LIBTORCH, the active Python's torch, the system's libtorch-dev, an earlier set-up.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { CACHE, SetupError } from './session.js';

/** What was looked at and passed over, told when nothing was found. */
export const passed = [];

export function firstExisting(...candidates) {
  return candidates.find((c) => fs.existsSync(c));
}

/** { root, lib, version, cuda, source, stamp } of a libtorch folder, or undefined with the reason noted. */
export function inspect(root, source) {
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
  const cudaMajor = cuda && cudartOf(library.replace('torch_cpu', 'c10_cuda'));
  const { mtimeMs, size } = fs.statSync(library);
  const lib = path.resolve(path.dirname(library));
  return {
    root: path.resolve(root),
    lib,
    version,
    cuda,
    ...(cudaMajor && { cudaMajor }),
    source,
    stamp: `${Math.round(mtimeMs)}-${size}`,
  };
}

/** The major version of the CUDA runtime that a library asks for. */
const cudartOf = (library) =>
  fs.existsSync(library) && /libcudart\.so\.(\d+)/.exec(fs.readFileSync(library, 'latin1'))?.[1];

export const pythons = () =>
  ['python3', 'python'].filter((p) => spawnSync(p, ['-c', ''], { stdio: 'ignore' }).status === 0);

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

export function find() {
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
