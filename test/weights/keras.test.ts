// Keras' files: both layouts in every spelling, and what is refused of HDF5.
import fs from 'node:fs';
import { DataError, readWeightFile } from 'mnv2-torch';
import { array, hdf5, writeLegacy, writeNumbered, type KerasLayers } from '../support/keras-file.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('keras');
let made = 0;
const read = (bytes: Buffer) => {
  const file = at(`${made++}.h5`);
  fs.writeFileSync(file, bytes);
  return readWeightFile(file);
};
const refusal = (bytes: Buffer): Promise<string> =>
  read(bytes).then(
    () => 'read without complaint',
    (error: unknown) => {
      expect(error).toBeInstanceOf(DataError);
      expect((error as Error).message).not.toContain('\n');
      return (error as Error).message;
    },
  );
const batchNorm = (n: number, seed: number) => ({
  gamma: array([n], seed),
  beta: array([n], seed + 1),
  moving_mean: array([n], seed + 2),
  moving_variance: array([n], seed + 3),
});
const BN = ['gamma', 'beta', 'moving_mean', 'moving_variance'];

describe('the legacy layout', () => {
  // Neither in alphabetical order nor by any other that HDF5 lists groups in.
  const layers: KerasLayers = {
    input_1: {},
    Conv1: { kernel: array([3, 3, 3, 8], 1) },
    bn_Conv1: batchNorm(8, 2),
    mobl0_conv_0_depthwise: { depthwise_kernel: array([3, 3, 8, 1], 3) },
    a_relu: {},
    Logits: { kernel: array([8, 5], 4), bias: array([5], 5) },
  };
  const names = [
    'Conv1/kernel',
    ...BN.map((a) => `bn_Conv1/${a}`),
    'mobl0_conv_0_depthwise/depthwise_kernel',
    'Logits/kernel',
    'Logits/bias',
  ];
  test.each([
    ['texts of variable length', {}, ''],
    ['bytes of fixed length', { fixed: true }, ''],
    ['a long list in parts', { parts: 3 }, ''],
    ['names without :0', { suffix: '' }, ''],
    ['names TensorFlow made unique', { suffix: '_2:0' }, ''],
    ['a whole model', { fixed: true }, 'model_weights'],
  ])('%s', async (_, options, group) => {
    const bytes = hdf5((root) => writeLegacy(group === '' ? root : root.create_group(group), layers, options));
    const { format, tensors, notes } = await read(bytes);
    expect([format, [...tensors.keys()], notes]).toEqual(['keras', names, []]);
    expect(tensors.get('Conv1/kernel')).toEqual({ ...layers['Conv1']!['kernel'], dtype: 'float32' });
    expect(tensors.get('bn_Conv1/moving_variance')).toEqual({
      ...layers['bn_Conv1']!['moving_variance'],
      dtype: 'float32',
    });
  });
  test('Keras 3 calls a depthwise kernel as any other: its shape tells', async () => {
    const { tensors } = await read(
      hdf5((root) =>
        writeLegacy(
          root,
          {
            dw: { kernel: array([3, 3, 8, 1]) },
            dw5: { kernel: array([5, 5, 1, 1]) },
            pw: { kernel: array([1, 1, 8, 1]) },
          },
          { suffix: '' },
        ),
      ),
    );
    expect([...tensors.keys()]).toEqual(['dw/depthwise_kernel', 'dw5/depthwise_kernel', 'pw/kernel']);
  });
  test('a layer that is a model gives its layers', async () => {
    const nested = { 'Conv1/kernel': array([1, 1, 3, 8]), 'bn/gamma': array([8]), 'bn/beta': array([8]) };
    const { tensors } = await read(
      hdf5((root) => writeLegacy(root, { backbone: nested, dense: { kernel: array([8, 2]) } })),
    );
    expect([...tensors.keys()]).toEqual(['Conv1/kernel', 'bn/gamma', 'bn/beta', 'dense/kernel']);
  });
  test('numbers of other types', async () => {
    const { tensors } = await read(
      hdf5((root) =>
        writeLegacy(root, {
          double: { kernel: { data: Float64Array.of(0.1, -1e300), shape: [1, 2] } },
          seed: { state: { data: Int32Array.of(1, 2), shape: [2] } },
        }),
      ),
    );
    expect(tensors.get('double/kernel')).toEqual({
      data: Float64Array.of(0.1, -1e300),
      shape: [1, 2],
      dtype: 'float64',
    });
    expect(tensors.has('seed/state')).toBe(false);
  });
  test('what contradicts itself is refused', async () => {
    const twice = { a: { 'x/kernel': array([2]), 'y/bias': array([2]) }, x: { kernel: array([2]) } };
    expect(await refusal(hdf5((root) => writeLegacy(root, twice)))).toMatch(/holds "x\/kernel" twice/);
    const absent = hdf5((root) => {
      root.create_attribute('layer_names', ['a'], [1], 'S');
      root.create_group('a').create_attribute('weight_names', ['a/kernel:0'], [1], 'S');
    });
    expect(await refusal(absent)).toMatch(/layer "a" lists "a\/kernel:0", which is no array/);
    expect(await refusal(hdf5((root) => writeLegacy(root, { a: {} })))).toMatch(/none of its layers has weights/);
    expect(await refusal(hdf5((root) => root.create_group('x')))).toMatch(/holds no layers/);
  });
});

