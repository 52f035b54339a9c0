// Published weights on the command line, from a real server by way of the mirror variable: got once, checked, trained
// with. What may go wrong on the way is told apart in test/weights/download.test.ts.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { loadCheckpoint, publishedWeights, readSafetensors } from 'mnv2-torch';
import { startCli, type Ended } from '../support/cli.ts';
import { imageFolder } from '../support/image-folder.ts';
import { hdf5, writeLegacy, type KerasLayers } from '../support/keras-file.ts';
import { renamed } from '../support/library-names.ts';
import { localServer, redirects, serves, status, type Answer } from '../support/local-server.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('weights');
const server = localServer();

// Keras states no hash of this one: what its server sends is what it is compared with, and a test's file may be it.
const NAME = 'keras:mobilenet_0.25_224_no_top';
const SMALL = ['--arch', 'mobilenet_v1', '--width', '0.25'];
const { url } = publishedWeights().find((w) => w.name === NAME)!;
const PATH = new URL(url).pathname;
const BACKBONE = kerasBackbone();
const MD5 = createHash('md5').update(BACKBONE).digest();
const HASHED = { 'x-goog-hash': `md5=${MD5.toString('base64')}` };

/** MobileNetV1 of that width with its first weights, as Keras saves it without its classifier. */
function kerasBackbone(): Buffer {
  const layers: KerasLayers = {};
  for (const [name, { data, shape }] of renamed('mobilenet_v1', { widthMult: 0.25 }, 'Keras')) {
    const [layer, kind] = name.replace(/:0$/, '').split('/') as [string, string];
    if (layer !== 'conv_preds') (layers[layer] ??= {})[kind] = { data: data as Float32Array, shape: [...shape] };
  }
  return hdf5((root) => writeLegacy(root, layers));
}

let cache: string;
beforeEach(() => {
  cache = fs.mkdtempSync(at('cache-'));
});
const weightsFolder = (): string => path.join(cache, 'mnv2-torch', 'weights');
const cached = (): string[] => (fs.existsSync(weightsFolder()) ? fs.readdirSync(weightsFolder()).sort() : []);
const FILE = 'keras-mobilenet_0.25_224_no_top.h5';

const NO_PROXIES = Object.fromEntries(
  ['http_proxy', 'https_proxy', 'no_proxy'].flatMap((name) => [name, name.toUpperCase()]).map((n) => [n, undefined]),
);
const start = (args: readonly string[], env: Record<string, string | undefined> = {}, cwd = at()) =>
  startCli(args, {
    env: { ...NO_PROXIES, XDG_CACHE_HOME: cache, MNV2_WEIGHTS_MIRROR: `${server.url}/mirror/`, ...env },
    cwd,
  });
const run = (...all: Parameters<typeof start>): Promise<Ended> => start(...all).ended;

