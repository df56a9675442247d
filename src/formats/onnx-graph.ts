/**
 * The description of an ONNX model (onnx/onnx: onnx.proto) out of its file, with the places of its weights but without
 * them: model, graph, values, nodes with the graphs inside of them, tensors. Fields that are not told of are passed over.
 */

import type { ProtobufField, ProtobufFile } from './protobuf-walk.js';

/** A tensor's description and where its elements are. */
export interface TensorPlace {
  readonly name: string;
  readonly type: number;
  readonly shape: readonly number[];
  /** The elements as bytes, when they are stored so. */
  readonly raw?: ProtobufField;
  /** The elements as numbers: parts of the field that fits the type (`float_data`, `int64_data`, ...). */
  readonly numbers: readonly ProtobufField[];
  /** Keys and values of external data (`location`, `offset`, `length`); absent when the elements are in the model. */
  readonly external?: ReadonlyMap<string, string>;
}

/** A value's name and type. */
export interface ValuePlace {
  readonly name: string;
  readonly kind: 'tensor' | 'sequence' | 'map' | 'optional' | 'unknown';
  readonly type: number;
  readonly shape?: readonly (number | string)[];
}

/** What a model's file says. */
export interface ModelPlace {
  readonly irVersion: number;
  readonly producerName: string;
  readonly producerVersion: string;
  readonly domain: string;
  readonly modelVersion: number;
  readonly description: string;
  readonly opsets: ReadonlyMap<string, number>;
  readonly metadata: ReadonlyMap<string, string>;
  readonly inputs: readonly ValuePlace[];
  readonly outputs: readonly ValuePlace[];
  readonly tensors: readonly TensorPlace[];
  readonly sparse: number;
  /** Nodes by operator. */
  readonly operators: ReadonlyMap<string, number>;
  readonly functions: readonly string[];
}

const DEEPEST = 64;
const MOST_AXES = 256;
const OWN_DOMAIN = 'ai.onnx';

/** Reads a model's description. @throws bad-file. */
export async function readModelPlace(model: ProtobufFile): Promise<ModelPlace> {
  const texts = new Map<number, string>();
  const numbers = new Map<number, number>();
  const opsets = new Map<string, number>();
  const metadata = new Map<string, string>();
  const functions: string[] = [];
  let graph: ProtobufField | undefined;
  for await (const field of model.fields()) {
    if (field.number === 7 && field.wire === 'bytes') graph = field;
    else if (field.number === 8) await readOpset(model, field, opsets);
    else if (field.number === 14) metadata.set(...(await readEntry(model, field)));
    else if (field.number === 25) functions.push(await readFunctionName(model, field));
    else if (field.wire === 'varint') numbers.set(field.number, field.value);
    else if (field.wire === 'bytes' && [2, 3, 4, 6].includes(field.number)) {
      texts.set(field.number, await model.text(field));
    }
  }
  if (graph === undefined || !numbers.has(1)) throw model.damaged('it has no graph');
  return {
    irVersion: numbers.get(1) ?? 0,
    producerName: texts.get(2) ?? '',
    producerVersion: texts.get(3) ?? '',
    domain: texts.get(4) ?? '',
    modelVersion: numbers.get(5) ?? 0,
    description: texts.get(6) ?? '',
    opsets,
    metadata,
    functions,
    ...(await readGraph(model, graph)),
  };
}

async function readOpset(model: ProtobufFile, entry: ProtobufField, opsets: Map<string, number>): Promise<void> {
  let [domain, version] = ['', 0];
  for await (const field of model.fields(entry.start, entry.end)) {
    if (field.number === 1) domain = await model.text(field);
    else if (field.number === 2) version = field.value;
  }
  opsets.set(domain === '' ? OWN_DOMAIN : domain, version);
}

async function readEntry(model: ProtobufFile, entry: ProtobufField): Promise<[string, string]> {
  const pair: [string, string] = ['', ''];
  for await (const field of model.fields(entry.start, entry.end)) {
    if (field.number === 1) pair[0] = await model.text(field);
    else if (field.number === 2) pair[1] = await model.text(field);
  }
  return pair;
}

async function readFunctionName(model: ProtobufFile, entry: ProtobufField): Promise<string> {
  let [name, domain] = ['', ''];
  for await (const field of model.fields(entry.start, entry.end)) {
    if (field.number === 1) name = await model.text(field);
    else if (field.number === 10) domain = await model.text(field);
  }
  return qualified(domain, name);
}

function qualified(domain: string, name: string): string {
  return domain === '' || domain === OWN_DOMAIN ? name : `${domain}.${name}`;
}

type GraphPlace = Pick<ModelPlace, 'inputs' | 'outputs' | 'tensors' | 'sparse' | 'operators'>;

