#!/usr/bin/env node
import { existsSync } from 'node:fs';

const front = new URL('../dist/cli/main.js', import.meta.url);
if (existsSync(front)) {
  const { guardProcess } = await import('../dist/cli/failures.js');
  guardProcess();
  const { main } = await import('../dist/cli/main.js');
  process.exitCode = await main(process.argv.slice(2));
} else {
  process.stderr.write('mnv2-torch: not built yet; in a copy of the repository run: npm ci && npm run setup\n');
  process.exitCode = 3;
}
