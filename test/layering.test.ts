// The rooms of lib/ and native/ in their order: a file imports from its own room and from rooms before it, never from a
// later one, and no imports go in a circle.
import fs from 'node:fs';
import path from 'node:path';
import { againstOrder, circles, dangling, homeless, imports, includes, linksOf } from './support/layers.ts';

const LIB = [
  ...[
    'errors',
    'random',
    'nearest',
    'schema',
    'cache',
    'abort',
    'native',
    'graph',
    'engine',
    'dist',
    'nn',
    'models',
    'weights',
    'data',
    'infer',
  ],
  ...['export', 'inspect', 'audit', 'train', 'quant', 'report', 'bench', 'cli', 'index'],
];
const NATIVE = [
  'errors',
  'kernels',
  'data',
  'cuda',
  'device',
  'autograd',
  'graph',
  'state',
  'dist',
  'exec',
  'export',
  'napi',
];

describe.each([
  ['lib', LIB, linksOf('lib', /\.ts$/, imports)],
  ['native', NATIVE, linksOf('native', /\.(h|cc|cu)$/, includes)],
] as const)('%s', (_root, rooms, links) => {
  test('every file belongs to a known room, every import to a file', () => {
    expect(links.size).toBeGreaterThan(20);
    expect([...links.values()].flat().length).toBeGreaterThan(links.size);
    expect(homeless(links, rooms)).toEqual([]);
    expect(dangling(links)).toEqual([]);
  });
  test('imports only go to the same room or to an earlier one', () => {
    expect(againstOrder(links, rooms)).toEqual([]);
  });
  test('no imports go in a circle, in a room or across', () => {
    expect(circles(links)).toEqual([]);
  });
  test('no file is named utils, helpers, common or manager', () => {
    expect([...links.keys()].filter((f) => /(utils|helpers|common|manager)/.test(path.basename(f)))).toEqual([]);
  });
});

test('tests mirror the rooms; what is shared, slow, on a card or about scripts is apart', () => {
  const folders = fs.readdirSync('test', { withFileTypes: true }).filter((f) => f.isDirectory());
  const apart = ['support', 'slow', 'gpu', 'scripts'];
  expect(folders.map((f) => f.name).filter((f) => ![...LIB, ...NATIVE, ...apart].includes(f))).toEqual([]);
});

describe('the check itself', () => {
  test('sees imports and includes of every form, not those in examples', () => {
    const typescript = `/** @example import { a } from './example.js'; */
      import { main } from '../cli/main.js';
      import type { B } from './b.js';
      export * from './c.js';
      import './d.js';
      import {
        e,
      } from './e.js';
      const f = await import('./f.js');
      type G = import('./g.js').G;
      import fs from 'node:fs';`;
    const beside = ['b', 'c', 'd', 'e', 'f', 'g'].map((name) => `graph/${name}.ts`);
    expect(imports(typescript, 'graph/a.ts').sort()).toEqual(['cli/main.ts', ...beside]);
    const cpp = '#include <vector>\n#include "graph/graph.h"\n#  include "napi/../errors.h"\n// #include "no.h"\n';
    expect(includes(cpp)).toEqual(['graph/graph.h', 'errors.h']);
  });
  test('sees a file without a room, a link to nowhere, and one against the order', () => {
    const links = new Map([
      ['errors.ts', []],
      ['graph/ops/conv.ts', ['errors.ts', 'graph/shape.ts', 'cli/main.ts']],
      ['cli/main.ts', ['graph/ops/conv.ts']],
      ['misc/x.ts', []],
    ]);
    expect(homeless(links, LIB)).toEqual(['misc/x.ts']);
    expect(dangling(links)).toEqual(['graph/ops/conv.ts -> graph/shape.ts']);
    expect(againstOrder(links, LIB)).toEqual(['graph/ops/conv.ts -> cli/main.ts']);
  });
  test('sees circles, each once, and none where two ways lead to one file', () => {
    const lozenge: [string, string[]][] = [
      ['a', ['b', 'c']],
      ['b', ['d']],
      ['c', ['d']],
      ['d', []],
    ];
    expect(circles(new Map(lozenge))).toEqual([]);
    expect(circles(new Map([...lozenge, ['d', ['c', 'e']], ['e', ['e']]]))).toEqual(['d -> c -> d', 'e -> e']);
  });
});
