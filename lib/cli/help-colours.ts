// Colours for the help yargs writes: headings, flags, and what is said of a flag in brackets.
const around = (on: number, off: number) => (text: string) => `\x1b[${on}m${text}\x1b[${off}m`;
const [bold, dim, cyan] = [around(1, 22), around(2, 22), around(36, 39)];

/** The same text, for a terminal. */
export const colouredHelp = (help: string): string =>
  help
    .replace(/\[[^\]\n]*\](?=$|\s+\[)/gm, dim)
    .replace(/^[A-Z][a-z ]+:$/gm, bold)
    .replace(/^( +)(--[\w-]+)/gm, (_, space: string, flag: string) => space + cyan(flag));
