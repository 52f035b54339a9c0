// The layer table: shapes, parameters as Keras counts them, multiply-adds. Read off the recorded graph; nothing runs.
import type { MobileNet } from '../models/classifier-network.js';
import type { Module } from '../nn/module.js';
import { isOp, type OpName } from '../graph/op-names.js';
import { topological } from '../graph/order.js';
import { input, type Tensor } from '../graph/tensor.js';
import { columns, widthsOf } from './columns.js';

/** One layer or block. */
export interface SummaryRow {
  /** module path */
  layer: string;
  /** its class or op */
  type: string;
  /** Keras' order: [None, H, W, C], null for the batch */
  shape: (number | null)[];
  parameters: number;
  trainable: number;
  /** for one image */
  multiplyAdds: number;
  /** multiply-adds of depthwise separable parts over those of full convolutions of the same shape (V1, section 3.1) */
  costRatio?: number;
}

/** The layers of a network and their sums. */
export interface Summary {
  arch: string;
  rows: SummaryRow[];
  total: number;
  trainable: number;
  nonTrainable: number;
  multiplyAdds: number;
}

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** One filter's weights for every output value; the batch is left out. */
const convolution = (t: Tensor): number => product(t.shape.slice(1)) * product(t.inputs[1]!.shape.slice(1));
/** As long a sum for every output value as the inner dimension; the batch, None, is left out. */
const matrices = (t: Tensor): number => product(t.shape.filter((d) => d !== -1)) * t.inputs[0]!.shape.at(-1)!;
const none = (): number => 0;

/** Multiply-adds of one image, op by op: only sums of products count (convolutions, matrices), as in the papers. */
const MULTIPLY_ADDS: Record<OpName, (t: Tensor) => number> = {
  add: none,
  argmax: none,
  avgPool2d: none,
  batchNorm2d: none,
  binaryCrossEntropyWithLogits: none,
  cast: none,
  concat: none,
  conv2d: convolution,
  crossEntropy: none,
  depthwiseConv2d: convolution,
  dequantize: none,
  div: none,
  dropout: none,
  equal: none,
  exp: none,
  fakeQuantize: none,
  globalAveragePool: none,
  hardsigmoid: none,
  hardswish: none,
  hardtanh: none,
  layerNorm: none,
  linear: (t) => product(t.inputs[1]!.shape) * product(t.shape.slice(1, -1)),
  log: none,
  logSoftmax: none,
  matmul: matrices,
  max: none,
  maxPool2d: none,
  mean: none,
  meanSquaredError: none,
  min: none,
  mul: none,
  pad2d: none,
  permute: none,
  relu: none,
  relu6: none,
  reshape: none,
  sigmoid: none,
  silu: none,
  slice: none,
  softmax: none,
  sub: none,
  sum: none,
};
const multiplyAdds = (t: Tensor): number => (isOp(t.op) ? MULTIPLY_ADDS[t.op](t) : 0);

/** Whether a value comes from another pixel by pixel: no convolution, mean or pooling between. */
function readsPixels(t: Tensor, from: Tensor): boolean {
  if (t === from) return true;
  const between = t.op === 'conv2d' || t.op === 'mean' || t.shape.slice(2).join() !== from.shape.slice(2).join();
  return !between && t.inputs.some((i) => readsPixels(i, from));
}

/**
 * Summarises a network block by block, as Keras' `model.summary()` would: BatchNorm counts four numbers a channel.
 * @param size side of the input, pixels
 * @example
 * import { MobileNetV2, summarize } from 'mnv2-torch';
 * const { total, multiplyAdds } = summarize(MobileNetV2({ numClasses: 21 }), 224);
 * console.log(total, Math.round(multiplyAdds / 1e6)); // 2284885 300
 */
