// Downloads from a real HTTP server: what may go wrong on the way, and that a file appears whole and checked or not at
// all. The command line's are in test/cli/weights.slow.test.ts.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { DataError, EnvironmentError } from 'mnv2-torch';
import { request } from 'undici';
import { download, MOST_BYTES, type Download } from '../../dist/weights/download.js';
import { answerOf } from '../../dist/weights/http-answer.js';
import { Random } from '../../dist/random.js';
import { localServer, redirects, serves, status, type Answer } from '../support/local-server.ts';
import { temporaryFolder } from '../support/temporary.ts';

const random = new Random(3, 'download');
const FILE = Buffer.from(Uint8Array.from({ length: 300_000 }, () => 256 * random.next()));
const sha256 = createHash('sha256').update(FILE).digest('hex');
const HASH = { algorithm: 'sha256', hex: sha256 } as const;
const [HALF, ALL] = [FILE.length / 2, FILE.length];

const server = localServer();
const at = temporaryFolder('download');
const PROXIES = ['http_proxy', 'https_proxy', 'no_proxy'].flatMap((name) => [name, name.toUpperCase()]);
const before = PROXIES.map((name) => [name, process.env[name]] as const);
beforeAll(() => {
  for (const name of PROXIES) delete process.env[name];
});
afterAll(() => {
  for (const [name, value] of before) if (value !== undefined) process.env[name] = value;
});

let cache: string;
beforeEach(() => {
  cache = fs.mkdtempSync(at('cache-'));
});
const target = (): string => path.join(cache, 'sub', 'weights.pth');
const kept = (): string[] => (fs.existsSync(path.dirname(target())) ? fs.readdirSync(path.dirname(target())) : []);

/** Short waits: what is tried is what happens, not when. */
const get = (options: Partial<Download> = {}): Promise<string> =>
  download({
    ...{ url: `${server.url}/weights.pth`, file: target(), hash: HASH, advice: 'Put it there' },
    ...options,
    patience: { tries: 2, pause: 1, stall: 250, ...options.patience },
  });
async function refusal(getting: Promise<unknown>, type: new (message: string) => Error): Promise<string> {
  const error = await getting.then(
    () => undefined,
    (e: unknown) => e as Error,
  );
  expect(error).toBeInstanceOf(type);
  expect(error!.message).not.toContain('\n');
  return error!.message;
}
function expectWhole(): void {
  expect(kept()).toEqual(['weights.pth']);
  expect(fs.readFileSync(target()).equals(FILE)).toBe(true);
}

describe('a file that comes', () => {
  test('whole: its folder is made, its bytes are counted, nothing else stays', async () => {
    server.script(serves(FILE));
    const seen: (number | undefined)[][] = [];
    expect(await get({ onProgress: (...bytes) => seen.push(bytes) })).toBe(`sha256 ${sha256}`);
    expectWhole();
    expect(seen.every(([, total]) => total === ALL)).toBe(true);
    expect(seen.at(-1)).toEqual([ALL, ALL]);
    expect(seen.map(([done]) => done)).toEqual(seen.map(([done]) => done).sort((a, b) => a! - b!));
    expect(server.asked).toEqual(['GET /weights.pth']);
  });

  test('compared with a beginning of its hash', async () => {
    server.script(serves(FILE));
    expect(await get({ hash: { ...HASH, hex: sha256.slice(0, 8) } })).toBe(`sha256 ${sha256.slice(0, 8)}...`);
    expectWhole();
  });

  test('without a hash: compared with the MD5 its server sends, else by its length alone', async () => {
    const md5 = createHash('md5').update(FILE);
    const header = `crc32c=AAAAAA==, md5=${md5.copy().digest('base64')}`;
    server.script(serves(FILE, { headers: { 'x-goog-hash': header } }));
    expect(await get({ hash: undefined })).toBe(`md5 ${md5.digest('hex')}`);
    expectWhole();
    server.script(serves(FILE.subarray(1), { headers: { 'x-goog-hash': header } }));
    const message = await refusal(get({ hash: undefined, file: `${target()}2` }), DataError);
    expect(message).toMatch(/: expected md5 [0-9a-f]{32}, got 299999 bytes with md5 [0-9a-f]{32}; nothing was kept$/);
    server.script(serves(FILE));
    expect(await get({ hash: undefined, file: `${target()}3` })).toBe('its length');
  });

  test('after redirects, with a path or an address', async () => {
    server.script(redirects('/elsewhere'), redirects(`${server.url}/there`), serves(FILE));
    await get();
    expectWhole();
    expect(server.asked).toEqual(['GET /weights.pth', 'GET /elsewhere', 'GET /there']);
  });

  test.each([
    ['503', status(503)],
    ['429 that asks for a pause', status(429, { 'retry-after': '0' })],
    ['a connection that is closed', (request) => request.socket.destroy()],
    ['no answer', () => undefined],
  ] as [string, Answer][])('at the second attempt, after %s', async (_name, first) => {
    server.script(first, serves(FILE));
    await get();
    expectWhole();
    expect(server.asked).toEqual(['GET /weights.pth', 'GET /weights.pth']);
  });
});

