// `mnv2-torch embed`: pictures to vectors in a file NumPy reads. The work is infer/classifier.ts, the file infer/npy-file.ts.
import { EXIT, UsageError } from '../errors.js';
import { Classifier } from '../infer/classifier.js';
import { namesFileOf, NpyFile } from '../infer/npy-file.js';
import { define } from './command.js';
import { badImageFlags, deviceFlag, moduleFlag, precisionFlag } from './flags.js';
import { flag, optionalPath, path, paths, type Values } from './options.js';
import { Pictures, STDIN, written } from './pictures.js';

const operands = {
  checkpoint: path({ describe: 'a .safetensors with its classes, or the folder of a run' }),
  images: paths({
    describe: "files sharp can read, folders of them, globs in quotes; '-' reads one from standard input",
  }),
};
const options = {
  out: optionalPath({ describe: 'the .npy to write, float32 [images, numbers]; the names go beside it, into a .json' }),
  module: moduleFlag(),
  normalize: flag({ describe: 'vectors of length 1: their dot products are cosines' }),
  device: deviceFlag({ default: 'cpu' }),
  precision: precisionFlag(),
  ...badImageFlags({ skipBad: 'unreadable images are named, but no failure' }),
  json: flag({ describe: 'one JSON line of what was written' }),
  quiet: flag({ describe: 'no progress' }),
};

async function run(a: Values<typeof operands> & Values<typeof options>): Promise<number> {
  const { out } = a;
  if (out === undefined) throw new UsageError('--out is needed: the .npy to write');
  if (!/\.npy$/i.test(out)) throw new UsageError(`--out: expected a name that ends in .npy, got '${out}'`);
  if (a.images.filter((image) => image === STDIN).length > 1)
    throw new UsageError("<images>: '-' was given more than once; standard input holds one image");
  using classifier = await Classifier.load(a.checkpoint, { device: a.device, precision: a.precision });
  const pictures = new Pictures(a.images, { what: 'embed', quiet: a.quiet });
  const asked = {
    normalize: a.normalize,
    allowDamaged: a.allowDamaged,
    maxPixels: a.maxPixels,
    ...(a.module !== undefined && { module: a.module }),
  };
  const vectors = classifier.streamEmbeddings(pictures, asked);
  const file = await NpyFile.create(out);
  let code: number = EXIT.ok;
  try {
    for await (const { item, ...answer } of vectors) {
      pictures.advance();
      if (answer.ok) await file.append(item.name, answer.embedding);
      else pictures.failed(answer.error, item.name);
    }
    code = pictures.end(a.skipBad);
    await file.end();
  } catch (error) {
    await file.drop();
    throw error;
  }
  const [images, width] = file.shape;
  const names = namesFileOf(out);
  await written(
    a.json
      ? `${JSON.stringify({ file: out, names, images, width })}\n`
      : `${out}: float32 [${images}, ${width}]; the names are in ${names}\n`,
  );
  return code;
}

export const command = define({
  usage: 'embed <checkpoint> <images...>',
  describe: 'write the vectors a network makes of images before its head',
  operands,
  options,
  run,
});
