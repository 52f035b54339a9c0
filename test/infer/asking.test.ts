// Many questions at once: the same answers as one after the other, in bounded numbers; signals that end them anywhere.
import sharp from 'sharp';
import {
  Classifier,
  Conv2d,
  DataError,
  Flatten,
  GlobalAveragePool,
  Linear,
  MobileNetV2,
  Module,
  QueueFullError,
  ReLU,
  syntheticScenes,
  Trainer,
  UsageError,
  type CompleteCheckpoint,
  type Dataset,
  type ImageInput,
  type Tensor,
  type TrainResult,
} from 'mnv2-torch';
import { Random } from '../../dist/random.js';
import { ownCheckpoint } from '../support/own-checkpoint.ts';
import { temporaryFolder } from '../support/temporary.ts';

/** A head over many features, none of which is 0 for all pictures. */
class Pooled extends Module {
  readonly conv = new Conv2d(3, 300, 3, { stride: 2 });
  readonly act = new ReLU();
  readonly pool = new GlobalAveragePool();
  readonly head = new Linear(300, 21);
  forward(x: Tensor): Tensor {
    return this.head.call(this.pool.call(this.act.call(this.conv.call(x))));
  }
}
/** Two products, and no pooling. */
class Products extends Module {
  readonly flat = new Flatten();
  readonly first = new Linear(192, 40);
  readonly act = new ReLU();
  readonly last = new Linear(40, 2);
  forward(x: Tensor): Tensor {
    return this.last.call(this.act.call(this.first.call(this.flat.call(x))));
  }
}
/** With weights that make something of every input. */
function drawn(model: Module, size: number, classes: readonly string[]): CompleteCheckpoint {
  const { tensors, ...rest } = ownCheckpoint(model, size);
  const random = new Random(3, 'weights');
  for (const { data } of tensors.values())
    (data as Float32Array).forEach((_, i, all) => (all[i] = random.next() - 0.5));
  return { ...rest, tensors, classes: [...classes] };
}

const at = temporaryFolder('asking');
const SIZE = 32;
let data: Dataset;
let result: TrainResult;
let classifier: Classifier;
const rawOf = (i: number) => ({ data: data.store.get(i), width: SIZE, height: SIZE, channels: 3 as const });
beforeAll(async () => {
  data = await syntheticScenes({ size: SIZE, perClass: 3 });
  result = await new Trainer(MobileNetV2({ numClasses: 21, widthMult: 0.35 }), data, { epochs: 1 }).fit();
  classifier = await Classifier.from(result);
});
afterAll(() => {
  classifier.dispose();
  result.dispose();
  data.dispose();
});

describe('many at once', () => {
  test('50 calls give, bit for bit, what they give one after the other, as do a list and a stream', async () => {
    const own = await Classifier.from(drawn(new Pooled(), SIZE, data.classes));
    const images = Array.from({ length: 50 }, (_, i) => rawOf(i));
    const alone = [];
    for (const image of images) alone.push(await own.classify(image, { topK: 21 }));
    expect(await Promise.all(images.map((i) => own.classify(i, { topK: 21 })))).toEqual(alone);
    const listed = await own.classify(images, { topK: 21 });
    expect(listed.map((a) => (a.ok ? a.predictions : a.error))).toEqual(alone);
    const streamed = [];
    for await (const a of own.stream(images, { topK: 21 })) streamed.push(a.ok ? a.predictions : a.error);
    expect(streamed).toEqual(alone);
    expect(new Set(alone.map((p) => p[0]!.probability)).size).toBe(50);
    own.dispose();
  });
  test('of a head of two layers too, whatever the company', async () => {
    const own = await Classifier.from(drawn(new Products(), 8, ['a', 'b']));
    const images = Array.from({ length: 7 }, (_, i) => ({
      ...rawOf(i),
      data: rawOf(i).data.slice(0, 192),
      width: 8,
      height: 8,
    }));
    const alone = [];
    for (const image of images) alone.push(await own.embed(image, { module: 'last' }));
    const together = await own.embed(images, { module: 'last' });
    expect(together.map((e) => (e.ok ? e.embedding : e.error))).toEqual(alone);
    await expect(own.embed(images[0]!)).rejects.toThrow(/has no global average pooling; name the module/);
    own.dispose();
  });
  test('questions of several kinds at once: none is answered with another one’s', async () => {
    const images = Array.from({ length: 20 }, (_, i) => rawOf(i));
    const [plain, vectors, mirrored] = await Promise.all([
      Promise.all(images.map((i) => classifier.classify(i))),
      Promise.all(images.map((i) => classifier.embed(i))),
      Promise.all(images.map((i) => classifier.classify(i, { tta: 'horizontal' }))),
    ]);
    for (const [i, image] of images.entries()) {
      expect(plain[i]).toEqual(await classifier.classify(image));
      expect(vectors[i]).toEqual(await classifier.embed(image));
      expect(mirrored[i]).toEqual(await classifier.classify(image, { tta: 'horizontal' }));
    }
  });
});

