// Reading .onnx files: the graph and its constant values. What network the graph is, is from-onnx.ts's to say.
import { DataError, shown } from '../../errors.js';
import type { TensorData } from '../../native/wire.js';
import { decodeOnnx, ONNX_TYPE, type OnnxGraph, type OnnxTensor } from './onnx-proto.js';
import type { OpenFile } from './open-file.js';
import { brainsToFloats, halvesToFloats } from './half.js';
import type { WeightFile } from './weight-file.js';

/** A file with its graph: its tensors are the constants of floating point, as float32. */
export interface OnnxFile extends WeightFile {
  readonly format: 'onnx';
  readonly graph: OnnxGraph;
}

/** Protobuf's own limit of a message. */
const MOST_BYTES = 2 ** 31 - 1;

/**
 * Reads an ONNX model. Values in other files are refused, wherever they are.
 * @throws DataError that says what is wrong with the file
 */
export async function readOnnx({ path: file, size, read }: OpenFile): Promise<OnnxFile> {
  const bad = (what: string, cause?: unknown): DataError =>
    new DataError(`${file} is not a usable .onnx file: ${what}`, [file], { cause });
  if (size > MOST_BYTES) throw bad(`it has ${size} bytes, more than a protobuf message can`);
  const bytes = await read(0, size);
  let model;
  try {
    model = decodeOnnx(bytes);
  } catch (cause) {
    throw bad(`${shown((cause as Error).message).slice(1, -1)}; is it cut short?`, cause);
  }
  const { graph, metadataProps } = model;
  if (!graph || graph.node.length === 0) throw bad('it is an ONNX model without a graph');
  const constants = graph.node.flatMap(({ opType, output, attribute }) => {
    const value = opType === 'Constant' ? attribute.find((a) => a.name === 'value')?.t : undefined;
    return value ? [{ ...value, name: output[0] ?? '' }] : [];
  });
  const tensors = new Map<string, TensorData>();
  for (const tensor of [...graph.initializer, ...constants]) {
    if (tensor.dataLocation === 1)
      throw bad(
        `'${shown(tensor.name).slice(1, -1)}' is kept in another file, and only whole models are read; in Python: ` +
          'onnx.save(onnx.load("model.onnx"), "whole.onnx")',
      );
    const values = numbersOf(tensor, bad);
    if (!values) continue;
    if (tensors.has(tensor.name)) throw bad(`two values are called ${shown(tensor.name)}`);
    tensors.set(tensor.name, values);
  }
  const metadata = Object.fromEntries(metadataProps.map(({ key, value }) => [key, value]));
  return { format: 'onnx', tensors, metadata, notes: [], graph };
}

/** Values of floating point, as float32; undefined for whole numbers, which are no weights. */
function numbersOf(tensor: OnnxTensor, bad: (what: string) => DataError): TensorData | undefined {
  const { dims, dataType, rawData, floatData } = tensor;
  const width = { [ONNX_TYPE.float]: 4, [ONNX_TYPE.float16]: 2, [ONNX_TYPE.bfloat16]: 2, [ONNX_TYPE.double]: 8 }[
    dataType
  ];
  if (width === undefined) return undefined;
  const count = dims.reduce((a, b) => a * b, 1);
  const name = shown(tensor.name);
  if (dims.length > 8 || dims.some((d) => !Number.isSafeInteger(d) || d < 0))
    throw bad(`${name} has the shape ${shown(dims)}`);
  const listed = dataType === ONNX_TYPE.float && rawData.length === 0;
  const there = listed ? floatData.length : rawData.length / width;
  if (there !== count) throw bad(`${name} is ${shown(dims)}, which takes ${count} values; it has ${there}`);
  return { data: listed ? Float32Array.from(floatData) : floats(rawData, dataType), shape: dims, dtype: 'float32' };
}

function floats(raw: Uint8Array, dataType: number): Float32Array {
  // Typed arrays want their bytes aligned, and in a message they begin anywhere.
  const aligned = raw.byteOffset % 8 === 0 ? raw : Uint8Array.from(raw);
  const { buffer, byteOffset, byteLength } = aligned;
  const halves = (): Uint16Array => new Uint16Array(buffer, byteOffset, byteLength / 2);
  switch (dataType) {
    case ONNX_TYPE.float:
      return new Float32Array(buffer, byteOffset, byteLength / 4);
    case ONNX_TYPE.double:
      return Float32Array.from(new Float64Array(buffer, byteOffset, byteLength / 8));
    case ONNX_TYPE.bfloat16:
      return brainsToFloats(halves());
    default:
      return halvesToFloats(halves());
  }
}

/** Whole numbers that a node reads from a constant, such as the pads of a Pad; undefined where it is none. */
export function wholeNumbers(graph: OnnxGraph, name: string): number[] | undefined {
  const constant = graph.node.find((n) => n.opType === 'Constant' && n.output[0] === name);
  const tensor =
    graph.initializer.find((t) => t.name === name) ?? constant?.attribute.find((a) => a.name === 'value')?.t;
  if (tensor?.dataType !== ONNX_TYPE.int64 || tensor.rawData.length % 8 !== 0) return undefined;
  const { buffer, byteOffset, byteLength } = tensor.rawData;
  const view = new DataView(buffer, byteOffset, byteLength);
  return Array.from({ length: byteLength / 8 }, (_, i) => Number(view.getBigInt64(8 * i, true)));
}
