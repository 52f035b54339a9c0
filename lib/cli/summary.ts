// `mnv2-torch summary`: the layer table. The counting is report/summary.ts.
import { summarize, summaryTable } from '../report/summary.js';
import { createModel } from '../models/registry.js';
import { define } from './command.js';
import { archFlag, classesFlag, freezeFlag, sizeFlag, widthFlag } from './flags.js';
import { namedNetwork, openWeights, wishesOf } from './network.js';
import { flag, optionalPath } from './options.js';

export const command = define({
  usage: 'summary',
  describe: 'layers, shapes, parameters and multiply-adds of a network',
  operands: {},
  options: {
    weights: optionalPath({ describe: 'a checkpoint: its network is shown' }),
    arch: archFlag(),
    width: widthFlag(),
    classes: classesFlag({ describe: 'classes told apart (default 21, or what the weights say)' }),
    size: sizeFlag({ least: 1, describe: 'side of the input, pixels (default 224, or what the weights say)' }),
    freeze: freezeFlag({ default: 'features', describe: 'counted as not trainable' }),
    json: flag({ describe: 'one JSON line' }),
  },
  run: async (a) => {
    const weights = a.weights === undefined ? undefined : await openWeights(a.weights, wishesOf(a));
    const { arch, options } = namedNetwork(a, weights);
    const numClasses = a.classes ?? weights?.options.numClasses ?? 21;
    const model = createModel(arch, { ...options, numClasses }).freezeBackbone(a.freeze);
    const summary = summarize(model, a.size ?? weights?.preprocess?.size ?? 224, model.options.inChannels);
    process.stdout.write(a.json ? `${JSON.stringify(summary)}\n` : summaryTable(summary));
  },
});