describe('a file that breaks off', () => {
  test.each([
    ['the connection breaks', { breaksAfter: HALF }],
    ['nothing more comes', { stallsAfter: HALF }],
  ])('goes on where it broke off: %s', async (_name, broken) => {
    server.script(serves(FILE, broken), serves(FILE));
    await get();
    expectWhole();
    expect(server.asked).toEqual(['GET /weights.pth', `GET /weights.pth from ${HALF}`]);
  });

  test('stays for the next call, which asks for the rest; the bar begins there', async () => {
    server.script(serves(FILE, { breaksAfter: 1000 }));
    const message = await refusal(get(), EnvironmentError);
    expect(message).toMatch(/^cannot get http.*\/weights\.pth: .*, after 2 attempts\. Put it there$/);
    expect(kept()).toEqual([expect.stringMatching(/\.version$/), expect.stringMatching(/\.left\..*\.part$/)]);
    server.script(serves(FILE));
    const seen: number[] = [];
    await get({ onProgress: (done) => seen.push(done) });
    expectWhole();
    expect(server.asked).toEqual(['GET /weights.pth from 2000']);
    expect(Math.min(...seen)).toBeGreaterThan(2000);
  });

  test('is taken from its beginning where the file changed meanwhile', async () => {
    server.script(serves(FILE.subarray(7), { breaksAfter: HALF }), serves(FILE, { version: '"v2"' }));
    await get();
    expectWhole();
    expect(server.asked).toEqual(['GET /weights.pth', `GET /weights.pth from ${HALF}`]);
  });

  test.each<[string, Answer, string]>([
    ['has no name for its version', serves(FILE, { version: null, breaksAfter: HALF }), 'GET /weights.pth'],
    ['knows no parts', serves(FILE, { breaksAfter: HALF }), `GET /weights.pth from ${HALF}`],
  ])('is taken from its beginning from a server that %s', async (_name, first, second) => {
    const plain: Answer = (_request, response) =>
      void response.writeHead(200, { 'content-length': FILE.length }).end(FILE);
    server.script(first, plain);
    await get();
    expectWhole();
    expect(server.asked).toEqual(['GET /weights.pth', second]);
  });

  test('another part than the one asked for is not taken', async () => {
    const other: Answer = (_request, response) =>
      void response.writeHead(206, { 'content-range': `bytes 9-${ALL - 1}/${ALL}` }).end(FILE.subarray(9));
    server.script(serves(FILE, { breaksAfter: HALF }), other, serves(FILE));
    await get({ patience: { tries: 3 } });
    expectWhole();
    expect(server.asked.slice(1)).toEqual([`GET /weights.pth from ${HALF}`, 'GET /weights.pth']);
  });

  test('what was all there already only takes its name', async () => {
    server.script(serves(FILE, { breaksAfter: ALL - 1 }));
    await refusal(get({ patience: { tries: 1 } }), EnvironmentError);
    const left = kept().find((name) => name.endsWith('.part'))!;
    fs.writeFileSync(path.join(cache, 'sub', left), FILE);
    server.script(serves(FILE));
    await get();
    expectWhole();
    expect(server.asked).toEqual([`GET /weights.pth from ${ALL}`]);
  });

  test('what was left behind and is damaged is got again, once', async () => {
    server.script(serves(FILE, { breaksAfter: HALF }));
    await refusal(get({ patience: { tries: 1 } }), EnvironmentError);
    const left = path.join(
      cache,
      'sub',
      kept().find((name) => name.endsWith('.part'))!,
    );
    fs.writeFileSync(left, Buffer.alloc(HALF));
    server.script(serves(FILE));
    await get();
    expectWhole();
    expect(server.asked).toEqual([`GET /weights.pth from ${HALF}`, 'GET /weights.pth']);
  });

  test('of another container: taken on when nobody touched it for a day', async () => {
    const left = path.join(cache, 'sub', 'weights.pth.12-345-0123456789ab.00c0ffee.part');
    fs.mkdirSync(path.dirname(left));
    fs.writeFileSync(left, FILE.subarray(0, HALF));
    fs.writeFileSync(path.join(cache, 'sub', 'weights.pth.00c0ffee.version'), '"v1"');
    server.script(serves(FILE));
    await get();
    expect(server.asked).toEqual(['GET /weights.pth']);
    expect(fs.existsSync(left)).toBe(true);
    const twoDaysAgo = Date.now() / 1000 - 2 * 86_400;
    fs.utimesSync(left, twoDaysAgo, twoDaysAgo);
    server.script(serves(FILE));
    await get();
    expectWhole();
    expect(server.asked).toEqual([`GET /weights.pth from ${HALF}`]);
  });

  test('with a signal: what came of it stays', async () => {
    server.script(serves(FILE, { stallsAfter: HALF }));
    const stop = new AbortController();
    const onProgress = (done: number): void => {
      if (done === HALF) stop.abort();
    };
    await expect(get({ onProgress, signal: stop.signal })).rejects.toThrow(/abort/);
    server.script(serves(FILE));
    await get();
    expectWhole();
    expect(server.asked).toEqual([`GET /weights.pth from ${HALF}`]);
  });
});

