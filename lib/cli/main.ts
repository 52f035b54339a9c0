// The command line's front: finds the command, turns failures into messages and exit codes. Owns no command.
import { readFileSync } from 'node:fs';
import yargs, { type CommandModule } from 'yargs';
import { EXIT, Mnv2Error, UsageError } from '../errors.js';

const EPILOGUE = `Exit codes: 0 done, 2 usage, 3 environment (libtorch, device), 4 data (images, checkpoints), 5 diverged, 130/143 stopped by SIGINT/SIGTERM`;

/** Loaded when named: start-up is part of how fast `predict` answers. */
const COMMANDS: Record<string, () => Promise<{ command: unknown }>> = {
  train: () => import('./train.js'),
  eval: () => import('./eval.js'),
  predict: () => import('./predict.js'),
  summary: () => import('./summary.js'),
  bench: () => import('./bench.js'),
  doctor: () => import('./doctor.js'),
  setup: () => import('./setup.js'),
};

/** Runs one command line; the result is the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  const named = argv.find((a) => !a.startsWith('-'));
  const load = named !== undefined ? COMMANDS[named] : undefined;
  // A reader that has seen enough (`| head`) is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
  let failed: string | undefined;
  const cli = yargs([...argv])
    .scriptName('mnv2-torch')
    .usage('$0 <command>\n\nFine-tunes and runs MobileNet image classifiers, natively on libtorch.')
    .version(version)
    .strict()
    .recommendCommands()
    .demandCommand(1, 'Name a command.')
    .epilogue(EPILOGUE)
    .wrap(Math.min(110, process.stdout.columns || 110))
    .parserConfiguration({ 'strip-aliased': true })
    .check((a) => {
      const twice = Object.keys(a).find((key) => Array.isArray(a[key]) && key !== '_' && key !== 'images');
      if (twice) throw new UsageError(`--${twice} was given more than once`);
      return true;
    })
    .exitProcess(false)
    .fail((message, error) => {
      if (error) throw error;
      failed = message;
      throw new Error(message);
    });
  // The help lists every command; a command line that names one loads that one alone.
  const modules = load ? [await load()] : await Promise.all(Object.values(COMMANDS).map((l) => l()));
  for (const { command } of modules) cli.command(command as CommandModule);
  try {
    await cli.parseAsync();
    return (process.exitCode as number | undefined) ?? EXIT.ok;
  } catch (error) {
    const usage = failed !== undefined;
    const known = error instanceof Mnv2Error;
    const { message, stack } = error as Error;
    // A failure nobody foresaw shows where it came from.
    process.stderr.write(`mnv2-torch: ${usage || known ? message : (stack ?? message)}\n`);
    if (usage) {
      const unknown = /Unknown arguments?: ([\w-]+)/.exec(message)?.[1];
      const near = unknown && named && load ? nearest(unknown, await flagsOf(named)) : undefined;
      if (near) process.stderr.write(`Did you mean --${near}?\n`);
      process.stderr.write(`See: mnv2-torch ${load ? `${named} ` : ''}--help\n`);
    }
    return usage ? EXIT.usage : known ? error.exitCode : EXIT.failure;
  }
}

async function flagsOf(name: string): Promise<string[]> {
  const { builder } = (await COMMANDS[name]!()).command as CommandModule;
  const flags: string[] = [];
  const collect = new Proxy(
    {},
    {
      get: (_t, key) => (a: unknown) => {
        if (key === 'options' && typeof a === 'object') flags.push(...Object.keys(a as object));
        if (key === 'option' && typeof a === 'string') flags.push(a);
        return collect;
      },
    },
  );
  if (typeof builder === 'function') void builder(collect as never);
  return flags;
}

/** The candidate at the smallest edit distance, when it is small. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const distance = (a: string, b: string): number => {
    let row = Array.from({ length: b.length + 1 }, (_, i) => i);
    for (let i = 1; i <= a.length; i++) {
      const next = [i];
      for (let j = 1; j <= b.length; j++)
        next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
      row = next;
    }
    return row[b.length]!;
  };
  const ranked = candidates.map((c) => [distance(word, c), c] as const).sort((x, y) => x[0] - y[0]);
  const [best] = ranked;
  return best && best[0] <= Math.max(2, word.length / 3) ? best[1] : undefined;
}
