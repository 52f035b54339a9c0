#!/usr/bin/env node
// Finds libtorch, or gets one, and builds the addon and the TypeScript. Plain JavaScript: it runs before anything is
// built. `npm start` and `npm test` call it; nothing is downloaded at install time.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { addonFor, fingerprint, sourcesOfAddon } from './setup/addon.js';
import { find, inspect } from './setup/find-libtorch.js';
import { get, given } from './setup/get-libtorch.js';
import { CACHE, flags, ROOT, run, say, SetupError, spoke } from './setup/session.js';

const EXIT_ENVIRONMENT = 3;
const HELP = `mnv2-torch setup: find libtorch (or get one) and build the native addon

  --from <path>   use this libtorch: a folder, or a .zip or .whl that holds one
  --force         build again even when nothing changed
  --verbose       show the compiler's output
  --quiet         say nothing when there is nothing to do

libtorch is looked for in $LIBTORCH, the active Python's torch, the system's libtorch-dev, and an earlier set-up.
If none is there, it is fetched with pip, or with apt when root. It is kept in ${CACHE}.
Where a prebuilt addon for it is installed (@mnv2-torch/...), nothing is compiled.`;

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

/** What was used last stays in use until something else is asked for or it is gone: finding takes a Python start. */
function choose(record, asked) {
  if (flags.from) return given(flags.from);
  const still = !flags.force && record.asked === asked && record.libtorch;
  const last = still && inspect(record.libtorch.root, record.libtorch.source);
  if (last) return last;
  const libtorch = find() ?? get();
  if (!libtorch) throw new SetupError('libtorch could not be used');
  say(
    `Using libtorch ${libtorch.version}${libtorch.cuda ? ' with CUDA' : ''} from ${libtorch.source}: ${libtorch.root}`,
  );
  return libtorch;
}

async function main() {
  if (flags.help) return console.log(HELP);
  const work = workFolder();
  const recordFile = path.join(work, 'setup.json');
  await locked(work, async () => {
    const record = fs.existsSync(recordFile) ? JSON.parse(fs.readFileSync(recordFile, 'utf8')) : {};
    const next = { ...record };
    const save = () => fs.writeFileSync(recordFile, `${JSON.stringify(next, null, 2)}\n`);
    if (fs.existsSync(path.join(ROOT, 'tsconfig.json')) && fs.existsSync(path.join(ROOT, 'lib'))) {
      const typescript = fingerprint('lib', 'tsconfig.json');
      if (flags.force || record.typescript !== typescript || !fs.existsSync(path.join(ROOT, 'dist/index.js')))
        buildTypeScript();
      next.typescript = typescript;
      save();
    }
    const asked = process.env.LIBTORCH ?? '';
    const libtorch = choose(record, asked);
    const sources = sourcesOfAddon();
    const had = { ...record, addon: record.addon && path.resolve(work, record.addon) };
    const addon = addonFor(libtorch, sources, had, work);
    // Relative to the record: the folder may be copied elsewhere, with all it was set up with.
    Object.assign(next, { asked, libtorch, sources, addon: path.relative(work, addon) });
    save();
    if (spoke() || !flags.quiet) say(`Ready: ${addon}`);
  });
}

try {
  await main();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  process.stderr.write(`setup: ${error.message}\n`);
  process.exitCode = EXIT_ENVIRONMENT;
}
