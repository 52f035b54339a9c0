// Files under other libraries' names: each becomes the tensors it was made of; what is missing, too much or of another
// shape is told by name. The names themselves are compared with the libraries' own in peers.data.test.ts.
import { ARCHITECTURES, DataError, loadCheckpoint, writeSafetensors } from 'mnv2-torch';
import { own, renamed, type Library, type Tensors } from '../support/library-names.ts';
import { bytesOf } from '../support/numeric.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('adopt');
let made = 0;
async function file(tensors: Tensors, metadata: Record<string, string> = {}): Promise<string> {
  const path = at(`${made++}.safetensors`);
  await writeSafetensors(path, tensors, metadata);
  return path;
}
async function refusal(loading: Promise<unknown>): Promise<string> {
  const error = await loading.then(
    () => undefined,
    (e: unknown) => e as Error,
  );
  expect(error).toBeInstanceOf(DataError);
  expect(error!.message).not.toContain('\n');
  return error!.message;
}
const IMAGENET = { size: 224, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const SYMMETRIC = { size: 224, scale: 'x/127.5-1' };

describe.each(ARCHITECTURES)('%s', (arch) => {
  const v3 = arch.startsWith('mobilenet_v3');
  const built: Record<Library, object> = {
    torchvision: { padding: 'symmetric' },
    timm: { padding: 'symmetric', bnEps: 1e-5 },
    Keras: { padding: 'tf-same', bnEps: 1e-3 },
  };
  test.each([
    ['torchvision', 0.5],
    ['timm', 0.35],
    ['Keras', 0.5],
  ] as const)('%s’s names at width %d', async (library, widthMult) => {
    // V3's hidden layer of torchvision and Keras is the same: pooled features, a linear layer, another.
    const options = { widthMult, numClasses: 7 };
    const expected = own(arch, options);
    const { tensors, ...read } = await loadCheckpoint(await file(renamed(arch, options, library)));
    expect(read).toMatchObject({ arch, options: { ...built[library], ...options } });
    expect(read.preprocess).toEqual(
      library === 'Keras' || (library === 'timm' && arch === 'mobilenet_v1') ? SYMMETRIC : IMAGENET,
    );
    expect(read.notes).toEqual([`${library}'s names: ${arch}, width ${widthMult}`]);
    expect([...tensors.keys()]).toEqual([...expected.keys()]);
    for (const [name, { data, shape, dtype }] of expected) {
      const got = tensors.get(name)!;
      expect([name, got.shape, got.dtype]).toEqual([name, shape, dtype]);
      // A Keras file counts no batches.
      if (library !== 'Keras' || dtype === 'float32')
        expect([name, bytesOf(got.data).equals(bytesOf(data))]).toEqual([name, true]);
    }
  });

  test('without its classifier', async () => {
    const tensors = renamed(arch, { widthMult: 0.35, numClasses: 7 }, 'timm');
    for (const name of [...tensors.keys()])
      if (name.startsWith('classifier.') || (v3 && name.startsWith('conv_head.'))) tensors.delete(name);
    const read = await loadCheckpoint(await file(tensors));
    expect(read).toMatchObject({ arch, options: { widthMult: 0.35 } });
    expect(read.options.numClasses).toBeUndefined();
    expect(read.notes).toContain('it has no classifier');
    expect([...read.tensors.keys()].filter((name) => name.startsWith('classifier'))).toEqual([]);
  });
});

describe('what else a file may be', () => {
  const options = { widthMult: 0.25, numClasses: 3 };
  const timm = (): Tensors => renamed('mobilenet_v2', options, 'timm');

  test('a prefix that all names share is left out and named', async () => {
    const wrapped = new Map([...timm()].map(([name, tensor]) => [`backbone.${name}`, tensor]));
    const { arch, notes, tensors } = await loadCheckpoint(await file(wrapped));
    expect(arch).toBe('mobilenet_v2');
    expect(notes).toContain("left out the prefix 'backbone.' of its names");
    expect(tensors.get('features.0.0.weight')).toEqual(own('mobilenet_v2', options).get('features.0.0.weight'));
  });

  test('one linear layer of somebody’s own is the classifier', async () => {
    const tensors = timm();
    const [weight, bias] = [tensors.get('classifier.weight')!, tensors.get('classifier.bias')!];
    for (const name of ['classifier.weight', 'classifier.bias']) tensors.delete(name);
    tensors.set('my_head.weight', weight).set('my_head.bias', bias);
    const read = await loadCheckpoint(await file(tensors));
    expect(read.options.numClasses).toBe(3);
    expect(read.notes).toContain("took 'my_head' for its classifier");
    expect(read.tensors.get('classifier.1.weight')).toEqual(weight);
  });

  test('a classifier built another way is left out and named', async () => {
    const tensors = timm();
    tensors.set('classifier.weight', { data: new Float32Array(3 * 64), shape: [3, 64], dtype: 'float32' });
    const { notes, tensors: got } = await loadCheckpoint(await file(tensors));
    expect(notes).toContain("left out its classifier: 'classifier.weight' is [3, 64], ours would be [3, 1280]");
    expect([...got.keys()].some((name) => name.startsWith('classifier'))).toBe(false);
  });

  test('what the user says goes before what its library does', async () => {
    const preprocess = { size: 96, scale: 'x/127.5-1' } as const;
    const wishes = { padding: 'tf-same', bnEps: 0.002, widthMult: 0.25, preprocess } as const;
    const read = await loadCheckpoint(await file(timm()), wishes);
    expect(read).toMatchObject({ options: { padding: 'tf-same', bnEps: 0.002, widthMult: 0.25 }, preprocess });
  });

  test('what the file says goes before what its library does, too', async () => {
    const metadata = { padding: 'tf-same', bn_eps: '0.002', preprocess: '{"size":160,"scale":"x/127.5-1"}' };
    const read = await loadCheckpoint(await file(timm(), metadata));
    expect(read).toMatchObject({ options: { padding: 'tf-same', bnEps: 0.002 }, preprocess: { size: 160 } });
  });

  test('a network of ours that says so is none of another library', async () => {
    const metadata = { arch: 'mobilenet_v2', width_mult: '0.25' };
    const { notes } = await loadCheckpoint(await file(own('mobilenet_v2', options), metadata));
    expect(notes).toBeUndefined();
  });
});

describe('what is refused', () => {
  const timm = (): Tensors => renamed('mobilenet_v2', { widthMult: 0.25, numClasses: 3 }, 'timm');

  test('missing and unexpected tensors, by name, unless they may be', async () => {
    const tensors = timm();
    tensors.delete('blocks.1.0.bn1.running_mean');
    tensors.delete('conv_stem.weight');
    tensors.set('neck.weight', { data: new Float32Array(4), shape: [2, 2], dtype: 'float32' });
    tensors.set('neck.scale', { data: new Float32Array(2), shape: [2], dtype: 'float32' });
    const path = await file(tensors);
    const message = await refusal(loadCheckpoint(path));
    expect(message).toBe(
      `${path}: read as timm's mobilenet_v2, it lacks features.0.0.weight, features.2.conv.0.1.running_mean; and it holds ` +
        'what mobilenet_v2 has no layer for: neck.weight, neck.scale. Expected all of the backbone and nothing else; ' +
        'use --allow-partial to take what fits, or --arch for another network',
    );
    const partial = await loadCheckpoint(path, { allowPartial: true });
    expect(partial.partial).toBe(true);
    expect(partial.notes!.at(-1)).toContain('it lacks features.0.0.weight');
    expect(partial.tensors.has('features.0.0.weight')).toBe(false);
    expect(partial.tensors.has('features.0.1.weight')).toBe(true);
  });

  test('a width that no published network has', async () => {
    const path = await file(renamed('mobilenet_v2', { widthMult: 0.9 }, 'torchvision'));
    const message = await refusal(loadCheckpoint(path));
    expect(message).toContain('its tensors are those of no mobilenet_v2 of width 1, 0.5, 0.75');
    expect(message).toContain("'features.");
    expect(message).toContain('Give another width with --width');
    const { options } = await loadCheckpoint(path, { widthMult: 0.9 });
    expect(options.widthMult).toBe(0.9);
  });

  test('another network than the one asked for', async () => {
    const message = await refusal(loadCheckpoint(await file(timm()), { arch: 'mobilenet_v3_large' }));
    expect(message).toMatch(/mobilenet_v3_large|no network is recognised/);
  });

  test('a file of something else', async () => {
    const other: Tensors = new Map();
    for (const i of Array(12).keys())
      other.set(`layer${i}.attention.weight`, { data: new Float32Array(4), shape: [2, 2], dtype: 'float32' });
    // A safetensors file of one's own network is nobody's business until it is asked to be one of ours.
    const read = await loadCheckpoint(await file(other));
    expect([read.arch, read.tensors.size]).toEqual([undefined, 12]);
  });
});
