// Checks that native/ is formatted as .clang-format says; `--fix` formats it.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const cli = path.join(
  path.dirname(createRequire(import.meta.url).resolve('@wasm-fmt/clang-format/package.json')),
  'clang-format-cli.cjs',
);
const files = readdirSync(path.join(root, 'native'), { recursive: true })
  .filter((f) => /\.(cc|h|cu)$/.test(f))
  .map((f) => path.join('native', f));
const how = process.argv.includes('--fix') ? ['-i'] : ['--dry-run', '--Werror'];
const { status } = spawnSync(process.execPath, [cli, ...how, ...files], { cwd: root, stdio: 'inherit' });
process.exitCode = status ?? 1;