describe('the queue', () => {
  test('past its bound a call is refused, typed, and later ones are answered', async () => {
    const small = await Classifier.from(result, { maxQueued: 3 });
    const answers = await Promise.allSettled(Array.from({ length: 5 }, (_, i) => small.classify(rawOf(i))));
    expect(answers.map((a) => a.status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'rejected']);
    const { reason } = answers[4] as PromiseRejectedResult;
    expect(reason).toBeInstanceOf(QueueFullError);
    expect(reason).toMatchObject({
      code: 'QUEUE_FULL',
      message: expect.stringMatching(/has 3 images under way.*stream\(\)/),
    });
    expect(await small.classify(rawOf(4))).toEqual(await classifier.classify(rawOf(4)));
    // A list is one call, however long: it waits for itself.
    const images = Array.from({ length: 40 }, (_, i) => rawOf(i));
    expect((await small.classify(images)).every((a) => a.ok)).toBe(true);
    const listed = small.embed(images);
    await expect(small.explain(rawOf(0))).rejects.toThrow(QueueFullError);
    await expect(small.stream(images).next()).rejects.toThrow(QueueFullError);
    expect(await listed).toHaveLength(40);
    const streamed = small.stream(images);
    expect((await streamed.next()).value).toMatchObject({ ok: true, index: 0 });
    await expect(small.classify(rawOf(0))).rejects.toThrow(QueueFullError);
    await streamed.return();
    expect(await small.classify(rawOf(0))).toHaveLength(5);
    small.dispose();
  });
  test.each([0, 1.5, NaN, '3'])('maxQueued %p is refused', async (maxQueued) => {
    await expect(Classifier.from(result, { maxQueued: maxQueued as number })).rejects.toThrow(/maxQueued: expected/);
  });
});

