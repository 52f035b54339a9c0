// The addon that belongs to a libtorch: what is there already, a prebuilt one, or one built here. It finds libtorch
// through `libtorch`, a link beside it, so that a libtorch that moved needs a new link and no compiler.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { ROOT, flags, run, say, SetupError } from './session.js';

const NAME = 'mnv2_torch.node';
const require = createRequire(import.meta.url);

/** Changes when a file below `folders` does, wherever the package lies. */
export function fingerprint(...folders) {
  const hash = createHash('sha256');
  const visit = (file) => {
    const whole = path.join(ROOT, file);
    if (!fs.existsSync(whole)) return;
    if (fs.statSync(whole).isDirectory()) for (const name of fs.readdirSync(whole).sort()) visit(`${file}/${name}`);
    else if (!file.endsWith('_test.cc')) hash.update(`${file}\n`).update(fs.readFileSync(whole)); // those are not packed
  };
  folders.forEach(visit);
  return hash.digest('hex').slice(0, 16);
}
export const sourcesOfAddon = () => fingerprint('native', 'CMakeLists.txt');

/** The package that may hold an addon for a libtorch: patches of a version share their interface. */
export function prebuiltName({ version, cuda, cudaMajor }) {
  const kind = cuda ? `cuda${cudaMajor}` : 'cpu';
  return `@mnv2-torch/${process.platform}-${process.arch}-torch-${version.split('.').slice(0, 2).join('.')}-${kind}`;
}

/** Points the addon at a libtorch. */
function link(addon, libtorch) {
  const at = path.join(path.dirname(addon), 'libtorch');
  fs.rmSync(at, { force: true });
  fs.symlinkSync(libtorch.lib, at);
}

/** Whether the addon loads and computes a convolution, in a process of its own: what does not fit may well crash. */
function works(addon) {
  const env = { ...process.env, MNV2_ADDON: addon };
  return run(process.execPath, [path.join(ROOT, 'bin/mnv2-torch.js'), 'doctor', '--json'], { env }).ok;
}

/** A prebuilt addon beside a link to this libtorch, or undefined with the reason said. */
function prebuilt(libtorch, sources, work) {
  const name = prebuiltName(libtorch);
  let folder;
  try {
    folder = path.dirname(require.resolve(`${name}/package.json`, { paths: [ROOT] }));
  } catch {
    return undefined;
  }
  const facts = JSON.parse(fs.readFileSync(path.join(folder, 'facts.json'), 'utf8'));
  if (facts.sources !== sources) {
    say(`${name} is of another version of mnv2-torch; it is left alone.`);
    return undefined;
  }
  const addon = path.join(work, `prebuilt-${libtorch.version}`, NAME);
  fs.mkdirSync(path.dirname(addon), { recursive: true });
  fs.copyFileSync(path.join(folder, NAME), addon);
  link(addon, libtorch);
  if (works(addon)) {
    say(`Using the prebuilt addon of ${name}`);
    return addon;
  }
  fs.rmSync(path.dirname(addon), { recursive: true });
  say(`${name} does not work with libtorch ${libtorch.version} in ${libtorch.root}.`);
  return undefined;
}

function need(command, fix) {
  if (!run('sh', ['-c', `command -v ${command}`]).ok) throw new SetupError(`'${command}' is not installed. ${fix}`);
}

function build(libtorch, work) {
  need('cmake', 'Install CMake 3.22 or newer (apt-get install cmake).');
  need(process.env.CXX?.split(' ')[0] || 'c++', 'Install a C++17 compiler (apt-get install g++).');
  const key = `${libtorch.version}-${createHash('sha256').update(libtorch.root).digest('hex').slice(0, 6)}`;
  const out = path.join(work, key);
  // libtorch's headers take about a gigabyte a compiler process.
  const jobs = Math.max(1, Math.min(os.availableParallelism(), 4, Math.floor(os.freemem() / 2 ** 30 / 1.5)));
  say(
    `Building the addon against libtorch ${libtorch.version}${libtorch.cuda ? ' (CUDA)' : ''} with ${jobs} jobs; this takes a minute or two the first time ...`,
  );
  const args = [cmakeJs(), 'compile', '-d', ROOT, '-O', out, '-p', String(jobs), `--CDLIBTORCH=${libtorch.root}`];
  const { ok, out: stdout, err } = run(process.execPath, args, flags.verbose ? { stdio: 'inherit' } : {});
  if (!ok) {
    const lines = `${stdout}\n${err}`.split('\n');
    const errors = lines.filter((l) => /error|CMake Error|FATAL/i.test(l)).slice(0, 12);
    throw new SetupError(
      `The addon did not build:\n${(errors.length ? errors : lines.slice(-15)).join('\n')}\nRun again with --verbose for everything.`,
    );
  }
  for (const line of `${stdout}${err}`.split('\n')) if (/there is no nvcc/.test(line)) say(line.trim());
  // Objects are hundreds of megabytes, and of use to those alone who change the sources.
  if (!fs.existsSync(path.join(ROOT, '.git')))
    for (const name of fs.readdirSync(out))
      if (name !== 'Release') fs.rmSync(path.join(out, name), { recursive: true });
  return path.join(out, 'Release', NAME);
}

function cmakeJs() {
  try {
    return path.join(path.dirname(require.resolve('cmake-js/package.json')), 'bin/cmake-js');
  } catch {
    throw new SetupError("'cmake-js' is not installed, which builds the addon. Run: npm install cmake-js");
  }
}

/**
 * The addon for this libtorch. `had` is what an earlier set-up recorded: { addon, libtorch, sources }, `addon` whole.
 */
export function addonFor(libtorch, sources, had, work) {
  if (flags.force) return build(libtorch, work);
  const old = had.libtorch;
  const fits =
    had.sources === sources &&
    fs.existsSync(had.addon ?? '') &&
    old.version === libtorch.version &&
    old.cuda === libtorch.cuda;
  if (fits) {
    if (old.root === libtorch.root && old.stamp === libtorch.stamp && !dangling(had.addon)) return had.addon;
    link(had.addon, libtorch);
    if (works(had.addon)) {
      say(`The addon uses libtorch ${libtorch.version} in ${libtorch.root} from now on.`);
      return had.addon;
    }
  }
  return prebuilt(libtorch, sources, work) ?? build(libtorch, work);
}

/** Whether the link beside an addon leads nowhere. */
const dangling = (addon) => !fs.existsSync(path.join(path.dirname(addon), 'libtorch'));
