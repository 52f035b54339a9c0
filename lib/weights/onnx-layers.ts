// An ONNX graph as a row of layers, from the first convolution on: what is left when everything that computes nothing, or
// is written in several nodes where one says it, is put away. Knows none of our networks.
import { DataError, shown } from '../errors.js';
import { wholeNumbers, type OnnxFile } from './formats/onnx.js';
import type { OnnxNode } from './formats/onnx-proto.js';
import type { TensorData } from '../native/wire.js';

/** Padding of a convolution: [top, bottom, left, right], or the rule that both sides of it follow. */
export type LayerPads = readonly number[] | 'tf-same';

export interface ConvolutionLayer {
  kind: 'conv';
  weight: TensorData;
  bias: TensorData | undefined;
  stride: readonly number[];
  dilation: readonly number[];
  groups: number;
  pads: LayerPads;
}
export interface LinearLayer {
  kind: 'linear';
  /** [out, in] */
  weight: TensorData;
  bias: TensorData | undefined;
}
export interface NormLayer {
  kind: 'norm';
  weight: TensorData;
  bias: TensorData;
  mean: TensorData;
  variance: TensorData;
  eps: number;
}
export interface PlainLayer {
  kind: 'relu' | 'relu6' | 'hardswish' | 'hardsigmoid' | 'add' | 'mul' | 'pool';
}
export type Layer = ConvolutionLayer | LinearLayer | NormLayer | PlainLayer;

/** Nodes that change no number of a network like ours, or work out shapes. */
const SILENT = new Set(
  'Identity Dropout Flatten Reshape Squeeze Unsqueeze Cast Constant Shape Gather Concat Slice Softmax LogSoftmax Transpose'.split(
    ' ',
  ),
);

/**
 * The layers of a file, in their order.
 * @returns them, and the kinds of nodes before the first convolution, which are preprocessing
 * @throws DataError for a node that no network of ours has
 */
export function layersOf(file: OnnxFile, path: string): { layers: Layer[]; before: string[] } {
  return new Walk(file, path).run();
}

class Walk {
  readonly #layers: Layer[] = [];
  readonly #before: string[] = [];
  /** values that are others: behind nodes that compute nothing */
  readonly #same = new Map<string, string>();
  readonly #padded = new Map<string, { pads: readonly number[]; from: string }>();
  /** what a value is while it is written in several nodes: x + 3, clip(x + 3, 0, 6), hardsigmoid(x), with x */
  readonly #partly = new Map<string, { is: 'plus 3' | 'clipped' | 'hardsigmoid'; of: string }>();
  #product: { output: string; layer: LinearLayer } | undefined;

  constructor(
    private readonly file: OnnxFile,
    private readonly path: string,
  ) {}

  run(): { layers: Layer[]; before: string[] } {
    for (const node of this.file.graph.node) {
      const began = this.#layers.length > 0;
      if (began || node.opType === 'Conv') this.#read(node);
      else if (this.#pad(node)) continue;
      else if (SILENT.has(node.opType)) this.#alias(node);
      else this.#before.push(node.opType);
    }
    return { layers: this.#layers, before: this.#before };
  }

  #refuse(node: OnnxNode, what: string): never {
    const name = shown(node.name || node.output[0]).slice(1, -1);
    throw new DataError(
      `${this.path}: its graph is none of our networks: '${name}' (${shown(node.opType).slice(1, -1)}) ${what}`,
      [this.path],
    );
  }

  #alias({ input, output }: OnnxNode): void {
    if (input[0] !== undefined && output[0] !== undefined) this.#same.set(output[0], this.#source(input[0]));
  }
  #source = (name: string): string => this.#same.get(name) ?? name;
  #value = (name: string | undefined): TensorData | undefined =>
    name === undefined ? undefined : this.file.tensors.get(this.#source(name));
  #one(name: string | undefined): number | undefined {
    const value = this.#value(name);
    return value?.data.length === 1 ? Number(value.data[0]) : undefined;
  }
  #add = (layer: Layer): void => void this.#layers.push(layer);

  #read(node: OnnxNode): void {
    const { opType, input } = node;
    switch (opType) {
      case 'Conv':
        return this.#convolution(node);
      case 'BatchNormalization':
        return this.#norm(node);
      case 'Gemm':
      case 'MatMul':
        return this.#linear(node);
      case 'Relu':
        return this.#add({ kind: 'relu' });
      case 'Clip':
        return this.#clip(node);
      case 'HardSwish':
        return this.#add({ kind: 'hardswish' });
      case 'HardSigmoid':
        if (Math.abs(attribute(node, 'alpha', 'f', 0.2) - 1 / 6) > 1e-4)
          this.#refuse(node, 'has another slope than 1/6');
        return this.#hardsigmoid(node, this.#source(input[0]!));
      case 'Add':
      case 'Mul':
      case 'Div':
        return this.#arithmetic(node);
      case 'GlobalAveragePool':
      case 'AveragePool':
      case 'ReduceMean':
        return this.#add({ kind: 'pool' });
      default:
        if (SILENT.has(opType)) this.#alias(node);
        else if (!this.#pad(node)) this.#refuse(node, 'has no place in them');
    }
  }

