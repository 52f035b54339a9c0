// Rooms of lib/ in their order: a file imports from its own room and from rooms before it, never from later ones.
import fs from 'node:fs';
import path from 'node:path';

const ROOMS = [
  'errors',
  'random',
  'native',
  'graph',
  'engine',
  'nn',
  'models',
  'weights',
  'data',
  'infer',
  'train',
  'report',
  'bench',
  'cli',
  'index',
];
const lib = path.resolve('lib');
const room = (file: string): string => path.relative(lib, file).split(path.sep)[0]!.replace(/\.ts$/, '');
const files = fs
  .readdirSync(lib, { recursive: true, encoding: 'utf8' })
  .filter((f) => f.endsWith('.ts'))
  .map((f) => path.join(lib, f));

/** Modules a source names, static or dynamic, types too: a type from a later room is a dependency like any other. */
function imports(source: string): string[] {
  const code = source.replace(/\/\*[\s\S]*?\*\//g, ''); // examples import the package
  return [...code.matchAll(/(?:from\s+|import\(|import\s+)'(\.[^']*)'/g)].map((m) => m[1]!);
}

test('every file belongs to a known room', () => {
  expect(files.length).toBeGreaterThan(20);
  expect(files.map(room).filter((r) => !ROOMS.includes(r))).toEqual([]);
});

test('imports only go upward', () => {
  const wrong = files.flatMap((file) =>
    imports(fs.readFileSync(file, 'utf8'))
      .map((target) => room(path.resolve(path.dirname(file), target.replace(/\.js$/, '.ts'))))
      .filter((target) => ROOMS.indexOf(target) > ROOMS.indexOf(room(file)))
      .map((target) => `${path.relative(lib, file)} imports from ${target}`),
  );
  expect(wrong).toEqual([]);
});

test('the check sees a wrong import', () => {
  expect(imports("import { main } from '../cli/main.js';\nconst x = await import('./a.js');")).toEqual([
    '../cli/main.js',
    './a.js',
  ]);
});

test('no file is named utils, helpers, common or manager', () => {
  expect(files.filter((f) => /(utils|helpers|common|manager)/.test(path.basename(f)))).toEqual([]);
});
