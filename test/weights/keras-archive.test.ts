// Keras' archives, and names that layers had in Keras' past: the tensors they were made of, and what is refused.
import fs from 'node:fs';
import { DataError, loadCheckpoint, readWeightFile, writeSafetensors, type Arch, type TensorData } from 'mnv2-torch';
import { array, hdf5, writeLegacy, writeNumbered, type KerasArray, type KerasLayers } from '../support/keras-file.ts';
import { own, renamed, type Tensors } from '../support/library-names.ts';
import { bytesOf } from '../support/numeric.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { zipped, type Member } from '../support/zip.ts';

const at = temporaryFolder('keras-archive');
let made = 0;
function file(bytes: Buffer, ending = 'keras'): string {
  const path = at(`${made++}.${ending}`);
  fs.writeFileSync(path, bytes);
  return path;
}
const json = (name: string, value: unknown): Member => ({ name, bytes: Buffer.from(JSON.stringify(value)) });
const weights = (bytes: Buffer): Member => ({ name: 'model.weights.h5', bytes });
const METADATA = json('metadata.json', { keras_version: '3.3.3' });
const archive = (config: unknown, h5: Buffer): Buffer => zipped([METADATA, json('config.json', config), weights(h5)]);

const layer = (class_name: string, name: string, config = {}) => ({ class_name, name, config: { name, ...config } });
/** Two convolutions around a model in the model; their groups say no names. */
const NESTED = {
  class_name: 'Functional',
  config: {
    name: 'outer',
    layers: [
      layer('InputLayer', 'image'),
      layer('Conv2D', 'first'),
      layer('Functional', 'inner', { layers: [layer('DepthwiseConv2D', 'dw'), layer('BatchNormalization', 'bn')] }),
      layer('Conv2D', 'second'),
    ],
  },
};
const GROUPS = {
  'layers/conv2d': { arrays: [array([1, 1, 2, 4], 1)] },
  'layers/conv2d_1': { arrays: [array([1, 1, 2, 4], 2)] },
  'layers/functional/layers/depthwise_conv2d': { arrays: [array([3, 3, 4, 1], 3)] },
  'layers/functional/layers/batch_normalization': { arrays: [4, 5, 6, 7].map((seed) => array([4], seed)) },
};

describe('an archive', () => {
  const nameless = hdf5((root) => writeNumbered(root, GROUPS));
  const first = (tensors: Map<string, TensorData>): Record<string, unknown> =>
    Object.fromEntries([...tensors].map(([name, { data }]) => [name, data[0]]));

  test('whose weights say no names has those of its description', async () => {
    const { format, tensors } = await readWeightFile(file(archive(NESTED, nameless)));
    expect(format).toBe('keras');
    expect(first(tensors)).toEqual({
      'first/kernel': 1,
      'second/kernel': 2,
      'dw/depthwise_kernel': 3,
      'bn/gamma': 4,
      'bn/beta': 5,
      'bn/moving_mean': 6,
      'bn/moving_variance': 7,
    });
  });
  test('whose weights say names has those; compressed or not, described or not', async () => {
    const named = hdf5((root) => writeNumbered(root, { 'layers/conv2d': { ...GROUPS['layers/conv2d'], name: 'own' } }));
    const described = await readWeightFile(file(archive(NESTED, named)));
    const alone = await readWeightFile(file(zipped([{ ...weights(named), deflate: true }])));
    expect(first(described.tensors)).toEqual({ 'own/kernel': 1 });
    expect(alone).toEqual(described);
  });
  test('is told by its content', async () => {
    const { tensors } = await readWeightFile(file(archive(NESTED, nameless), 'pth'));
    expect(tensors.size).toBe(7);
  });

  const deep = '{"class_name":"F","config":{"name":"f","layers":['.repeat(5000) + ']}}'.repeat(5000);
  test.each<[string, Buffer, RegExp]>([
    ['without weights', zipped([METADATA]), /expected its weights as "model\.weights\.h5", there are none/],
    [
      'whose description is none',
      zipped([{ name: 'config.json', bytes: Buffer.from('{"a":') }, weights(nameless)]),
      /its config\.json is not JSON/,
    ],
    ['whose weights are no HDF5', archive(NESTED, Buffer.from('no HDF5')), /is not a usable HDF5 file/],
    ['whose weights are cut short', archive(NESTED, nameless.subarray(0, 2000)), /is not a usable HDF5 file/],
    ['cut short', archive(NESTED, nameless).subarray(0, -40), /is not a usable zip archive: .*cut short/],
    [
      'of encrypted weights',
      zipped([METADATA, { ...weights(nameless), deflate: true, states: { flags: 1 } }]),
      /"model\.weights\.h5" is encrypted/,
    ],
    ['with ../ in it', zipped([METADATA, { ...weights(nameless), name: '../x.h5' }]), /has no path inside the archive/],
    [
      'with weights twice',
      zipped([METADATA, weights(nameless), weights(nameless)]),
      /it holds "model\.weights\.h5" twice/,
    ],
    [
      'that unpacks to a hundred times its size',
      zipped([METADATA, { ...weights(Buffer.alloc(64 << 20)), deflate: true }]),
      /its members state \d+ bytes in a file of \d+; at most \d+ are unpacked/,
    ],
    [
      'whose description says another model twice over',
      archive({ config: { layers: [layer('Conv2D', 'a'), layer('Conv2D', 'a')] } }, nameless),
      /it holds "a\/kernel" twice/,
    ],
  ])('%s is refused', async (_name, bytes, message) => {
    const error = (await readWeightFile(file(bytes)).catch((e: unknown) => e)) as Error;
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('\n');
  });
  test('described five thousand models deep is read by what it is', async () => {
    const bytes = zipped([{ name: 'config.json', bytes: Buffer.from(deep) }, weights(nameless)]);
    expect((await readWeightFile(file(bytes))).tensors.has('conv2d/kernel')).toBe(true);
  });
});

