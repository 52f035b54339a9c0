// `mnv2-torch train`: options to Trainer, events to bars or NDJSON. The training itself is train/trainer.ts.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { EXIT } from '../errors.js';
import { DEFAULT_MAX_PIXELS } from '../data/decode.js';
import type { Dataset } from '../data/dataset.js';
import { htmlReport } from '../report/html/hook.js';
import { Progress, showTraining } from '../report/progress.js';
import { createModel } from '../models/registry.js';
import { loadCheckpoint } from '../weights/checkpoint.js';
import type { TrainEvent } from '../train/events.js';
import { PRESETS } from '../train/presets.js';
import { resolveRecipe, type TrainerOptions } from '../train/recipe.js';
import { RunFolder } from '../train/run-folder.js';
import { Trainer } from '../train/trainer.js';
import { define } from './command.js';
import { namedNetwork } from './network.js';
import { flag, given, ofSettings, optionalPath, type Values } from './options.js';
import { divided, readConfig, runSchema, type RunSettings } from './run-settings.js';
import { Stopping } from './signals.js';

/** The demo: small enough to learn from scratch in about a minute on two cores. */
const DEMO = { epochs: 20, batchSize: 32, augment: 'aerial' } as const;
/** Where no weights say otherwise. */
const DEMO_NETWORK = { size: 64, width: 0.35, lr: 4e-3 } as const;
const DEMO_PER_CLASS = 100;

const operands = {
  data: optionalPath({
    describe: 'folder of images, one subfolder a class (or train/ and val/); none: the built-in scenes',
  }),
};
const options = {
  config: optionalPath({ describe: "settings as YAML or JSON, such as a run's config.json; flags count before them" }),
  ...ofSettings(runSchema, ['data', 'preprocess', 'about']),
  out: optionalPath({ describe: 'run folder (default runs/<date>-<arch>)' }),
  noReport: flag({ describe: 'no report.html in the run folder' }),
  json: flag({ describe: 'events as NDJSON on stdout' }),
  quiet: flag({ describe: 'no progress' }),
};
type TrainArguments = Values<typeof operands> & Values<typeof options>;

/** Of the images, where nothing is said. */
const DATA = { valSplit: 0.3, skipBad: false, allowDamaged: false, maxPixels: DEFAULT_MAX_PIXELS };

/** What was typed over what the config file says. */
async function settingsOf(a: TrainArguments): Promise<RunSettings & typeof DATA> {
  const { config, out: _out, noReport: _noReport, json: _json, quiet: _quiet, ...typed } = a;
  return { ...DATA, ...(config !== undefined && (await readConfig(config))), ...given(typed) };
}

async function openData(
  settings: RunSettings & typeof DATA,
  size: number,
  show: (event: TrainEvent) => void,
  signal: AbortSignal,
): Promise<Dataset> {
  const since = performance.now();
  const onProgress = ({ done, total }: { done: number; total: number }): void =>
    show({ event: 'progress', phase: 'pack', done, total, seconds: (performance.now() - since) / 1000 });
  const { data, valSplit, seed = 0, skipBad, allowDamaged, maxPixels } = settings;
  if (data === undefined) {
    const { syntheticScenes } = await import('../data/sources/synthetic.js');
    return syntheticScenes({ size, perClass: DEMO_PER_CLASS, seed, valSplit, onProgress, signal });
  }
  const { ImageFolder } = await import('../data/sources/image-folder.js');
  return ImageFolder.open(data, { size, valSplit, seed, skipBad, allowDamaged, maxPixels, onProgress, signal });
}

/** A fresh folder below runs/. */
function freshFolder(arch: string): string {
  const stamp = new Date().toISOString().slice(0, 19).replace('T', '-').replaceAll(':', '');
  return path.join('runs', `${stamp}-${arch}`);
}

/** What a person reads at the end; `null` where nothing was trained. */
function closing(event: TrainEvent | null, report: string | undefined): string {
  if (event?.event === 'done') {
    const { best, checkpoint, seconds } = event;
    return (
      `best validation accuracy ${(100 * best.accuracy).toFixed(1)}% in epoch ${best.epoch}, ${seconds.toFixed(1)} s in all\n` +
      `saved ${checkpoint}\n${report !== undefined && existsSync(report) ? `look at ${report}\n` : ''}` +
      `classify with: mnv2-torch predict ${checkpoint} <images...>\n`
    );
  }
  const { epoch = 0, checkpoint = null } = event?.event === 'stopped' ? event : {};
  if (checkpoint === null) return 'stopped before the first step; nothing was trained\n';
  return `stopped ${epoch === 0 ? 'in the first epoch, before it was validated' : `after epoch ${epoch}`}; saved ${checkpoint}\n`;
}

async function run(a: TrainArguments): Promise<number> {
  const progress = new Progress();
  const draw = a.quiet ? (): void => {} : showTraining(progress);
  const say = (text: string): void => void process.stdout.write(text);
  const show = (event: TrainEvent): void => {
    draw(event);
    // Steps are for bars; everything that stays true is an event.
    if (a.json && event.event !== 'progress') say(`${JSON.stringify(event)}\n`);
    if (!a.json && (event.event === 'done' || event.event === 'stopped')) say(closing(event, report));
  };
  using stopping = new Stopping(() => progress.line('stopping after this step; again to stop at once'));
  const asked = await settingsOf(a);
  const weights = asked.weights && asked.weights !== 'none' ? await loadCheckpoint(asked.weights) : undefined;
  const demo = asked.data === undefined && asked.preset === undefined;
  const settings = { ...(demo && DEMO), ...(demo && !weights && DEMO_NETWORK), ...asked };
  const { training, around } = divided(settings);
  const { arch, options: network } = namedNetwork(settings, weights);
  const preset = settings.preset && PRESETS[settings.preset];
  const size = settings.size ?? preset?.size ?? weights?.preprocess?.size ?? 224;
  const out = a.out ?? freshFolder(arch);
  const report = a.noReport ? undefined : path.join(out, 'report.html');
  const { device = 'auto' } = settings;
  const hooks = report === undefined ? [] : [htmlReport({ file: report })];
  const recipe: TrainerOptions = {
    ...training,
    device,
    ...(weights && { weights }),
    out,
    signal: stopping.signal,
    hooks,
  };

  // What can be refused is refused before the images are decoded: a network of two classes takes what the real one will.
  resolveRecipe(createModel(arch, { ...network, numClasses: 2 }), size, recipe);
  await RunFolder.check(out);
  try {
    const data = await openData(settings, size, draw, stopping.signal);
    try {
      const model = createModel(arch, { ...network, numClasses: data.classes.length });
      const from = around.data === undefined ? {} : { data: path.resolve(around.data) };
      const config = { ...around, ...from, arch, size, about: { model: model.options } };
      (await new Trainer(model, data, { ...recipe, config }).fit({ onEvent: show })).dispose();
    } finally {
      data.dispose();
    }
  } catch (error) {
    // Stopped while images were still being decoded: nothing was trained, nothing is lost.
    if (stopping.code === undefined || (error as Error).name !== 'AbortError') throw error;
    if (!a.json) say(closing(null, undefined));
  }
  return stopping.code ?? EXIT.ok;
}

export const command = define({
  usage: 'train [data]',
  describe: 'fine-tune or train a classifier',
  operands,
  options,
  outlivesReader: true,
  run,
});