describe('a file that does not come', () => {
  test.each<[string, Answer, number, RegExp]>([
    ['404', status(404), 1, /: the server answered 404\. Put it there$/],
    ['403', status(403), 1, /: the server answered 403\. Put it there$/],
    ['503 for ever', status(503), 2, /: the server answered 503, after 2 attempts\. Put it there$/],
    ['503 for an hour', status(503, { 'retry-after': '3600' }), 1, /: the server answered 503\. Put it there$/],
    ['silence', () => undefined, 2, /: the server stopped sending, after 2 attempts\. Put it there$/],
    ['a body that stalls', serves(FILE, { stallsAfter: 9 }), 2, /: the server stopped sending, after 2 attempts\. /],
    ['redirects without an end', redirects('/again'), 9, /: redirected more than 8 times$/],
    ['a redirect to a file', redirects('file:///etc/passwd'), 1, /: redirected to file:\S+, which is not followed$/],
    ['compression', serves(FILE, { headers: { 'content-encoding': 'gzip' } }), 1, /: it was sent compressed, /],
  ])('%s', async (_name, answer, requests, message) => {
    server.script(answer);
    expect(await refusal(get(), EnvironmentError)).toMatch(message);
    expect(server.asked).toHaveLength(requests);
    expect(kept()).not.toContain('weights.pth');
  });

  test('where nobody listens, said at once', async () => {
    const message = await refusal(get({ url: 'http://127.0.0.1:9/weights.pth' }), EnvironmentError);
    expect(message).toBe('cannot get http://127.0.0.1:9/weights.pth: connect ECONNREFUSED 127.0.0.1:9. Put it there');
  });

  test('a redirect from HTTPS to HTTP is not followed', async () => {
    server.script(redirects(`${server.url}/plain`), serves(FILE));
    // The answer is this server's; what was asked has to be told to be safe, which it is not here.
    const asking = answerOf('https://safe.example/weights.pth', () => request(`${server.url}/weights.pth`));
    expect(await refusal(asking, EnvironmentError)).toMatch(
      /redirected to http:\/\/\S+\/plain, which is not followed$/,
    );
  });

  test('another file than the one published: nothing of it is kept', async () => {
    server.script(serves(FILE.subarray(1)));
    expect(await refusal(get(), DataError)).toMatch(
      new RegExp(`: expected sha256 ${sha256}, got 299999 bytes with sha256 [0-9a-f]{64}; nothing was kept$`),
    );
    expect(kept()).toEqual([]);
  });

  test('one too large for weights of ours, told or found while it comes', async () => {
    const huge: Answer = (_request, response) =>
      void response.writeHead(200, { 'content-length': MOST_BYTES + 1 }).write('x');
    server.script(huge);
    expect(await refusal(get(), DataError)).toMatch(/at most 134217728 bytes, got 134217729; nothing was kept$/);
    expect(kept()).toEqual([]);
  });

  test('nowhere to write it', async () => {
    fs.writeFileSync(path.join(cache, 'sub'), 'a file where the folder would be');
    server.script(serves(FILE));
    const message = await refusal(get(), EnvironmentError);
    expect(message).toMatch(/^cannot write .*weights\.pth: E\w+: .*; XDG_CACHE_HOME names another cache$/);
    expect(server.asked).toEqual([]);
  });
});
