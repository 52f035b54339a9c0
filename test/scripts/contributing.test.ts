// CONTRIBUTING's recipes name files: they have to be there.
import fs from 'node:fs';

test('every path in CONTRIBUTING.md exists; one with <name> is a folder that has such files', () => {
  const text = fs.readFileSync('CONTRIBUTING.md', 'utf8');
  const paths = [...text.matchAll(/`((?:lib|native|test|bench|examples)\/[^` ]*)`/g)].map((m) => m[1]!);
  expect(new Set(paths).size).toBeGreaterThan(20);
  const missing = paths.filter((p) => {
    const [folder, ending] = p.split('<name>');
    if (ending === undefined) return !fs.existsSync(p);
    return !fs.existsSync(folder!) || !fs.readdirSync(folder!).some((f) => f.endsWith(ending));
  });
  expect(missing).toEqual([]);
});
