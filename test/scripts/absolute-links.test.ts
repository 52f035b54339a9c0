// What a release makes of README's links: absolute, to files that are there; on a copy of the README and package.json.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('links');
const LINK = /\]\(([^)\s]+)\)/g;
const links = (text: string): string[] => [...text.matchAll(LINK)].map((m) => m[1]!);
const run = (env: Record<string, string>) =>
  spawnSync(process.execPath, [at('scripts/absolute-links.js')], { encoding: 'utf8', env });
const TAG = { GITHUB_REPOSITORY: 'someone/mnv2-torch', GITHUB_REF_NAME: 'v1.2.3' };

beforeEach(() => {
  for (const part of [
    'scripts/absolute-links.js',
    'README.md',
    'package.json',
    'docs',
    'examples',
    'bench/README.md',
    'ARCHITECTURE.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    'LICENSE',
  ])
    fs.cpSync(part, at(part), { recursive: true });
});

test('relative links and pictures lead to the repository at the tag; package.json names it', () => {
  const before = links(fs.readFileSync('README.md', 'utf8')).filter((l) => !/^([a-z]+:|#)/.test(l));
  expect(before).toContain('docs/training.svg');
  expect(run(TAG)).toMatchObject({ status: 0, stderr: '' });
  const text = fs.readFileSync(at('README.md'), 'utf8');
  expect(links(text).filter((l) => !/^(https:|#)/.test(l))).toEqual([]);
  expect(text).toContain('](https://github.com/someone/mnv2-torch/raw/v1.2.3/docs/training.svg)');
  expect(text).toContain('](https://github.com/someone/mnv2-torch/blob/v1.2.3/ARCHITECTURE.md)');
  const { repository, ...rest } = JSON.parse(fs.readFileSync(at('package.json'), 'utf8')) as { repository: object };
  expect(repository).toEqual({ type: 'git', url: 'git+https://github.com/someone/mnv2-torch.git' });
  expect({ ...rest }).toEqual(JSON.parse(fs.readFileSync('package.json', 'utf8')));
  expect(run(TAG).status).toBe(0);
  expect(fs.readFileSync(at('README.md'), 'utf8')).toBe(text);
});

test('a link to nothing and a repository nobody named are refused', () => {
  fs.appendFileSync(at('README.md'), '[gone](docs/gone.md)\n');
  expect(run(TAG)).toMatchObject({ status: 1, stderr: expect.stringContaining('docs/gone.md') as string });
  expect(run({})).toMatchObject({ status: 2, stderr: expect.stringContaining('GITHUB_REPOSITORY') as string });
});
