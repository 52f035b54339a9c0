// Networks that Python's libraries built and saved: read as they are, each computes what it did there. The libraries run
// in a Python of their own (`python3`, or what PYTHON names); those that are not there are skipped, and the title says so.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { compile, createModel, input, loadCheckpoint, loadWeights, Weights, type Arch } from 'mnv2-torch';
import { decodeImage } from '../../dist/data/image-input.js';
import { requireData } from '../support/data.ts';
import { planes } from '../support/networks.ts';
import { findPython } from '../support/python.ts';
import { temporaryFolder } from '../support/temporary.ts';

const SIZE = 128;
const IMAGES = 16;
const NETWORKS = {
  torchvision: [
    ['mobilenet_v2', 'mobilenet_v2', 'pth'],
    ['mobilenet_v3_small', 'mobilenet_v3_small', 'pth'],
    ['mobilenet_v3_large', 'mobilenet_v3_large', 'pth'],
  ],
  timm: [
    ['mobilenetv1_100', 'mobilenet_v1', 'safetensors'],
    ['mobilenetv2_100', 'mobilenet_v2', 'pth'],
    ['mobilenetv2_140', 'mobilenet_v2', 'safetensors'],
    ['mobilenetv3_small_100', 'mobilenet_v3_small', 'safetensors'],
    ['mobilenetv3_large_100', 'mobilenet_v3_large', 'pth'],
  ],
  keras: [
    ['MobileNet', 'mobilenet_v1', 'weights.h5'],
    ['MobileNetV2', 'mobilenet_v2', 'h5'],
    ['MobileNetV2', 'mobilenet_v2', 'keras'],
    ['MobileNetV3Small', 'mobilenet_v3_small', 'weights.h5'],
    ['MobileNetV3Large', 'mobilenet_v3_large', 'weights.h5'],
  ],
} as const;

const NEEDED = {
  torchvision: ['torch', 'torchvision'],
  timm: ['torch', 'timm', 'safetensors'],
  keras: ['keras', 'h5py'],
};
for (const library of ['torchvision', 'timm', 'keras'] as const) {
  const [python, , why] = findPython(...NEEDED[library]);
  requireData(
    `${library}’s logits on real images within 1e-4`,
    (file) => {
      const at = temporaryFolder(`peers-${library}`);
      const fileOf = (name: string, ending: string): string => `${name}.${ending}`;
      let pixels: Uint8Array;
      beforeAll(async () => {
        const scenes = fs.readdirSync(file('ucmerced')).sort().slice(0, IMAGES);
        const images = await Promise.all(
          scenes.map((name) => decodeImage(file('ucmerced', name, `${name}07.jpg`), SIZE)),
        );
        pixels = Buffer.concat(images);
        fs.writeFileSync(at('images.raw'), pixels);
        const script = path.resolve('test/support/peer_networks.py');
        const networks = NETWORKS[library].map(([name, , ending]) => `${library}:${name}:${fileOf(name, ending)}`);
        const { status, stderr } = spawnSync(python, [script, at(), String(SIZE), ...networks], { encoding: 'utf8' });
        if (status !== 0) throw new Error(`${python} ${script}:\n${stderr}`);
      }, 240_000);

      test.each(NETWORKS[library])('%s (%s, .%s)', async (name, arch, ending) => {
        const saved = at(fileOf(name, ending));
        const { tensors, options, preprocess, ...read } = await loadCheckpoint(saved);
        expect(read.arch).toBe(arch);
        expect(options.numClasses).toBe(11);
        const model = createModel(arch as Arch, options).eval();
        using weights = await Weights.init(model);
        await loadWeights(weights, model, tensors, { strict: true });
        using program = compile({ y: model.call(input('x', [-1, 3, SIZE, SIZE])) }, { weights });
        const { y } = await program.run({
          x: planes({ data: pixels, shape: [IMAGES, SIZE, SIZE, 3] }, preprocess!),
        });
        const bytes = fs.readFileSync(`${saved}.logits`);
        const theirs = Float32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
        expect(theirs).toHaveLength(IMAGES * 11);
        // Not all the same, or any network would agree.
        expect(Math.max(...theirs) - Math.min(...theirs)).toBeGreaterThan(0.1);
        const off = Array.from(theirs, (v, i) => Math.abs(v - Number(y!.data[i])));
        expect(Math.max(...off)).toBeLessThan(1e-4);
      });
    },
    why,
  );
}
