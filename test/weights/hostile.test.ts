// What a hostile writer could make of each format, where the format's own tests do not say it: refused in one line, and
// without more memory than the file has.
import fs from 'node:fs';
import { inflateSync } from 'node:zlib';
import type { Dataset, Group } from 'h5wasm';
import { DataError, readWeightFile } from 'mnv2-torch';
import { encodeOnnx } from '../../dist/weights/formats/onnx-proto.js';
import { laidOut } from '../support/checkpoint.ts';
import { array, hdf5, writeLegacy, writeNumbered } from '../support/keras-file.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { floats, p, tensor, torchArchive, torchStream } from '../support/torch-file.ts';
import { zipped } from '../support/zip.ts';

const at = temporaryFolder('hostile');
const TEN_GB = 10_000_000_000;
const SIX = floats(1, 2, 3, 4, 5, 6);
const KERNEL = { kernel: array([2, 3]) };

// Written by h5py: create_dataset('kernel:0', (4,), 'f4', external=[('/etc/passwd', 0, 16)]), and a VirtualLayout of it.
const unpacked = (base64: string): Buffer => inflateSync(Buffer.from(base64, 'base64'));
const EXTERNAL = unpacked(
  'eNrr9HBx4+WS4mIAAQ4OBhYGAQZk8B8KOvhQ+TD5BCjNCKU7oPQKJpg4M1hOAiouADVfgRlVf0iQqytI9X80ALPHgQ1CczCMgpEIPFwdA0B0BDwdQcAJJlR1iWjp0YNCewWhNqGnax4GB6g9PMA0KcGQk1iZWhSfl5ibWgwWF2aEuIGRkRHFPYwY7sSePzrYIfwMIvPHBq7R/DGaPzDzxwtW2uaPYD9/F0agabB018CMav4KKP8E62gcEVPOoIcXDzSGGBl4weVMeWpmekYJoqABlTNc+MoZ/ezUorzUHCsDmDgjSnkDs1cCGoEWXETWx7yj5c1oeYMob2DpKYILVR1q6kOkSwcqlTcf2FHNRU/HowA7YGRgg4QZI4wPiUFYOcICVQejmYHyIBlBBXmomAKDOAeDeD1UnhUYIyB5JiYmsAHsDBqQ9g+0zOHAUV7A6ikOqP3MjLCSRgBNZQRd0rMEWjrV4EVVp59akqxfkFhcXJ6CNT3+4B5NW+QAAH9KgAI=',
);
const VIRTUAL = unpacked(
  'eNrtmL1OAkEQx3du+bicEEELiInKG2BprDCAkmiEqAWdXvQiBiQGSMBKS+xsfAfsfAyexFhYWNrhLTsLtwcxxK+YOL9mmJ29nc3O7H8Tbgu5rai1ZDGBabIAizEvA6S0ovsqfowW0HbR9gw1zoexJI7HcP0U178/3M/nxeyBD5UnE5LWZMR/pJDfLAlbHvWRpG/o82xfPxa+mDeOmfx9HWEZzBNxezLJavaV0ziq2xdOczi+CHIPAKDtByb2Of1+dMPSr8x4Px4tuh90Pybvx3PwZ+/HwV4xB+5qqu9uuL5+D/1+kGo0i874zyuCFQIWHepM2zk/q7TGQiN0xvpIZ9JVp1F3ahtrahw0vVF5k1jAdWs2vTGXSW9Ib8Z6o/qpbOnz9O4b92Xmm/TmNayv6+9jYjrAQvLMQPmygkpHAjhPWe7GRSSeWsWxFEuYLHGN8aBbERE3uAFSF6SuBLgZ9VZoASsnvIenUNV9Mf7EeWxni7vgeThVP+34GzfttE7Sl3az2T5lHcY9EYHh8WP4G0ZH6D7HL/dZLe/dPPUiQRAEQRAEQRAEQfwW/v+V3uboTD7DO80ifZU=',
);

