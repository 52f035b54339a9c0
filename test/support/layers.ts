// Who imports whom: links between source files, links against the order of rooms, circles.
import fs from 'node:fs';
import path from 'node:path';

/** File to what it imports, both relative to one root. */
export type Links = ReadonlyMap<string, readonly string[]>;

/** Modules a TypeScript source names, static or dynamic, types too: a type is a dependency like any other. */
export function imports(source: string, file: string): string[] {
  const code = source.replace(/\/\*[\s\S]*?\*\//g, ''); // examples import the package
  return [...code.matchAll(/(?:from\s+|import\(\s*|import\s+)'(\.[^']*)'/g)].map((m) =>
    path.join(path.dirname(file), m[1]!.replace(/\.js$/, '.ts')),
  );
}

/** Our own headers a C++ or CUDA source includes, named from the root of native/. */
export const includes = (source: string): string[] =>
  [...source.matchAll(/^[ \t]*#[ \t]*include[ \t]*"([^"]+)"/gm)].map((m) => path.normalize(m[1]!));

/** The links of all files below `root` with one of these endings. */
export function linksOf(root: string, endings: RegExp, named: (source: string, file: string) => string[]): Links {
  const files = fs.readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((f) => endings.test(f));
  return new Map(files.sort().map((f) => [f, named(fs.readFileSync(path.join(root, f), 'utf8'), f)]));
}

/** The folder below the root a file is in; a file in the root is a room of its own name. */
export const room = (file: string): string => file.split(path.sep)[0]!.replace(/\.\w+$/, '');

/** Files in no room of the list. */
export const homeless = (links: Links, rooms: readonly string[]): string[] =>
  [...links.keys()].filter((file) => !rooms.includes(room(file)));

/** Links to a file that is not there: a check that follows links would not see what lies behind them. */
export const dangling = (links: Links): string[] =>
  [...links].flatMap(([file, targets]) => targets.filter((t) => !links.has(t)).map((t) => `${file} -> ${t}`));

/** Links from a room to a later one. */
export const againstOrder = (links: Links, rooms: readonly string[]): string[] =>
  [...links].flatMap(([file, targets]) =>
    targets.filter((t) => rooms.indexOf(room(t)) > rooms.indexOf(room(file))).map((t) => `${file} -> ${t}`),
  );

/** Circles, each once, as `a -> b -> a`. */
export function circles(links: Links): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const way: string[] = [];
  const visit = (file: string): void => {
    const since = way.indexOf(file);
    if (since >= 0) found.push([...way.slice(since), file].join(' -> '));
    if (since >= 0 || done.has(file)) return;
    way.push(file);
    for (const target of new Set(links.get(file))) visit(target);
    way.pop();
    done.add(file);
  };
  for (const file of links.keys()) visit(file);
  return found;
}
