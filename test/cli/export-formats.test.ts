// `mnv2-torch export` to TorchScript and to other libraries' state dicts, as child processes.
import fs from 'node:fs';
import { ScriptModule } from '../../dist/export/script-module.js';
import { cli } from '../support/cli.ts';
import { exportCheckpoint } from '../support/export-checkpoint.ts';
import { pictures } from '../support/own-checkpoint.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('export-cli');
const checkpoint = at('best.safetensors');
beforeAll(async () => {
  await exportCheckpoint(checkpoint);
});

test('torchscript: beside the checkpoint, tried by libtorch', async () => {
  const { status, stdout, stderr } = cli(['export', checkpoint, '--format', 'torchscript']);
  expect([status, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/best\.pt: \d+\.\d MB\nlibtorch .* on 16 pictures of noise .*: probabilities differ by up to/);
  expect(JSON.parse(fs.readFileSync(at('best.pt.parity.json'), 'utf8'))).toMatchObject({ agrees: true });
  using script = new ScriptModule(fs.readFileSync(at('best.pt')));
  const { data, shape } = await script.run(pictures(1, 32));
  expect(shape).toEqual([1, 5]);
  expect((data as Float32Array).reduce((a, b) => a + b)).toBeCloseTo(1, 5);
});

test('safetensors: says which model loads it', () => {
  const { status, stdout } = cli([
    'export',
    checkpoint,
    '--format',
    'safetensors',
    '--names',
    'timm',
    '--dtype',
    'bf16',
  ]);
  expect(status).toBe(0);
  expect(stdout).toContain("loads strictly into timm.create_model('mobilenetv2_035', num_classes=5)");
  expect(fs.statSync(at('best.timm.safetensors')).size).toBeLessThan(0.6 * fs.statSync(checkpoint).size);
});

test.each([
  [['--format', 'torchscript', '--dtype', 'fp16'], 2, /--dtype: expected fp32 for --format torchscript, got fp16/],
  [['--format', 'onnx', '--dtype', 'bf16'], 2, /--dtype: expected fp32 or fp16 for --format onnx, got bf16/],
  [['--format', 'onnx', '--names', 'timm'], 2, /--names is for --format safetensors, not for onnx/],
  [['--format', 'safetensors', '--raw'], 2, /--raw is for --format onnx or torchscript, not for safetensors/],
  [['--format', 'torchscript', '-o', 'nowhere/x.pt'], 4, /cannot write nowhere\/x\.pt: ENOENT/],
] as const)('%j is refused', (args, code, message) => {
  const { status, stderr } = cli(['export', checkpoint, ...args]);
  expect([status, stderr]).toEqual([code, expect.stringMatching(message)]);
});