const onnx = (bytes: Partial<{ dims: number[]; rawData: Uint8Array; dataLocation: number }> = {}): Buffer =>
  Buffer.from(
    encodeOnnx({
      irVersion: 8,
      producerName: 'x',
      graph: {
        node: [{ opType: 'Conv', input: ['x', 'w'], output: ['y'] }],
        initializer: [{ name: 'w', dataType: 1, dims: [2, 3], rawData: SIX, ...bytes }],
      },
    }),
  );
/** A small whole file of each format. */
const WHOLE = {
  safetensors: laidOut({ w: { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] } }, SIX),
  'a PyTorch archive': torchArchive(p.whole(p.dict(['w', tensor({ count: 6, shape: [6] })])), { 0: SIX }),
  'a PyTorch stream': torchStream(p.whole(p.dict(['w', tensor({ stream: true, count: 6, shape: [6] })])), [
    ['0', 6, SIX],
  ]),
  'a Keras file of the legacy layout': hdf5((root) => writeLegacy(root, { w: KERNEL })),
  "a file of Keras 3's layout": hdf5((root) => writeNumbered(root, { 'layers/dense': { arrays: [KERNEL.kernel] } })),
  'an archive of Keras 3': zipped([
    {
      name: 'model.weights.h5',
      bytes: hdf5((root) => writeNumbered(root, { 'layers/dense': { arrays: [KERNEL.kernel] } })),
    },
  ]),
  'an ONNX model': onnx(),
};
type Format = keyof typeof WHOLE;
const FORMATS = Object.keys(WHOLE) as Format[];

const read = (bytes: Buffer): ReturnType<typeof readWeightFile> => {
  fs.writeFileSync(at('file'), bytes);
  return readWeightFile(at('file'));
};
/** The most memory the process had at once, bytes. */
const peak = (): number => process.resourceUsage().maxRSS * 1024;

async function refusal(bytes: Buffer): Promise<string> {
  const before = peak();
  const error = (await read(bytes).catch((e: unknown) => e)) as Error;
  expect(error).toBeInstanceOf(DataError);
  expect(error.message).toContain(at('file'));
  expect(error.message).not.toContain('\n');
  expect(peak() - before).toBeLessThan((128 << 20) + 4 * bytes.length);
  return error.message;
}
beforeAll(async () => {
  // The libraries of the formats are in memory from here on.
  for (const bytes of Object.values(WHOLE)) expect((await read(bytes)).tensors.size).toBe(1);
});

test.each(FORMATS)('%s cut short is refused; so is one with another beginning', async (format) => {
  const whole = WHOLE[format];
  // At every byte of the small ones.
  for (let end = 0; end < whole.length; end += Math.ceil(whole.length / 150)) {
    const error = (await read(whole.subarray(0, end)).catch((e: unknown) => e)) as Error;
    expect([end, error instanceof DataError]).toEqual([end, true]);
  }
  const begun = Buffer.from(whole);
  begun[0] = begun[0]! ^ 0x55;
  begun[2] = begun[2]! ^ 0x55;
  expect(await refusal(begun)).toMatch(/another format\?|it is cut short|no instruction|header/);
});

const legacy = (write: (root: Group, into: Group) => void): Buffer =>
  hdf5((root) => {
    writeLegacy(root, { w: KERNEL });
    write(root, root.get('w/w') as Group);
  });
/** Where 8 bytes with this number are in a file, once. */
function place(bytes: Buffer, number: number): number {
  const wanted = Buffer.alloc(8);
  wanted.writeBigUInt64LE(BigInt(number));
  const first = bytes.indexOf(wanted);
  expect([first >= 0, bytes.indexOf(wanted, first + 1)]).toEqual([true, -1]);
  return first;
}
const nested = (levels: number): Buffer =>
  hdf5((root) =>
    writeNumbered(root, { [new Array(levels).fill('layers/functional').join('/')]: { arrays: [array([2, 3])] } }),
  );

