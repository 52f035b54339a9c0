// What a training program is told of its updates: which parameters, how fast, what decays, what is averaged.
import type { TrainOptions } from '../engine/program.js';
import { flatten } from '../engine/program.js';
import type { Tensor } from '../graph/tensor.js';
import { inHead } from '../models/head.js';
import { architectureOf } from '../models/registry.js';
import { DepthwiseConv2d } from '../nn/layers.js';
import type { Module } from '../nn/module.js';
import type { Recipe } from './recipe.js';
import { changing } from './state.js';

/** The running average's decay: 'auto' reaches back over a tenth of all updates, and over 10 at least. */
export function averageDecay(ema: number | 'auto', updates: number): number {
  return ema === 'auto' ? 1 - 1 / Math.max(10, updates / 10) : ema;
}

/** @param updates number of updates in the whole training */
export function learningOf(
  recipe: Recipe,
  model: Module,
  graph: Record<string, Tensor>,
  parameters: readonly string[],
  updates: number,
): TrainOptions {
  const { optimizer, decayAll, spareDepthwise, clip, accumulate, backboneRate, ema } = recipe;
  const described = new Map([...model.namedParameters()]);
  const head = architectureOf(model)?.head;
  const slower = head && backboneRate !== 1 ? parameters.filter((name) => !inHead(head, name)) : [];
  // Scales, shifts and biases: pulling them to zero costs accuracy and regularises nothing (He et al. 2019).
  const vectors = decayAll ? [] : parameters.filter((name) => described.get(name)!.shape.length < 2);
  const spared = spareDepthwise ? depthwiseKernels(model) : new Set<string>();
  const undecayed = [...vectors, ...parameters.filter((name) => spared.has(name))];
  return {
    loss: 'loss',
    parameters,
    optimizer,
    rates: Object.fromEntries(slower.map((name) => [name, backboneRate])),
    undecayed,
    accumulate: accumulate > 1,
    ...(clip !== undefined && { clip }),
    ...(ema !== undefined && { average: { decay: averageDecay(ema, updates), names: averaged(model, graph) } }),
  };
}

/** Names of the kernels of depthwise layers. */
export function depthwiseKernels(model: Module): Set<string> {
  const layers = [...model.modules()].filter(([, module]) => module instanceof DepthwiseConv2d);
  return new Set(layers.map(([path]) => (path ? `${path}.weight` : 'weight')));
}

/** Of what a step may change, the floats that are in the graph. */
function averaged(model: Module, graph: Record<string, Tensor>): string[] {
  const present = new Set(
    flatten(graph).nodes.flatMap((n) => (n.op === 'parameter' ? [n.attrs['name'] as string] : [])),
  );
  const described = new Map([...model.namedParameters()]);
  return changing(model).filter((name) => present.has(name) && described.get(name)!.dtype === 'float32');
}