/** Keras' tensors by layer and array. */
function layersOf(tensors: Tensors): KerasLayers {
  const layers: KerasLayers = {};
  for (const [name, { data, shape }] of tensors) {
    const slash = name.lastIndexOf('/');
    const arrays = (layers[name.slice(0, slash)] ??= {});
    arrays[name.slice(slash + 1).replace(':0', '')] = { data: data as KerasArray['data'], shape: [...shape] };
  }
  return layers;
}
/** The same in groups called after classes, and a description with the names. */
function numbered(layers: KerasLayers): { groups: Parameters<typeof writeNumbered>[1]; config: unknown } {
  const seen = new Map<string, number>();
  const groups: Parameters<typeof writeNumbered>[1] = {};
  const described = Object.entries(layers).map(([name, arrays]) => {
    const [kind, group] =
      'gamma' in arrays
        ? ['BatchNormalization', 'batch_normalization']
        : 'depthwise_kernel' in arrays
          ? ['DepthwiseConv2D', 'depthwise_conv2d']
          : arrays['kernel']!.shape.length === 2
            ? ['Dense', 'dense']
            : ['Conv2D', 'conv2d'];
    const count = seen.get(kind!) ?? 0;
    seen.set(kind!, count + 1);
    groups[`layers/${group}${count === 0 ? '' : `_${count}`}`] = { arrays: Object.values(arrays) };
    return layer(kind!, name);
  });
  return { groups, config: { class_name: 'Functional', config: { name: 'm', layers: described } } };
}
async function expectOwn(path: string, arch: Arch, options: { widthMult: number; numClasses: number }): Promise<void> {
  const { tensors, ...read } = await loadCheckpoint(path);
  expect(read).toMatchObject({ arch, options: { ...options, padding: 'tf-same', bnEps: 1e-3 } });
  for (const [name, { data, shape, dtype }] of own(arch, options)) {
    if (dtype !== 'float32') continue; // a Keras file counts no batches
    const got = tensors.get(name)!;
    expect([name, got.shape]).toEqual([name, shape]);
    expect([name, bytesOf(got.data).equals(bytesOf(data))]).toEqual([name, true]);
  }
}

const OPTIONS = { widthMult: 0.35, numClasses: 3 };
test.each(['mobilenet_v1', 'mobilenet_v2', 'mobilenet_v3_small'] as const)(
  'a network in an archive: %s',
  async (arch) => {
    const { groups, config } = numbered(layersOf(renamed(arch, OPTIONS, 'Keras')));
    const bytes = archive(
      config,
      hdf5((root) => writeNumbered(root, groups)),
    );
    await expectOwn(file(bytes), arch, OPTIONS);
  },
);

describe.each(['mobilenet_v3_small', 'mobilenet_v3_large'] as const)(
  '%s as Keras named it before its third version',
  (arch) => {
    // keras/applications/mobilenet_v3.py of Keras 2: layers called after scopes of TensorFlow.
    const past = (name: string): string =>
      name
        .replace(/^(expanded_conv(?:_\d+)?)_(expand|depthwise|project|squeeze_excite)/, '$1/$2')
        .replace(/squeeze_excite_conv/, 'squeeze_excite/Conv')
        .replace(/^(conv|logits)/, (word) => (word === 'conv' ? 'Conv' : 'Logits'))
        .replace(/_bn\//, '/BatchNorm/');
    const old = (): Tensors => new Map([...renamed(arch, OPTIONS, 'Keras')].map(([name, t]) => [past(name), t]));

    test('in the legacy layout', async () => {
      const layers = layersOf(old());
      expect(Object.keys(layers)).toEqual(
        expect.arrayContaining([
          ...['Conv', 'Conv/BatchNorm', 'expanded_conv/depthwise', 'expanded_conv/depthwise/BatchNorm'],
          ...['expanded_conv_1/expand/BatchNorm', 'expanded_conv_5/squeeze_excite/Conv_1', 'Conv_1/BatchNorm'],
          ...['Conv_2', 'Logits'],
        ]),
      );
      const bytes = hdf5((root) => writeLegacy(root, layers, { fixed: true }));
      await expectOwn(file(bytes, 'h5'), arch, OPTIONS);
    });
    test('in safetensors, of a model in a model', async () => {
      const path = at(`${made++}.safetensors`);
      await writeSafetensors(path, new Map([...old()].map(([name, t]) => [`backbone/${name}`, t])));
      await expectOwn(path, arch, OPTIONS);
    });
  },
);
