// The command line's front: finds the command, turns failures into messages and exit codes. Owns no command.
import { readFileSync } from 'node:fs';
import yargs from 'yargs';
import { EXIT, EXIT_MEANINGS } from '../errors.js';
import { hideOperands, toYargs, unhide, type Command } from './command.js';
import { outliveReader, outputLost, report } from './failures.js';
import { nearest } from '../nearest.js';
import { colourful } from '../report/colours.js';
import { colouredHelp } from './help-colours.js';
import { flagName } from './options.js';

const EPILOGUE = [
  'Exit codes:',
  ...(Object.keys(EXIT) as (keyof typeof EXIT)[]).map((k) => `  ${String(EXIT[k]).padStart(3)}  ${EXIT_MEANINGS[k]}`),
].join('\n');

/** Loaded when named: start-up is part of how fast `predict` answers. */
const COMMANDS: Record<string, () => Promise<{ command: unknown }>> = {
  audit: () => import('./audit.js'),
  train: () => import('./train.js'),
  'lr-find': () => import('./lr-find.js'),
  eval: () => import('./eval.js'),
  predict: () => import('./predict.js'),
  embed: () => import('./embed.js'),
  similar: () => import('./similar.js'),
  inspect: () => import('./inspect.js'),
  export: () => import('./export.js'),
  quantize: () => import('./quantize.js'),
  import: () => import('./import.js'),
  weights: () => import('./weights.js'),
  summary: () => import('./summary.js'),
  bench: () => import('./bench.js'),
  doctor: () => import('./doctor.js'),
  setup: () => import('./setup.js'),
  completion: async () => ({ command: (await import('./completion.js')).completionOf(allCommands) }),
};

const commandsOf = async (loads: readonly (() => Promise<{ command: unknown }>)[]): Promise<Command[]> =>
  (await Promise.all(loads.map((load) => load()))).map(({ command }) => command as Command);
const allCommands = (): Promise<Command[]> => commandsOf(Object.values(COMMANDS));

/** yargs's own refusals, as opposed to what a command throws. */
class Misspelt extends Error {}

/**
 * Runs one command line; the result is the exit code. Failures are written to stderr, never thrown.
 * @param argv what follows the program's name
 */
export async function main(argv: readonly string[]): Promise<number> {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  const words = hideOperands(argv);
  const named = words.find((w) => !w.startsWith('-'));
  const load = named !== undefined && Object.hasOwn(COMMANDS, named) ? COMMANDS[named] : undefined;
  let code: number = EXIT.ok;
  const inColours = words.includes('--help') && colourful(process.stdout);
  const cli = yargs(inColours ? words.filter((word) => word !== '--help') : words)
    .scriptName('mnv2-torch')
    .usage('$0 <command>\n\nFine-tunes and runs MobileNet image classifiers, natively on libtorch.')
    .version(version)
    .strict()
    .recommendCommands()
    .demandCommand(1, 'Name a command.')
    .epilogue(EPILOGUE)
    .wrap(Math.min(110, process.stdout.columns || 110))
    // Commands read the words themselves: nothing is turned into numbers, negated or taken apart on the way.
    .parserConfiguration({
      'parse-numbers': false,
      'parse-positional-numbers': false,
      'boolean-negation': false,
      'dot-notation': false,
      'short-option-groups': false,
    })
    .exitProcess(false)
    .fail((message, error) => {
      throw error === undefined || error.name === 'YError' ? new Misspelt(unhide(message)) : error;
    });
  // The help lists every command; a command line that names one loads that one alone.
  const commands = await (load ? commandsOf([load]) : allCommands());
  const begin = ({ outlivesReader }: Command): void => {
    if (outlivesReader) outliveReader();
  };
  for (const command of commands) cli.command(toYargs(command, begin, (ended) => (code = ended)));
  try {
    if (inColours) {
      process.stdout.write(`${colouredHelp(await cli.getHelp())}\n`);
      return EXIT.ok;
    }
    await cli.parseAsync();
    return code === EXIT.ok && outputLost() ? EXIT.failure : code;
  } catch (error) {
    if (!(error instanceof Misspelt)) return report(error);
    const flags = load ? Object.keys(commands[0]!.options).map(flagName) : [];
    process.stderr.write(
      `mnv2-torch: ${misspelt(error.message, argv, flags)}\nSee: mnv2-torch ${load ? `${named} ` : ''}--help\n`,
    );
    return EXIT.usage;
  }
}

/** yargs's message with each unknown option once, as it was typed, and what it may have meant. */
function misspelt(message: string, argv: readonly string[], flags: readonly string[]): string {
  const [, list] = /^Unknown arguments?: (.*)$/.exec(message) ?? [];
  if (list === undefined) return message;
  // yargs tells of class-weights as `class-weights, classWeights`.
  const typed = (word: string): boolean => argv.some((a) => a.replace(/^--?/, '').split('=')[0] === word);
  const unknown = list.split(', ').filter(typed);
  if (unknown.length === 0) return message;
  const dashed = unknown.filter((word) => argv.some((a) => a.startsWith('-') && a.includes(word)));
  const near = dashed.flatMap((word) => nearest(word, flags) ?? []);
  return [
    `Unknown argument${unknown.length > 1 ? 's' : ''}: ${unknown.join(', ')}`,
    ...(near.length > 0 ? [`Did you mean ${[...new Set(near)].map((f) => `--${f}`).join(', ')}?`] : []),
  ].join('\n');
}
