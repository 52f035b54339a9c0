// `mnv2-torch similar`: the pictures of a folder most like one. Vectors are infer/classifier.ts, the search
// infer/nearest-pictures.ts, the sheet report/contact-sheet.ts.
import { realpath, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { EXIT, UsageError } from '../errors.js';
import { Classifier } from '../infer/classifier.js';
import { Nearest, type Alike } from '../infer/nearest-pictures.js';
import { contactSheet } from '../report/contact-sheet.js';
import { define } from './command.js';
import { badImageFlags, deviceFlag, moduleFlag, precisionFlag } from './flags.js';
import { flag, optionalPath, path as pathOperand, whole, type Values } from './options.js';
import { Pictures, written } from './pictures.js';

/** A sheet of more is no sheet to look at. */
const MOST = 200;

const operands = {
  checkpoint: pathOperand({ describe: 'a .safetensors with its classes, or the folder of a run' }),
  query: pathOperand({ describe: 'an image' }),
  folder: pathOperand({ describe: 'a folder of images, or a glob in quotes' }),
};
const options = {
  top: whole({ least: 1, most: MOST, default: 12, describe: 'pictures found' }),
  out: optionalPath({ describe: 'a .png to write: the pictures side by side, with names and similarities' }),
  module: moduleFlag(),
  device: deviceFlag({ default: 'cpu' }),
  precision: precisionFlag(),
  ...badImageFlags({ skipBad: 'unreadable images are named, but no failure' }),
  json: flag({ describe: 'one JSON line' }),
  quiet: flag({ describe: 'no progress' }),
};

const whereItIs = (file: string): Promise<string> => realpath(file).catch(() => file);

async function sheet(query: string, found: readonly Alike[], folder: string, maxPixels: number): Promise<Buffer> {
  const title = (file: string): string => {
    const below = path.relative(folder, file);
    return below.startsWith('..') ? path.basename(file) : below;
  };
  return contactSheet(
    { file: query, title: path.basename(query), note: 'query' },
    found.map(({ name, similarity }) => ({ file: name, title: title(name), note: similarity.toFixed(3) })),
    { maxPixels },
  );
}

async function run(a: Values<typeof operands> & Values<typeof options>): Promise<number> {
  const { out, query } = a;
  if (out !== undefined && !/\.png$/i.test(out))
    throw new UsageError(`--out: expected a name that ends in .png, got '${out}'`);
  using classifier = await Classifier.load(a.checkpoint, { device: a.device, precision: a.precision });
  const asked = {
    normalize: true,
    allowDamaged: a.allowDamaged,
    maxPixels: a.maxPixels,
    ...(a.module !== undefined && { module: a.module }),
  };
  const nearest = new Nearest(await classifier.embed(query, asked), a.top);
  const itself = await whereItIs(query);
  const pictures = new Pictures([a.folder], { what: 'compare', quiet: a.quiet });
  let code: number = EXIT.ok;
  try {
    for await (const { item, ...answer } of classifier.streamEmbeddings(pictures, asked)) {
      pictures.advance();
      if (!answer.ok) pictures.failed(answer.error, item.name);
      else if ((await whereItIs(item.name)) !== itself) nearest.look(item.name, answer.embedding);
    }
  } finally {
    code = pictures.end(a.skipBad);
  }
  const { found } = nearest;
  if (out !== undefined) {
    const picture = await sheet(query, found, a.folder, a.maxPixels);
    await writeFile(out, picture).catch((cause: Error) => {
      throw new UsageError(`--out: cannot write ${out}: ${cause.message}`, { cause });
    });
  }
  await written(
    a.json
      ? `${JSON.stringify({ query, found, sheet: out })}\n`
      : found.map(({ name, similarity }) => `${similarity.toFixed(3)}  ${name}\n`).join(''),
  );
  return code;
}

export const command = define({
  usage: 'similar <checkpoint> <query> <folder>',
  describe: 'the images of a folder most like one',
  operands,
  options,
  run,
});
