// Published weights as a program gets them: proxies, a mirror, what lies in the cache already. Processes side by side
// and a whole training are in test/cli/weights.slow.test.ts.
import fs from 'node:fs';
import path from 'node:path';
import { DataError, loadCheckpoint, publishedWeights, pullWeights, UsageError } from 'mnv2-torch';
import { localServer, serves } from '../support/local-server.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('pull');
const server = localServer();
/** Nobody states a hash of it: any bytes will do. */
const NAME = 'keras:mobilenet_0.25_224_no_top';
const { url } = publishedWeights().find((w) => w.name === NAME)!;
const PATH = new URL(url).pathname;
const BYTES = Buffer.from('<html>Please sign in</html>');

const NAMES = ['http_proxy', 'https_proxy', 'no_proxy'].flatMap((name) => [name, name.toUpperCase()]);
const VARIABLES = [...NAMES, 'XDG_CACHE_HOME', 'MNV2_WEIGHTS_MIRROR'];
const before = VARIABLES.map((name) => [name, process.env[name]] as const);
function set(variables: Record<string, string>): void {
  for (const name of VARIABLES) delete process.env[name];
  Object.assign(process.env, variables);
}
afterAll(() => {
  set(Object.fromEntries(before.filter(([, value]) => value !== undefined)) as Record<string, string>);
});

let cache: Record<'XDG_CACHE_HOME', string>;
const placeOf = (file: string): string => path.join(cache.XDG_CACHE_HOME, 'mnv2-torch', 'weights', file);
beforeEach(() => {
  cache = { XDG_CACHE_HOME: fs.mkdtempSync(at('cache-')) };
  server.script(serves(BYTES));
});

test('a mirror is asked for the publisher’s path, once; what is there is taken', async () => {
  set({ ...cache, MNV2_WEIGHTS_MIRROR: `${server.url}/some/mirror/` });
  const file = placeOf('keras-mobilenet_0.25_224_no_top.h5');
  const seen: number[] = [];
  const pulled = await pullWeights(NAME, { onProgress: (done) => seen.push(done) });
  expect(pulled).toEqual({ weights: expect.objectContaining({ name: NAME }), file, checked: 'its length' });
  expect(seen).toEqual([BYTES.length]);
  expect(fs.readFileSync(file)).toEqual(BYTES);
  const again = await pullWeights('imagenet', { arch: 'mobilenet_v1', widthMult: 0.25 });
  expect(again).toEqual({ weights: pulled.weights, file });
  expect(server.asked).toEqual([`GET /some/mirror${PATH}`]);

  // What no hash told apart and is no file of weights is not there for ever.
  const loading = loadCheckpoint(NAME);
  await expect(loading).rejects.toThrow(DataError);
  await expect(loading).rejects.toThrow(`(remove ${file} to get ${NAME} again)`);
});

test('a file in the cache that is not the published one, put there by hand or damaged, is refused', async () => {
  set({ ...cache, MNV2_WEIGHTS_MIRROR: server.url });
  const byHand = placeOf('torchvision-mobilenet_v2.v1.pth');
  fs.mkdirSync(path.dirname(byHand), { recursive: true });
  fs.writeFileSync(byHand, BYTES);
  await expect(pullWeights('imagenet')).rejects.toThrow(
    /^\S+\.v1\.pth is not torchvision:mobilenet_v2\.v1: expected sha256 b0353104\.\.\., found sha256 [0-9a-f]{64}; remove it to get it again$/,
  );
  expect(server.asked).toEqual([]);
});

describe('proxies', () => {
  test('HTTPS goes through a tunnel', async () => {
    set({ ...cache, HTTPS_PROXY: server.url });
    await expect(pullWeights(NAME)).rejects.toThrow(`cannot get ${url}: Proxy response (403)`);
    expect(new Set(server.asked)).toEqual(new Set(['CONNECT storage.googleapis.com:443']));
  });
  test('HTTP is asked of them', async () => {
    const mirror = 'http://mirror.invalid/files';
    set({ ...cache, http_proxy: server.url, MNV2_WEIGHTS_MIRROR: mirror });
    await pullWeights(NAME);
    expect(server.asked).toEqual([`GET ${mirror}${PATH}`]);
  });
  test('NO_PROXY is asked itself', async () => {
    set({ ...cache, HTTP_PROXY: 'http://127.0.0.1:9', NO_PROXY: '127.0.0.1', MNV2_WEIGHTS_MIRROR: server.url });
    await pullWeights(NAME);
    expect(server.asked).toEqual([`GET ${PATH}`]);
  });
});

test.each([
  ['HTTPS_PROXY', 'no address', 'HTTP_PROXY, HTTPS_PROXY: expected addresses such as http://proxy.example:3128'],
  ['HTTP_PROXY', 'socks5://user:secret@x', 'HTTP_PROXY, HTTPS_PROXY: expected addresses such as '],
  ['MNV2_WEIGHTS_MIRROR', 'ftp://x', 'MNV2_WEIGHTS_MIRROR: expected an address such as https://'],
  ['MNV2_WEIGHTS_MIRROR', 'https://user:secret@x', 'MNV2_WEIGHTS_MIRROR: expected an address such as https://'],
])('%s=%s is refused, and not repeated', async (name, value, message) => {
  set({ ...cache, [name]: value });
  const error = await pullWeights(NAME).catch((e: unknown) => e as Error);
  expect(error).toBeInstanceOf(UsageError);
  expect((error as Error).message).toContain(message);
  expect((error as Error).message).not.toContain(value);
});
