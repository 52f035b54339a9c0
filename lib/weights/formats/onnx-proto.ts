// The messages of an ONNX file that this package writes and reads, described for protobufjs. What is not named here
// (subgraphs, training, sparse tensors) is passed over while reading: no message holds itself, so nothing nests deeply.
import protobuf from 'protobufjs/light.js';

/** Element types, by ONNX's numbers. */
export const ONNX_TYPE = {
  float: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  double: 11,
  bfloat16: 16,
} as const;

/** Which field of an attribute holds its value, by ONNX's numbers. */
export const ATTRIBUTE_TYPE = { f: 1, i: 2, s: 3, t: 4, floats: 6, ints: 7, strings: 8 } as const;

export interface OnnxTensor {
  name: string;
  dims: number[];
  dataType: number;
  /** little-endian values, row-major; empty where the list below has them */
  rawData: Uint8Array;
  floatData: number[];
  /** 1: the values are in another file */
  dataLocation: number;
}
export interface OnnxAttribute {
  name: string;
  type: number;
  f: number;
  i: number;
  s: Uint8Array;
  t: OnnxTensor | null;
  floats: number[];
  ints: number[];
  strings: Uint8Array[];
}
export interface OnnxNode {
  name: string;
  opType: string;
  domain: string;
  /** names of values; '' for one left out */
  input: string[];
  output: string[];
  attribute: OnnxAttribute[];
}
export interface OnnxDimension {
  dimValue?: number;
  dimParam?: string;
}
export interface OnnxValueInfo {
  name: string;
  type: { tensorType: { elemType: number; shape: { dim: OnnxDimension[] } | null } | null } | null;
}
export interface OnnxGraph {
  name: string;
  node: OnnxNode[];
  initializer: OnnxTensor[];
  input: OnnxValueInfo[];
  output: OnnxValueInfo[];
}
export interface OnnxModel {
  irVersion: number;
  producerName: string;
  producerVersion: string;
  opsetImport: { domain: string; version: number }[];
  graph: OnnxGraph | null;
  metadataProps: { key: string; value: string }[];
}

/** What may be left out when writing: everything has a default. */
export type Written<T> = T extends readonly (infer E)[]
  ? Written<E>[]
  : T extends Uint8Array | string | number | null
    ? T
    : { [K in keyof T]?: Written<T[K]> };

type Fields = Record<string, [type: string, id: number]>;
const message = (fields: Fields): protobuf.IType => ({
  fields: Object.fromEntries(
    Object.entries(fields).map(([name, [type, id]]) => [
      name,
      type.endsWith('[]') ? { type: type.slice(0, -2), id, rule: 'repeated' } : { type, id },
    ]),
  ),
});

const Model = protobuf.Root.fromJSON({
  nested: {
    Model: message({
      irVersion: ['int64', 1],
      producerName: ['string', 2],
      producerVersion: ['string', 3],
      graph: ['Graph', 7],
      opsetImport: ['OperatorSet[]', 8],
      metadataProps: ['Property[]', 14],
    }),
    OperatorSet: message({ domain: ['string', 1], version: ['int64', 2] }),
    Property: message({ key: ['string', 1], value: ['string', 2] }),
    Graph: message({
      node: ['Node[]', 1],
      name: ['string', 2],
      initializer: ['Tensor[]', 5],
      input: ['ValueInfo[]', 11],
      output: ['ValueInfo[]', 12],
    }),
    Node: message({
      input: ['string[]', 1],
      output: ['string[]', 2],
      name: ['string', 3],
      opType: ['string', 4],
      attribute: ['Attribute[]', 5],
      domain: ['string', 7],
    }),
    Attribute: message({
      name: ['string', 1],
      f: ['float', 2],
      i: ['int64', 3],
      s: ['bytes', 4],
      t: ['Tensor', 5],
      floats: ['float[]', 7],
      ints: ['int64[]', 8],
      strings: ['bytes[]', 9],
      type: ['int32', 20],
    }),
    Tensor: message({
      dims: ['int64[]', 1],
      dataType: ['int32', 2],
      floatData: ['float[]', 4],
      name: ['string', 8],
      rawData: ['bytes', 9],
      dataLocation: ['int32', 14],
    }),
    ValueInfo: message({ name: ['string', 1], type: ['Type', 2] }),
    Type: message({ tensorType: ['TensorType', 1] }),
    TensorType: message({ elemType: ['int32', 1], shape: ['Shape', 2] }),
    Shape: message({ dim: ['Dimension[]', 1] }),
    Dimension: {
      ...message({ dimValue: ['int64', 1], dimParam: ['string', 2] }),
      oneofs: { value: { oneof: ['dimValue', 'dimParam'] } },
    },
  },
}).lookupType('Model');

/** The bytes of a model. */
export function encodeOnnx(model: Written<OnnxModel>): Uint8Array {
  return Model.encode(Model.fromObject(model)).finish();
}

/** Nodes, names and whole numbers a model may have: the largest networks have some ten thousand. */
const MOST_PARTS = 200_000;

/**
 * A model from its bytes; values of tensors are views of them.
 * @throws RangeError where it has more parts than any network, or whatever protobufjs throws where it is no model
 */
export function decodeOnnx(bytes: Uint8Array): OnnxModel {
  // An empty node is two bytes in a file and a hundred in memory: they are counted before any is made.
  countParts(protobuf.Reader.create(bytes), bytes.length, Model, 0);
  const reader = protobuf.Reader.create(bytes);
  reader.discardUnknown = true;
  return Model.toObject(Model.decode(reader), { longs: Number, defaults: true }) as OnnxModel;
}

function countParts(reader: protobuf.Reader, end: number, type: protobuf.Type, before: number): number {
  let count = before;
  while (reader.pos < end) {
    const tag = reader.uint32();
    const [wire, field] = [tag & 7, type.fieldsById[tag >>> 3]?.resolve()];
    if (field?.resolvedType instanceof protobuf.Type && wire === 2) {
      const length = reader.uint32();
      count = countParts(reader, reader.pos + length, field.resolvedType, count + 1);
    } else if (field?.type === 'int64' && wire === 2) {
      const length = reader.uint32();
      reader.skip(length);
      count += length;
    } else {
      reader.skipType(wire);
      if (field && field.type !== 'float') count++;
    }
    if (count > MOST_PARTS) throw new RangeError(`it has more than ${MOST_PARTS} parts`);
  }
  return count;
}
