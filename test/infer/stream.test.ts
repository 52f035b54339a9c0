// A stream of pictures: in order, bounded, ended from either side.
import { Readable } from 'node:stream';
import { Classifier, MobileNetV2, syntheticScenes, Trainer, type Dataset } from 'mnv2-torch';
import { inOrder } from '../../dist/infer/in-order.js';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('stream');
let data: Dataset;
let classifier: Classifier;
beforeAll(async () => {
  data = await syntheticScenes({ size: 32, perClass: 2 });
  const result = await new Trainer(MobileNetV2({ numClasses: 21, widthMult: 0.25 }), data, { epochs: 1 }).fit();
  classifier = await Classifier.from(result);
  result.dispose();
});
afterAll(() => {
  classifier.dispose();
  data.dispose();
});
const rawOf = (i: number) => ({ data: data.store.get(i % 42), width: 32, height: 32, channels: 3 as const });
const turns = async (n: number): Promise<void> => {
  for (let i = 0; i < n; i++) await new Promise(setImmediate);
};

test('answers come in order with their items; a bad picture in its place', async () => {
  const items = [
    { id: 'a', image: rawOf(0) },
    { id: 'b', image: at('nowhere.png') },
    { id: 'c', image: rawOf(1) },
  ];
  const answers = [];
  for await (const answer of classifier.stream(items, { topK: 2 })) answers.push(answer);
  expect(answers.map(({ item, index, ok }) => [item.id, index, ok])).toEqual([
    ['a', 0, true],
    ['b', 1, false],
    ['c', 2, true],
  ]);
  expect(answers[2]!.item).toBe(items[2]);
  expect(answers[0]).toMatchObject({ predictions: await classifier.classify(rawOf(0), { topK: 2 }) });
  expect(answers[1]).toMatchObject({ error: { files: [at('nowhere.png')] } });
});
test('takes Node’s and the web’s streams, and nothing at all', async () => {
  const images = [rawOf(0), rawOf(1)];
  for (const source of [
    Readable.from(images),
    Readable.toWeb(Readable.from(images)) as ReadableStream<(typeof images)[0]>,
    new Set(images),
  ]) {
    const labels = [];
    for await (const a of classifier.stream(source as AsyncIterable<(typeof images)[0]>))
      labels.push(a.ok && a.predictions[0]!.label);
    expect(labels).toHaveLength(2);
  }
  for await (const answer of classifier.stream([])) throw new Error(String(answer.index));
});
test('the source waits while the reader does: 32 ahead of what was read, no more', async () => {
  let pulled = 0;
  let ended = 0;
  async function* source() {
    try {
      for (let i = 0; i < 200; i++) {
        pulled++;
        yield rawOf(i);
      }
    } finally {
      ended++;
    }
  }
  const stream = classifier.stream(source());
  expect(pulled).toBe(0);
  for (let read = 1; read <= 40; read++) {
    expect((await stream.next()).value).toMatchObject({ ok: true, index: read - 1 });
    expect(pulled).toBeLessThanOrEqual(read - 1 + 32);
  }
  await turns(50);
  expect(pulled).toBe(39 + 32);
  await stream.return();
  expect([pulled, ended]).toEqual([71, 1]);
});
test('a break ends the source; what it throws comes after the last answer', async () => {
  const told: string[] = [];
  async function* endless() {
    try {
      for (;;) yield rawOf(0);
    } finally {
      told.push('ended');
    }
  }
  for await (const { index } of classifier.stream(endless())) if (index === 3) break;
  expect(told).toEqual(['ended']);
  async function* broken() {
    yield rawOf(0);
    yield rawOf(1);
    await Promise.resolve();
    throw new Error('the cursor was closed');
  }
  let answered = 0;
  const reading = async () => {
    for await (const { ok } of classifier.stream(broken())) if (ok) answered++;
  };
  await expect(reading()).rejects.toThrow('the cursor was closed');
  expect(answered).toBe(2);
});
test('a mistake of the caller ends it, and the source', async () => {
  let ended = false;
  function* items() {
    try {
      yield rawOf(0);
      yield { image: 7 as never };
      for (;;) yield rawOf(1);
    } finally {
      ended = true;
    }
  }
  const reading = async () => {
    for await (const { ok } of classifier.stream(items())) expect(ok).toBe(true);
  };
  await expect(reading()).rejects.toThrow(/image: expected a path/);
  expect(ended).toBe(true);
});
test('an answer does not wait for the source; a source that sleeps holds up neither break nor abort', async () => {
  const asleep = () => {
    async function* items() {
      yield rawOf(0);
      await new Promise(() => {});
    }
    return items();
  };
  for await (const { index } of classifier.stream(asleep())) {
    expect(index).toBe(0);
    break;
  }
  const stop = new AbortController();
  const stream = classifier.stream(asleep(), { signal: stop.signal });
  await stream.next();
  const second = stream.next();
  await turns(3);
  stop.abort(new Error('enough'));
  await expect(second).rejects.toThrow('enough');
  expect((await stream.next()).done).toBe(true);
});
test('in order, whichever ends first; never more under way than allowed', async () => {
  const release: (() => void)[] = [];
  let [underWay, most] = [0, 0];
  const work = async (item: number): Promise<number> => {
    most = Math.max(most, ++underWay);
    await new Promise<void>((resolve) => (release[item] = resolve));
    underWay--;
    return item * 10;
  };
  const reading = inOrder([0, 1, 2, 3, 4], work, { ahead: 3 });
  const first = reading.next();
  await turns(2);
  expect(release).toHaveLength(3);
  release[2]!();
  release[1]!();
  await turns(2);
  expect(release).toHaveLength(3); // three are not handed over
  release[0]!();
  expect(await first).toEqual({ done: false, value: 0 });
  expect(await reading.next()).toEqual({ done: false, value: 10 });
  expect(await reading.next()).toEqual({ done: false, value: 20 });
  await turns(2);
  release[4]!();
  release[3]!();
  expect(await reading.next()).toEqual({ done: false, value: 30 });
  expect(await reading.next()).toEqual({ done: false, value: 40 });
  expect(await reading.next()).toEqual({ done: true, value: undefined });
  expect(most).toBe(3);
});
