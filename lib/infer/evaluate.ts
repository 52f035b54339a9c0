// Figures of a checkpoint on images: accuracy, per-class precision and recall, confusion. Owns no files.
import type { ImageStore } from '../engine/images.js';
import { argmax, softmax } from '../graph/ops.js';
import { Engine } from '../engine/engine.js';
import { Weights } from '../engine/weights.js';
import { compile } from '../engine/program.js';
import { input } from '../graph/tensor.js';
import { loadWeights } from '../weights/load.js';
import type { CompleteCheckpoint } from '../weights/checkpoint.js';

export interface Evaluation {
  /** share of images classified right */
  accuracy: number;
  /** mean cross entropy */
  loss: number;
  images: number;
  /** precision and recall are 0 where nothing was predicted or present */
  classes: { label: string; precision: number; recall: number; support: number }[];
  /** [true class][predicted class] */
  confusion: number[][];
}

/** Counts a confusion matrix into an evaluation. */
export function figures(
  classes: readonly string[],
  labels: ArrayLike<number>,
  predicted: ArrayLike<number>,
  loss: number,
): Evaluation {
  const confusion = classes.map(() => new Array<number>(classes.length).fill(0));
  for (let i = 0; i < labels.length; i++) confusion[labels[i]!]![predicted[i]!]!++;
  const ratio = (a: number, b: number): number => (b === 0 ? 0 : a / b);
  const right = confusion.reduce((a, row, c) => a + row[c]!, 0);
  return {
    accuracy: ratio(right, labels.length),
    loss,
    images: labels.length,
    classes: classes.map((label, c) => {
      const support = confusion[c]!.reduce((a, b) => a + b, 0);
      const claimed = confusion.reduce((a, row) => a + row[c]!, 0);
      return {
        label,
        precision: ratio(confusion[c]![c]!, claimed),
        recall: ratio(confusion[c]![c]!, support),
        support,
      };
    }),
    confusion,
  };
}

export interface EvaluateOptions {
  checkpoint: CompleteCheckpoint;
  store: ImageStore;
  /** rows of the store */
  indices: Int32Array;
  /** label of each row of the store, as an index into the checkpoint's classes */
  labels: Int32Array;
  device?: string;
  precision?: 'fp32' | 'bf16';
  onProgress?: (done: number, total: number) => void;
}

/**
 * Runs a checkpoint over images and counts. Fused inference, every image once.
 * @param options.checkpoint from `completeCheckpoint(await loadCheckpoint(file))`
 * @example
 * import { completeCheckpoint, evaluate, loadCheckpoint, MobileNetV2, syntheticScenes, Trainer } from 'mnv2-torch';
 * import { mkdtempSync } from 'node:fs';
 * const out = mkdtempSync('/tmp/mnv2-');
 * const data = await syntheticScenes({ size: 32, perClass: 2 });
 * for await (const event of new Trainer(MobileNetV2({ numClasses: 21, widthMult: 0.25 }), data, { epochs: 1, out })) void event;
 * const checkpoint = completeCheckpoint(await loadCheckpoint(`${out}/last.safetensors`));
 * const { images, confusion } = await evaluate({ checkpoint, store: data.store, indices: Int32Array.of(0, 5, 9), labels: data.labels });
 * console.log(images, confusion.length); // 3 21
 */
export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
  const { checkpoint, store, indices, labels, device = 'cpu', precision = 'fp32', onProgress } = options;
  using engine = new Engine({ device });
  using weights = await Weights.init(checkpoint.model, { engine });
  await loadWeights(weights, checkpoint.model, checkpoint.tensors, { strict: true, source: checkpoint.file });
  const { size } = checkpoint.preprocess;
  const logits = checkpoint.model.call(input('image', [-1, 3, size, size]));
  using program = compile({ probability: softmax(logits), predicted: argmax(logits) }, { weights, precision });
  const batchSize = engine.device === 'cpu' ? 16 : 64;
  const { rows } = await program.loop({
    order: indices,
    batchSize,
    bind: { image: { images: store, ...checkpoint.scaling } },
    rows: ['probability', 'predicted'],
    ...(onProgress && { onProgress: (step) => onProgress(Math.min(step * batchSize, indices.length), indices.length) }),
  });
  const predicted = Int32Array.from(rows['predicted']!.data as BigInt64Array, Number);
  const probability = rows['probability']!.data as Float32Array;
  const truth = Int32Array.from(indices, (i) => labels[i]!);
  const k = checkpoint.classes.length;
  const loss =
    truth.reduce((a, label, i) => a - Math.log(Math.max(probability[i * k + label]!, 1e-38)), 0) / truth.length;
  return figures(checkpoint.classes, truth, predicted, loss);
}
