/**
 * Which operations left the device, asked of the runtime itself: a session of the whole program that may not leave the
 * device says whether any did; then a session of each kind of node says which.
 */

import { TesseraError } from '../../host/error.js';
import { inlineTensor, type Lowered } from '../onnx/lower.js';
import { ELEMENT_TYPES, encodeModel, type NodeProto } from '../onnx/schema.js';
import type { Engine } from './engine.js';
import type { Device } from './provider.js';

/** Operands of more elements come as inputs: their values do not matter for a kernel. */
const SMALL = 64;

/** The operations of a loaded program that left its device, each once: `TopK (topK in layers.0)`. */
export async function fallbacksOf(engine: Engine, program: number, lowered: Lowered): Promise<readonly string[]> {
  if (await engine.staysOnDevice(program)) return [];
  const probes = probesOf(lowered);
  const stays = await engine.runsOnDevice(probes.map(({ model }) => model));
  return probes.flatMap(({ nodes }, index) => (stays[index] === true ? [] : [describe(nodes, lowered)]));
}

interface Probe {
  readonly nodes: readonly NodeProto[];
  readonly model: Uint8Array;
}

/** A model of one node for every kind of node: operator, attributes, dtypes, and small constant operands. */
function probesOf(lowered: Lowered): readonly Probe[] {
  const types = typesOf(lowered);
  const constants = new Map(lowered.initializers.map(({ name, value }) => [name, value]));
  const kinds = new Map<string, NodeProto[]>();
  for (const node of lowered.model.graph.node) {
    const operands = node.input.map((name) => [types.get(name), constants.get(name)?.data.length ?? -1]);
    const key = JSON.stringify([
      node.domain,
      node.opType,
      operands,
      node.attribute.map(({ s, ...rest }) => [rest, String(s)]),
    ]);
    const known = kinds.get(key);
    if (known === undefined) kinds.set(key, [node]);
    else known.push(node);
  }
  return [...kinds.values()].flatMap((nodes) => {
    const [node] = nodes;
    return node === undefined ? [] : [{ nodes, model: probe(node, lowered, types) }];
  });
}

function probe(node: NodeProto, lowered: Lowered, types: ReadonlyMap<string, number>): Uint8Array {
  const names = [...new Set(node.input)].filter((name) => name !== '');
  const initializer = lowered.initializers
    .filter(({ name, value }) => names.includes(name) && value.data.length <= SMALL)
    .map(({ name, value }) => inlineTensor(name, value));
  const fixed = new Set(initializer.map(({ name }) => name));
  const port = (name: string) => ({ name, type: { tensorType: { elemType: types.get(name) } } });
  return encodeModel({
    ...lowered.model,
    metadataProps: [],
    graph: {
      name: 'probe',
      node: [node],
      input: names.filter((name) => !fixed.has(name)).map(port),
      output: node.output.filter((name) => name !== '').map(port),
      initializer,
    },
  });
}

const BOOLEAN = new Set('Equal Greater GreaterOrEqual Less LessOrEqual Not And Or Xor IsNaN IsInf'.split(' '));
const WIDE = new Set('Shape Size ArgMax ArgMin NonZero'.split(' '));

/** Element types of every value: those of inputs and constants, and what operators make of them. */
function typesOf({ model, initializers }: Lowered): ReadonlyMap<string, number> {
  const types = new Map<string, number>();
  for (const { name, type } of [...model.graph.input, ...model.graph.output])
    types.set(name, type?.tensorType?.elemType ?? ELEMENT_TYPES.float32);
  for (const { name, value } of initializers) types.set(name, ELEMENT_TYPES[value.dtype]);
  for (const node of model.graph.node) {
    const of = (index: number): number => types.get(node.input[index] ?? '') ?? ELEMENT_TYPES.float32;
    for (const [index, name] of node.output.entries()) types.set(name, typeOf(node, index, of));
  }
  return types;
}

function typeOf({ opType, attribute }: NodeProto, output: number, of: (input: number) => number): number {
  if (BOOLEAN.has(opType)) return ELEMENT_TYPES.bool;
  if (WIDE.has(opType) || (opType === 'TopK' && output === 1)) return ELEMENT_TYPES.int64;
  if (opType === 'Cast') return attribute.find(({ name }) => name === 'to')?.i ?? ELEMENT_TYPES.float32;
  if (opType === 'OneHot') return of(2);
  return of(opType === 'Where' ? 1 : 0);
}

/** `TopK (topK in layers.0)`, with the first place of several. */
function describe(nodes: readonly NodeProto[], lowered: Lowered): string {
  const [node] = nodes;
  const origin = lowered.origins.get(node?.output[0] ?? '');
  if (origin === undefined) return node?.opType ?? '';
  const more = nodes.length > 1 ? ` and ${nodes.length - 1} more` : '';
  return `${node?.opType} (${origin.operation}${origin.scope === '' ? '' : ` in ${origin.scope}`}${more})`;
}

/** The runtime's error for an operator that a device has no kernel for, as a sentence that names the operation. */
export function withoutKernel(error: unknown, lowered: Lowered, device: Device): unknown {
  const operator = error instanceof Error ? /implementation for (\w+)\(/.exec(error.message)?.[1] : undefined;
  if (operator === undefined) return error;
  const node = lowered.model.graph.node.find(({ opType }) => opType === operator);
  const origin = lowered.origins.get(node?.output[0] ?? '');
  const place =
    origin === undefined ? '' : `, which ${origin.operation}${origin.scope === '' ? '' : ` in ${origin.scope}`} needs`;
  const types = typesOf(lowered);
  const dtypes = Object.entries(ELEMENT_TYPES).flatMap(([dtype, type]) =>
    node?.input.slice(0, 1).some((name) => types.get(name) === type) ? [dtype] : [],
  );
  return new TesseraError(
    'unsupported',
    `The device "${device}" has no ${operator} of ${dtypes[0] ?? 'this type'}${place}.`,
    {
      hint: 'Cast to float32 before it, or choose another device.',
      cause: error,
    },
  );
}