  /** A Pad of zeros belongs to the convolution after it. */
  #pad(node: OnnxNode): boolean {
    const { opType, input, output } = node;
    if (opType !== 'Pad') return false;
    const pads = attributes(node, 'pads') ?? wholeNumbers(this.file.graph, this.#source(input[1] ?? ''));
    const around = pads?.length === 8 && [0, 1, 4, 5].every((i) => pads[i] === 0);
    if (!around || (input[2] && this.#one(input[2]) !== 0))
      this.#refuse(node, 'pads otherwise than with zeros around a picture');
    this.#padded.set(output[0]!, { pads: [pads[2]!, pads[6]!, pads[3]!, pads[7]!], from: this.#source(input[0]!) });
    return true;
  }

  #convolution(node: OnnxNode): void {
    const [x, w, b] = node.input;
    const weight = this.#value(w);
    const bias = this.#value(b || undefined);
    if (weight?.shape.length !== 4 || (b && !bias))
      return this.#refuse(node, 'has a weight that is no constant [out, in, height, width]');
    const own = attributes(node, 'pads') ?? [0, 0, 0, 0];
    const before = this.#padded.get(this.#source(x!))?.pads ?? [0, 0, 0, 0];
    const auto = text(node, 'auto_pad');
    this.#add({
      kind: 'conv',
      weight,
      bias,
      stride: attributes(node, 'strides') ?? [1, 1],
      dilation: attributes(node, 'dilations') ?? [1, 1],
      groups: attribute(node, 'group', 'i', 1),
      pads:
        auto === 'SAME_UPPER'
          ? 'tf-same'
          : [own[0]! + before[0]!, own[2]! + before[1]!, own[1]! + before[2]!, own[3]! + before[3]!],
    });
  }

  #norm(node: OnnxNode): void {
    const [weight, bias, mean, variance] = node.input.slice(1).map(this.#value);
    if (!weight || !bias || !mean || !variance) return this.#refuse(node, 'has statistics that are no constants');
    this.#add({ kind: 'norm', weight, bias, mean, variance, eps: attribute(node, 'epsilon', 'f', 1e-5) });
  }

  #linear(node: OnnxNode): void {
    const [, w, b] = node.input;
    const weight = this.#value(w);
    if (weight?.shape.length !== 2) return this.#refuse(node, 'is no product with a constant matrix');
    const straight = node.opType === 'Gemm' && attribute(node, 'transB', 'i', 0) === 1;
    const layer: LinearLayer = { kind: 'linear', weight: straight ? weight : transposed(weight), bias: this.#value(b) };
    if (
      attribute(node, 'alpha', 'f', 1) !== 1 ||
      attribute(node, 'beta', 'f', 1) !== 1 ||
      attribute(node, 'transA', 'i', 0) !== 0
    )
      this.#refuse(node, 'scales or turns what it multiplies');
    if (node.opType === 'MatMul') this.#product = { output: node.output[0]!, layer };
    this.#add(layer);
  }

  #clip(node: OnnxNode): void {
    const [x, low, high] = node.input;
    const least = low ? this.#one(low) : attribute(node, 'min', 'f', -Infinity);
    const most = high ? this.#one(high) : attribute(node, 'max', 'f', Infinity);
    const partly = this.#partly.get(this.#source(x!));
    if (least !== 0 || (most !== 6 && !(most! > 1e30))) return this.#refuse(node, 'clips otherwise than to 0..6');
    if (partly?.is === 'plus 3' && most === 6) this.#partly.set(node.output[0]!, { is: 'clipped', of: partly.of });
    else this.#add({ kind: most === 6 ? 'relu6' : 'relu' });
  }

  #hardsigmoid(node: OnnxNode, of: string): void {
    this.#partly.set(node.output[0]!, { is: 'hardsigmoid', of });
    this.#add({ kind: 'hardsigmoid' });
  }

  #arithmetic(node: OnnxNode): void {
    const [a, b] = node.input.map(this.#source) as [string, string];
    const constant = this.#value(b) ?? this.#value(a);
    const other = this.#value(b) ? a : b;
    const number = constant && this.#one(this.#value(b) ? b : a);
    const close = (to: number): boolean => number !== undefined && Math.abs(number - to) < 1e-4;
    if (!constant) return this.#both(node, a, b);
    if (node.opType === 'Add' && this.#product?.output === other && !this.#product.layer.bias) {
      this.#product.layer.bias = constant;
      this.#alias({ ...node, input: [other] });
    } else if (node.opType === 'Add' && close(3)) this.#partly.set(node.output[0]!, { is: 'plus 3', of: other });
    else {
      const sixth = (node.opType === 'Div' && close(6)) || (node.opType === 'Mul' && close(1 / 6));
      const partly = this.#partly.get(other);
      if (!sixth || partly?.is !== 'clipped') return this.#refuse(node, 'computes with a constant');
      this.#hardsigmoid(node, partly.of);
    }
  }

  /** Of two values: x * hardsigmoid(x) is a hardswish. */
  #both(node: OnnxNode, a: string, b: string): void {
    if (node.opType === 'Div') this.#refuse(node, 'divides');
    const self = [
      [a, b],
      [b, a],
    ].some(([x, y]) => this.#partly.get(y!)?.is === 'hardsigmoid' && this.#partly.get(y!)!.of === x);
    if (node.opType === 'Mul' && self && this.#layers.at(-1)?.kind === 'hardsigmoid') {
      this.#layers.pop();
      this.#add({ kind: 'hardswish' });
    } else this.#add({ kind: node.opType === 'Add' ? 'add' : 'mul' });
  }
}

const found = (node: OnnxNode, name: string) => node.attribute.find((a) => a.name === name);
const attribute = (node: OnnxNode, name: string, field: 'f' | 'i', fallback: number): number =>
  found(node, name)?.[field] ?? fallback;
const attributes = (node: OnnxNode, name: string): number[] | undefined => found(node, name)?.ints;
const text = (node: OnnxNode, name: string): string => Buffer.from(found(node, name)?.s ?? []).toString();

function transposed({ data, shape, dtype }: TensorData): TensorData {
  const [rows, columns] = shape as [number, number];
  const out = Float32Array.from({ length: data.length }, (_, i) =>
    Number(data[(i % rows) * columns + Math.floor(i / rows)]),
  );
  return { data: out, shape: [columns, rows], dtype };
}