export function summarize(
  model: Module & { features?: MobileNet['features']; classifier?: MobileNet['classifier']; arch?: string },
  size: number,
  channels = 3,
): Summary {
  const wasTraining = model.training;
  const graph = topological([model.eval().call(input('image', [-1, channels, size, size]))]);
  model.train(wasTraining);
  const outputs = new Map<string, Tensor>();
  for (const t of graph) if (t.op === 'module') outputs.set(t.attrs['module'] as string, t);

  // A row is a block: a part of `features`, or any other direct part. Networks of another make get their children.
  const parts = [...model.children()].flatMap(([name, child]) =>
    child === model.features
      ? [...child.children()].map(([i, block]) => [`${name}.${i}`, block] as const)
      : [[name, child] as const],
  );
  const rows = parts.map(([layer, module]): SummaryRow => {
    const inside = graph.filter((t) => t.path === layer || t.path.startsWith(`${layer}.`));
    const shape = outputs.get(layer)?.shape ?? [];
    const named = [...module.namedParameters()].map(([, p]) => p).filter((p) => p.dtype !== 'int64');
    const cost = inside.reduce((a, t) => a + multiplyAdds(t), 0);
    const row: SummaryRow = {
      layer,
      type: module.constructor.name,
      shape: shape.length === 4 ? [null, shape[2]!, shape[3]!, shape[1]!] : shape.map((d) => (d === -1 ? null : d)),
      parameters: named.reduce((a, p) => a + product(p.shape), 0),
      trainable: named.filter((p) => p.requiresGrad).reduce((a, p) => a + product(p.shape), 0),
      multiplyAdds: cost,
    };
    // A depthwise convolution and the pointwise one that reads it, against one full convolution in their place. What
    // reads a mean of it is not that: squeeze and excitation work on one pixel.
    const depthwise = inside.find((t) => t.op === 'depthwiseConv2d');
    const pointwise = depthwise && inside.find((t) => t.op === 'conv2d' && readsPixels(t.inputs[0]!, depthwise));
    if (depthwise && pointwise) {
      const full =
        product(depthwise.shape.slice(2)) *
        product(depthwise.inputs[1]!.shape.slice(2)) *
        depthwise.shape[1]! *
        pointwise.shape[1]!;
      row.costRatio = (multiplyAdds(depthwise) + multiplyAdds(pointwise)) / full;
    }
    return row;
  });
  const sum = (of: (row: SummaryRow) => number): number => rows.reduce((a, row) => a + of(row), 0);
  const [total, trainable] = [sum((r) => r.parameters), sum((r) => r.trainable)];
  return {
    arch: model.arch ?? model.constructor.name,
    rows,
    total,
    trainable,
    nonTrainable: total - trainable,
    multiplyAdds: sum((r) => r.multiplyAdds),
  };
}

const count = (n: number): string => n.toLocaleString('en-US');

/** Keras' names of the rows, for those who know its table. */
function rowName(row: SummaryRow): string {
  return `${row.layer} (${row.type})`;
}

/** The table as text, at most `width` columns where names allow. */
export function summaryTable(summary: Summary): string {
  const cells = summary.rows.map((r) => [
    rowName(r),
    `(${r.shape.map((d) => d ?? 'None').join(', ')})`,
    count(r.parameters),
    r.multiplyAdds > 0 ? (r.multiplyAdds / 1e6).toFixed(1) : '',
    r.costRatio ? r.costRatio.toFixed(3) : '',
  ]);
  const heads = ['Layer (type)', 'Output Shape', 'Param #', 'M mult-adds', 'vs full conv'];
  const [head, ...rows] = columns([heads, ...cells], (column) => column >= 2);
  const widths = widthsOf([heads, ...cells]);
  const rule = (char: string): string => char.repeat(widths.reduce((a, b) => a + b + 2, -2));
  return [
    `Model: ${summary.arch}`,
    rule('─'),
    head!,
    rule('═'),
    ...rows,
    rule('═'),
    `Total params: ${count(summary.total)}`,
    `Trainable params: ${count(summary.trainable)}`,
    `Non-trainable params: ${count(summary.nonTrainable)}`,
    `Multiply-adds: ${(summary.multiplyAdds / 1e6).toFixed(1)} M`,
    'vs full conv: depthwise + pointwise against one full convolution, 1/N + 1/k^2 for a k x k kernel (V1, section 3.1)',
    '',
  ].join('\n');
}
