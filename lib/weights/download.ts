// One file over HTTP, to a place where it appears whole and checked or not at all: proxies, redirects, going on where
// it broke off, waiting and trying again. Which files there are is published.ts.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Dispatcher } from 'undici';
import { DataError, EnvironmentError, Mnv2Error, UsageError } from '../errors.js';
import { hashOf, hashText } from './cached.js';
import { answerOf, type Answer } from './http-answer.js';
import { PartialFile } from './partial-file.js';
import type { PublishedHash } from './published.js';

/** How long is waited for what. */
export interface Patience {
  /** attempts, each going on where the one before broke off */
  tries: number;
  /** milliseconds before the second attempt; doubled for each after it */
  pause: number;
  /** milliseconds without a byte after which an attempt is given up */
  stall: number;
}
const PATIENCE: Patience = { tries: 5, pause: 500, stall: 30_000 };
/** A server that asks for a longer pause is left alone. */
const LONGEST_PAUSE = 60_000;
/** More is no file of weights of ours, whatever a server says: 128 MiB. */
export const MOST_BYTES = 2 ** 27;

export interface Download {
  readonly url: string;
  /** where it appears; its folder is made */
  readonly file: string;
  /** absent: an MD5 that the server sends is taken, else its length alone is known */
  readonly hash?: Pick<PublishedHash, 'algorithm' | 'hex'> | undefined;
  /** told after what went wrong on the way */
  readonly advice?: string;
  /** bytes so far and in all, where the server says how many */
  readonly onProgress?: ((done: number, total: number | undefined) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly patience?: Partial<Patience>;
}

/**
 * Downloads a file. What was received of it stays for the next call when this one fails on the way.
 * @returns what the file was compared with: `sha256 ...`, `md5 ...`, or `its length`
 * @throws EnvironmentError for what the network or the disk refuses; DataError for a file that is not the one expected
 */
export async function download(wanted: Download): Promise<string> {
  const { file } = wanted;
  const { request } = await import('undici');
  const patience = { ...PATIENCE, ...wanted.patience };
  const waits = { headersTimeout: patience.stall, bodyTimeout: patience.stall };
  const dispatcher = await dispatcherFor(waits);
  const partial = await PartialFile.of(file).catch((cause: Error) => {
    throw new EnvironmentError(`cannot write ${file}: ${cause.message}; XDG_CACHE_HOME names another cache`, { cause });
  });
  try {
    const ask = (headers: Record<string, string>): Promise<Answer> =>
      answerOf(wanted.url, (url) => request(url, { dispatcher, headers, ...waits, signal: wanted.signal ?? null }));
    const begunBefore = partial.size > 0 && partial.validator !== undefined;
    let served = await receive(wanted, partial, ask, patience);
    let wrong = await difference(wanted, partial, served);
    // What another process had begun may be damaged.
    if (wrong && begunBefore) {
      await partial.restart(undefined);
      served = await receive(wanted, partial, ask, patience);
      wrong = await difference(wanted, partial, served);
    }
    if (wrong) throw new DataError(`${wanted.url}: ${wrong}; nothing was kept`, [wanted.url]);
    await partial.keep();
    const hash = wanted.hash ?? served.hash;
    return hash ? hashText(hash) : 'its length';
  } catch (error) {
    const full = isFull(error);
    if (full || error instanceof DataError) await partial.drop();
    else await partial.leave();
    if (!full) throw error;
    throw new EnvironmentError(`no space left for ${file}: free some, or name another cache with XDG_CACHE_HOME`, {
      cause: error,
    });
  } finally {
    await dispatcher.destroy();
  }
}

/** Proxies as curl takes them: TLS goes through a tunnel, plain HTTP is asked of the proxy itself. */
async function dispatcherFor(waits: { headersTimeout: number; bodyTimeout: number }): Promise<Dispatcher> {
  const { Agent, EnvHttpProxyAgent, Pool } = await import('undici');
  const connect = { timeout: waits.headersTimeout };
  // Node's own fetch knows no proxies before version 24.
  const proxied = ['http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY'].some((name) => process.env[name]);
  if (!proxied) return new Agent({ connect });
  try {
    // A proxy that opens no tunnel is not waited for either.
    const clientFactory = (origin: URL, options: object): Dispatcher => new Pool(origin, { ...waits, ...options });
    // Its types know only what is its own, not what it hands to undici's ProxyAgent.
    const options = { connect, proxyTunnel: false, clientFactory };
    return new EnvHttpProxyAgent(options);
  } catch (cause) {
    // What is wrong is told without the address, which may hold a password.
    throw new UsageError('HTTP_PROXY, HTTPS_PROXY: expected addresses such as http://proxy.example:3128', { cause });
  }
}

const isFull = (error: unknown): boolean =>
  ['ENOSPC', 'EDQUOT', 'EFBIG'].includes((error as { code?: string }).code ?? '');

/** What went wrong on the way and may pass. */
class Passing extends Error {
  constructor(
    message: string,
    readonly pause = 0,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Attempts until all of it is there. */
async function receive(
  wanted: Download,
  partial: PartialFile,
  ask: (headers: Record<string, string>) => Promise<Answer>,
  { tries, pause }: Patience,
): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await attemptOnce(wanted, partial, ask);
    } catch (error) {
      wanted.signal?.throwIfAborted();
      if (error instanceof Mnv2Error || isFull(error)) throw error;
      const passing = error instanceof Passing ? error : passingOf(error as Error);
      const wait = Math.max(passing?.pause ?? 0, pause * 2 ** (attempt - 1));
      if (!passing || attempt >= tries || wait > LONGEST_PAUSE) {
        const often = attempt > 1 ? `, after ${attempt} attempts` : '';
        const advice = wanted.advice ? `. ${wanted.advice}` : '';
        throw new EnvironmentError(`cannot get ${wanted.url}: ${reasonOf(error as Error)}${often}${advice}`, {
          cause: error,
        });
      }
      await sleep(wait, undefined, { signal: wanted.signal });
    }
  }
}

