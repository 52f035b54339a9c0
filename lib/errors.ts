// The error classes a caller can catch, and the exit code the CLI gives each. Owns no messages.

/** Exit codes of the `mnv2-torch` command. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  environment: 3,
  data: 4,
  diverged: 5,
  parity: 6,
  distributed: 7,
  memory: 8,
  sighup: 129,
  sigint: 130,
  sigterm: 143,
} as const;

/** A value as a message shows it: on one line, at most 80 characters, whatever it holds. */
export function shown(value: unknown): string {
  if (typeof value === 'number') return String(value);
  let text: string | undefined;
  try {
    // Control characters would let a hostile file write to the terminal.
    text = JSON.stringify(value)?.replace(/[\u007f-\u009f\u2028\u2029\u202a-\u202e]/g, '?');
  } catch {
    // Circular, a BigInt, or nested too deeply: its kind has to do.
  }
  text ??= typeof value === 'bigint' ? `${value}n` : Object.prototype.toString.call(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** At most so many names, and how many more there are. */
export function few(names: readonly string[], most: number): string {
  const first = names.slice(0, most).join(', ');
  return names.length > most ? `${first} and ${names.length - most} more` : first;
}

/** What each exit code says, as the help and the README have it. */
export const EXIT_MEANINGS: Readonly<Record<keyof typeof EXIT, string>> = {
  ok: 'done',
  failure: 'something failed that none of the others names',
  usage: 'the command line asks for something that does not exist or does not fit',
  environment: 'the machine lacks something: libtorch, the built addon, a device, a network that answers',
  data: 'images, folders, splits or checkpoints that cannot be used',
  diverged: 'the loss exploded or stopped being finite',
  parity: 'an export computes something else than its checkpoint; nothing was written',
  distributed: 'another process of the run was lost, or did not come in time',
  memory: 'out of memory',
  sighup: 'stopped by SIGHUP, the terminal was closed',
  sigint: 'stopped by SIGINT (Ctrl-C)',
  sigterm: 'stopped by SIGTERM',
};

/** Base of every error this package throws on purpose: `code` is stable, `exitCode` is what the CLI ends with. */
export class Mnv2Error extends Error {
  constructor(
    message: string,
    readonly code: string,
    readonly exitCode: number = EXIT.failure,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A call or command line that asks for something that does not exist or does not fit. */
export class UsageError extends Mnv2Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, 'USAGE', EXIT.usage, options);
  }
}

/** Shapes, dtypes or attributes that do not fit an op; thrown where the op was recorded, with the module path. */
export class ShapeError extends Mnv2Error {
  constructor(
    message: string,
    readonly modulePath = '',
  ) {
    super(modulePath ? `${message} (in module '${modulePath}')` : message, 'SHAPE', EXIT.usage);
  }
}

/** The machine lacks something: libtorch, the built addon, a CUDA device, a matching version. */
export class EnvironmentError extends Mnv2Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, 'ENVIRONMENT', EXIT.environment, options);
  }
}

/** Images, folders, checkpoints or splits that cannot be used; `files` lists the offending paths. */
export class DataError extends Mnv2Error {
  constructor(
    message: string,
    readonly files: readonly string[] = [],
    options?: ErrorOptions,
  ) {
    super(message, 'DATA', EXIT.data, options);
  }
}

/** More images are waiting for an answer than `maxQueued` allows: what was asked was not begun. Ask again later, or ask less at a time. */
export class QueueFullError extends Mnv2Error {
  constructor(message: string) {
    super(message, 'QUEUE_FULL');
  }
}

/** Training produced a loss that is not finite, or far beyond what guessing gets. */
export class DivergedError extends Mnv2Error {
  constructor(message: string) {
    super(message, 'DIVERGED', EXIT.diverged);
  }
}

/** An exported model gives other answers than the checkpoint it was made of; it was not written. */
export class ParityError extends Mnv2Error {
  constructor(message: string) {
    super(message, 'PARITY', EXIT.parity);
  }
}

/** Another process of the run was lost, or did not come in time. */
export class DistributedError extends Mnv2Error {
  constructor(message: string) {
    super(message, 'DISTRIBUTED', EXIT.distributed);
  }
}

/** libtorch or the engine failed, or memory ran out (code OUT_OF_MEMORY); `modulePath` names the module whose node was running. */
export class TorchError extends Mnv2Error {
  constructor(
    message: string,
    code: string,
    readonly modulePath = '',
  ) {
    const exitCode = code === 'OUT_OF_MEMORY' ? EXIT.memory : EXIT.failure;
    super(modulePath ? `${message} (in '${modulePath}')` : message, code, exitCode);
  }
}
