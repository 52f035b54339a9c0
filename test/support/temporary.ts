// Temporary folders of a test file; owns their removal.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/**
 * A folder made when first asked for and removed after the last test of the file (or of the describe it is made in).
 * Returns a function that joins paths below it: `at()` is the folder itself, `at('a', 'b.png')` a file in it.
 */
export function temporaryFolder(name: string): (...parts: string[]) => string {
  let folder: string | undefined;
  afterAll(() => {
    if (folder !== undefined) fs.rmSync(folder, { recursive: true, force: true });
  });
  return (...parts) => path.join((folder ??= fs.mkdtempSync(path.join(os.tmpdir(), `mnv2-${name}-`))), ...parts);
}
