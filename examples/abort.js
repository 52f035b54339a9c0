// A training that stops at Ctrl-C, or when its time is up, and keeps what it learned:
//   node examples/abort.js photos/ run/ [seconds]
// An AbortSignal is looked at between two steps; the best weights so far are in the result and in the run folder.
import { Classifier, ImageFolder, MobileNetV2, Trainer } from 'mnv2-torch';

const [photos, out, seconds = '60'] = process.argv.slice(2);
if (!photos || !out) {
  console.error('usage: node examples/abort.js <folder of class folders> <run folder> [seconds]');
  process.exit(2);
}

const interrupt = new AbortController();
process.once('SIGINT', () => interrupt.abort());

const data = await ImageFolder.open(photos, { size: 64 });
const trainer = new Trainer(MobileNetV2({ numClasses: data.classes.length, widthMult: 0.35 }), data, {
  epochs: 100_000,
  out,
  signal: AbortSignal.any([interrupt.signal, AbortSignal.timeout(1000 * Number(seconds))]),
});
const result = await trainer.fit({
  onEvent: (event) => {
    if (event.event === 'epoch') console.log(`epoch ${event.epoch}: loss ${event.train.loss.toFixed(3)}`);
  },
});

console.log(result.stopped ? `stopped after ${result.history.length} epochs` : 'done');
if (result.checkpoints.best) {
  const classifier = await Classifier.from(result); // or later, from the file: Classifier.load(out)
  console.log(`${result.checkpoints.best} tells ${classifier.classes.join(' from ')}`);
  classifier.dispose();
}
result.dispose();
data.dispose();
