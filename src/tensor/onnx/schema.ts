/** The part of the ONNX file format that Tessera reads and writes (onnx.proto, IR version 10), as protobuf field tables. */

import protobuf from 'protobufjs';
import type { DType } from '../ndarray.js';

/** A size in a declared shape. */
export interface DimensionProto {
  dimValue?: number | bigint;
  dimParam?: string;
}

/** The name and tensor type of a graph's input or output. */
export interface ValueInfoProto {
  name: string;
  type?: { tensorType?: { elemType?: number; shape?: { dim?: DimensionProto[] } } };
}

/** Values stored in a model, inside it or in a file beside it. */
export interface TensorProto {
  name: string;
  dataType: number;
  dims: number[];
  rawData?: Uint8Array;
  dataLocation?: number;
  externalData?: { key: string; value: string }[];
}

/** A value that configures a node. */
export interface AttributeProto {
  name: string;
  type: number;
  f?: number;
  i?: number;
  s?: Uint8Array;
  t?: TensorProto;
  ints?: number[];
  floats?: number[];
}

/** One operator application. */
export interface NodeProto {
  opType: string;
  domain?: string;
  name?: string;
  input: string[];
  output: string[];
  attribute: AttributeProto[];
}

/** A graph of nodes. */
export interface GraphProto {
  name: string;
  node: NodeProto[];
  input: ValueInfoProto[];
  output: ValueInfoProto[];
  initializer: TensorProto[];
}

/** A whole model file. */
export interface ModelProto {
  irVersion: number;
  producerName?: string;
  producerVersion?: string;
  opsetImport: { domain?: string; version: number }[];
  metadataProps?: { key: string; value: string }[];
  graph: GraphProto;
}

const repeated = (type: string, id: number) => ({ rule: 'repeated', type, id });
const field = (type: string, id: number) => ({ type, id });

const root = protobuf.Root.fromJSON({
  nested: {
    Entry: { fields: { key: field('string', 1), value: field('string', 2) } },
    Opset: { fields: { domain: field('string', 1), version: field('int64', 2) } },
    Tensor: {
      fields: {
        dims: repeated('int64', 1),
        dataType: field('int32', 2),
        name: field('string', 8),
        rawData: field('bytes', 9),
        externalData: repeated('Entry', 13),
        dataLocation: field('int32', 14),
      },
    },
    Attribute: {
      fields: {
        name: field('string', 1),
        f: field('float', 2),
        i: field('int64', 3),
        s: field('bytes', 4),
        t: field('Tensor', 5),
        floats: repeated('float', 7),
        ints: repeated('int64', 8),
        type: field('int32', 20),
      },
    },
    Dimension: { fields: { dimValue: field('int64', 1), dimParam: field('string', 2) } },
    TensorShape: { fields: { dim: repeated('Dimension', 1) } },
    TensorType: { fields: { elemType: field('int32', 1), shape: field('TensorShape', 2) } },
    ValueType: { fields: { tensorType: field('TensorType', 1) } },
    ValueInfo: { fields: { name: field('string', 1), type: field('ValueType', 2) } },
    Node: {
      fields: {
        input: repeated('string', 1),
        output: repeated('string', 2),
        name: field('string', 3),
        opType: field('string', 4),
        attribute: repeated('Attribute', 5),
        domain: field('string', 7),
      },
    },
    Graph: {
      fields: {
        node: repeated('Node', 1),
        name: field('string', 2),
        initializer: repeated('Tensor', 5),
        input: repeated('ValueInfo', 11),
        output: repeated('ValueInfo', 12),
      },
    },
    Model: {
      fields: {
        irVersion: field('int64', 1),
        producerName: field('string', 2),
        producerVersion: field('string', 3),
        graph: field('Graph', 7),
        opsetImport: repeated('Opset', 8),
        metadataProps: repeated('Entry', 14),
      },
    },
  },
});

const modelType = root.lookupType('Model');

/** The bytes of a model. */
export function encodeModel(model: ModelProto): Uint8Array {
  return modelType.encode(modelType.fromObject(model)).finish();
}

/** A model from its bytes; weights in external data stay references. @throws when the bytes are no ONNX model. */
export function decodeModel(bytes: Uint8Array): ModelProto {
  const decoded = modelType.decode(bytes);
  return modelType.toObject(decoded, { longs: Number, defaults: false, arrays: true }) as ModelProto;
}

/** ONNX's numbers for element types. */
export const ELEMENT_TYPES: Readonly<Record<DType, number>> = {
  float32: 1,
  uint8: 2,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
};

/** The dtype of an ONNX element type, undefined when Tessera has none. */
export function dtypeOf(elementType: number): DType | undefined {
  const found = Object.entries(ELEMENT_TYPES).find(([, number]) => number === elementType);
  return found?.[0] as DType | undefined;
}
