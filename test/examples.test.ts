// Every runnable example in the documentation is run: @example blocks of lib/ and ```js blocks of docs/ and README.
// A trailing `// value` after console.log is what must be printed.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import * as api from 'mnv2-torch';

interface Example {
  name: string;
  code: string;
  /** where it is written before it runs; absent: it is handed to Node as it is */
  file?: string;
  /** runs in one process with the others: starting one takes longer than most examples */
  together?: boolean;
}

const files = (dir: string, ext: string): string[] =>
  fs
    .readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((f) => f.endsWith(ext))
    .map((f) => path.join(dir, f))
    .sort();

/** `@example` blocks: up to the next tag or the comment's end. */
function fromSource(file: string): Example[] {
  const source = fs.readFileSync(file, 'utf8');
  return [...source.matchAll(/\/\*\*([\s\S]*?)\*\//g)].flatMap((comment) => {
    const text = comment[1]!
      .split('\n')
      .map((l) => l.replace(/^\s*\* ?/, ''))
      .join('\n');
    const after = source
      .slice(comment.index + comment[0].length)
      .trimStart()
      .split('\n')[0]!;
    return [...text.matchAll(/@example\n([\s\S]*?)(?=\n@|$)/g)].map((m) => ({
      name: `${path.basename(file)}: ${after.slice(0, 60)}`,
      code: m[1]!.trim(),
      together: true,
    }));
  });
}
/**
 * Blocks that import the package; `// not run` on the first line leaves one out. Blocks that begin with a file's name
 * (`// train.js`) are written side by side and run in their order, each in a process of its own.
 */
function fromMarkdown(file: string): Example[] {
  const text = fs.readFileSync(file, 'utf8');
  const folder = path.resolve('build/examples', path.basename(file, '.md')); // inside, so that the package finds itself
  return [...text.matchAll(/```js\n([\s\S]*?)```/g)]
    .map((m, i): Example => {
      const code = m[1]!;
      const named = /^\/\/ ([\w-]+\.js)\n/.exec(code)?.[1];
      return { name: `${path.basename(file)} block ${i + 1}`, code, ...(named && { file: path.join(folder, named) }) };
    })
    .filter((e) => !e.code.startsWith('// not run'));
}

const examples = [
  ...files('lib', '.ts').flatMap(fromSource),
  ...['README.md', ...(fs.existsSync('docs') ? files('docs', '.md') : [])]
    .filter((f) => fs.existsSync(f))
    .flatMap(fromMarkdown),
];

/** What the comments after console.log promise, in order. */
const promised = (code: string): string[] =>
  [...code.matchAll(/console\.log\(.*\);? *\/\/ (.*)$/gm)].map((m) => m[1]!.trim());
/** Brackets and spaces as one person or another writes them. */
const plain = (text: string): string => text.replace(/[[\]'\s,]+/g, ' ').trim();

test('there are examples', () => {
  expect(examples.length).toBeGreaterThan(50);
});

interface Outcome {
  lines: string[];
  error: string;
}
const outcomes = new Map<Example, Outcome>();

beforeAll(() => {
  fs.rmSync('build/examples', { recursive: true, force: true });
  const folder = path.resolve('build/examples/source'); // inside, so that the package finds itself
  fs.mkdirSync(folder, { recursive: true });
  const those = examples.filter((e) => e.together);
  const programs = those.map((_, i) => path.join(folder, `${i}.mjs`));
  those.forEach(({ code }, i) => fs.writeFileSync(programs[i]!, code));
  const runner = path.resolve('test/support/run-examples.js');
  const run = spawnSync(process.execPath, [runner, ...programs], { encoding: 'utf8', timeout: 110_000 });
  const told = run.stdout.split('\n').filter((l) => l !== '');
  for (const [i, line] of told.entries()) {
    const { printed, error } = JSON.parse(line) as { printed: string[]; error: string | null };
    outcomes.set(those[i]!, { lines: printed, error: error ?? '' });
  }
  const next = those[told.length];
  if (next) outcomes.set(next, { lines: [], error: `it ended the process: ${run.signal ?? run.status} ${run.stderr}` });
});

/** As a user would run it: the package by its own name, no jest in between. */
function alone({ code, file }: Example): Outcome {
  if (file) {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, code);
  }
  const run = spawnSync(process.execPath, file ? [file] : ['--input-type=module', '-e', code], {
    encoding: 'utf8',
    cwd: file ? path.dirname(file) : path.resolve('.'),
    timeout: 100_000,
  });
  const error = run.stderr.replace(/^.*(Warning|--trace-warnings).*$/gm, '').trim();
  return { lines: run.stdout.trim().split('\n'), error: run.status === 0 ? error : `${run.status}: ${run.stderr}` };
}

test.each(examples.map((e) => [e.name, e] as const))('%s', (_name, example) => {
  const outcome = example.together ? outcomes.get(example) : alone(example);
  expect(outcome).toBeDefined(); // one before it ended their process
  const { lines, error } = outcome!;
  expect(error).toBe('');
  const expected = promised(example.code);
  const said = lines.flatMap((l) => l.split('\n')).filter((l) => l !== '');
  if (expected.length > 0) expect(said.slice(0, expected.length).map(plain)).toEqual(expected.map(plain));
});

test('every public function and class has an example', () => {
  const code = examples.map((e) => e.code).join('\n');
  const errors = /Error$/;
  const without = Object.entries(api)
    .filter(
      ([name, value]) => typeof value === 'function' && !errors.test(name) && !new RegExp(`\\b${name}\\b`).test(code),
    )
    .map(([name]) => name);
  expect(without).toEqual([]);
});
