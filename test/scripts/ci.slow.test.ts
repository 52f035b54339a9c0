// .ci/run on small projects of its own: real npm, real jest, a pass as a new user has it, one of slow tests and one with
// real data.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('ci');
const jest = `node '${path.resolve('node_modules/jest/bin/jest.js')}'`;

/** A project with these test files, real data beside it or not, and what .ci/run says of it. */
function ci(name: string, files: Record<string, string>, data: boolean, other: Record<string, string> = {}) {
  const root = at(name, 'project');
  fs.mkdirSync(path.join(root, '.ci'), { recursive: true });
  fs.copyFileSync('.ci/run', path.join(root, '.ci/run'));
  const scripts = {
    test: `${jest} --testPathIgnorePatterns "\\.slow\\.test\\.js$"`,
    'test:slow': `${jest} --passWithNoTests "\\.slow\\.test\\.js$"`,
    'test:data': `${jest} "\\.data\\.test\\.js$"`,
    docs: 'true',
    'check:package': 'true',
  };
  const project = {
    name: 'tried',
    version: '1.0.0',
    scripts: { ...scripts, ...other },
    jest: { testEnvironment: 'node', transform: {} },
  };
  const lock = { name: 'tried', version: '1.0.0', lockfileVersion: 3, packages: { '': { name: 'tried' } } };
  fs.writeFileSync(path.join(root, 'package.json'), JSON.stringify(project));
  fs.writeFileSync(path.join(root, 'package-lock.json'), JSON.stringify(lock));
  for (const [file, code] of Object.entries(files)) fs.writeFileSync(path.join(root, file), code);
  if (data) fs.mkdirSync(at(name, 'shared/data'), { recursive: true });
  const { MNV2_DATA: _, ...env } = process.env;
  const { status, stdout } = spawnSync('bash', [path.join(root, '.ci/run')], { encoding: 'utf8', env });
  return { status, last: stdout.trim().split('\n').at(-1) };
}
const plain = "test('one', () => {}); test('two', () => {}); test.skip('needs a card', () => {});";
const withData = `(process.env.MNV2_DATA ? describe : describe.skip)('data', () => {
  test('one', () => {}); test('two', () => {}); test.skip('needs a card and data', () => {});
});`;

test('with data: what the first pass skipped and the second ran counts once', () => {
  expect(ci('whole', { 'a.test.js': plain, 'b.data.test.js': withData }, true)).toEqual({
    status: 0,
    last: '4 passed, 0 failed, 2 skipped',
  });
});
test('slow tests count once, and one that fails turns it red', () => {
  const slow = "test('slow', () => {}); test('slow and broken', () => { throw new Error('broken'); });";
  expect(ci('slow', { 'a.test.js': plain, 'c.slow.test.js': slow }, false)).toEqual({
    status: 1,
    last: '3 passed, 1 failed, 1 skipped',
  });
});
test('a test that fails only where there is no data turns it red, though data is there', () => {
  const broken = `${plain} test('as a new user', () => { if (!process.env.MNV2_DATA) throw new Error('no data'); });`;
  expect(ci('new-user', { 'a.test.js': broken, 'b.data.test.js': withData }, true)).toEqual({
    status: 1,
    last: '4 passed, 1 failed, 2 skipped',
  });
});
test('without data they are skipped; what fails beside the tests counts as a failure', () => {
  expect(ci('bare', { 'a.test.js': plain, 'b.data.test.js': withData }, false, { docs: 'false' })).toEqual({
    status: 1,
    last: '2 passed, 1 failed, 4 skipped',
  });
});
test('a run that tests nothing is a failure', () => {
  expect(ci('nothing', {}, false, { test: 'true' })).toEqual({ status: 1, last: '0 passed, 1 failed, 0 skipped' });
});

test('tests on real data are in *.data.test.ts, inside requireData, and nowhere else', () => {
  const files = fs
    .readdirSync('test', { recursive: true, encoding: 'utf8' })
    .filter((f) => f.endsWith('.test.ts') && !f.endsWith(path.basename(import.meta.url)));
  const source = (f: string): string => fs.readFileSync(path.join('test', f), 'utf8');
  const named = files.filter((f) => f.endsWith('.data.test.ts'));
  expect(named.length).toBeGreaterThan(2);
  expect(files.filter((f) => /MNV2_DATA|requireData/.test(source(f)) !== named.includes(f))).toEqual([]);
  expect(named.filter((f) => /^(describe|test|it)\b/m.test(source(f)))).toEqual([]);
});
