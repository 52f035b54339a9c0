// A command: its words, its options, and what it does. Owns how a command is made known to yargs, which splits the
// command line and writes the help; values are checked here, all of them, before the command does anything.
import type { Argv, CommandModule } from 'yargs';
import { UsageError } from '../errors.js';
import { dashed, flagName, readOptions, type Options, type Values } from './options.js';

/** What a file of lib/cli exports as `command`, by way of `define`. */
export interface Command<P extends Options = Options, O extends Options = Options> {
  /** name and operands, as in 'predict <checkpoint> <images...>' */
  readonly usage: string;
  readonly describe: string;
  /** by the names in `usage` */
  readonly operands: P;
  readonly options: O;
  /** goes on when the reader of stdout has gone (`| head`): its work is worth more than its output */
  readonly outlivesReader?: boolean;
  /** does the work; the result is the exit code, nothing is 0 */
  run(values: Values<P> & Values<O>): Promise<number | void> | number | void;
}

/** Gives `run` the types of its values. */
export function define<P extends Options, O extends Options>(command: Command<P, O>): Command {
  return command as unknown as Command;
}

const HIDDEN = '\0';

/**
 * yargs takes every word that begins with '-' for an option: after `--` too, and where '-' stands for standard input.
 * Behind a NUL, which no argument can contain, these words reach the command.
 */
export function hideOperands(argv: readonly string[]): string[] {
  const end = argv.indexOf('--');
  const [before, after] = end < 0 ? [argv, []] : [argv.slice(0, end), argv.slice(end + 1)];
  return [
    ...before.map((w) => (w === '-' ? HIDDEN + w : w)),
    ...after.map((w) => (w.startsWith('-') ? HIDDEN + w : w)),
  ];
}
/** Words, or a text that tells of them, as they were typed. */
export const unhide = (text: string): string => text.replaceAll(HIDDEN, '');
const typedWord = (came: unknown): unknown =>
  typeof came === 'string' ? unhide(came) : Array.isArray(came) ? came.map(typedWord) : came;

/** The command as yargs wants it; `ran` is called with its exit code. */
export function toYargs(command: Command, begin: (command: Command) => void, ran: (code: number) => void) {
  const { operands, options } = command;
  const builder = (y: Argv): Argv => {
    for (const [key, { describe, kind }] of Object.entries(operands))
      y.positional(key, { type: 'string', describe, ...(kind === 'list' && { array: true }) });
    for (const [key, { describe, expected, kind, absent, default: shown = absent }] of Object.entries(options)) {
      if (kind === 'switch') y.option(flagName(key), { type: 'boolean', describe });
      else
        y.option(flagName(key), {
          describe: `${describe} [${expected}]`,
          requiresArg: true,
          ...(shown !== undefined && { defaultDescription: String(shown) }),
        });
    }
    return y;
  };
  const handler = async (argv: Record<string, unknown>): Promise<void> => {
    const typed = Object.fromEntries(Object.entries(argv).map(([key, value]) => [key, typedWord(value)]));
    const words = readOptions(operands, typed, (key) => `<${key}>`);
    const flags = readOptions(options, typed, dashed);
    const problems = [...words.problems, ...flags.problems];
    if (problems.length > 1)
      throw new UsageError(`${problems.length} things cannot be used:\n${problems.map((p) => `  ${p}`).join('\n')}`);
    if (problems.length === 1) throw new UsageError(problems[0]!);
    begin(command);
    ran((await command.run({ ...words.values, ...flags.values })) ?? 0);
  };
  return { command: command.usage, describe: command.describe, builder, handler } as unknown as CommandModule;
}
