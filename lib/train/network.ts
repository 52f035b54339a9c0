// The graphs of a training: logits, loss and correct answers over images, in training and in evaluation mode, with
// what is frozen split off. Owns no loop.
import type { Module } from '../nn/module.js';
import { argmax, cast, crossEntropy, equal, softmax, sum } from '../graph/ops.js';
import { splitFrozen, type Partition } from '../graph/partition.js';
import { input, shapeText, type Tensor } from '../graph/tensor.js';
import { UsageError } from '../errors.js';

export interface Graphs {
  train: Partition;
  valid: Partition;
  /** names the optimizer updates */
  trainable: string[];
}

function outputs(model: Module, size: number, classes: number, labelSmoothing: number): Record<string, Tensor> {
  const image = input('image', [-1, 3, size, size]);
  const label = input('label', [-1], 'int64');
  const logits = model.call(image);
  if (logits.shape.length !== 2 || logits.shape[1] !== classes) {
    throw new UsageError(
      `the model must return logits [None, ${classes}], one a class of the data; got [${shapeText(logits.shape)}]`,
    );
  }
  return {
    logits,
    probability: softmax(logits),
    loss: crossEntropy(logits, label, { labelSmoothing }),
    correct: sum(cast(equal(argmax(logits), label), 'float32')),
  };
}

/** A pair of graphs over one cut: what is frozen in training must be the same value in evaluation. */
export function trainingGraphs(
  model: Module,
  size: number,
  classes: number,
  labelSmoothing: number,
  cache: boolean,
): Graphs {
  model.train();
  const trained = outputs(model, size, classes, labelSmoothing);
  const trainable = model.trainable();
  model.eval();
  const evaluated = outputs(model, size, classes, 0);
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
