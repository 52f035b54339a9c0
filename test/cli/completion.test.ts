// Completion, by the shells themselves: commands, flags, words and files. And the colours of --help, for terminals alone.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { colouredHelp } from '../../dist/cli/help-colours.js';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('completion');
const cli = (...args: string[]): string =>
  spawnSync(process.execPath, ['bin/mnv2-torch.js', ...args], { encoding: 'utf8' }).stdout;
const has = (program: string): boolean => spawnSync(program, ['-c', 'true']).status === 0;

/** What is typed, the last word unfinished, and what it may become; files are one.jpg and one-class/. */
const TYPED: [string, string[]][] = [
  ['mnv2-torch tr', ['train']],
  ['mnv2-torch train --lab', ['--label-smoothing']],
  ['mnv2-torch train --arch mobilenet_v3', ['mobilenet_v3_large', 'mobilenet_v3_small']],
  ['mnv2-torch weights p', ['pull']],
  ['mnv2-torch predict one', ['one-class/', 'one.jpg']],
  ['mnv2-torch train --weights one', ['one-class/', 'one.jpg']],
  ['mnv2-torch train --quiet one', ['one-class/', 'one.jpg']],
];

beforeAll(() => {
  fs.mkdirSync(at('one-class'), { recursive: true });
  fs.writeFileSync(at('one.jpg'), '');
  for (const shell of ['bash', 'zsh', 'fish']) fs.writeFileSync(at(`script.${shell}`), cli('completion', shell));
});
const sorted = (text: string): string[] => text.split('\n').filter(Boolean).sort();

// As bash does it: the function it was told of, and files where that gives nothing and `-o default` says so.
const BASH = `
  source script.bash
  [[ $(complete -p mnv2-torch) == *"-o default"*"-F _mnv2_torch mnv2-torch" ]] || exit 1
  read -ra COMP_WORDS <<<"$1"
  COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
  _mnv2_torch
  if ((\${#COMPREPLY[@]})); then printf '%s\\n' "\${COMPREPLY[@]}"; else compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"; fi`;

test.each(TYPED)('bash: %s', (typed, expected) => {
  const { stdout, stderr, status } = spawnSync('bash', ['-c', BASH, 'bash', typed], { cwd: at(), encoding: 'utf8' });
  expect([status, stderr]).toEqual([0, '']);
  expect(sorted(stdout)).toEqual(expected.map((word) => word.replace(/\/$/, '')).sort());
});

test.each(TYPED)('fish: %s', (typed, expected) => {
  if (!has('fish')) return console.warn('skipped: no fish here');
  const code = `source script.fish; complete -C "${typed}"`;
  const { stdout, stderr } = spawnSync('fish', ['--no-config', '-c', code], { cwd: at(), encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(sorted(stdout.replace(/\t.*$/gm, ''))).toEqual(expected);
});

test('zsh takes the script of bash', () => {
  if (!has('zsh')) return console.warn('skipped: no zsh here');
  const code = 'source script.zsh; print -r -- $_comps[mnv2-torch]';
  const { stdout, stderr } = spawnSync('zsh', ['-fc', code], { cwd: at(), encoding: 'utf8' });
  expect([stdout, stderr]).toEqual([expect.stringContaining('-F _mnv2_torch'), '']);
});

describe('colours of --help', () => {
  const help = (env: Record<string, string>): string => {
    const { TERM, NO_COLOR, ...rest } = process.env;
    void [TERM, NO_COLOR];
    const command = `'${process.execPath}' bin/mnv2-torch.js doctor --help`;
    const { stdout } = spawnSync('script', ['-qec', command, '/dev/null'], {
      encoding: 'utf8',
      env: { ...rest, TERM: 'xterm', ...env },
    });
    return stdout.replaceAll('\r', '');
  };
  const inTerminal = has('script') || spawnSync('script', ['--version']).status === 0;
  test('a terminal has them, unless NO_COLOR; the words are the same', () => {
    if (!inTerminal) return console.warn('skipped: no script(1), which makes a terminal');
    const [coloured, plain] = [help({}), help({ NO_COLOR: '1' })];
    expect(coloured).toContain('\x1b[36m--json\x1b[39m');
    expect(plain).not.toContain('\x1b');
    expect(coloured.replace(/\x1b\[\d+m/g, '').trim()).toBe(plain.trim()); // eslint-disable-line no-control-regex
  });
  test('a pipe has none', () => expect(cli('doctor', '--help')).not.toContain('\x1b'));
  test('headings, flags and what is in brackets', () => {
    expect(colouredHelp('Options:\n  --top  how many [default: 5]\n')).toBe(
      '\x1b[1mOptions:\x1b[22m\n  \x1b[36m--top\x1b[39m  how many \x1b[2m[default: 5]\x1b[22m\n',
    );
  });
});