test('train --weights imagenet: through hiccups, with a bar, once for all projects, as Keras built it', async () => {
  const [one, other] = [at('one'), at('other')];
  for (const folder of [one, other]) fs.mkdirSync(folder);
  await imageFolder(at('photos'), { classes: ['cat', 'dog'], perClass: 4 });
  server.script(
    status(503, { 'retry-after': '0' }),
    redirects('/there'),
    serves(BACKBONE, { breaksAfter: 500_000 }),
    serves(BACKBONE, { headers: HASHED }),
  );
  const data = ['--size', '32', '--epochs', '1', '--device', 'cpu', '--no-report'];
  const train = ['train', at('photos'), '--weights', 'imagenet', ...SMALL, ...data, '--out', 'run'];
  const first = await run(train, {}, one);
  expect([first.status, first.stderr]).toEqual([0, expect.stringMatching(/imagenet: 100%\|█+\| (\d\.\d)\/\1 \[/)]);
  expect(server.asked).toEqual([
    ...[`GET /mirror${PATH}`, `GET /mirror${PATH}`, 'GET /there'],
    ...[`GET /mirror${PATH} from 500000`],
  ]);
  expect(cached()).toEqual([FILE]);
  expect(fs.readFileSync(path.join(weightsFolder(), FILE)).equals(BACKBONE)).toBe(true);
  const config = JSON.parse(fs.readFileSync(path.join(one, 'run/config.json'), 'utf8')) as object;
  expect(config).toMatchObject({ weights: NAME, arch: 'mobilenet_v1' });
  const { options, preprocess } = await loadCheckpoint(path.join(one, 'run'));
  expect(options).toMatchObject({ widthMult: 0.25, padding: 'tf-same', bnEps: 1e-3 });
  expect(preprocess).toEqual({ size: 32, scale: 'x/127.5-1' });

  // In another project, with nobody to ask: from the cache, and as its config.json has it.
  server.script(status(404));
  const offline = { MNV2_WEIGHTS_MIRROR: 'http://127.0.0.1:9' };
  const [again, imported, list] = await Promise.all([
    run(['train', '--config', path.join(one, 'run/config.json'), '--out', 'run', '--no-report'], offline, other),
    run(['import', 'imagenet', ...SMALL], offline, other),
    run(['weights', 'list'], offline, other),
  ]);
  expect(again.status).toBe(0);
  expect(again.stderr).not.toContain('MiB');
  const best = (folder: string): Buffer => fs.readFileSync(path.join(folder, 'best.safetensors'));
  expect(best(path.join(other, 'run')).equals(best(path.join(one, 'run')))).toBe(true);
  expect(imported).toMatchObject({ status: 0, stderr: '' });
  expect(imported.stdout).toContain(`${NAME}, published under Apache-2.0\nKeras's names: mobilenet_v1, width 0.25\n`);
  expect(imported.stdout).toContain(
    'padding tf-same, BatchNorm eps 0.001, preprocess {"size":224,"scale":"x/127.5-1"}',
  );
  const { metadata } = await readSafetensors(path.join(other, FILE.replace('.h5', '.safetensors')));
  expect(metadata).toMatchObject({ source: url, license: 'Apache-2.0', padding: 'tf_same' });
  expect(list.stdout.split('\n').filter((line) => line.endsWith(' yes'))).toEqual([
    expect.stringMatching(
      /^keras:mobilenet_0\.25_224_no_top \* .*mobilenet_v1 .*0\.25 .*50\.6 .*Apache-2\.0 .*server's md5/,
    ),
  ]);
  expect(server.asked).toEqual([]);
});

test('weights pull says what it compared; a second one that it was there', async () => {
  server.script(serves(BACKBONE, { headers: HASHED }));
  const file = path.join(weightsFolder(), FILE);
  const pull = ['weights', 'pull', NAME, '--quiet'];
  const checked = `checked by md5 ${MD5.toString('hex')}; no hash of it is published`;
  expect(await run(pull)).toMatchObject({
    status: 0,
    stdout: `${NAME} (Apache-2.0): ${file}\n${checked}\n`,
    stderr: '',
  });
  const json = await run([...pull, '--json']);
  expect(JSON.parse(json.stdout)).toMatchObject({ weights: { name: NAME, url }, file });
  expect(server.asked).toHaveLength(1);
});

test('another file than the published one: exit code 4, nothing is kept, no training begins', async () => {
  server.script(serves(BACKBONE));
  const { status: code, stderr } = await run(['train', '--weights', 'imagenet', '--quiet']);
  expect([code, stderr]).toEqual([
    4,
    expect.stringMatching(/^mnv2-torch: http:\S+\.pth: expected sha256 b0353104\.\.\., got \d+ bytes with sha256 /),
  ]);
  expect(cached()).toEqual([]);
  expect(server.asked).toEqual(['GET /mirror/models/mobilenet_v2-b0353104.pth']);
});

test('offline it says which file to put where', async () => {
  const env = { HTTPS_PROXY: 'http://127.0.0.1:9', MNV2_WEIGHTS_MIRROR: undefined };
  const { status: code, stderr } = await run(['weights', 'pull', 'torchvision:mobilenet_v3_small.v1'], env);
  const published = 'https://download.pytorch.org/models/mobilenet_v3_small-047dcff4.pth';
  expect([code, stderr]).toEqual([
    3,
    `mnv2-torch: cannot get ${published}: connect ECONNREFUSED 127.0.0.1:9. Without a way there, ` +
      `get ${published} (sha256 047dcff4...) elsewhere and put it at ` +
      `${path.join(weightsFolder(), 'torchvision-mobilenet_v3_small.v1.pth')}; ` +
      'HTTPS_PROXY names a proxy, MNV2_WEIGHTS_MIRROR a mirror\n',
  ]);
});

test('a pull of nothing and a list of one are refused', async () => {
  const [pull, list] = await Promise.all([run(['weights', 'pull']), run(['weights', 'list', 'imagenet'])]);
  expect([pull.status, pull.stderr]).toEqual([
    2,
    "mnv2-torch: weights pull: expected a name, such as 'imagenet'; 'mnv2-torch weights' lists them all\n",
  ]);
  expect([list.status, list.stderr]).toEqual([2, "mnv2-torch: weights list: takes no name, got 'imagenet'\n"]);
});

test('two processes at once both have it, and one file stays', async () => {
  const waiting: (() => void)[] = [];
  // Nobody is answered before both have asked.
  const together: Answer = (request, response) => {
    waiting.push(() => serves(BACKBONE, { headers: HASHED })(request, response));
    if (waiting.length === 2) for (const answer of waiting) answer();
  };
  server.script(together);
  const pull = ['weights', 'pull', NAME, '--quiet'];
  const ended = await Promise.all([run(pull), run(pull)]);
  expect(ended.map(({ status: code, stderr }) => [code, stderr])).toEqual([
    [0, ''],
    [0, ''],
  ]);
  expect(cached()).toEqual([FILE]);
  expect(fs.readFileSync(path.join(weightsFolder(), FILE)).equals(BACKBONE)).toBe(true);
});

test('a process that is killed leaves its part to the next one', async () => {
  server.script(serves(BACKBONE, { stallsAfter: 400_000 }));
  const pull = ['weights', 'pull', NAME, '--quiet'];
  const { child, ended } = start(pull);
  const part = (): number =>
    cached()
      .filter((name) => name.endsWith('.part'))
      .reduce((sum, name) => sum + fs.statSync(path.join(weightsFolder(), name)).size, 0);
  while (part() < 400_000) await new Promise((resolve) => setTimeout(resolve, 20));
  child.kill('SIGKILL');
  await ended;
  expect(cached()).not.toContain(FILE);
  server.script(serves(BACKBONE, { headers: HASHED }));
  expect((await run(pull)).status).toBe(0);
  expect(server.asked).toEqual([`GET /mirror${PATH} from 400000`]);
  expect(cached()).toEqual([FILE]);
});
