// What callers without types pass to programs: refused at once, by a UsageError that names the argument; and what they
// do to their arrays and in their callbacks while the engine works.
import { Engine } from '../../dist/engine/engine.js';
import { compile, type LoopOptions } from '../../dist/engine/program.js';
import { RowStore } from '../../dist/engine/rows.js';
import { mul, sum } from '../../dist/graph/ops.js';
import { constant, input, tensorData } from '../../dist/graph/tensor.js';

const program = compile({ y: mul(input('x', [-1, 1]), constant(10)), s: sum(input('x', [-1, 1])) });
const rows = await RowStore.from(Engine.default(), Float32Array.of(1, 2, 3), [3, 1], 'float32');
const good = { order: Int32Array.of(2, 0), batchSize: 1, bind: { x: { rows } } };
const usage = (message: RegExp): object => ({ name: 'UsageError', message: expect.stringMatching(message) as string });

test.each([
  ['nothing', null, /^loop: expected/],
  ['order', { ...good, order: [1, 2] }, /^loop: order: expected an Int32Array, got a value of type Array/],
  ['batchSize', { ...good, batchSize: NaN }, /^loop: batchSize: .* got NaN/],
  ['bind', { ...good, bind: null }, /^loop: bind: .* got null/],
  ['an empty binding', { ...good, bind: { x: {} } }, /^loop: bind\.x\.images: expected an instance of ImageStore/],
  ['rows', { ...good, bind: { x: { rows: 3 } } }, /^loop: bind\.x\.rows: expected an instance of RowStore, got 3/],
  ['into', { ...good, into: { y: {} } }, /^loop: into\.y\.store: expected an instance of RowStore, got undefined/],
  ['lr', { ...good, lr: '0.1' }, /^loop: lr: .* got '0\.1'/],
  ['onProgress', { ...good, onProgress: 3 }, /^loop: onProgress: expected a function, got 3/],
  ['signal', { ...good, signal: {} }, /^loop: signal: expected an AbortSignal, got an object/],
])('a loop with a wrong argument: %s', async (_name, options, message) => {
  await expect(program.loop(options as unknown as LoopOptions)).rejects.toMatchObject(usage(message));
});

test('feeds and options that are none', async () => {
  await expect(program.run(null as never)).rejects.toMatchObject(usage(/^run: feeds: .* got null/));
  await expect(program.run({}, null as never)).rejects.toMatchObject(usage(/^run: options: .* got null/));
  await expect(program.run({}, { fetch: 'y' as never })).rejects.toMatchObject(usage(/^run: fetch: .* got 'y'/));
});

test('a feed changed after run() and a store filled from an array changed after from() are as they were', async () => {
  const x = tensorData([1, 2], [2, 1]);
  const values = Float32Array.of(5, 6);
  const running = program.run({ x });
  const filling = RowStore.from(Engine.default(), values, [2, 1], 'float32');
  (x.data as Float32Array).fill(7);
  values.fill(7);
  expect([...(await running)['y']!.data]).toEqual([10, 20]);
  expect([...(await (await filling).get()).data]).toEqual([5, 6]);
});

test('what onProgress throws stops the loop and is what its promise rejects with', async () => {
  const error = new Error('mine');
  let calls = 0;
  const loop = program.loop({
    ...good,
    order: new Int32Array(3_000_000),
    stack: ['s'],
    progressMs: 1,
    onProgress: () => {
      calls++;
      throw error;
    },
  });
  await expect(loop).rejects.toBe(error);
  expect(calls).toBe(1);
  await Engine.default().ping(); // the engine is free again
});
