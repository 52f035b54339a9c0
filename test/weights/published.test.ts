// The registry of published weights: every entry holds together, and `imagenet` is one file for a network and width.
import { createModel, publishedWeights } from 'mnv2-torch';
import { cachedFile } from '../../dist/weights/cached.js';
import { findPublished, isPublishedName } from '../../dist/weights/published.js';
import { cli } from '../support/cli.ts';

const all = publishedWeights();
const HOSTS = ['download.pytorch.org', 'storage.googleapis.com', 'github.com', 'huggingface.co'];

test.each(all.map((w) => [w.name, w] as const))('%s holds together', (name, weights) => {
  const { arch, widthMult, classes, url, hash, padding, bnEps, top1 } = weights;
  expect(isPublishedName(name)).toBe(true);
  expect(findPublished(name)).toBe(weights);
  const { protocol, host, pathname } = new URL(url);
  expect(protocol).toBe('https:');
  expect(HOSTS).toContain(host);
  expect(createModel(arch, { widthMult, padding, bnEps, numClasses: classes || 1 }).options.widthMult).toBe(widthMult);
  expect(top1).toBeGreaterThan(50);
  expect(top1).toBeLessThan(80);
  if (hash?.from === 'name') expect([hash.algorithm, pathname]).toEqual(['sha256', expect.stringContaining(hash.hex)]);
  else if (hash) expect(hash.hex).toMatch(hash.algorithm === 'sha256' ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{32}$/);
  // Without a hash of its own a file has to come from the host that sends one.
  else expect(host).toBe('storage.googleapis.com');
  if (host === 'huggingface.co') expect(pathname).toMatch(/\/resolve\/[0-9a-f]{40}\//);
});

test('names, addresses and places in the cache differ', () => {
  for (const of of [(w) => w.name, (w) => w.url, cachedFile] as ((w: (typeof all)[number]) => string)[])
    expect(new Set(all.map(of)).size).toBe(all.length);
});

test('imagenet is one file for a network and width, and every width that has files has one', () => {
  const networks = all.map((w) => `${w.arch} ${w.widthMult}`);
  const defaults = all.filter((w) => w.isDefault).map((w) => `${w.arch} ${w.widthMult}`);
  expect([...defaults].sort()).toEqual([...new Set(networks)].sort());
  expect(findPublished('imagenet').name).toBe('torchvision:mobilenet_v2.v1');
  expect(findPublished('imagenet', { arch: 'mobilenet_v1', widthMult: 0.25 }).name).toBe(
    'keras:mobilenet_0.25_224_no_top',
  );
});

test('what is not published is refused with what is', () => {
  expect(() => findPublished('imagenet', { arch: 'mobilenet_v2', widthMult: 0.6 })).toThrow(
    "'imagenet': no weights of mobilenet_v2 are published for width 0.6; there are 0.35, 0.5, 0.75, 1, 1.3, 1.4",
  );
  expect(() => findPublished('torchvision:mobilenet_v2.v3')).toThrow(
    /no weights are published as 'torchvision:mobilenet_v2.v3'\. Did you mean torchvision:mobilenet_v2\.v1\? /,
  );
  expect(() => findPublished('keras:mobilenet_0.5_224_no_top', { arch: 'mobilenet_v1', widthMult: 1 })).toThrow(
    "'keras:mobilenet_0.5_224_no_top' is mobilenet_v1 of width 0.5, not mobilenet_v1 of width 1; use 'imagenet'",
  );
  expect(isPublishedName('./imagenet')).toBe(false);
});

test('weights lists them, a line each, and as JSON', () => {
  const { status, stdout } = cli(['weights']);
  expect(status).toBe(0);
  const lines = stdout.split('\n');
  for (const { name, arch, license } of all) {
    const line = lines.find((l) => l.split(' ')[0] === name);
    expect(line).toContain(arch);
    expect(line).toContain(license);
    expect(line).not.toMatch(/yes$/);
  }
  const rows = JSON.parse(cli(['weights', 'list', '--json']).stdout) as object[];
  expect(rows).toEqual(all.map((w) => expect.objectContaining({ ...w, cached: false })));
});
