// `mnv2-torch predict`: photos to labels. The work is infer/classifier.ts.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DataError, EXIT, Mnv2Error, UsageError } from '../errors.js';
import { Classifier, type ClassifyOptions, type Prediction } from '../infer/classifier.js';
import { define } from './command.js';
import { badImageFlags, deviceFlag, precisionFlag, ttaFlag } from './flags.js';
import { overlayPicture } from '../report/overlay.js';
import { flag, optionalPath, path as pathOperand, paths, whole } from './options.js';

/** Files decoded ahead of the network. */
const AHEAD = 32;
/** The operand that means standard input. */
const STDIN = '-';
/** No encoded photo is larger; what does not end is not read for ever. */
const MOST_STDIN = 2 ** 29;

async function readStdin(): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    total += chunk.length;
    if (total > MOST_STDIN)
      throw new DataError(`standard input: expected one image, got more than ${MOST_STDIN / 2 ** 20} MiB`, [STDIN]);
  }
  if (total === 0) throw new DataError('standard input: expected one image, got nothing', [STDIN]);
  return Buffer.concat(chunks);
}

interface Answer {
  predictions: Prediction[];
  /** the overlay that was written */
  explained?: string;
}

async function answer(
  classifier: Classifier,
  image: string,
  options: ClassifyOptions & { maxPixels: number },
  explain: Overlays | undefined,
): Promise<Answer> {
  const source = image === STDIN ? await readStdin() : image;
  try {
    const predictions = await classifier.classify(source, options);
    return { predictions, ...(explain && { explained: await explain.write(classifier, image, source, options) }) };
  } catch (error) {
    // Bytes have no name to complain of.
    throw image === STDIN && error instanceof DataError
      ? new DataError(error.message.replace(/^image: /, 'standard input: '), [STDIN], { cause: error })
      : error;
  }
}

/** The pictures of `--explain`, named after those they explain; of two with one name the second gets a number. */
class Overlays {
  readonly #taken = new Set<string>();

  private constructor(private readonly folder: string) {}

  static async into(folder: string): Promise<Overlays> {
    await mkdir(folder, { recursive: true }).catch((cause: Error) => {
      throw new UsageError(`--explain ${folder}: cannot be made: ${cause.message}`, { cause });
    });
    return new Overlays(folder);
  }

  async write(
    classifier: Classifier,
    image: string,
    source: string | Uint8Array,
    options: ClassifyOptions & { maxPixels: number },
  ): Promise<string> {
    const file = path.join(this.folder, this.#name(image === STDIN ? 'stdin' : path.parse(image).name));
    const { topK: _topK, tta: _tta, ...decoding } = options;
    const picture = await overlayPicture(source, await classifier.explain(source, decoding), options);
    await writeFile(file, picture).catch((cause: Error) => {
      throw new UsageError(`--explain: cannot write ${file}: ${cause.message}`, { cause });
    });
    return file;
  }

  #name(stem: string): string {
    let name = stem;
    for (let n = 2; this.#taken.has(name); n++) name = `${stem}-${n}`;
    this.#taken.add(name);
    return `${name}.png`;
  }
}

function table(image: string, predictions: readonly Prediction[]): string {
  const width = Math.max(...predictions.map((p) => p.label.length));
  const percent = (v: number): string => `  ${(100 * v).toFixed(1).padStart(5)}%`;
  const rows = predictions.map(
    (p) => `  ${p.label.padEnd(width)}${percent(p.probability)}${p.tta === undefined ? '' : percent(p.tta)}\n`,
  );
  const head = predictions[0]!.tta === undefined ? '' : `  ${''.padEnd(width)}   plain     tta\n`;
  return `${image}\n${head}${rows.join('')}`;
}

export const command = define({
  usage: 'predict <checkpoint> <images...>',
  describe: 'classify images',
  operands: {
    checkpoint: pathOperand({ describe: 'a .safetensors with its classes, or the folder of a run' }),
    images: paths({ describe: "files sharp can read; '-' reads one from standard input" }),
  },
  options: {
    top: whole({ least: 1, default: 5, describe: 'most probable classes shown' }),
    device: deviceFlag({ default: 'cpu' }),
    precision: precisionFlag(),
    ...badImageFlags({ skipBad: 'unreadable images are named, but no failure' }),
    tta: ttaFlag(),
    explain: optionalPath({ describe: 'folder for the pictures with what speaks for the first class laid over them' }),
    json: flag({ describe: 'one NDJSON line an image' }),
  },
  run: async (a) => {
    if (a.images.filter((image) => image === STDIN).length > 1)
      throw new UsageError("<images>: '-' was given more than once; standard input holds one image");
    using classifier = await Classifier.load(a.checkpoint, { device: a.device, precision: a.precision });
    const options = { topK: a.top, allowDamaged: a.allowDamaged, maxPixels: a.maxPixels, ...(a.tta && { tta: a.tta }) };
    const explain = a.explain === undefined ? undefined : await Overlays.into(a.explain);
    let bad = 0;
    for (let at = 0; at < a.images.length; at += AHEAD) {
      const some = a.images.slice(at, at + AHEAD);
      const answers = await Promise.allSettled(some.map((image) => answer(classifier, image, options, explain)));
      answers.forEach((settled, i) => {
        const image = some[i]!;
        if (settled.status === 'fulfilled') {
          const { predictions, explained } = settled.value;
          process.stdout.write(
            a.json ? `${JSON.stringify({ image, predictions, explained })}\n` : table(image, predictions),
          );
          return;
        }
        const reason: unknown = settled.reason;
        if (!(reason instanceof Mnv2Error) || reason.exitCode !== EXIT.data) throw reason;
        bad++;
        process.stderr.write(`mnv2-torch: ${reason.message}\n`);
      });
    }
    // The readable images were answered; the exit code says that some were not.
    return bad > 0 && !a.skipBad ? EXIT.data : EXIT.ok;
  },
});
