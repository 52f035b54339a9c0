// A checkpoint as a TorchScript module, which torch.jit.load reads in Python and libtorch in C++. What is written is the
// recorded graph of its network, so any network can be; whether it computes the same is parity.ts's to say.
import { shown, UsageError } from '../errors.js';
import { Engine } from '../engine/engine.js';
import { isOp } from '../graph/op-names.js';
import { add, cast, mul, permute } from '../graph/ops.js';
import { topological } from '../graph/order.js';
import { constant, input, type HostArray, type Tensor, type TensorData } from '../graph/tensor.js';
import { evaluating } from '../infer/trained.js';
import { settled } from '../native/failures.js';
import { native } from '../native/load.js';
import type { ScriptSpec } from '../native/wire.js';
import type { Module, Parameter } from '../nn/module.js';
import type { CompleteCheckpoint } from '../weights/checkpoint.js';
import { pixelScaling } from '../weights/preprocess.js';
import { answersOf } from '../weights/task.js';
import { exportMetadata } from './export-metadata.js';
import { givenBy } from './reference.js';
import { LOWERINGS } from './torchscript-ops.js';

/** How a checkpoint is written as TorchScript. */
export interface TorchScriptOptions {
  /**
   * no preprocessing: float32 [N, 3, size, size], already scaled -> logits (default false: uint8 [N, size, size, 3], RGB
   * -> probabilities, or of a regression numbers)
   */
  raw?: boolean;
}

/**
 * The bytes of a TorchScript module that computes what the checkpoint's network does. Its state dict has the names of the
 * checkpoint, and `metadata.json` among its extra files has the checkpoint's metadata.
 * @throws UsageError when the network has an op that is for training alone, or reads more than images
 */
export async function toTorchScript(
  checkpoint: CompleteCheckpoint,
  options: TorchScriptOptions = {},
): Promise<Uint8Array> {
  const { model, preprocess, tensors } = checkpoint;
  const channels = checkpoint.options.inChannels ?? 3;
  const { image, output } = options.raw
    ? recorded(model, [-1, channels, preprocess.size, preprocess.size])
    : withPreprocessing(checkpoint, channels);
  const parameters = [...model.namedParameters()];
  const names = new Set(parameters.map(([name]) => name));
  const { source, constants } = forwardOf(image, output, names);
  const metadata = {
    ...exportMetadata(checkpoint),
    input: options.raw ? 'float32 NCHW, scaled' : 'uint8 NHWC, RGB',
    output: givenBy(checkpoint, options.raw ?? false),
  };
  const script: ScriptSpec = {
    parts: [...model.modules()].map(([path, m]) => ({ path, type: className(m) })),
    tensors: [
      ...parameters.map(([name, p]) => ({
        name,
        parameter: p.kind === 'parameter',
        ...(tensors.get(name) ?? zerosFor(p)),
        dtype: p.dtype,
      })),
      ...constants.map(([name, t]) => ({
        name,
        parameter: false,
        data: t.attrs['data'] as HostArray,
        shape: [...t.shape],
        dtype: t.dtype,
      })),
    ],
    source,
    notes: { 'metadata.json': JSON.stringify(metadata) },
  };
  using engine = new Engine();
  return await settled(() => native().torchScript(engine.native, script));
}

interface Recorded {
  image: Tensor;
  output: Tensor;
}

function recorded(model: Module, shape: number[]): Recorded {
  const image = input('image', shape);
  return { image, output: evaluating(model, (m) => m.call(image)) };
}

/** The bytes of pictures in, probabilities out: as `predict` does it, in the words of the graph. */
function withPreprocessing({ model, preprocess, task }: CompleteCheckpoint, channels: number): Recorded {
  if (channels !== 3)
    throw new UsageError(`the network takes ${channels} channels, pictures have 3: export it with raw (--raw)`);
  const { size } = preprocess;
  const { scale, shift } = pixelScaling(preprocess);
  const image = input('image', [-1, size, size, 3], 'uint8');
  const pixels = cast(permute(image, [0, 3, 1, 2]), 'float32');
  const scaled = add(mul(pixels, constant(scale, [1, 3, 1, 1])), constant(shift, [1, 3, 1, 1]));
  return { image, output: evaluating(model, (m) => answersOf(m.call(scaled), task)) };
}

/** The only tensor a checkpoint may lack is a counter nobody reads. */
const zerosFor = (p: Parameter): TensorData => ({
  data: new BigInt64Array(p.shape.reduce((a, b) => a * b, 1)),
  shape: [...p.shape],
  dtype: 'int64',
});

/** A module's class, as far as it is a name to Python. */
const className = (m: Module): string => m.constructor.name.replace(/\W/g, '_').replace(/^(?=\d|$)/, 'Module');

/** `self.features` where Python allows, else getattr(self, "0"). */
function attribute(of: string, name: string): string {
  if (/^[a-z]\w*$/i.test(name) && !PYTHON_WORDS.has(name)) return `${of}.${name}`;
  // libtorch writes other names in a way that it cannot read again.
  if (!/^[\w $-]+$/.test(name))
    throw new UsageError(
      `TorchScript takes names of ASCII letters and digits: expected such a name of a field, got ${shown(name)}; rename it`,
    );
  return `getattr(${of}, "${name}")`;
}
const PYTHON_WORDS = new Set(
  (
    'False None True and as assert async await break class continue def del elif else except finally for from global if ' +
    'import in is lambda nonlocal not or pass print raise return try while with yield'
  ).split(' '),
);

/** The method `forward`, and the constants it reads, which become buffers under names nothing else has. */
function forwardOf(
  image: Tensor,
  output: Tensor,
  taken: ReadonlySet<string>,
): { source: string; constants: [string, Tensor][] } {
  const lines: string[] = [];
  const constants: [string, Tensor][] = [];
  const known = new Map<Tensor, string>([[image, 'image']]);
  const prefix = [...taken].some((name) => name.startsWith('constant_')) ? 'graph_constant_' : 'constant_';
  const path = (name: string): string => name.split('.').reduce(attribute, 'self');
  const expression = (t: Tensor): string => {
    if (t.op === 'module') return known.get(t.inputs[0]!)!;
    if (t.op === 'parameter') return path(t.attrs['name'] as string);
    if (t.op === 'constant') {
      constants.push([`${prefix}${constants.length}`, t]);
      return path(constants.at(-1)![0]);
    }
    if (t.op === 'input')
      throw new UsageError(`the network reads an input '${String(t.attrs['name'])}' besides its images`);
    if (!isOp(t.op)) throw new UsageError(`a graph with a ${t.op} cannot be exported`);
    const value = LOWERINGS[t.op](
      t,
      t.inputs.map((i) => known.get(i)!),
    );
    if (!value.startsWith('torch.')) return value; // an op that passes on what it gets
    lines.push(`v${lines.length} = ${value}`);
    return `v${lines.length - 1}`;
  };
  for (const t of topological([output])) if (!known.has(t)) known.set(t, expression(t));
  const body = [...lines, `return ${known.get(output)!}`].map((line) => `    ${line}\n`);
  return { source: `def forward(self, image: Tensor) -> Tensor:\n${body.join('')}`, constants };
}
