// Networks of one's own, trained, saved and exported: the graph is what is exported, not the name.
import fs from 'node:fs';
import {
  BatchNorm2d,
  completeCheckpoint,
  concat,
  Conv2d,
  constant,
  createModel,
  exportOnnx,
  exportSafetensors,
  exportTorchScript,
  globalAveragePool,
  ImageFolder,
  Linear,
  loadCheckpoint,
  maxPool2d,
  MobileNet,
  Module,
  mul,
  ParityError,
  silu,
  slice,
  Trainer,
  type CompleteCheckpoint,
  type Parity,
  type Tensor,
} from 'mnv2-torch';
import { cli } from '../support/cli.ts';
import { exportCheckpoint } from '../support/export-checkpoint.ts';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('own-network');

/** Branches that meet again, a residual, parts in a list, a constant. */
class Mine extends Module {
  readonly stem = new Conv2d(3, 8, 3, { stride: 2, padding: 'tf-same', bias: false });
  readonly norm = new BatchNorm2d(8);
  readonly branches = [new Conv2d(4, 4, 1), new Conv2d(4, 4, 3, { padding: 1 })];
  readonly head = new Linear(16, 2);
  forward(image: Tensor): Tensor {
    const x = silu(this.norm.call(this.stem.call(image)));
    const halves = this.branches.map((branch, i) => branch.call(slice(x, { dim: 1, start: 4 * i, end: 4 * i + 4 })));
    const both = concat([...halves, x], 1);
    return this.head.call(globalAveragePool(maxPool2d(this.scaled(both), { kernel: 2 })));
  }
  scaled(x: Tensor): Tensor {
    return mul(x, constant(1.5));
  }
}
/** The same parts under the same names, another function. */
class Other extends Mine {
  override scaled(x: Tensor): Tensor {
    return mul(x, constant(-4));
  }
}

beforeAll(async () => {
  await imageFolder(at('photos'), { classes: ['cat', 'dog'], perClass: 8 });
  const data = await ImageFolder.open(at('photos'), { size: 32, cache: 'off' });
  await new Trainer(new Mine(), data, { epochs: 2, lr: 0.05, out: at('run'), device: 'cpu' }).fit();
  data.dispose();
});
const saved = async (model: Module): Promise<CompleteCheckpoint> =>
  completeCheckpoint(await loadCheckpoint(at('run')), { model });

const FORMATS = [
  ['ONNX', exportOnnx],
  ['TorchScript', exportTorchScript],
] as const;
test.each(FORMATS)('%s: as its checkpoint', async (format, write) => {
  const parity: Parity = await write(await saved(new Mine()), at(`mine.${format}`), { images: [at('photos')] });
  expect(parity).toMatchObject({ agrees: true, compared: 'probabilities', top1: { agree: 16, of: 16 } });
  expect(parity.largestDifference).toBeLessThan(1e-6);
});

test.each(FORMATS)(
  '%s: another graph with the same tensors is another file, and agrees as well',
  async (format, write) => {
    expect((await write(await saved(new Other()), at(`other.${format}`))).agrees).toBe(true);
    expect(fs.readFileSync(at(`other.${format}`)).equals(fs.readFileSync(at(`mine.${format}`)))).toBe(false);
  },
);

test('a MobileNet changed by hand is exported as it is; to a library that has another, it is refused', async () => {
  const plain = await exportCheckpoint(at('v2.safetensors'), { widthMult: 0.25 });
  const model = createModel('mobilenet_v2', { numClasses: 5, widthMult: 0.25 });
  class Louder extends MobileNet {
    override forward(x: Tensor): Tensor {
      return mul(super.forward(x), constant(2));
    }
  }
  const { arch, options, features, classifier } = model;
  const louder = new Louder(arch, options, features.layers, classifier.layers).eval();
  const own = { ...plain, model: louder };
  for (const [format, write] of FORMATS) expect((await write(own, at(`louder.${format}`))).agrees).toBe(true);
  await expect(exportSafetensors(own, at('louder.safetensors'))).rejects.toThrow(ParityError);
  expect(fs.existsSync(at('louder.safetensors'))).toBe(false);
});

test('the command line has no such network, and says how a program exports it', () => {
  const { status, stderr } = cli(['export', at('run')]);
  expect(status).toBe(4);
  expect(stderr).toMatch(/holds a network of your own, "Mine": .* exportOnnx\(completeCheckpoint\(.*\{ model \}\)/);
});
