// Where this package keeps what can be made or got again, for all projects of a user.
import os from 'node:os';
import path from 'node:path';

/** A folder below `$XDG_CACHE_HOME/mnv2-torch`, else `~/.cache/mnv2-torch`; it need not be there. */
export const cacheFolder = (kind: 'packs' | 'weights' | `build-${string}`): string =>
  path.join(process.env['XDG_CACHE_HOME'] || path.join(os.homedir(), '.cache'), 'mnv2-torch', kind);
