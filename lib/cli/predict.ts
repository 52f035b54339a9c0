// `mnv2-torch predict`: photos to labels. The work is train/classifier.ts.
import type { ArgumentsCamelCase, Argv, CommandModule } from 'yargs';
import { EXIT, Mnv2Error } from '../errors.js';
import { Classifier } from '../infer/classifier.js';

interface PredictArguments {
  checkpoint: string;
  images: string[];
  top: number;
  device: string;
  precision: 'fp32' | 'bf16';
  json: boolean;
}

/** Files decoded ahead of the network. */
const AHEAD = 32;

async function handler(a: PredictArguments): Promise<void> {
  using classifier = await Classifier.load(a.checkpoint, { device: a.device, precision: a.precision });
  let bad = 0;
  for (let at = 0; at < a.images.length; at += AHEAD) {
    const some = a.images.slice(at, at + AHEAD);
    const answers = await Promise.allSettled(some.map((image) => classifier.classify(image, { topK: a.top })));
    answers.forEach((answer, i) => {
      const image = some[i]!;
      if (answer.status === 'rejected') {
        if (!(answer.reason instanceof Mnv2Error) || answer.reason.exitCode !== EXIT.data) throw answer.reason;
        bad++;
        process.stderr.write(`mnv2-torch: ${answer.reason.message}\n`);
      } else if (a.json) {
        process.stdout.write(`${JSON.stringify({ image, predictions: answer.value })}\n`);
      } else {
        const width = Math.max(...answer.value.map((p) => p.label.length));
        process.stdout.write(
          `${image}\n${answer.value.map((p) => `  ${p.label.padEnd(width)}  ${(100 * p.probability).toFixed(1).padStart(5)}%\n`).join('')}`,
        );
      }
    });
  }
  // The readable images were answered; the exit code says that some were not.
  if (bad > 0) process.exitCode = EXIT.data;
}

export const command: CommandModule<object, PredictArguments> = {
  command: 'predict <checkpoint> <images...>',
  describe: 'classify images',
  builder: ((y: Argv) =>
    y
      .positional('checkpoint', { type: 'string', describe: 'a .safetensors with its classes' })
      .positional('images', { type: 'string', array: true, describe: 'files sharp can read' })
      .options({
        top: { type: 'number', default: 5, describe: 'most probable classes shown' },
        device: { type: 'string', default: 'cpu', describe: 'auto, cpu, cuda or cuda:n' },
        precision: { choices: ['fp32', 'bf16'] as const, default: 'fp32' as const },
        json: { type: 'boolean', default: false, describe: 'one NDJSON line an image' },
      })) as never,
  handler: (a: ArgumentsCamelCase<PredictArguments>) => handler(a),
};