describe("Keras 3's layout", () => {
  const norm = (n: number) => ({ arrays: BN.map((_, i) => array([n], i)) });
  test('layers by number, with their own names', async () => {
    const convolutions = Object.fromEntries(
      Array.from({ length: 12 }, (_, i) => [
        `layers/conv2d${i === 0 ? '' : `_${i}`}`,
        { name: `c${i}`, arrays: [array([1, 1, 2, 2], i)] },
      ]),
    );
    const { tensors } = await read(hdf5((root) => writeNumbered(root, convolutions)));
    expect([...tensors.keys()]).toEqual(Array.from({ length: 12 }, (_, i) => `c${i}/kernel`));
    expect(tensors.get('c10/kernel')!.data[0]).toBe(10);
  });
  test('what the arrays of a layer are; names where there are none', async () => {
    const { tensors } = await read(
      hdf5((root) =>
        writeNumbered(root, {
          'layers/batch_normalization': { name: 'bn', ...norm(4) },
          'layers/conv2d': { arrays: [array([3, 3, 4, 8]), array([8])] },
          'layers/depthwise_conv2d_1': { arrays: [array([1, 1, 4, 1])] },
          'layers/dense_3': { name: 'top', arrays: [array([4, 2]), array([2])] },
          'layers/my_own': { name: 'own', arrays: [array([4]), array([5]), array([6])] },
        }),
      ),
    );
    expect([...tensors.keys()]).toEqual([
      ...BN.map((a) => `bn/${a}`),
      ...['conv2d/kernel', 'conv2d/bias', 'top/kernel', 'top/bias', 'depthwise_conv2d_1/depthwise_kernel'],
      ...['own/0', 'own/1', 'own/2'],
    ]);
  });
  test('models in models, without the optimizer and the seeds', async () => {
    const { tensors } = await read(
      hdf5((root) =>
        writeNumbered(root, {
          'layers/dense': { name: 'predictions', arrays: [array([4, 2]), array([2])] },
          'layers/functional/layers/depthwise_conv2d': { name: 'dw', arrays: [array([3, 3, 4, 1])] },
          'layers/functional/layers/sequential/layers/batch_normalization': { name: 'bn', ...norm(4) },
          'layers/random_flip/seed_generator': { name: 'seed', arrays: [{ data: Int32Array.of(1, 2), shape: [2] }] },
          optimizer: { name: 'adam', arrays: [array([4, 2])] },
        }),
      ),
    );
    expect([...tensors.keys()]).toEqual([
      ...['predictions/kernel', 'predictions/bias', 'dw/depthwise_kernel'],
      ...BN.map((a) => `bn/${a}`),
    ]);
  });
});

describe('HDF5 that is refused', () => {
  const good = hdf5((root) => writeLegacy(root, { a: { kernel: array([8, 8]), bias: array([8]) } }));
  const withGroup = (write: (group: Parameters<Parameters<typeof hdf5>[0]>[0]) => void): Buffer =>
    hdf5((root) => {
      writeLegacy(root, { a: { kernel: array([4]) } });
      write(root.create_group('b'));
    });
  test('links to elsewhere, by name', async () => {
    expect(await refusal(withGroup((b) => b.create_external_link('/etc/passwd', '/x', 'kernel')))).toMatch(
      /"\/b\/kernel" is an external link \(to "\/etc\/passwd"\): links are not followed/,
    );
    expect(await refusal(withGroup((b) => b.create_soft_link('/a', 'kernel')))).toMatch(
      /"\/b\/kernel" is a soft link \(to "\/a"\)/,
    );
  });
  test('a group that holds itself, groups too deep, too many names for its size', async () => {
    expect(await refusal(withGroup((b) => b.create_hard_link('/', 'root')))).toMatch(/nested more than 32 deep/);
    const deep = (b: Parameters<Parameters<typeof hdf5>[0]>[0]): void => {
      let group = b;
      for (let i = 0; i < 40; i++) group = group.create_group('d');
    };
    expect(await refusal(withGroup(deep))).toMatch(/nested more than 32 deep/);
    // 2^20 paths lead to the last of 20 groups.
    const fan = (b: Parameters<Parameters<typeof hdf5>[0]>[0]): void => {
      let group = b;
      for (let i = 0; i < 20; i++) {
        const next = group.create_group('left');
        group.create_hard_link(next.path, 'right');
        group = next;
      }
    };
    expect(await refusal(withGroup(fan))).toMatch(/lists more than \d+ groups and arrays/);
  });
  test('an array larger than the file, however it is laid out', async () => {
    // The size of one axis, where the file has it: 8 and 8.
    const axes = Buffer.alloc(16);
    axes.writeBigUInt64LE(8n, 0);
    axes.writeBigUInt64LE(8n, 8);
    const place = good.indexOf(axes);
    for (const most of [1n << 16n, 1n << 31n, 1n << 61n]) {
      const bytes = Buffer.from(good);
      bytes.writeBigUInt64LE(most, place);
      expect(await refusal(bytes)).toMatch(/is not a usable HDF5 file: array "\/a\/a\/kernel:0"/);
    }
    const zeros = { data: new Float32Array(250_000), shape: [500, 500] };
    const bomb = withGroup((b) => b.create_dataset({ name: 'z', ...zeros, chunks: [500, 500], compression: 9 }));
    expect(bomb.length).toBeLessThan(20_000);
    expect(await refusal(bomb)).toMatch(/array "\/b\/z" of shape \[500,500\] does not fit into a file of \d+ bytes/);
  });
  test('cut short anywhere; and the next file is read as if nothing had been', async () => {
    const whole = await read(good);
    for (let length = 8; length < good.length; length += Math.ceil(good.length / 25)) {
      expect(await refusal(good.subarray(0, length))).toMatch(/is not a usable HDF5 file/);
    }
    expect(await read(good)).toEqual(whole);
  });
  test('several at once', async () => {
    const all = await Promise.all(
      Array.from({ length: 3 }, (_, i) => (i === 1 ? refusal(good.subarray(0, 900)) : read(good))),
    );
    expect(all[1]).toMatch(/truncated file/);
    expect(all[0]).toEqual(all[2]);
  });
});
