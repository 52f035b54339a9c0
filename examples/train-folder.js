// Trains on a folder with one subfolder of images a class:
//   node examples/train-folder.js photos/ run/ [checkpoint.safetensors]
// With a checkpoint its backbone stays as it is and only the head learns: seconds instead of hours.
import { createModel, ImageFolder, loadCheckpoint, MobileNetV2, Trainer } from 'mnv2-torch';

const [photos, out, pretrained] = process.argv.slice(2);
if (!photos || !out) {
  console.error('usage: node examples/train-folder.js <folder of class folders> <run folder> [checkpoint.safetensors]');
  process.exit(2);
}

const weights = pretrained && (await loadCheckpoint(pretrained));
const size = weights?.preprocess?.size ?? 96;
const data = await ImageFolder.open(photos, { size, valSplit: 0.3 });

const numClasses = data.classes.length;
const model = weights
  ? createModel(weights.arch, { ...weights.options, numClasses })
  : MobileNetV2({ numClasses, widthMult: 0.35 });

const trainer = new Trainer(model, data, {
  epochs: weights ? 20 : 5,
  augment: 'aerial', // flips and quarter turns
  out, // best.safetensors, last.safetensors, metrics.jsonl, ...
  ...(weights && { weights, freeze: 'features' }),
});
for await (const event of trainer) {
  if (event.event !== 'epoch') continue;
  const { epoch, train, valid } = event;
  console.log(
    `epoch ${epoch}: loss ${train.loss.toFixed(3)}, ${(100 * valid.accuracy).toFixed(1)}% of held-out images`,
  );
}
data.dispose();
