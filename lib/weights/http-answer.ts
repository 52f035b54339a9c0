// A server's answer to a download, after redirects, in the terms a download thinks in.
import type { Dispatcher } from 'undici';
import { EnvironmentError } from '../errors.js';
import type { PublishedHash } from './published.js';

export interface Answer {
  readonly status: number;
  /** of the whole file, bytes */
  readonly total: number | undefined;
  /** of the part that is sent, bytes from the file's beginning */
  readonly start: number;
  /** what names this version of the file for If-Range: a strong ETag, else the time of its last change */
  readonly validator: string | undefined;
  /** of the whole file, where the server sends one: Google's storage does */
  readonly hash: Pick<PublishedHash, 'algorithm' | 'hex'> | undefined;
  /** milliseconds the server asks to be left alone */
  readonly pause: number;
  readonly encoded: boolean;
  readonly body: Dispatcher.ResponseData['body'];
}

/** GitHub's and Hugging Face's take two or three. */
const MOST_REDIRECTS = 8;

/** Asks, and asks again where it is sent to. @throws EnvironmentError for a redirect that leads nowhere, or off HTTPS */
export async function answerOf(url: string, ask: (url: string) => Promise<Dispatcher.ResponseData>): Promise<Answer> {
  for (let at = url, hops = 0; ; hops++) {
    const { statusCode, headers, body } = await ask(at);
    // A connection may break while nobody reads; whoever reads then is told.
    body.on('error', () => undefined);
    const { location } = headers;
    if (![301, 302, 303, 307, 308].includes(statusCode) || location === undefined)
      return answer(statusCode, headers, body);
    body.destroy();
    const next = URL.canParse(String(location), at) ? new URL(String(location), at) : undefined;
    if (hops === MOST_REDIRECTS) throw new EnvironmentError(`cannot get ${url}: redirected more than ${hops} times`);
    const lower = next?.protocol !== 'https:' && at.startsWith('https:');
    if (!next || lower || !/^https?:$/.test(next.protocol))
      throw new EnvironmentError(`cannot get ${url}: redirected to ${String(location)}, which is not followed`);
    at = next.href;
  }
}

function answer(
  status: number,
  headers: Dispatcher.ResponseData['headers'],
  body: Dispatcher.ResponseData['body'],
): Answer {
  const one = (name: string): string | undefined => {
    const value = headers[name];
    return Array.isArray(value) ? value.join(',') : value;
  };
  const [, start, whole] = /^bytes (?:(\d+)-\d+|\*)\/(\d+)$/.exec(one('content-range') ?? '') ?? [];
  const length = one('content-length');
  const total = status === 200 ? length : whole;
  const etag = one('etag');
  const strong = etag !== undefined && !etag.startsWith('W/') ? etag : undefined;
  const encoding = one('content-encoding');
  return {
    status,
    total: total === undefined ? undefined : Number(total),
    start: start === undefined ? 0 : Number(start),
    validator: strong ?? one('last-modified'),
    hash: md5Of(one('x-goog-hash')),
    pause: pauseOf(one('retry-after')),
    encoded: encoding !== undefined && encoding !== 'identity',
    body,
  };
}

/** `crc32c=...,md5=<base64>`; objects put together of parts have no MD5. */
function md5Of(header: string | undefined): Answer['hash'] {
  const md5 = /(?:^|[\s,])md5=([A-Za-z0-9+/]{22}==)/.exec(header ?? '')?.[1];
  return md5 === undefined ? undefined : { algorithm: 'md5', hex: Buffer.from(md5, 'base64').toString('hex') };
}

/** Seconds, or a date. */
function pauseOf(header: string | undefined): number {
  if (header === undefined) return 0;
  const wait = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return wait > 0 ? wait : 0;
}
