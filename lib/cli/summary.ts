// `mnv2-torch summary`: the layer table. The counting is report/summary.ts.
import type { ArgumentsCamelCase, Argv, CommandModule } from 'yargs';
import { UsageError } from '../errors.js';
import { summarize, summaryTable } from '../report/summary.js';
import { ARCHITECTURES, createModel, type Arch } from '../models/registry.js';

interface SummaryArguments {
  arch: Arch;
  width: number;
  classes: number;
  size: number;
  freeze: string;
  json: boolean;
}

export const command: CommandModule<object, SummaryArguments> = {
  command: 'summary',
  describe: 'layers, shapes, parameters and multiply-adds of a network',
  builder: ((y: Argv) =>
    y.options({
      arch: { choices: ARCHITECTURES, default: 'mobilenet_v2' as const },
      width: { type: 'number', default: 1, describe: 'width multiplier' },
      classes: { type: 'number', default: 21 },
      size: { type: 'number', default: 224, describe: 'side of the input, pixels' },
      freeze: {
        type: 'string',
        default: 'features',
        describe: "counted as not trainable: 'features', 'none', or the first n blocks",
      },
      json: { type: 'boolean', default: false },
    })) as never,
  handler: (a: ArgumentsCamelCase<SummaryArguments>) => {
    if (!Number.isInteger(a.size) || a.size < 1)
      throw new UsageError(`--size: expected a whole number of pixels, got ${a.size}`);
    const model = createModel(a.arch, { numClasses: a.classes, widthMult: a.width });
    model.freezeBackbone(a.freeze === 'features' || a.freeze === 'none' ? a.freeze : Number(a.freeze));
    const summary = summarize(model, a.size);
    process.stdout.write(a.json ? `${JSON.stringify(summary)}\n` : summaryTable(summary));
  },
};
