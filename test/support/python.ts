// A Python with other libraries, to compare with: what PYTHON names, else python3.
import { spawnSync } from 'node:child_process';

/** The Python, what a title says where it lacks one of the packages ('' where it has all), and the reason alone. */
export function findPython(...packages: readonly string[]): [python: string, without: string, why: string] {
  const python = process.env['PYTHON'] ?? 'python3';
  const find = `import importlib.util as u, sys; sys.exit(not all(u.find_spec(p) for p in ${JSON.stringify(packages)}))`;
  const missing = spawnSync(python, ['-c', find]).status !== 0;
  const why = missing ? `${python} has no ${packages.join(' and ')}` : '';
  return [python, why && ` (skipped: ${why})`, why];
}