async function readGraph(model: ProtobufFile, graph: ProtobufField): Promise<GraphPlace> {
  const inputs: ValuePlace[] = [];
  const outputs: ValuePlace[] = [];
  const tensors: TensorPlace[] = [];
  const operators = new Map<string, number>();
  let sparse = 0;
  for await (const field of model.fields(graph.start, graph.end)) {
    if (field.wire !== 'bytes') continue;
    if (field.number === 1) await countNode(model, field, operators, 0);
    else if (field.number === 5) tensors.push(await readTensor(model, field));
    else if (field.number === 11) inputs.push(await readValue(model, field));
    else if (field.number === 12) outputs.push(await readValue(model, field));
    else if (field.number === 15) sparse++;
  }
  return { inputs, outputs, tensors, sparse, operators };
}

/** Counts a node, and those of the graphs among its attributes. */
async function countNode(
  model: ProtobufFile,
  node: ProtobufField,
  operators: Map<string, number>,
  depth: number,
): Promise<void> {
  if (depth > DEEPEST) throw model.damaged(`its graphs are nested more than ${DEEPEST} deep`);
  let [name, domain] = ['', ''];
  for await (const field of model.fields(node.start, node.end)) {
    if (field.number === 4) name = await model.text(field);
    else if (field.number === 7) domain = await model.text(field);
    else if (field.number === 5) await countAttribute(model, field, operators, depth);
  }
  const operator = qualified(domain, name);
  operators.set(operator, (operators.get(operator) ?? 0) + 1);
}

async function countAttribute(
  model: ProtobufFile,
  attribute: ProtobufField,
  operators: Map<string, number>,
  depth: number,
): Promise<void> {
  for await (const field of model.fields(attribute.start, attribute.end)) {
    if (field.wire !== 'bytes' || (field.number !== 6 && field.number !== 11)) continue;
    for await (const inner of model.fields(field.start, field.end)) {
      if (inner.number === 1 && inner.wire === 'bytes') await countNode(model, inner, operators, depth + 1);
    }
  }
}

/** Fields that hold elements as numbers: floats, int32s, int64s, doubles, uint64s. */
const NUMBER_FIELDS: readonly number[] = [4, 5, 7, 10, 11];

async function readTensor(model: ProtobufFile, tensor: ProtobufField): Promise<TensorPlace> {
  const shape: number[] = [];
  const numbers: ProtobufField[] = [];
  const external = new Map<string, string>();
  let [name, type, location] = ['', 0, 0];
  let raw: ProtobufField | undefined;
  for await (const field of model.fields(tensor.start, tensor.end)) {
    if (field.number === 1) shape.push(...(await readSizes(model, field, shape.length)));
    else if (field.number === 2) type = field.value;
    else if (field.number === 8) name = await model.text(field);
    else if (field.number === 9) raw = field;
    else if (field.number === 13) external.set(...(await readEntry(model, field)));
    else if (field.number === 14) location = field.value;
    else if (NUMBER_FIELDS.includes(field.number)) numbers.push(field);
  }
  if (shape.some((size) => size < 0)) throw model.damaged(`the tensor '${name}' has the shape [${shape.join(', ')}]`);
  return { name, type, shape, raw, numbers, ...(location === 1 ? { external } : {}) };
}

async function readSizes(model: ProtobufFile, field: ProtobufField, before: number): Promise<readonly number[]> {
  const sizes = field.end - field.start > MOST_AXES ? undefined : await model.varints(field);
  if (sizes !== undefined && sizes.length + before <= MOST_AXES) return sizes;
  throw model.damaged(`a tensor has more than ${MOST_AXES} axes`);
}

const KINDS: Readonly<Record<number, ValuePlace['kind']>> = {
  1: 'tensor',
  4: 'sequence',
  5: 'map',
  8: 'tensor',
  9: 'optional',
};

async function readValue(model: ProtobufFile, value: ProtobufField): Promise<ValuePlace> {
  let found: ValuePlace = { name: '', kind: 'unknown', type: 0 };
  for await (const field of model.fields(value.start, value.end)) {
    if (field.number === 1) found = { ...found, name: await model.text(field) };
    if (field.number !== 2 || field.wire !== 'bytes') continue;
    for await (const inner of model.fields(field.start, field.end)) {
      const kind = KINDS[inner.number];
      if (kind === undefined) continue;
      const tensor = kind === 'tensor' ? await readTensorType(model, inner) : { type: 0 };
      found = { name: found.name, kind, ...tensor };
    }
  }
  return found;
}

async function readTensorType(model: ProtobufFile, tensor: ProtobufField): Promise<Pick<ValuePlace, 'type' | 'shape'>> {
  let type = 0;
  let shape: (number | string)[] | undefined;
  for await (const field of model.fields(tensor.start, tensor.end)) {
    if (field.number === 1) type = field.value;
    if (field.number !== 2 || field.wire !== 'bytes') continue;
    shape = [];
    for await (const dimension of model.fields(field.start, field.end)) {
      if (dimension.number === 1) shape.push(await readDimension(model, dimension));
    }
  }
  return { type, ...(shape === undefined ? {} : { shape }) };
}

async function readDimension(model: ProtobufFile, dimension: ProtobufField): Promise<number | string> {
  let size: number | string = '?';
  for await (const field of model.fields(dimension.start, dimension.end)) {
    if (field.number === 1) size = field.value;
    else if (field.number === 2) size = (await model.text(field)) || '?';
  }
  return size;
}
