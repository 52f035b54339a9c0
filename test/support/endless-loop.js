// A training loop that nobody waits for, in this process or worker: oneDNN and OpenMP at work whenever it is looked at.
import { isMainThread } from 'node:worker_threads';
import { Engine } from '../../dist/engine/engine.js';
import { sgd } from '../../dist/engine/optimizer.js';
import { compile } from '../../dist/engine/program.js';
import { RowStore } from '../../dist/engine/rows.js';
import { Weights } from '../../dist/engine/weights.js';
import { sum } from '../../dist/graph/ops.js';
import { input } from '../../dist/graph/tensor.js';
import { ReLU6 } from '../../dist/nn/activations.js';
import { BatchNorm2d, Conv2d } from '../../dist/nn/layers.js';
import { Sequential } from '../../dist/nn/module.js';

/** Starts it and resolves once it has taken a step. `onProgress` is called every few milliseconds. */
export async function startEndlessLoop(onProgress = () => {}) {
  const engine = new Engine({ threads: isMainThread ? 2 : 1 });
  const net = new Sequential(new Conv2d(8, 16, 3, { padding: 1 }), new BatchNorm2d(16), new ReLU6());
  const weights = await Weights.init(net, { engine });
  const x = await RowStore.from(engine, new Float32Array(32 * 8 * 28 * 28), [32, 8, 28, 28], 'float32');
  const program = compile(
    { loss: sum(net.call(input('x', [-1, 8, 28, 28]))) },
    { weights, train: { loss: 'loss', parameters: net.trainable(), optimizer: sgd() } },
  );
  await new Promise((resolve, reject) => {
    program
      .loop({
        order: new Int32Array(10_000_000),
        batchSize: 16,
        bind: { x: { rows: x } },
        lr: 0,
        stack: ['loss'],
        progressMs: 1,
        onProgress: () => {
          resolve();
          onProgress();
        },
      })
      .catch(reject);
    program.run({ x: { data: new Float32Array(8 * 28 * 28), shape: [1, 8, 28, 28], dtype: 'float32' } }).catch(reject);
  });
}