describe('a signal', () => {
  /** A picture that takes its time to be read: until `go` is called. */
  const slow = () => {
    let go!: () => void;
    const begun = new Promise<void>((begin) => (go = begin));
    let read = false;
    const blob = new Blob([new Uint8Array(1)]);
    const { data: pixels } = rawOf(0);
    const png = sharp(pixels, { raw: rawOf(0) })
      .png()
      .toBuffer();
    Object.defineProperty(blob, 'arrayBuffer', {
      value: async () => {
        read = true;
        await begun;
        const { buffer, byteOffset, length } = await png;
        return buffer.slice(byteOffset, byteOffset + length);
      },
    });
    return { blob, go, wasRead: () => read };
  };
  test('aborted before: nothing is read', async () => {
    const { blob, wasRead } = slow();
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(classifier.classify(blob, { signal })).rejects.toThrow('enough');
    await expect(classifier.classify([blob], { signal })).rejects.toThrow('enough');
    await expect(classifier.embed(blob, { signal })).rejects.toThrow('enough');
    await expect(classifier.explain(blob, { signal })).rejects.toThrow('enough');
    await expect(classifier.stream([blob], { signal }).next()).rejects.toThrow('enough');
    expect(wasRead()).toBe(false);
  });
  test('aborted while a picture is read: at once, and its place is free when it is', async () => {
    const one = await Classifier.from(result, { maxQueued: 1 });
    const stop = new AbortController();
    const { blob, go } = slow();
    const call = one.classify(blob, { signal: stop.signal });
    await new Promise(setImmediate);
    stop.abort();
    await expect(call).rejects.toMatchObject({ name: 'AbortError' });
    await expect(one.classify(rawOf(0))).rejects.toThrow(QueueFullError); // it is still being read
    go();
    for (let tries = 0; ; tries++) {
      try {
        expect(await one.classify(rawOf(0))).toHaveLength(5);
        break;
      } catch (error) {
        if (!(error instanceof QueueFullError) || tries > 1000) throw error;
        await new Promise(setImmediate);
      }
    }
    one.dispose();
  });
  test('aborted in the queue and while the network runs: those alone, at once', async () => {
    const images = Array.from({ length: 60 }, (_, i) => rawOf(i));
    const stop = new AbortController();
    // 16 run, the others wait; of both every other one is given up.
    const calls = images.map((image, i) => classifier.classify(image, i % 2 ? { signal: stop.signal } : {}));
    const settled: number[] = [];
    calls.forEach(
      (call, i) =>
        void call.then(
          () => settled.push(i),
          () => settled.push(i),
        ),
    );
    await new Promise(setImmediate); // raw pixels need no decoding: all are in the queue
    expect(settled).toEqual([]);
    stop.abort(new Error('no longer'));
    const answers = await Promise.allSettled(calls);
    expect(answers.map((a) => a.status)).toEqual(images.map((_, i) => (i % 2 ? 'rejected' : 'fulfilled')));
    expect(
      answers.filter((a) => a.status === 'rejected').every((a) => (a.reason as Error).message === 'no longer'),
    ).toBe(true);
    expect(settled.slice(0, 30).every((i) => i % 2 === 1)).toBe(true); // before any answer came
    const kept = answers.flatMap((a) => (a.status === 'fulfilled' ? [a.value] : []));
    for (const [k, answer] of kept.slice(0, 4).entries())
      expect(answer).toEqual(await classifier.classify(images[2 * k]!));
  });
  test('ends a list', async () => {
    const stop = new AbortController();
    const { blob, go, wasRead } = slow();
    const list = classifier.classify([rawOf(0), blob, rawOf(1)], { signal: stop.signal });
    await new Promise(setImmediate);
    expect(wasRead()).toBe(true);
    stop.abort(new Error('enough'));
    await expect(list).rejects.toThrow('enough');
    go();
  });
  test('that is none is refused', async () => {
    await expect(classifier.classify(rawOf(0), { signal: {} as never })).rejects.toThrow(UsageError);
  });
  test('one for many calls makes no warning of many listeners', async () => {
    const warnings: string[] = [];
    const hear = (warning: Error): void => void warnings.push(warning.name);
    process.on('warning', hear);
    const { signal } = new AbortController();
    await classifier.classify(
      Array.from({ length: 40 }, (_, i) => rawOf(i)),
      { signal },
    );
    for await (const answer of classifier.stream([rawOf(0), rawOf(1)], { signal })) expect(answer.ok).toBe(true);
    await new Promise(setImmediate);
    process.off('warning', hear);
    expect(warnings).toEqual([]);
  });
});

describe('embed', () => {
  test('the features before the head by default, any module by its name, of length 1 where asked for', async () => {
    const image = rawOf(5);
    const pooled = await classifier.embed(image);
    expect(pooled).toEqual(await classifier.embed(image, { module: 'pool' }));
    expect(pooled).toBeInstanceOf(Float32Array);
    const unit = await classifier.embed(image, { normalize: true });
    const length = Math.sqrt(pooled.reduce((sum, v) => sum + v * v, 0));
    expect(length).toBeGreaterThan(1.5);
    unit.forEach((v, i) => expect(v).toBeCloseTo(pooled[i]! / length, 6));
    expect(await classifier.embed(image, { module: 'features.1' })).toHaveLength(8 * 16 * 16);
    // The network's own: what the program gives for the pixels as they are.
    const logits = await classifier.embed(image, { module: 'classifier' });
    const predictions = await classifier.classify(image, { topK: 21 });
    const sum = logits.reduce((a, v) => a + Math.exp(v), 0);
    for (const { label, probability } of predictions)
      expect(probability).toBeCloseTo(Math.exp(logits[classifier.classes.indexOf(label)]!) / sum, 6);
    await expect(classifier.embed(image, { module: 'feature.1' })).rejects.toThrow(
      /module: expected .* Did you mean 'features.1'\?/,
    );
  });
  test('a list, a bad one among them; a stream of them', async () => {
    const images: ImageInput[] = [rawOf(0), at('nowhere.png'), rawOf(1)];
    const list = await classifier.embed(images);
    expect(list.map((e) => e.ok)).toEqual([true, false, true]);
    const stream = [];
    for await (const { item, index, ...answer } of classifier.streamEmbeddings(images)) {
      expect(item).toBe(images[index]);
      stream.push(answer);
    }
    expect(stream).toEqual(list);
    expect(list[1]).toMatchObject({ error: expect.any(DataError) });
  });
});
