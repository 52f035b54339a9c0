// A training's settings as plain values: what config.json holds, and what a report shows.
import { native } from '../native/load.js';
import type { Recipe } from './recipe.js';

/** The resolved recipe without what is no value (signals, hooks, tensors), the classes, and the versions it ran under. */
export function settingsOf(recipe: Recipe, classes: readonly string[]): Record<string, unknown> {
  const { out: _out, resume: _resume, signal: _signal, hooks: _hooks, weights, config, ...settings } = recipe;
  const { package: version, libtorch } = native().buildInfo();
  const versions = { 'mnv2-torch': version, node: process.versions.node, libtorch };
  const from = weights && 'file' in weights ? weights.file : weights ? 'an earlier training' : null;
  return { ...config, ...settings, weights: from, classes, versions };
}
