// What a run is told and tells of itself, as config.json holds it and a report shows it: settings that can be passed
// back in, and beside them, as `about`, what is no setting.
import path from 'node:path';
import { native } from '../native/load.js';
import type { Recipe } from './recipe.js';

/** The resolved recipe without what is no plain value (signals, hooks, tensors). */
export function configOf(recipe: Recipe, classes: readonly string[]): Record<string, unknown> {
  const { out: _out, resume: _resume, signal: _signal, hooks: _hooks, weights, config, ...settings } = recipe;
  const { package: version, libtorch } = native().buildInfo();
  const versions = { 'mnv2-torch': version, node: process.versions.node, libtorch };
  const from = weights && ('file' in weights ? { weights: weights.published ?? path.resolve(weights.file) } : {});
  const about = { ...(config['about'] as object | undefined), classes, versions };
  return { ...config, ...settings, ...from, about };
}
