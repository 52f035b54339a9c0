// The one place that loads the addon.
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from '../cache/folder.js';
import { EnvironmentError } from '../errors.js';
import type { Native } from './wire.js';

/** The libtorch that `setup` used. */
export interface Libtorch {
  root: string;
  version: string;
  source: string;
  cuda: boolean;
}

interface SetupRecord {
  /** from the record's folder */
  addon?: string;
  libtorch?: Libtorch;
}

let loaded: Native | undefined;

/** The loaded addon. Throws EnvironmentError, saying what to run, when it is not built or does not load. */
export function native(): Native {
  if (loaded) return loaded;
  const file = addonFile();
  if (!existsSync(file)) {
    throw new EnvironmentError(`The native addon is not built (expected ${file}). Run: npx mnv2-torch setup`);
  }
  try {
    loaded = createRequire(import.meta.url)(file) as Native;
  } catch (cause) {
    throw new EnvironmentError(whyNot(file, (cause as Error).message), { cause });
  }
  return loaded;
}

function whyNot(file: string, message: string): string {
  const gone = missingLibtorch(file);
  if (gone !== undefined)
    return `libtorch is no longer in ${gone}, where the addon ${file} looks for it. Run: npx mnv2-torch setup, which finds or gets one`;
  return `The native addon ${file} does not load: ${message}. It was built against another libtorch or Node; rebuild with: npx mnv2-torch setup --force`;
}

/** Where the link beside an addon leads, when nothing is there. */
export function missingLibtorch(addon: string): string | undefined {
  const link = path.join(path.dirname(addon), 'libtorch');
  if (existsSync(link)) return undefined;
  try {
    return readlinkSync(link);
  } catch {
    return undefined; // no link: a build by hand
  }
}

/** What `setup` left: in the package, or in the cache where that cannot be written to. */
export function setupRecord(): { folder: string; record: SetupRecord } | undefined {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  let folder = path.join(root, 'build');
  if (!existsSync(path.join(folder, 'setup.json'))) {
    const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { version: string };
    folder = cacheFolder(`build-${version}`);
    if (!existsSync(path.join(folder, 'setup.json'))) return undefined;
  }
  return { folder, record: JSON.parse(readFileSync(path.join(folder, 'setup.json'), 'utf8')) as SetupRecord };
}

/** Where the built addon lies: MNV2_ADDON, what `setup` recorded, or the package's own build folder. */
export function addonFile(): string {
  const named = process.env['MNV2_ADDON'];
  if (named) return path.resolve(named);
  const { folder, record } = setupRecord() ?? {};
  const addon = folder && record?.addon && path.resolve(folder, record.addon);
  if (addon && existsSync(addon)) return addon;
  return fileURLToPath(new URL('../../build/Release/mnv2_torch.node', import.meta.url));
}
