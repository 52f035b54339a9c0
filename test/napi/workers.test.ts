// Trainings and classifiers in worker threads: the main thread's answers, and ended at any time by terminate().
import { Worker } from 'node:worker_threads';
import { Classifier, MobileNetV2, syntheticScenes, Trainer } from 'mnv2-torch';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('workers');
const index = new URL('../../dist/index.js', import.meta.url).href;
const PICTURE =
  '<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32"><rect width="32" height="32" fill="teal"/></svg>';

const worker = (code: string): Worker => {
  const source = `
    import { parentPort } from 'node:worker_threads';
    import { Classifier, MobileNetV2, syntheticScenes, Trainer } from '${index}';
    ${code}`;
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
};
const message = (of: Worker): Promise<unknown> =>
  new Promise((resolve, reject) => of.once('message', resolve).once('error', reject));

test('a worker trains what the main thread trains, while it does; one that is terminated in a step leaves the others alone', async () => {
  const train = async (): Promise<Trainer> =>
    new Trainer(MobileNetV2({ numClasses: 21, widthMult: 0.35 }), await syntheticScenes({ size: 32, perClass: 2 }), {
      epochs: 1,
      threads: 1,
    });
  const ended = worker(`
    const data = await syntheticScenes({ size: 32, perClass: 2 });
    const trainer = new Trainer(MobileNetV2({ numClasses: 21, widthMult: 0.35 }), data, { epochs: 10_000, threads: 1 });
    for await (const { event, phase } of trainer) if (event === 'progress' && phase === 'train') parentPort.postMessage('training');`);
  const trained = worker(`
    const data = await syntheticScenes({ size: 32, perClass: 2 });
    const result = await new Trainer(MobileNetV2({ numClasses: 21, widthMult: 0.35 }), data, { epochs: 1, threads: 1 }).fit();
    await result.save(${JSON.stringify(at('worker.safetensors'))});
    const classifier = await Classifier.from(result, { threads: 1 });
    parentPort.postMessage(await classifier.classify(Buffer.from(${JSON.stringify(PICTURE)})));`);
  const [begun, answer] = [message(ended), message(trained)];
  expect(await begun).toBe('training');
  await ended.terminate();
  using result = await (await train()).fit();
  const classifier = await Classifier.from(result, { threads: 1 });
  expect(await classifier.classify(Buffer.from(PICTURE))).toEqual(await answer);
  classifier.dispose();
  const again = await Classifier.load(at('worker.safetensors'), { threads: 1 });
  await trained.terminate();
  expect(await again.classify(Buffer.from(PICTURE))).toEqual(await answer);
  again.dispose();
}, 60_000);
