// The one place that loads the addon.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { EnvironmentError } from '../errors.js';
import type { Native } from './wire.js';

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
    throw new EnvironmentError(
      `The native addon ${file} does not load: ${(cause as Error).message}. ` +
        'It was built against another libtorch or Node; rebuild with: npx mnv2-torch setup --force',
      { cause },
    );
  }
  return loaded;
}

/** Where the built addon lies: what `setup` recorded, else the package's own build folder. */
export function addonFile(): string {
  const root = new URL('../../', import.meta.url);
  const record = new URL('build/setup.json', root);
  if (existsSync(record)) {
    const { addon } = JSON.parse(readFileSync(record, 'utf8')) as { addon?: string };
    if (addon && existsSync(addon)) return addon;
  }
  return new URL('build/Release/mnv2_torch.node', root).pathname;
}
