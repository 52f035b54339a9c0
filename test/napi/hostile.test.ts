// Every entry of the addon with arguments it does not take: refused by a typed error that names the argument, and
// nothing crashes.
import { native } from '../../dist/native/load.js';
import { checked, settled } from '../../dist/native/failures.js';

const addon = native();
const engine = new addon.Engine({ device: 'cpu', threads: 1 });
const weights = new addon.NamedTensors(engine);
const rows = new addon.RowStore(engine, { rows: 2, shape: [1], dtype: 'float32' });
const images = new addon.ImageStore({ count: 1, height: 1, width: 1, channels: 3 });
const graph = {
  nodes: [{ op: 'input', inputs: [], attrs: { name: 'x' }, path: '', shape: [-1, 1], dtype: 'float32' }],
  names: { x: 0 },
  outputs: ['x'],
  precision: 'fp32',
  fuse: true,
  cudaGraph: true,
};
type Any = never;
const program = new addon.Program(engine, weights, graph as Any);
const loop = {
  order: Int32Array.of(0),
  batchSize: 1,
  bind: { x: { rows, offset: 0 } },
  into: {},
  firstStep: 0,
  seed: 0,
};
const whole = { ...loop, stack: [], rows: [], progressMs: 100 };

afterAll(() => engine.dispose());

const wrong = [
  undefined,
  null,
  true,
  3,
  NaN,
  'text',
  Symbol('s'),
  {},
  [],
  () => 0,
  new Float32Array(1),
  engine,
  images,
];

/** What a call answers with; a promise is awaited. */
async function answer(call: () => unknown): Promise<unknown> {
  try {
    return await settled(async () => checked(call));
  } catch (error) {
    return error;
  }
}

const entries: [string, (value: Any) => unknown][] = [
  ['Engine', (v) => new addon.Engine(v === engine ? (null as Any) : v)],
  ['Engine: device', (v) => new addon.Engine({ device: v, threads: 1 })],
  ['Engine: threads', (v) => new addon.Engine({ device: 'cpu', threads: v === 3 ? 1e9 : v })],
  ['NamedTensors: engine', (v) => new addon.NamedTensors(v === engine ? (null as Any) : v)],
  ['NamedTensors.set', (v) => weights.set([v])],
  ['NamedTensors.get', (v) => weights.get([v])],
  ['NamedTensors.copyFrom', (v) => weights.copyFrom(v)],
  [
    'RowStore: engine',
    (v) => new addon.RowStore(v === engine ? (null as Any) : v, { rows: 1, shape: [1], dtype: 'float32' }),
  ],
  ['RowStore: options', (v) => new addon.RowStore(engine, v)],
  ['RowStore: shape', (v) => new addon.RowStore(engine, { rows: 1, shape: [v === 3 ? -3 : v], dtype: 'float32' })],
  ['RowStore.set', (v) => rows.set(v)],
  ['RowStore.get', (v) => rows.get(v, 1)],
  ['Program: engine', (v) => new addon.Program(v === engine ? (null as Any) : v, weights, graph as Any)],
  ['Program: weights', (v) => new addon.Program(engine, v, graph as Any)],
  ['Program: graph', (v) => new addon.Program(engine, weights, v)],
  ['Program: node', (v) => new addon.Program(engine, weights, { ...graph, nodes: [v] } as Any)],
  ['Program: names', (v) => new addon.Program(engine, weights, { ...graph, names: { x: v } } as Any)],
  ['Program.run: input', (v) => program.run({ x: v }, {})],
  ['Program.run: data', (v) => program.run({ x: { data: v, shape: [3, 1], dtype: 'float32' } }, {})],
  ['Program.run: shape', (v) => program.run({ x: { data: new Float32Array(2), shape: [v], dtype: 'float32' } }, {})],
  ['Program.run: fetch', (v) => program.run({}, { fetch: [v] })],
  ['Program.plan', (v) => program.plan([v])],
  ['Program.loop', (v) => program.loop(v).promise],
  ['Program.loop: order', (v) => program.loop({ ...whole, order: v }).promise],
  ['Program.loop: batchSize', (v) => program.loop({ ...whole, batchSize: v === 3 ? -3 : v }).promise],
  ['Program.loop: binding', (v) => program.loop({ ...whole, bind: { x: v } }).promise],
  ['Program.loop: into', (v) => program.loop({ ...whole, into: { x: v } }).promise],
  ['ImageStore', (v) => new addon.ImageStore(v === images ? (null as Any) : v)],
  ['ImageStore: width', (v) => new addon.ImageStore({ count: 1, height: 1, width: v === 3 ? 1e9 : v, channels: 3 })],
  ['ImageStore.put: index', (v) => images.put(v, new Uint8Array(3))],
  ['ImageStore.put: pixels', (v) => images.put(0, v)],
  ['ImageStore.load', (v) => images.load(0, v)],
  ['resample', (v) => addon.resample(v, 1, 1, 1)],
  ['timeDepthwise', (v) => addon.timeDepthwise(v === engine ? (null as Any) : v, {} as Any)],
  ['timeCopy', (v) => addon.timeCopy(engine, v)],
];

test.each(entries)('%s', async (_name, call) => {
  for (const value of wrong) {
    expect(await answer(() => call(value as Any))).toMatchObject({ name: 'UsageError' });
  }
});

test('objects that only look like ours are not taken for them', async () => {
  const disguised = Object.setPrototypeOf(new addon.NamedTensors(engine), addon.Engine.prototype) as Any;
  expect(await answer(() => new addon.NamedTensors(disguised))).toMatchObject({ name: 'UsageError' });
  expect(await answer(() => addon.Engine.prototype.ping.call(weights as Any))).toMatchObject({ name: 'TypeError' });
});

test('memory that is shared, gone or shrunken is refused', async () => {
  const feed = (data: Float32Array): Promise<unknown> =>
    answer(() => program.run({ x: { data, shape: [2, 1], dtype: 'float32' } }, {}));
  const shared = new Float32Array(new SharedArrayBuffer(8));
  expect(await feed(shared)).toMatchObject({ name: 'UsageError', message: expect.stringMatching(/SharedArrayBuffer/) });
  const gone = new Float32Array(2);
  structuredClone(gone.buffer, { transfer: [gone.buffer] });
  expect(await feed(gone)).toMatchObject({ message: "run: input 'x': expected 2 values for its shape, got 0" });
  const Resizable = ArrayBuffer as unknown as new (n: number, o: object) => ArrayBuffer & { resize(n: number): void };
  const shrunken = new Resizable(8, { maxByteLength: 8 });
  const view = new Float32Array(shrunken);
  shrunken.resize(4);
  expect(await feed(view)).toMatchObject({ message: "run: input 'x': expected 2 values for its shape, got 1" });
});
