// A checkpoint as an ONNX model. What is written is the recorded graph of its network, so any network can be; whether it
// computes the same is parity.ts's to say.
import { UsageError } from '../errors.js';
import { isOp } from '../graph/op-names.js';
import { topological } from '../graph/order.js';
import { input, type Tensor } from '../graph/tensor.js';
import { evaluating } from '../infer/trained.js';
import { native } from '../native/load.js';
import type { TensorData } from '../native/wire.js';
import type { CompleteCheckpoint } from '../weights/checkpoint.js';
import { encodeOnnx, ONNX_TYPE } from '../weights/formats/onnx-proto.js';
import { quantisedForm } from '../weights/quantised.js';
import type { LearnedTask } from '../weights/task.js';
import { exportMetadata } from './export-metadata.js';
import { core, fold, foldable } from '../graph/fold.js';
import { GraphBuilder, type FloatType } from './onnx-graph.js';
import { IR_VERSION, OPSETS, readImages, valueInfo, type Port, type Takes } from './onnx-images.js';
import { LOWERINGS } from './onnx-ops.js';
import { givenBy } from './reference.js';

/** How a checkpoint is written as ONNX. */
export interface OnnxOptions {
  /** BatchNorm goes into the convolution before it (default true); false keeps BatchNormalization and all numbers as they are */
  fold?: boolean;
  /** no preprocessing: `input` float32 [N, 3, size, size], already scaled -> `logits` (default false) */
  raw?: boolean;
  /**
   * `images` may have any size, the graph resizes them within one level of what `decodeImage` makes of the same pixels
   * (default false: they have the model's size). JPEG and WebP of twice the model's size and more `decodeImage` shrinks
   * while it decodes them, where a graph sees them whole: of those a few bytes in a thousand differ by more.
   */
  resize?: boolean;
  /** 'fp16': weights and arithmetic in half precision; inputs and outputs stay as they are (default 'fp32') */
  dtype?: FloatType;
  /**
   * int8 checkpoints: weights of seven bits, for processors without VNNI, where sums of two products of eight bits saturate
   * (default false)
   */
  reduceRange?: boolean;
}

/** What the options ask of the input. */
export function takesOf({ raw = false, resize = false }: OnnxOptions): Takes {
  if (raw && resize) throw new UsageError('raw and resize exclude each other: what is raw has the size of the model');
  return raw ? 'raw' : resize ? 'pictures' : 'images';
}

/** `answersOf` in the words of ONNX. */
function answer(graph: GraphBuilder, outputs: string, task: LearnedTask, name: string): string {
  if (task.kind === 'multiclass') return graph.node('Softmax', [outputs], { axis: 1 }, name);
  if (task.kind === 'multilabel') return graph.node('Sigmoid', [outputs], {}, name);
  const row = (values: readonly number[]): string => graph.floats(values, [1, values.length], true);
  return graph.node('Add', [graph.node('Mul', [outputs, row(task.scale)]), row(task.mean)], {}, name);
}

/** The bytes of an ONNX model that computes what the checkpoint's network does. */
export function toOnnx(checkpoint: CompleteCheckpoint, options: OnnxOptions = {}): Uint8Array {
  const { preprocess, model, classes } = checkpoint;
  const takes = takesOf(options);
  const quantised = quantisedForm(checkpoint.metadata, checkpoint.file) !== undefined;
  if (quantised && options.dtype === 'fp16')
    throw new UsageError(`${checkpoint.file} is int8, and stays so: expected no other dtype, got fp16`);
  const graph = new GraphBuilder(options.dtype ?? 'fp32');
  const { size } = preprocess;
  const image = input('image', [-1, 3, size, size]);
  const output = evaluating(model, (m) => m.call(image));

  const { port, value } = readImages(takes, preprocess, graph);
  const logits = lowered(output, new Map([[image, value]]), checkpoint.tensors, options.fold ?? true, graph);
  const given = givenBy(checkpoint, takes === 'raw');
  graph.path = '';
  // Wide again before the softmax: its sums are no matter for half precision.
  const wide = graph.float === 'fp16' ? graph.node('Cast', [logits], { to: ONNX_TYPE.float }) : logits;
  const name =
    takes === 'raw' ? graph.node('Identity', [wide], {}, given) : answer(graph, wide, checkpoint.task, given);
  const told: Port = { name, elemType: ONNX_TYPE.float, shape: [{ dimParam: 'N' }, { dimValue: classes.length }] };
  const metadata = {
    ...exportMetadata(checkpoint),
    exported_dtype: options.dtype ?? 'fp32',
    batch_norm: options.fold === false && !quantised ? 'kept' : 'folded',
    ...(options.reduceRange && { reduced_range: 'true' }),
  };
  return encodeOnnx({
    irVersion: IR_VERSION,
    producerName: 'mnv2-torch',
    producerVersion: native().buildInfo().package,
    opsetImport: OPSETS,
    metadataProps: Object.entries(metadata).map(([key, text]) => ({ key, value: text })),
    graph: {
      name: checkpoint.arch,
      node: graph.nodes,
      initializer: graph.read(),
      input: [valueInfo(port)],
      output: [valueInfo(told)],
    },
  });
}

