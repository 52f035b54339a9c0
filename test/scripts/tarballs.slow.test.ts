// What is published, in an empty project on a machine without a compiler: two tarballs, `setup`, `predict`; and the same
// project moved elsewhere. Only what package.json calls a dependency is there beside them.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { smallCheckpoint } from '../support/checkpoint.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('tarballs');
interface Package {
  name: string;
  dependencies?: Record<string, string>;
}
const described = (folder: string): Package =>
  JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8')) as Package;
const run = (command: string, args: string[], options: object = {}) => {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', ...options });
  return { status, stdout, stderr };
};

/** Packs a folder and unpacks it as npm does on installing. */
function install(folder: string, project: string): string {
  const packed = run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', at(), folder]);
  expect([packed.status, packed.stderr]).toEqual([0, '']);
  const target = path.join(project, 'node_modules', described(folder).name);
  fs.mkdirSync(target, { recursive: true });
  expect(run('tar', ['-xzf', at(packed.stdout.trim()), '--strip-components=1', '-C', target]).status).toBe(0);
  return target;
}

test('setup and predict without a compiler; the same after the project was moved', async () => {
  const project = at('project');
  const made = run(process.execPath, ['scripts/prebuild.js']);
  expect([made.status, made.stderr]).toEqual([0, '']);
  const installed = install('.', project);
  expect(fs.existsSync(path.join(installed, 'test'))).toBe(false);
  install(path.resolve(made.stdout.trim()), project);
  for (const name of Object.keys(described(installed).dependencies ?? {})) {
    fs.mkdirSync(path.dirname(path.join(project, 'node_modules', name)), { recursive: true });
    fs.symlinkSync(path.resolve('node_modules', name), path.join(project, 'node_modules', name));
  }
  // The whole PATH: Node, and a shell.
  fs.mkdirSync(at('bin'));
  fs.symlinkSync(process.execPath, at('bin/node'));
  fs.symlinkSync('/bin/sh', at('bin/sh'));
  const { libtorch } = JSON.parse(fs.readFileSync('build/setup.json', 'utf8')) as { libtorch: { root: string } };
  const env = { PATH: at('bin'), HOME: at('home'), LIBTORCH: libtorch.root };
  const cli = (cwd: string, ...args: string[]) =>
    run(process.execPath, ['node_modules/mnv2-torch/bin/mnv2-torch.js', ...args], { cwd, env });

  expect(cli(project, 'setup')).toEqual({
    status: 0,
    stdout: '',
    stderr: expect.stringMatching(/Using the prebuilt addon of @mnv2-torch\/.*\nReady: /) as string,
  });
  await smallCheckpoint(path.join(project, 'model.safetensors'));
  fs.writeFileSync(
    path.join(project, 'photo.svg'),
    '<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32"><rect width="32" height="32" fill="teal"/></svg>',
  );
  const predict = (cwd: string) => cli(cwd, 'predict', 'model.safetensors', 'photo.svg', '--json');
  const answer = predict(project);
  expect([answer.status, answer.stderr]).toEqual([0, '']);
  const { predictions } = JSON.parse(answer.stdout) as { predictions: { probability: number }[] };
  expect(predictions[0]!.probability).toBeGreaterThan(0);

  const moved = at('elsewhere/project');
  fs.mkdirSync(path.dirname(moved));
  fs.renameSync(project, moved);
  expect(predict(moved)).toEqual(answer);
});
