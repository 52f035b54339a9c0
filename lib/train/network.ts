// The graphs of a training: logits, loss and correct answers over images, in training and in evaluation mode, with
// what is frozen split off. Owns no loop.
import { BatchNorm2d } from '../nn/layers.js';
import type { Module } from '../nn/module.js';
import { argmax, cast, crossEntropy, equal, softmax, sum } from '../graph/ops.js';
import { splitFrozen, type Partition } from '../graph/partition.js';
import { constant, input, shapeText, type Tensor } from '../graph/tensor.js';
import { UsageError } from '../errors.js';

export interface Graphs {
  train: Partition;
  valid: Partition;
  /** names the optimizer updates */
  trainable: string[];
}

/** What is made smaller in training. */
export interface Objective {
  readonly labelSmoothing: number;
  /** the input is `target` [N, classes] instead of `label`; right is who names the heaviest */
  readonly mixed: boolean;
  /** weight of each class */
  readonly weights?: Float32Array;
}
/** Evaluation's: cross entropy as it is. */
export const PLAIN: Objective = { labelSmoothing: 0, mixed: false };

function outputs(model: Module, size: number, classes: number, objective: Objective): Record<string, Tensor> {
  const { labelSmoothing, mixed, weights } = objective;
  const image = input('image', [-1, 3, size, size]);
  const given = mixed ? input('target', [-1, classes]) : input('label', [-1], 'int64');
  const label = mixed ? argmax(given) : given;
  const logits = model.call(image);
  if (logits.shape.length !== 2 || logits.shape[1] !== classes) {
    throw new UsageError(
      `the model must return logits [None, ${classes}], one a class of the data; got [${shapeText(logits.shape)}]`,
    );
  }
  return {
    logits,
    probability: softmax(logits),
    loss: crossEntropy(logits, given, { labelSmoothing, ...(weights && { weight: constant(weights) }) }),
    correct: sum(cast(equal(argmax(logits), label), 'float32')),
  };
}

/** A pair of graphs over one cut: what is frozen in training must be the same value in evaluation. */
export function trainingGraphs(
  model: Module,
  size: number,
  classes: number,
  objective: Objective,
  cache: boolean,
  bn: 'train' | 'frozen' = 'train',
): Graphs {
  model.train();
  if (bn === 'frozen') {
    for (const [, module] of model.modules()) if (module instanceof BatchNorm2d) module.eval();
  }
  const trained = outputs(model, size, classes, objective);
  const trainable = model.trainable();
  model.eval();
  const evaluated = outputs(model, size, classes, PLAIN);
  model.train();
  if (trainable.length === 0) throw new UsageError('nothing is left to train: every parameter is frozen');
  const whole = (o: Record<string, Tensor>): Partition => ({ prefix: {}, suffix: o });
  if (!cache) return { train: whole(trained), valid: whole(evaluated), trainable };
  const [train, valid] = [trained, evaluated].map((o) => splitFrozen(o, trainable, 'image')) as [Partition, Partition];
  const cut = (p: Partition): string => JSON.stringify(Object.values(p.prefix).map((t) => [t.op, t.path, t.shape]));
  // A network whose evaluation freezes more than its training (a dropout on frozen features) has no common cut.
  return cut(train) === cut(valid)
    ? { train, valid, trainable }
    : { train: whole(trained), valid: whole(evaluated), trainable };
}
