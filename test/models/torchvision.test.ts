// MobileNet V3 beside torchvision's own: names, shapes and outputs. torch and torchvision run in a Python of their own
// (`python3`, or what PYTHON names); without them the tests are skipped, and the title says so.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { compile, createModel, input, loadWeights, readSafetensors, Weights, type Arch } from 'mnv2-torch';
import { findPython } from '../support/python.ts';
import { temporaryFolder } from '../support/temporary.ts';

const [python, without] = findPython('torch', 'torchvision');
(without ? describe.skip : describe)(`MobileNet V3 beside torchvision’s${without}`, () => {
  const at = temporaryFolder('torchvision');
  const networks: [Arch, number][] = [
    ['mobilenet_v3_small', 1],
    ['mobilenet_v3_small', 0.35],
    ['mobilenet_v3_large', 1],
    ['mobilenet_v3_large', 1.5],
  ];
  const file = (arch: string, width: number): string => at(`${arch}-${width}.safetensors`);
  beforeAll(() => {
    const script = path.resolve('test/support/torchvision_mobilenet_v3.py');
    const names = networks.map(([arch, width]) => `${arch}-${width}`);
    const { status, stderr } = spawnSync(python, [script, at(), ...names], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${python} ${script}:\n${stderr}`);
  }, 120_000);

  test.each(networks)('%s, width %d: its names, shapes and logits', async (arch, widthMult) => {
    const { tensors } = await readSafetensors(file(arch, widthMult));
    const [image, logits] = [tensors.get('test.image')!, tensors.get('test.logits')!];
    tensors.delete('test.image');
    tensors.delete('test.logits');
    const model = createModel(arch, { widthMult, numClasses: 11 }).eval();
    expect([...model.namedParameters()].map(([name, { shape }]) => [name, shape])).toEqual(
      [...tensors].map(([name, { shape }]) => [name, shape]),
    );
    using weights = await Weights.init(model);
    await loadWeights(weights, model, tensors, { strict: true });
    const expected = Array.from<number | bigint, number>(logits.data, Number);
    const largest = Math.max(...expected.map(Math.abs));
    for (const fuse of [true, false]) {
      using program = compile({ y: model.call(input('x', [-1, 3, 96, 96])) }, { weights, fuse });
      const { y } = await program.run({ x: image });
      const off = expected.map((v, i) => Math.abs(v - Number(y!.data[i])));
      expect(Math.max(...off) / largest).toBeLessThan(1e-4);
    }
  });
});
