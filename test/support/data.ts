// Tests on real images and weights: they live in files named *.data.test.ts and are skipped, visibly, without MNV2_DATA.
import fs from 'node:fs';
import path from 'node:path';

const root = process.env['MNV2_DATA'];
if (root !== undefined && !fs.existsSync(root))
  throw new Error(`MNV2_DATA is ${root}, which does not exist; unset it to skip the tests on real data`);

/**
 * A describe whose tests need MNV2_DATA; `file` joins a path below it. Without it they count as skipped and the title
 * says why. `also`, another condition: a reason to skip, or '' to run.
 */
export function requireData(title: string, body: (file: (...parts: string[]) => string) => void, also = ''): void {
  const why = root === undefined ? 'MNV2_DATA is not set' : also;
  const run = why === '' ? describe : describe.skip;
  run(why === '' ? title : `${title} (skipped: ${why})`, () => body((...parts) => path.join(root ?? '', ...parts)));
}
