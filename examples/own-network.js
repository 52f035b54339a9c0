// A network of one's own, trained on the built-in scenes, written to a file and read from it:
//   node examples/own-network.js [run folder]
// The file holds weights, classes and preprocessing; the network is code, so whoever reads it brings it along.
import { mkdtempSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  BatchNorm2d,
  Classifier,
  Conv2d,
  GlobalAveragePool,
  Linear,
  Module,
  relu,
  syntheticScenes,
  Trainer,
} from 'mnv2-torch';

/** Two convolutions and a head. Parameters are named after the fields: 'stem.weight', 'norm.running_mean', ... */
class Small extends Module {
  constructor(numClasses) {
    super();
    this.stem = new Conv2d(3, 16, 3, { stride: 2 });
    this.norm = new BatchNorm2d(16);
    this.conv = new Conv2d(16, 32, 3, { stride: 2 });
    this.pool = new GlobalAveragePool();
    this.head = new Linear(32, numClasses);
  }
  forward(x) {
    const y = relu(this.norm.call(this.stem.call(x))); // [N, 16, H/2, W/2]
    return this.head.call(this.pool.call(relu(this.conv.call(y)))); // [N, numClasses]
  }
}

const out = process.argv[2] ?? mkdtempSync(path.join(os.tmpdir(), 'own-network-'));
const data = await syntheticScenes({ size: 32, perClass: 10 });
const trainer = new Trainer(new Small(data.classes.length), data, { epochs: 6, lr: 0.01, out });
const { history, best } = await trainer.fit();
for (const { epoch, train } of history) console.log(`epoch ${epoch}: loss ${train.loss.toFixed(3)}`);
console.log(`best: ${(100 * best.accuracy).toFixed(1)}% in epoch ${best.epoch}`);

const classifier = await Classifier.load(out, { model: new Small(data.classes.length) });
const teal =
  '<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32"><rect width="32" height="32" fill="teal"/></svg>';
const [first] = await classifier.classify(Buffer.from(teal), { topK: 1 });
console.log(`a teal square is taken for: ${first.label}`);
classifier.dispose();
data.dispose();
