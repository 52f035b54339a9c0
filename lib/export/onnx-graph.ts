// An ONNX graph while it is being written: nodes, constants and names, each used once. Knows no op of ours.
import { DataError } from '../errors.js';
import type { HostArray, TensorData } from '../native/wire.js';
import { floatsToHalves } from '../weights/formats/half.js';
import {
  ATTRIBUTE_TYPE,
  ONNX_TYPE,
  type OnnxNode,
  type OnnxTensor,
  type Written,
} from '../weights/formats/onnx-proto.js';

/** Whole numbers are ints of ONNX; what is a float there says so. */
export type Attribute = number | readonly number[] | { readonly float: number } | { readonly text: string };
/** The type that the network's numbers have in the file. */
export type FloatType = 'fp32' | 'fp16';

const bytesOf = (data: HostArray | Uint16Array): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

function attribute(name: string, value: Attribute): Written<OnnxNode['attribute'][number]> {
  if (typeof value === 'number') return { name, type: ATTRIBUTE_TYPE.i, i: value };
  if ('float' in value) return { name, type: ATTRIBUTE_TYPE.f, f: value.float };
  if ('text' in value) return { name, type: ATTRIBUTE_TYPE.s, s: Buffer.from(value.text) };
  return { name, type: ATTRIBUTE_TYPE.ints, ints: [...value] };
}

export class GraphBuilder {
  readonly nodes: Written<OnnxNode>[] = [];
  readonly initializers: Written<OnnxTensor>[] = [];
  readonly #names = new Set<string>();
  readonly #constants = new Map<string, string>();
  /** Module path of what is being written: names begin with it. */
  path = '';

  constructor(readonly float: FloatType) {}

  /** The type float32 tensors of ours have. */
  get floatType(): number {
    return this.float === 'fp16' ? ONNX_TYPE.float16 : ONNX_TYPE.float;
  }

  /** A name nothing else in the file has. */
  name(wanted: string): string {
    let name = wanted;
    for (let n = 2; this.#names.has(name); n++) name = `${wanted}_${n}`;
    this.#names.add(name);
    return name;
  }

  /** Adds a node of one output, and gives that output's name; `output` names it itself. */
  node(
    opType: string,
    input: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    output?: string,
  ): string {
    const name = this.name(output ?? (this.path === '' ? opType : `${this.path}/${opType}`));
    const written = Object.entries(attributes).map(([key, value]) => attribute(key, value));
    this.nodes.push({ name, opType, input: [...input], output: [name], attribute: written });
    return name;
  }

  /**
   * Adds values under a name; float32 as the network's type.
   * @throws DataError when one is too large for half precision
   */
  initializer(wanted: string, { data, dtype, shape }: TensorData, keep32 = false): string {
    const name = this.name(wanted);
    const halves = dtype === 'float32' && this.float === 'fp16' && !keep32;
    const written = halves ? floatsToHalves(data as Float32Array) : data;
    if (halves && written.some((h, i) => (Number(h) & 0x7fff) === 0x7c00 && Number.isFinite(Number(data[i]))))
      throw new DataError(`'${wanted}' has a value beyond 65504, which half precision cannot hold: export in fp32`);
    const type = {
      float32: 'float',
      float64: 'double',
      int64: 'int64',
      int32: 'int32',
      int8: 'int8',
      uint8: 'uint8',
    } as const;
    const dataType = halves ? ONNX_TYPE.float16 : ONNX_TYPE[type[dtype as keyof typeof type]];
    this.initializers.push({ name, dims: [...shape], dataType, rawData: bytesOf(written) });
    return name;
  }

  /** A constant of the network's type, or one that stays float32; equal ones are written once. */
  floats(values: readonly number[], shape: readonly number[] = [values.length], keep32 = false): string {
    return this.#constant(`f${keep32} ${shape} ${values}`, () =>
      this.initializer('constant', { data: Float32Array.from(values), shape: [...shape], dtype: 'float32' }, keep32),
    );
  }

  /** Whole numbers: shapes, axes, pads. */
  ints(values: readonly number[]): string {
    return this.#constant(`i ${values}`, () =>
      this.initializer('constant', {
        data: BigInt64Array.from(values, BigInt),
        shape: [values.length],
        dtype: 'int64',
      }),
    );
  }

  /** Values of one element without their dimension, as attributes of an op are written. */
  scalar(of: string): string {
    const known = this.initializers.find(({ name }) => name === of);
    if (!known) return this.node('Squeeze', [of]);
    if (known.dims!.length === 0) return of;
    return this.#constant(`scalar ${of}`, () => {
      this.initializers.push({ ...known, name: this.name(of), dims: [] });
      return this.initializers.at(-1)!.name!;
    });
  }

  /** float32 values that are whole numbers, as the type for such. */
  wholeNumbers(of: string, type: 'int8' | 'uint8'): string {
    const known = this.initializers.find(({ name }) => name === of);
    if (!known) return this.node('Cast', [of], { to: ONNX_TYPE[type] });
    return this.#constant(`${type} ${of}`, () => {
      const { buffer, byteOffset, byteLength } = known.rawData!;
      const data = (type === 'int8' ? Int8Array : Uint8Array).from(
        new Float32Array(buffer, byteOffset, byteLength / 4),
      );
      return this.initializer(of, { data, shape: known.dims!, dtype: type });
    });
  }

  /** Initializers that a node reads: what was rewritten for one is left out. */
  read(): Written<OnnxTensor>[] {
    const inputs = new Set(this.nodes.flatMap(({ input }) => input));
    return this.initializers.filter(({ name }) => inputs.has(name!));
  }

  #constant(key: string, write: () => string): string {
    let name = this.#constants.get(key);
    if (name === undefined) this.#constants.set(key, (name = write()));
    return name;
  }
}
