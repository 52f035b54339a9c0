// `mnv2-torch inspect`: dead kernels, and what int8 would do. The looking is inspect/, the text and the page report/.
import { writeFile } from 'node:fs/promises';
import { DataError, EXIT } from '../errors.js';
import { decodeImage, type ImageInput } from '../data/image-input.js';
import { inspect } from '../inspect/inspect.js';
import { inspectionPage } from '../report/inspection-page.js';
import { inspectionText } from '../report/inspection-text.js';
import { define } from './command.js';
import { badImageFlags, deviceFlag } from './flags.js';
import { openWeights } from './network.js';
import { flag, optionalPath, path, type Values } from './options.js';
import { Pictures } from './pictures.js';

const operands = {
  checkpoint: path({ describe: 'weights: a file, the folder of a run, or a published name; a backbone will do' }),
  data: optionalPath({ describe: 'images to run through it: a folder, a file, a glob in quotes' }),
};
const options = {
  report: optionalPath({ describe: 'an HTML page of it, with a picture of every depthwise kernel' }),
  device: deviceFlag({ default: 'cpu' }),
  ...badImageFlags({ skipBad: 'unreadable images are named, but no failure' }),
  json: flag({ describe: 'one JSON line' }),
  quiet: flag({ describe: 'no progress' }),
};

/** Pictures decoded one after the other; those that cannot be are left out, and named at the end. */
async function* decoded(
  pictures: Pictures,
  size: number,
  limits: { allowDamaged: boolean; maxPixels: number },
): AsyncGenerator<ImageInput> {
  for await (const { name, image } of pictures) {
    try {
      const data = await decodeImage(image, size, limits);
      yield { data, width: size, height: size, channels: 3 };
      pictures.advance();
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      pictures.failed(error, name);
    }
  }
}

async function run(a: Values<typeof operands> & Values<typeof options>): Promise<number> {
  const { data, report, device, quiet } = a;
  const checkpoint = await openWeights(a.checkpoint, {}, quiet);
  const pictures = data === undefined ? undefined : new Pictures([data], { what: 'inspect', quiet });
  const size = checkpoint.preprocess?.size;
  const images = pictures && size !== undefined ? decoded(pictures, size, a) : pictures && [];
  const found = await inspect(checkpoint, { device, ...(images && { images }) }).catch((error: unknown) => {
    pictures?.end(a.skipBad); // it may be that none of them could be read
    throw error;
  });
  const code = pictures?.end(a.skipBad) ?? EXIT.ok;
  if (report !== undefined) {
    await writeFile(report, await inspectionPage(found)).catch((cause: Error) => {
      throw new DataError(`cannot write ${report}: ${cause.message}`, [report], { cause });
    });
  }
  const told = (key: string, value: unknown): unknown => (key === 'kernels' ? undefined : value);
  process.stdout.write(a.json ? `${JSON.stringify(found, told)}\n` : inspectionText(found));
  return code;
}

export const command = define({
  usage: 'inspect <checkpoint> [data]',
  describe: 'look for dead depthwise kernels, and for what int8 would lose',
  operands,
  options,
  run,
});
