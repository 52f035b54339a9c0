// Whether colours are wanted.

/** Whether text written to a stream may carry colours: a terminal, and nobody said NO_COLOR (no-color.org). */
export const colourful = (stream: { isTTY?: boolean }): boolean =>
  stream.isTTY === true && (process.env['NO_COLOR'] ?? '') === '' && process.env['TERM'] !== 'dumb';
