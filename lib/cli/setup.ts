// `mnv2-torch setup`: runs scripts/setup.js, for those who installed the package from npm.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ArgumentsCamelCase, Argv, CommandModule } from 'yargs';

interface SetupArguments {
  from?: string;
  force: boolean;
  verbose: boolean;
}

async function handler(a: SetupArguments): Promise<void> {
  const script = fileURLToPath(new URL('../../scripts/setup.js', import.meta.url));
  const args = [
    script,
    ...(a.from ? ['--from', a.from] : []),
    ...(a.force ? ['--force'] : []),
    ...(a.verbose ? ['--verbose'] : []),
  ];
  const child = spawn(process.execPath, args, { stdio: 'inherit' });
  process.exitCode = await new Promise<number>((resolve, reject) =>
    child.once('error', reject).once('exit', (code) => resolve(code ?? 1)),
  );
}

export const command: CommandModule<object, SetupArguments> = {
  command: 'setup',
  describe: 'find libtorch, or get one, and build the native addon',
  builder: ((y: Argv) =>
    y.options({
      from: { type: 'string', describe: 'a libtorch folder, .zip or .whl to use' },
      force: { type: 'boolean', default: false, describe: 'build again even when nothing changed' },
      verbose: { type: 'boolean', default: false, describe: "show the compiler's output" },
    })) as never,
  handler: (a: ArgumentsCamelCase<SetupArguments>) => handler(a),
};