async function attemptOnce(
  wanted: Download,
  partial: PartialFile,
  ask: (headers: Record<string, string>) => Promise<Answer>,
): Promise<Answer> {
  const from = partial.validator === undefined ? 0 : partial.size;
  const answer = await ask({
    'accept-encoding': 'identity',
    'user-agent': 'mnv2-torch',
    // Without If-Range a file that changed meanwhile would be stitched to what there is of the old one.
    ...(from > 0 && { range: `bytes=${from}-`, 'if-range': partial.validator! }),
  });
  try {
    const { status, total } = answer;
    if (status === 416) {
      // There is as much as there can be, or more.
      if (total === partial.size) return answer;
      await partial.restart(undefined);
      throw new Passing('the server has less than was received before');
    }
    if (status !== 200 && status !== 206) throw refusal(answer, wanted);
    if (answer.encoded)
      throw new EnvironmentError(`${wanted.url}: it was sent compressed, though that was not asked for`);
    if (total !== undefined && total > MOST_BYTES) throw tooLarge(wanted, total);
    if (status === 200) await partial.restart(answer.validator);
    else if (answer.start !== partial.size) {
      await partial.restart(undefined);
      throw new Passing('the server sent another part than was asked for');
    }
    for await (const chunk of answer.body) {
      await partial.append(chunk as Buffer);
      if (partial.size > (total ?? MOST_BYTES)) throw tooLarge(wanted, partial.size);
      wanted.onProgress?.(partial.size, total);
    }
    if (total !== undefined && partial.size < total)
      throw new Passing(`it ended after ${partial.size} of ${total} bytes`);
    return answer;
  } finally {
    answer.body.destroy();
  }
}

const tooLarge = ({ url }: Download, bytes: number): DataError =>
  new DataError(`${url}: expected a file of weights of at most ${MOST_BYTES} bytes, got ${bytes}; nothing was kept`, [
    url,
  ]);

function refusal({ status, pause }: Answer, { url, advice }: Download): Error {
  if (status === 408 || status === 429 || status >= 500) return new Passing(`the server answered ${status}`, pause);
  const told = advice ? `. ${advice}` : '';
  return new EnvironmentError(`cannot get ${url}: the server answered ${status}${told}`);
}

/** Compares a file that is all there. */
async function difference(
  { hash: expected }: Download,
  partial: PartialFile,
  served: Answer,
): Promise<string | undefined> {
  const hash = expected ?? served.hash;
  if (!hash) return undefined;
  const hex = await hashOf(partial.path, hash.algorithm);
  if (hex.startsWith(hash.hex)) return undefined;
  return `expected ${hashText(hash)}, got ${partial.size} bytes with ${hashText({ ...hash, hex })}`;
}

/** Errors of connections that the next attempt may not meet. */
const PASSING = new Set([
  ...['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EAI_AGAIN', 'UND_ERR_SOCKET', 'UND_ERR_CONNECT_TIMEOUT'],
  ...['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'],
]);
const codeOf = (error: Error): string => (error as NodeJS.ErrnoException).code ?? '';

function passingOf(error: Error): Passing | undefined {
  const code = codeOf(error);
  return PASSING.has(code) || code.startsWith('HPE_') ? new Passing(error.message, 0, { cause: error }) : undefined;
}

/** In words where the system has a code alone. */
function reasonOf(error: Error): string {
  const code = codeOf(error);
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') return 'the server stopped sending';
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return 'no connection came about';
  return error.message || code || error.name;
}
