// `mnv2-torch completion`: a script that completes command lines, made of the tables the commands are made of. It is
// whole, so that no Node starts while somebody types; files are left to the shell.
import { define, type Command } from './command.js';
import { choice, dashed, flagName, type Option } from './options.js';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
const GLOBAL = { '--help': 'show help', '--version': 'show the version' };

const nameOf = ({ usage }: Command): string => usage.split(' ')[0]!;
const options = ({ options }: Command): [key: string, option: Option<unknown>][] => Object.entries(options);
const isSwitch = ({ kind }: Option<unknown>): boolean => kind === 'switch';
/** Words that may stand where the first operand does; none: a file. */
const operandWords = ({ operands }: Command): readonly string[] => Object.values(operands)[0]?.words ?? [];
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** For bash, and for zsh, which understands the same. */
function bash(commands: readonly Command[]): string {
  const words = (list: readonly string[]): string => `COMPREPLY=($(compgen -W ${quoted(list.join(' '))} -- "$cur"))`;
  const all = commands.flatMap((command) => {
    const valued = options(command).filter(([, option]) => !isSwitch(option));
    const free = valued.flatMap(([key, { words = [] }]) => (words.length === 0 ? [dashed(key)] : []));
    const first = operandWords(command);
    return [
      `    ${nameOf(command)})`,
      '      case "$prev" in',
      ...valued.flatMap(([key, option]) =>
        option.words?.length ? [`        ${dashed(key)}) ${words(option.words)}; return ;;`] : [],
      ),
      ...(free.length > 0 ? [`        ${free.join('|')}) return ;;`] : []),
      '      esac',
      ...(first.length > 0 ? [`      [[ $COMP_CWORD -eq 2 && $cur != -* ]] && { ${words(first)}; return; }`] : []),
      `      [[ $cur == -* ]] && ${words([...options(command).map(([key]) => dashed(key)), ...Object.keys(GLOBAL)])}`,
      '      ;;',
    ];
  });
  return [
    '_mnv2_torch() {',
    '  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}',
    '  COMPREPLY=()',
    `  [[ $COMP_CWORD -eq 1 ]] && { ${words([...commands.map(nameOf), ...Object.keys(GLOBAL)])}; return; }`,
    '  case "${COMP_WORDS[1]}" in',
    ...all,
    '  esac',
    '}',
    // What has no words of its own is a file.
    'complete -o default -o bashdefault -F _mnv2_torch mnv2-torch',
    '',
  ].join('\n');
}

const zsh = (commands: readonly Command[]): string =>
  `autoload -Uz compinit bashcompinit\n(( \${+_comps} )) || compinit\nbashcompinit\n${bash(commands)}`;

function fish(commands: readonly Command[]): string {
  const complete = 'complete -c mnv2-torch';
  const first = '__fish_use_subcommand';
  return [
    ...commands.flatMap((command) => {
      const after = quoted(`__fish_seen_subcommand_from ${nameOf(command)}`);
      const operand = operandWords(command);
      return [
        `${complete} -n ${first} -f -a ${nameOf(command)} -d ${quoted(command.describe)}`,
        ...(operand.length > 0 ? [`${complete} -n ${after} -f -a ${quoted(operand.join(' '))}`] : []),
        ...options(command).map(([key, option]) => {
          const { describe, words = [] } = option;
          const value = isSwitch(option) ? '' : words.length > 0 ? ` -x -a ${quoted(words.join(' '))}` : ' -r';
          return `${complete} -n ${after} -l ${flagName(key)}${value} -d ${quoted(describe)}`;
        }),
      ];
    }),
    ...Object.entries(GLOBAL).map(([flag, describe]) => `${complete} -l ${flag.slice(2)} -d ${quoted(describe)}`),
    '',
  ].join('\n');
}

const SCRIPTS = { bash, zsh, fish };

/** @param load gives all commands, this one among them */
export const completionOf = (load: () => Promise<readonly Command[]>): Command =>
  define({
    usage: 'completion [shell]',
    describe: 'a script that completes command lines: eval "$(mnv2-torch completion bash)"',
    operands: { shell: choice(SHELLS, { default: 'bash', describe: 'whose completion' }) },
    options: {},
    run: async ({ shell }) => void process.stdout.write(SCRIPTS[shell](await load())),
  });
