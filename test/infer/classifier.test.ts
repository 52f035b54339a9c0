// Classifier: one answer a picture, batches or not, bad pictures among them; the same pixels as in training.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import sharp from 'sharp';
import { Classifier, DataError, MobileNetV2, syntheticScenes, Trainer, UsageError, type Dataset } from 'mnv2-torch';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('classifier');
let data: Dataset;
let classifier: Classifier;
let pictures: Buffer[];
beforeAll(async () => {
  data = await syntheticScenes({ size: 32, perClass: 2 });
  const model = MobileNetV2({ numClasses: 21, widthMult: 0.35 });
  const result = await new Trainer(model, data, { epochs: 1, batchSize: 14 }).fit();
  classifier = await Classifier.from(result);
  result.dispose();
  const raw = { raw: { width: 32, height: 32, channels: 3 as const } };
  pictures = await Promise.all(Array.from({ length: 40 }, (_, i) => sharp(data.store.get(i), raw).png().toBuffer()));
});
afterAll(() => {
  classifier.dispose();
  data.dispose();
});

test('a list is answered picture by picture, a bad one among them by its error', async () => {
  const one = await classifier.classify(pictures[3]!, { topK: 21 });
  expect(one.reduce((a, p) => a + p.probability, 0)).toBeCloseTo(1, 5);
  const list = [pictures[3]!, Buffer.from('no picture'), at('nowhere.png'), pictures[3]!];
  const answers = await classifier.classify(list, { topK: 21 });
  expect(answers.map((a) => a.ok)).toEqual([true, false, false, true]);
  const [first, text, nowhere] = answers;
  if (!first!.ok || text!.ok || nowhere!.ok) throw new Error('unreachable');
  first!.predictions.forEach((p, i) => {
    expect(p.label).toBe(one[i]!.label);
    expect(p.probability).toBeCloseTo(one[i]!.probability, 6);
  });
  expect(text!.error).toBeInstanceOf(DataError);
  expect(nowhere!.error.message).toMatch(/nowhere.png: no such file/);
});
test('concurrent calls give what calls one after the other give', async () => {
  const alone: string[] = [];
  for (const picture of pictures) alone.push((await classifier.classify(picture, { topK: 1 }))[0]!.label);
  const together = await Promise.all(pictures.map((p) => classifier.classify(p, { topK: 1 })));
  expect(together.map(([p]) => p!.label)).toEqual(alone);
  const listed = await classifier.classify(pictures, { topK: 1 });
  expect(listed.map((a) => (a.ok ? a.predictions[0]!.label : ''))).toEqual(alone);
  expect(await classifier.classify([])).toEqual([]);
});
test.each([
  [() => classifier.classify(null as never), /null/],
  [() => classifier.classify(7 as never), /7/],
  [() => classifier.classify(pictures[0]!, { topK: 0 }), /topK: expected a whole number of at least 1, got 0/],
  [() => Classifier.from(null as never), /expected what fit\(\) or completeCheckpoint\(\) gives, got null/],
  [() => Classifier.from({} as never), /expected what fit\(\) or completeCheckpoint\(\) gives/],
])('misuse %#: typed, and named', async (call, message) => {
  await expect(call()).rejects.toThrow(message);
  await expect(call()).rejects.toThrow(UsageError);
});
test('a list with something that is no picture at all is a mistake of the caller', async () => {
  await expect(classifier.classify([pictures[0]!, null as never])).rejects.toThrow(UsageError);
});
test('after dispose it says so', async () => {
  const file = at('m.safetensors');
  const result = await new Trainer(MobileNetV2({ numClasses: 21, widthMult: 0.25 }), data, { epochs: 1 }).fit();
  await result.save(file);
  result.dispose();
  const other = await Classifier.load(file);
  other.dispose();
  other.dispose();
  await expect(other.classify(pictures[0]!)).rejects.toThrow(/disposed/);
});
test('a device named like a picture is refused by name, not waited for', async () => {
  const fifo = at('pipe.jpg');
  await new Promise((resolve) => spawn('mkfifo', [fifo]).once('exit', resolve));
  expect(fs.existsSync(fifo)).toBe(true);
  await expect(classifier.classify(fifo)).rejects.toThrow(/pipe.jpg: /);
});
