// Packs the package as `npm publish` would and checks the tarball: publint for package.json, attw for what types resolve
// to. ESM only: `require` is told to use a dynamic import. Prints the tarball's path; ends non-zero when one complains.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const folder = path.join(root, 'build/package');
const run = (command, args, stdio = 'inherit') => {
  const { status, stdout, error } = spawnSync(command, args, { cwd: root, encoding: 'utf8', stdio });
  if (error) console.error(`${command}: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
  return stdout;
};

fs.rmSync(folder, { recursive: true, force: true });
fs.mkdirSync(folder, { recursive: true });
run('npm', ['pack', '--silent', '--pack-destination', folder]);
const tarball = path.join(folder, fs.readdirSync(folder)[0]);
run('npx', ['--no-install', 'publint', tarball, '--strict']);
run('npx', ['--no-install', 'attw', tarball]);
console.log(path.relative(root, tarball));