test.each<[Format, string, () => Buffer, RegExp]>([
  [
    'safetensors',
    '10 GB declared',
    () => laidOut({ w: { dtype: 'F32', shape: [TEN_GB / 4], data_offsets: [0, TEN_GB] } }, SIX),
    /'w' ends at byte 10000000000, the file has 24: it is cut short/,
  ],
  [
    'safetensors',
    'two tensors of the same bytes',
    () => {
      const entry = { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] };
      return laidOut({ w: entry, v: entry }, SIX);
    },
    /begins at byte 0, inside the tensor before it/,
  ],
  [
    'a PyTorch archive',
    'storages that overlap',
    () => {
      const value = p.dict(['w', tensor({ count: 6, shape: [6] })], ['v', tensor({ key: '1', count: 6, shape: [6] })]);
      const members = [
        { name: 'a/data.pkl', bytes: p.whole(value) },
        { name: 'a/data/0', bytes: SIX },
      ];
      const offset = zipped(members.slice(0, 1)).indexOf('PK\x01\x02');
      return zipped([...members, { name: 'a/data/1', bytes: SIX, states: { offset: offset + 4 } }]);
    },
    /"a\/data\/0" and "a\/data\/1" overlap/,
  ],
  [
    'a PyTorch archive',
    'a bomb for a pickle',
    () => zipped([{ name: 'a/data.pkl', bytes: Buffer.alloc(64 << 20, 'N'), deflate: true }]),
    /its members state 67108864 bytes in a file of \d+/,
  ],
  [
    'a PyTorch stream',
    'a call of os.system',
    () => torchStream(p.whole(p.call(p.global('os', 'system'), p.text('true'))), []),
    /asks for os\.system, which is no tensor/,
  ],
  [
    'a PyTorch stream',
    'a million marks',
    () => torchStream(Buffer.concat([p.protocol, Buffer.alloc(1_000_000, '(')]), []),
    /nests deeper than 1000 marks/,
  ],
  [
    'a PyTorch stream',
    'a dictionary that holds itself',
    () =>
      torchStream(
        p.whole(Buffer.concat([Buffer.from('}'), p.put(0), p.text('model'), p.get(0), Buffer.from('s')])),
        [],
      ),
    /no tensors by name, but \["model"\]/,
  ],
  [
    'a PyTorch stream',
    'a shape that overflows',
    () => {
      const huge = new Array<number>(64).fill(2 ** 31 - 1);
      return torchStream(p.whole(p.dict(['w', tensor({ stream: true, shape: huge, strides: huge })])), [
        ['0', 2, floats(1, 2)],
      ]);
    },
    /reaches beyond its storage of 2/,
  ],
  [
    'a Keras file of the legacy layout',
    '10 GB declared of which nothing is stored',
    () =>
      legacy((_root, into) => {
        into.create_dataset({ name: 'z', data: new Float32Array(8), shape: [8], chunks: [8], maxshape: [TEN_GB] });
        (into.get('z') as Dataset).resize([TEN_GB / 4]);
      }),
    /array "\/w\/w\/z" of shape \[2500000000\] does not fit into a file of \d+ bytes/,
  ],
  [
    'a Keras file of the legacy layout',
    'numbers that lie beyond its end',
    () => {
      const bytes = Buffer.from(WHOLE['a Keras file of the legacy layout']);
      const numbers = bytes.indexOf(Buffer.from(KERNEL.kernel.data.buffer as ArrayBuffer));
      bytes.writeBigUInt64LE(BigInt(TEN_GB), place(bytes, numbers));
      return bytes;
    },
    /array "\/w\/w\/kernel:0" cannot be read/,
  ],
  [
    'a Keras file of the legacy layout',
    'numbers of another file',
    () => EXTERNAL,
    /array "\/a\/a\/kernel:0" cannot be read \(unable to open external raw data file\)/,
  ],
  [
    'a Keras file of the legacy layout',
    'an array made of those of other files',
    () => VIRTUAL,
    /"\/a\/a\/kernel:0" is a virtual dataset, made of "\/etc\/passwd": those are not followed/,
  ],
  [
    "a file of Keras 3's layout",
    'an external link for a layer',
    () => hdf5((root) => root.create_group('layers').create_external_link('../../model.h5', '/', 'dense')),
    /"\/layers\/dense" is an external link \(to "\.\.\/\.\.\/model\.h5"\): links are not followed/,
  ],
  ["a file of Keras 3's layout", 'models in models without end', () => nested(20), /nested more than 32 deep/],
  [
    "a file of Keras 3's layout",
    'two layers of one name',
    () =>
      hdf5((root) =>
        writeNumbered(root, {
          'layers/dense': { name: 'a', arrays: [array([2, 3])] },
          'layers/dense_1': { name: 'a', arrays: [array([2, 3])] },
        }),
      ),
    /it holds "a\/kernel" twice/,
  ],
  [
    'an archive of Keras 3',
    'a part of a split one',
    () => zipped([{ name: 'model.weights.h5', bytes: SIX }], { disk: 1 }),
    /multi-disk zip files are not supported/,
  ],
  [
    'an archive of Keras 3',
    '10 GB declared',
    () => {
      const states = { size: 4e9, stored: 4e9 };
      const part = (name: string) => ({ name, bytes: SIX, states });
      return zipped([part('model.weights.h5'), part('config.json'), part('assets/a')]);
    },
    /its members state 12000000000 bytes in a file of \d+; at most \d+ are unpacked/,
  ],
  [
    'an archive of Keras 3',
    'a link inside its weights',
    () => zipped([{ name: 'model.weights.h5', bytes: hdf5((root) => root.create_soft_link('/etc', 'layers')) }]),
    /"\/layers" is a soft link \(to "\/etc"\)/,
  ],
  [
    'an archive of Keras 3',
    'a bomb in a bomb',
    () => {
      // Zeros in HDF5 compress a hundred times, and that once more.
      const zeros = { data: new Float32Array(2 << 20), shape: [2 << 20], chunks: [1 << 16], compression: 9 };
      const bytes = hdf5((root) => root.create_dataset({ name: 'z', ...zeros }));
      return zipped([{ name: 'model.weights.h5', bytes, deflate: true }]);
    },
    /array "\/z" of shape \[2097152\] does not fit into a file of \d+ bytes/,
  ],
  [
    'an ONNX model',
    'a graph longer than the file',
    () => Buffer.concat([Buffer.of(0x08, 8, 0x3a, 0xff, 0xff, 0xff, 0xff, 0x07), SIX]),
    /is not a usable \.onnx file: index out of range/,
  ],
  ['an ONNX model', '10 GB declared', () => onnx({ dims: [TEN_GB / 4] }), /takes 2500000000 values; it has 6/],
  [
    'an ONNX model',
    'values of a file outside its folder',
    () => {
      // external_data (field 13) of the last value, which this package has no field for: location, ../../etc/passwd.
      const [key, value] = ['location', '../../etc/passwd'];
      const entry = Buffer.concat([
        Buffer.of(0x0a, key.length),
        Buffer.from(key),
        Buffer.of(0x12, value.length),
        Buffer.from(value),
      ]);
      const values = Buffer.concat([
        Buffer.from([0x10, 1, 0x42, 1, 0x77, 0x70, 1, 0x6a, entry.length]), // float, 'w', in another file
        entry,
      ]);
      const graph = Buffer.concat([
        Buffer.of(0x0a, 6, 0x22, 4),
        Buffer.from('Conv'),
        Buffer.of(0x2a, values.length),
        values,
      ]);
      return Buffer.concat([Buffer.of(0x08, 8, 0x12, 1, 0x78, 0x3a, graph.length), graph]);
    },
    /'w' is kept in another file, and only whole models are read/,
  ],
])('%s: %s', async (_format, _what, make, message) => {
  expect(await refusal(make())).toMatch(message);
});
