// Says what is on images:
//   node examples/classify.js run/ photo.jpg other.png
// A run folder stands for its best checkpoint.
import { Classifier } from 'mnv2-torch';

const [checkpoint, ...images] = process.argv.slice(2);
if (!checkpoint || images.length === 0) {
  console.error('usage: node examples/classify.js <checkpoint or run folder> <image> ...');
  process.exit(2);
}

const classifier = await Classifier.load(checkpoint);
const answers = await classifier.classify(images, { topK: 3 });
for (const [i, answer] of answers.entries()) {
  if (answer.ok) {
    const best = answer.predictions.map((p) => `${p.label} ${(100 * p.probability).toFixed(1)}%`);
    console.log(`${images[i]}: ${best.join(', ')}`);
  } else {
    console.error(answer.error.message);
    process.exitCode = answer.error.exitCode;
  }
}
classifier.dispose();
