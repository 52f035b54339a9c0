// `mnv2-torch lr-find`: a range test of the learning rate, its curve and what it suggests. The test itself is
// train/rate-finder.ts.
import { EXIT } from '../errors.js';
import { plot } from '../report/plot.js';
import { Progress, showTraining } from '../report/progress.js';
import { findRate, type RateCurve } from '../train/rate-finder.js';
import { define } from './command.js';
import { flag, number, whole } from './options.js';
import { Stopping } from './signals.js';
import { planTraining, trainingOperands, trainingOptions } from './training.js';

const { lr: _lr, epochs: _epochs, schedule: _schedule, saveEvery: _saveEvery, ...ofTraining } = trainingOptions;

function picture({ rates, smoothed, suggestion }: RateCurve): string {
  const rate = (v: number): string => v.toExponential(0);
  const marked = suggestion === undefined ? {} : { mark: suggestion };
  const lines = plot(rates, smoothed, { logarithmic: true, label: rate, ...marked });
  const said =
    suggestion === undefined
      ? 'the loss never fell: more --steps, or a lower --from, may show where it does'
      : `suggested: --lr ${suggestion.toPrecision(2)}, a tenth of the rate at which the loss was lowest`;
  return ['loss, smoothed, over the learning rate', ...lines, said, ''].join('\n');
}

export const command = define({
  usage: 'lr-find [data]',
  describe: 'try learning rates in a short training and suggest one',
  operands: trainingOperands,
  options: {
    ...ofTraining,
    steps: whole({ least: 10, most: 100_000, default: 100, describe: 'steps at most' }),
    from: number({ above: 0, default: 1e-6, describe: 'rate of the first step' }),
    to: number({ above: 0, default: 10, describe: 'rate of the last step' }),
    json: flag({ describe: 'one JSON line: rates, losses, smoothed, suggestion' }),
    quiet: flag({ describe: 'no progress' }),
  },
  run: async (a) => {
    const unset = { lr: undefined, epochs: undefined, schedule: undefined, saveEvery: undefined };
    const plan = await planTraining({ ...a, ...unset }, a.quiet);
    const progress = new Progress();
    const draw = a.quiet ? (): void => {} : showTraining(progress);
    using stopping = new Stopping(() => progress.line('stopping after this step; again to stop at once'));
    const { data, model } = await plan.open(draw, stopping.signal);
    try {
      const { steps, from, to } = a;
      const more = { steps, from, to, onEvent: draw, signal: stopping.signal };
      const curve = await findRate(model, data, { ...plan.options, ...more });
      if (a.json) process.stdout.write(`${JSON.stringify(curve)}\n`);
      else if (curve.rates.length > 1) process.stdout.write(picture(curve));
    } finally {
      data.dispose();
    }
    return stopping.code ?? EXIT.ok;
  },
});
