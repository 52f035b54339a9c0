// `mnv2-torch setup`: runs scripts/setup.js, for those who installed the package from npm.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { define } from './command.js';
import { flag, optionalPath } from './options.js';

export const command = define({
  usage: 'setup',
  describe: 'find libtorch, or get one, and build the native addon',
  operands: {},
  options: {
    from: optionalPath({ describe: 'a libtorch folder, .zip or .whl to use' }),
    force: flag({ describe: 'build again even when nothing changed' }),
    verbose: flag({ describe: "show the compiler's output" }),
  },
  run: (a) => {
    const script = fileURLToPath(new URL('../../scripts/setup.js', import.meta.url));
    const args = [
      script,
      ...(a.from === undefined ? [] : ['--from', a.from]),
      ...(a.force ? ['--force'] : []),
      ...(a.verbose ? ['--verbose'] : []),
    ];
    const child = spawn(process.execPath, args, { stdio: 'inherit' });
    return new Promise<number>((resolve, reject) =>
      child.once('error', reject).once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal!])),
    );
  },
});
