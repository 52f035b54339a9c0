// What two halves of a training must have in common, and what is said where they have it not: a run is resumed under the
// terms it began with, or not at all.
import { UsageError } from '../errors.js';
import type { Dataset } from '../data/dataset.js';
import type { Engine } from '../engine/engine.js';
import { native } from '../native/load.js';
import type { Module } from '../nn/module.js';
import { checkpointMetadata } from '../weights/checkpoint.js';
import { configOf } from './config.js';
import type { Recipe } from './recipe.js';
import { learningRates } from './schedule.js';
import { taskOfData, unlearned } from './task.js';

export interface Terms {
  /** as config.json has them */
  readonly settings: Readonly<Record<string, unknown>>;
  /** what the network is, as a checkpoint says it, and what of it is trained */
  readonly network: Readonly<Record<string, unknown>>;
  /** what may differ and moves the last digits where it does */
  readonly machine: Readonly<Record<string, unknown>>;
}

/** Settings that change no number: where files go and when, how work is done, where things came from. */
const FREE = new Set([
  ...['saveEvery', 'cudaGraph', 'device', 'threads', 'about', 'weights', 'patience', 'timeBudget', 'deadKernels'],
]);

export function termsOf(recipe: Recipe, model: Module, data: Dataset, engine: Engine): Terms {
  const { classes } = data;
  const task = unlearned(taskOfData(data), classes.length);
  const { libtorch, libtorchRuntime, cpuCapability, package: version } = native().buildInfo();
  const { device, threads } = engine;
  return plain({
    settings: configOf(recipe, classes),
    network: { ...checkpointMetadata(model, classes, recipe.preprocess, {}, task), trained: model.trainable() },
    machine: { device, threads, 'mnv2-torch': version, libtorch: libtorchRuntime || libtorch, cpu: cpuCapability },
  });
}

/** As it reads back from a file. */
const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

/** 'batchSize was 16, now 32', one a leaf that differs. */
export function differences(was: unknown, now: unknown, name = ''): string[] {
  const isTree = (v: unknown): v is Record<string, unknown> => typeof v === 'object' && v !== null && !Array.isArray(v);
  if (isTree(was) && isTree(now)) {
    const keys = [...new Set([...Object.keys(was), ...Object.keys(now)])];
    return keys.flatMap((key) => differences(was[key], now[key], name ? `${name}.${key}` : key));
  }
  const [before, after] = [JSON.stringify(was), JSON.stringify(now)];
  if (before === after) return [];
  const short = (text: string | undefined): string =>
    text === undefined ? 'not set' : text.length > 60 ? `${text.slice(0, 57)}...` : text;
  return [`${name} was ${short(before)}, now ${short(after)}`];
}

/**
 * Compares the terms a run began under with those it would go on under.
 * @param stepsPerEpoch of the run
 * @returns what is different and moves the last digits of the results alone, for a note
 * @throws UsageError that names every setting that differs
 */
export function compareTerms(was: Terms, now: Terms, recipe: Recipe, stepsPerEpoch: number): string[] {
  const bound = ({ settings, network }: Terms): Record<string, unknown> => {
    // What the caller wrote to config.json is a record; what it says of the network is in `network`.
    const given = new Set([...Object.keys(recipe.config), ...FREE]);
    return { ...Object.fromEntries(Object.entries(settings).filter(([key]) => !given.has(key))), network };
  };
  const [before, after] = [bound(was), bound(now)];
  const longer = Number(after['epochs']) > Number(before['epochs']);
  const problems = [
    ...differences(before['schedule'], after['schedule'], 'schedule'),
    ...differences({ ...before, schedule: 0, epochs: 0 }, { ...after, schedule: 0, epochs: 0 }),
  ];
  if (!longer) problems.push(...differences(before['epochs'], after['epochs'], 'epochs'));
  // Named by its cause alone: the rates of the steps taken would have been others.
  else if (problems.length === 0 && recipe.ema === 'auto')
    problems.push(
      `epochs was ${String(before['epochs'])}, now ${String(after['epochs'])}; the decay of ema 'auto' depends on them`,
    );
  else if (problems.length === 0 && !sameRates(was, recipe, stepsPerEpoch))
    problems.push(
      `epochs was ${String(before['epochs'])}, now ${String(after['epochs'])}; a ${recipe.schedule.kind} schedule is laid ` +
        'out over all epochs, so the steps taken would have had other rates (a constant or step schedule can go on)',
    );
  const from = (terms: Terms): unknown => terms.settings['weights'];
  if (recipe.weights) problems.push(...differences(from(was), from(now), 'weights'));
  if (problems.length > 0) throw new UsageError(`resume: ${problems.join('; ')}`);
  return differences(was.machine, now.machine);
}

function sameRates(was: Terms, { lr, schedule, epochs }: Recipe, stepsPerEpoch: number): boolean {
  const before = Number(was.settings['epochs']);
  const rates = (all: number): Float64Array =>
    learningRates(schedule, { lr, epochs: all, stepsPerEpoch }, 0, before * stepsPerEpoch);
  const [old, now] = [rates(before), rates(epochs)];
  return old.every((rate, i) => rate === now[i]);
}