/** Writes the nodes that `output` depends on; the result is the name of its value. */
function lowered(
  output: Tensor,
  known: Map<Tensor, string>,
  tensors: ReadonlyMap<string, TensorData>,
  folds: boolean,
  graph: GraphBuilder,
): string {
  const valueOf = (t: Tensor): TensorData => tensors.get(t.attrs['name'] as string)!;
  const folded = folds ? foldable(output) : new Map<Tensor, Tensor>();
  const inside = new Set(
    [...folded].flatMap(([norm, conv]) => [conv, ...conv.inputs.slice(1), ...norm.inputs.slice(1)]),
  );
  const nameOf = (t: Tensor): string => {
    const of = core(t);
    let name = known.get(of);
    if (name === undefined) known.set(of, (name = write(of)));
    return name;
  };
  const write = (t: Tensor): string => {
    graph.path = t.path;
    if (t.op === 'parameter') return graph.initializer(t.attrs['name'] as string, valueOf(t));
    if (t.op === 'constant')
      return graph.initializer('constant', { data: t.attrs['data'] as never, shape: [...t.shape], dtype: t.dtype });
    if (t.op === 'input')
      throw new UsageError(`the network reads an input '${String(t.attrs['name'])}' besides its images`);
    if (!isOp(t.op)) throw new UsageError(`a graph with a ${t.op} cannot be exported`);
    const conv = folded.get(t);
    const products = productsOf(t);
    if (products) {
      const bias = wholeBias(t, products, valueOf, graph);
      return LOWERINGS[t.op](t, [...t.inputs.slice(0, 2).map(nameOf), bias], graph);
    }
    if (!conv) return LOWERINGS[t.op](t, t.inputs.map(nameOf), graph);
    const { weight, bias } = fold(conv, t, valueOf);
    graph.path = conv.path;
    const at = conv.path === '' ? 'folded' : `${conv.path}.folded`;
    const inputs = [
      nameOf(conv.inputs[0]!),
      graph.initializer(`${at}.weight`, weight),
      graph.initializer(`${at}.bias`, bias),
    ];
    return LOWERINGS[conv.op as 'conv2d' | 'depthwiseConv2d'](conv, inputs, graph);
  };
  // In order: inputs first, so that no node is written from within another's, however deep the network is.
  for (const t of topological([output])) {
    const bias = productsOf(t) && core(t.inputs[2]!);
    if (bias) inside.add(bias);
  }
  for (const t of topological([output])) if (t.op !== 'module' && !inside.has(t)) nameOf(t);
  return nameOf(output);
}

/** The scales of a layer of whole numbers: of its input and of its weight; undefined for any other node, or without a bias. */
function productsOf(t: Tensor): { input: Tensor; weight: Tensor } | undefined {
  if (t.op !== 'conv2d' && t.op !== 'depthwiseConv2d' && t.op !== 'linear') return undefined;
  const [x, weight, bias] = t.inputs.map(core) as [Tensor, Tensor, Tensor?];
  if (x.op !== 'fakeQuantize' || weight.op !== 'dequantize' || bias?.op !== 'parameter') return undefined;
  return { input: x.inputs[1]!, weight: weight.inputs[1]! };
}

/** A bias in the unit of the products it is added to, which is how runtimes add it: int32, dequantised. */
function wholeBias(
  layer: Tensor,
  { input: from, weight }: { input: Tensor; weight: Tensor },
  valueOf: (parameter: Tensor) => TensorData,
  graph: GraphBuilder,
): string {
  const bias = core(layer.inputs[2]!);
  const [name, values] = [bias.attrs['name'] as string, valueOf(bias).data as Float32Array];
  const [sx, sw] = [valueOf(from).data as Float32Array, valueOf(weight).data as Float32Array];
  const scales = sw.map((s) => s * sx[0]!);
  const whole = Int32Array.from(values, (b, c) => {
    const q = Math.round(b / scales[scales.length === 1 ? 0 : c]!);
    return Math.min(Math.max(q, -(2 ** 31)), 2 ** 31 - 1);
  });
  const q = graph.initializer(name, { data: whole, shape: [whole.length], dtype: 'int32' });
  const one = scales.length === 1;
  const scale = graph.initializer(`${name}_scale`, {
    data: scales,
    shape: one ? [] : [scales.length],
    dtype: 'float32',
  });
  return graph.node('DequantizeLinear', [q, scale], one ? {} : { axis: 0 });
}
