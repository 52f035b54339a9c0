// The graphs of a training: logits, loss and correct answers over images, in training and in evaluation mode, with
// what is frozen split off. Owns no loop.
import { BatchNorm2d } from '../nn/layers.js';
import type { Module } from '../nn/module.js';
import { splitFrozen, type Partition } from '../graph/partition.js';
import { input, shapeText, type Tensor } from '../graph/tensor.js';
import { UsageError } from '../errors.js';
import { answersOf } from '../weights/task.js';
import { lossesOf, PLAIN, type Objective } from './task.js';

export interface Graphs {
  train: Partition;
  valid: Partition;
  /** names the optimizer updates */
  trainable: string[];
}

function outputs(model: Module, size: number, classes: number, objective: Objective): Record<string, Tensor> {
  const image = input('image', [-1, 3, size, size]);
  const logits = model.call(image);
  if (logits.shape.length !== 2 || logits.shape[1] !== classes) {
    throw new UsageError(
      `the model must return logits [None, ${classes}], one a class of the data; got [${shapeText(logits.shape)}]`,
    );
  }
  return { logits, answer: answersOf(logits, objective.task), ...lossesOf(logits, classes, objective) };
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
  const { task, loss } = objective;
  const evaluated = outputs(model, size, classes, { ...PLAIN, task, loss });
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
