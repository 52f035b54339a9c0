// Makes the package of the addon that set-up built here: @mnv2-torch/<platform>-<arch>-torch-<version>-<cpu|cudaN>, with
// the addon and what it was built from, and no libtorch. Set-up uses it where it fits and works. Prints its folder.
import fs from 'node:fs';
import path from 'node:path';
import { prebuiltName } from './setup/addon.js';
import { ROOT } from './setup/session.js';

const { version, license, repository } = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
const work = path.join(ROOT, 'build');
const { libtorch, sources, addon } = JSON.parse(fs.readFileSync(path.join(work, 'setup.json'), 'utf8'));
const name = prebuiltName(libtorch);
const folder = path.join(work, 'prebuilt', name);
const json = (file, value) => fs.writeFileSync(path.join(folder, file), `${JSON.stringify(value, null, 2)}\n`);

fs.rmSync(folder, { recursive: true, force: true });
fs.mkdirSync(folder, { recursive: true });
fs.copyFileSync(path.resolve(work, addon), path.join(folder, 'mnv2_torch.node'));
fs.copyFileSync(path.join(ROOT, 'LICENSE'), path.join(folder, 'LICENSE'));
json('facts.json', { sources, libtorch: libtorch.version, cuda: libtorch.cudaMajor ?? null });
json('package.json', {
  name,
  version,
  description: `The addon of mnv2-torch for libtorch ${libtorch.version}`,
  license,
  repository,
  os: [process.platform],
  cpu: [process.arch],
  libc: ['glibc'],
  files: ['mnv2_torch.node', 'facts.json'],
});
console.log(path.relative(process.cwd(), folder));
