/**
 * From graph to ONNX: equal nodes become one, what no output needs is never visited, sizes known only by name are
 * computed from the inputs that have them, and weights can live in a file beside the model.
 */

import { TesseraError } from '../../host/error.js';
import {
  type Dimension,
  type Emitter,
  isInput,
  isStatic,
  type Node,
  type Shape,
  shapeError,
  type Tensor,
} from '../graph.js';
import { array, bytesOf, type NDArray } from '../ndarray.js';
import { withHalfProducts } from './half-products.js';
import {
  type AttributeProto,
  ELEMENT_TYPES,
  type ModelProto,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from './schema.js';

/** What to lower and how. */
export interface LowerOptions {
  readonly name: string;
  readonly inputs: readonly (readonly [name: string, tensor: Tensor])[];
  readonly outputs: readonly (readonly [name: string, tensor: Tensor])[];
  /** Input tensors that become constants. */
  readonly constants?: ReadonlyMap<Tensor, NDArray>;
  readonly device: string;
  /** The default-domain operator set; 21 keeps every CPU kernel that training needs. */
  readonly opset?: number;
  readonly metadata?: Readonly<Record<string, string>>;
  /** Products of float32 tensors in float16, between casts. */
  readonly halfProducts?: boolean;
}

/** A model whose initializers still are arrays, and what it costs. */
export interface Lowered {
  readonly model: ModelProto;
  readonly initializers: readonly { readonly name: string; readonly value: NDArray }[];
  readonly nodes: number;
  /** Floating-point operations of the matrix products in one run. */
  readonly flops: number;
  /** Where each ONNX node came from, by the name of its first output: its operation and module path. */
  readonly origins: ReadonlyMap<string, { readonly operation: string; readonly scope: string }>;
}

const SMALL = 64;

/** Lowers the part of the graph that the outputs need. @throws bad-shape for an input that is not among `inputs`. */
export function lower(options: LowerOptions): Lowered {
  const { device } = options;
  const nodes: NodeProto[] = [];
  const initializers: { name: string; value: NDArray }[] = [];
  const values = new Map<Tensor, string>();
  const byKey = new Map<string, readonly string[]>();
  const constants = new Map<string, string>();
  const arrays = new Map<NDArray, string>();
  const sizes = new Map<string, readonly [value: string, axis: number]>();
  const made = new Map<NodeProto, { operation: string; scope: string }>();
  const taken = new Set<string>();
  for (const [name] of [...options.inputs, ...options.outputs]) {
    if (taken.has(name)) {
      throw new TesseraError('bad-option', `Two inputs or outputs of the program are called "${name}".`);
    }
    taken.add(name);
  }
  const counters = { v: 0, c: 0 };
  const fresh = (kind: 'v' | 'c'): string => {
    const name = `${kind}${counters[kind]++}`;
    return taken.has(name) ? fresh(kind) : name;
  };
  let flops = 0;
  let current: Node | undefined;

  const emitter: Emitter = {
    device,
    name: (tensor) => {
      const name = values.get(tensor);
      if (name === undefined) throw new Error(`${tensor.node.operation.name} was used before it was lowered`);
      return name;
    },
    emit: (type, inputs, attributes = {}, outputs = 1, domain = '') => {
      const key = `${domain}:${type}(${inputs.join(',')})${JSON.stringify(attributes)}#${outputs}`;
      const known = byKey.get(key);
      if (known !== undefined) return [...known];
      const names = Array.from({ length: outputs }, () => fresh('v'));
      const node: NodeProto = {
        opType: type,
        input: [...inputs],
        output: names,
        attribute: encodeAttributes(attributes),
      };
      if (domain !== '') node.domain = domain;
      nodes.push(node);
      byKey.set(key, names);
      if (current !== undefined) made.set(node, { operation: current.operation.name, scope: current.scope });
      return names;
    },
    constant: (value) => {
      const known = arrays.get(value);
      if (known !== undefined) return known;
      const small = value.data.length <= SMALL;
      const key = small ? `${value.dtype}[${value.shape.join()}]${value.data.join()}` : uniformKey(value);
      const shared = key === undefined ? undefined : constants.get(key);
      if (shared !== undefined) return shared;
      const name = fresh('c');
      initializers.push({ name, value });
      arrays.set(value, name);
      if (key !== undefined) constants.set(key, name);
      return name;
    },
    shape: (shape, like) => {
      if (isStatic(shape)) return emitter.constant(array(shape, [shape.length], 'int64'));
      const copied = like === undefined ? undefined : copySizes(shape, like.shape);
      if (copied !== undefined) return emitter.constant(array(copied, [copied.length], 'int64'));
      const parts = shape.map((dimension) => sizeValue(dimension));
      return emitter.emit('Concat', parts, { axis: 0 })[0] ?? '';
    },
  };

  /** An int64 vector of one element that holds a size. */
  const sizeValue = (dimension: Dimension): string => {
    if (typeof dimension === 'number') return emitter.constant(array([dimension], [1], 'int64'));
    const place = sizes.get(dimension);
    if (place !== undefined) {
      return emitter.emit('Shape', [place[0]], { start: place[1], end: place[1] + 1 })[0] ?? '';
    }
    for (const [separator, type] of [
      [' + ', 'Add'],
      ['*', 'Mul'],
    ] as const) {
      const terms = dimension.split(separator);
      if (terms.length < 2) continue;
      const parsed = terms.map((term) => sizeValue(/^\d+$/.test(term) ? Number(term) : term));
      return parsed.reduce((sum, term) => emitter.emit(type, [sum, term])[0] ?? '');
    }
    throw shapeError(`The size "${dimension}" is the size of no input.`);
  };

  for (const [name, tensor] of options.inputs) {
    values.set(tensor, name);
    for (const [axis, dimension] of tensor.shape.entries()) {
      if (typeof dimension === 'string' && !sizes.has(dimension)) sizes.set(dimension, [name, axis]);
    }
  }
  for (const [tensor, value] of options.constants ?? []) values.set(tensor, emitter.constant(value));
  const canonical = new Map<string, Node>();
  const identity = new Map<Node, number>();
  for (const node of topological(options.outputs.map(([, tensor]) => tensor))) {
    if (node.outputs.some((output) => values.has(output))) {
      identity.set(node, node.id);
      continue;
    }
    const [only] = node.outputs;
    if (only !== undefined && isInput(only))
      throw shapeError(`The input "${String(node.attributes.name)}" is not an argument of this program.`);
    const key = nodeKey(node, identity);
    const twin = key === undefined ? undefined : canonical.get(key);
    if (twin !== undefined) {
      identity.set(node, twin.id);
      for (const [index, output] of node.outputs.entries())
        values.set(output, emitter.name(twin.outputs[index] ?? output));
      continue;
    }
    if (key !== undefined) canonical.set(key, node);
    identity.set(node, node.id);
    current = node;
    const names = node.operation.lower(node, options.halfProducts === true ? withHalfProducts(emitter, node) : emitter);
    current = undefined;
    flops += node.operation.flops?.(node) ?? 0;
    for (const [index, output] of node.outputs.entries()) values.set(output, names[index] ?? '');
  }

  const outputs = nameOutputs(options, values, nodes, initializers);
  const origins = new Map([...made].map(([node, origin]) => [node.output[0] ?? '', origin]));
  const model: ModelProto = {
    irVersion: 10,
    producerName: 'tessera',
    opsetImport: [
      { domain: '', version: options.opset ?? 21 },
      { domain: 'com.microsoft', version: 1 },
    ],
    metadataProps: Object.entries(options.metadata ?? {}).map(([key, value]) => ({ key, value })),
    graph: {
      name: options.name,
      node: nodes,
      input: options.inputs.map(([name, tensor]) => valueInfo(name, tensor)),
      output: outputs,
      initializer: [],
    },
  };
  return { model, initializers, nodes: nodes.length, flops, origins };
}

/** Gives graph outputs their names: in place where one value is one output, by Identity nodes elsewhere. */
function nameOutputs(
  options: LowerOptions,
  values: ReadonlyMap<Tensor, string>,
  nodes: NodeProto[],
  initializers: readonly { readonly name: string }[],
): ValueInfoProto[] {
  const renamed = new Map<string, string>();
  const fixed = new Set([...options.inputs.map(([name]) => name), ...initializers.map(({ name }) => name)]);
  const copies: NodeProto[] = [];
  const infos = options.outputs.map(([name, tensor]) => {
    const value = values.get(tensor) ?? '';
    if (fixed.has(value) || renamed.has(value)) {
      copies.push({ opType: 'Identity', input: [value], output: [name], attribute: [] });
    } else renamed.set(value, name);
    return valueInfo(name, tensor);
  });
  const rename = (name: string): string => renamed.get(name) ?? name;
  for (const node of nodes) {
    node.input = node.input.map(rename);
    node.output = node.output.map(rename);
  }
  for (const copy of copies) copy.input = copy.input.map(rename);
  nodes.push(...copies);
  return infos;
}

/** Sizes that ONNX's Reshape can copy (0) or infer (-1), or undefined when these are not enough. */
function copySizes(shape: Shape, like: Shape): number[] | undefined {
  let holes = 0;
  const copied = shape.map((dimension, axis) => {
    if (typeof dimension === 'number') return dimension;
    if (like[axis] === dimension) return 0;
    holes++;
    return -1;
  });
  return holes <= 1 ? copied : undefined;
}

/** Large arrays that repeat one value are shared by that value. */
function uniformKey(value: NDArray): string | undefined {
  const [head] = value.data;
  for (const item of value.data) if (item !== head) return undefined;
  return `${value.dtype}[${value.shape.join()}]=${String(head)}`;
}

/** What makes a node equal to another; undefined for inputs and constants, which the emitter tells apart. */
function nodeKey(node: Node, identity: ReadonlyMap<Node, number>): string | undefined {
  if (node.value !== undefined || node.attributes.unique !== undefined) return undefined;
  const inputs = node.inputs.map((input) => {
    const value = input.node.value;
    const small =
      value !== undefined && value.data.length === 1
        ? `${value.dtype}[${value.shape.join()}]${String(value.data[0])}`
        : undefined;
    return small ?? `${identity.get(input.node) ?? input.node.id}.${input.output}`;
  });
  return `${node.operation.name}(${inputs.join()})${JSON.stringify(node.attributes)}`;
}

/** Every node that the tensors need, inputs first, in the order in which they were made. */
export function topological(outputs: readonly Tensor[]): Node[] {
  const seen = new Set<Node>();
  const stack = outputs.map((tensor) => tensor.node);
  while (stack.length > 0) {
    const node = stack.pop();
    if (node === undefined || seen.has(node)) continue;
    seen.add(node);
    for (const input of node.inputs) if (!seen.has(input.node)) stack.push(input.node);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

function valueInfo(name: string, tensor: Tensor): ValueInfoProto {
  const dim = tensor.shape.map((dimension) =>
    typeof dimension === 'number' ? { dimValue: dimension } : { dimParam: dimension },
  );
  return { name, type: { tensorType: { elemType: ELEMENT_TYPES[tensor.dtype], shape: { dim } } } };
}

const TYPES = { float: 1, int: 2, string: 3, floats: 6, ints: 7 } as const;

function encodeAttributes(attributes: Record<string, unknown>): AttributeProto[] {
  return Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]): AttributeProto => {
      if (typeof value === 'number') return { name, type: TYPES.int, i: value };
      if (typeof value === 'string') return { name, type: TYPES.string, s: new TextEncoder().encode(value) };
      if (Array.isArray(value)) return { name, type: TYPES.ints, ints: value };
      if (typeof value === 'object' && value !== null && 'float' in value)
        return { name, type: TYPES.float, f: Number(value.float) };
      if (typeof value === 'object' && value !== null && 'dtype' in value) {
        const dtype = value.dtype as keyof typeof ELEMENT_TYPES;
        return { name, type: TYPES.int, i: ELEMENT_TYPES[dtype] };
      }
      throw new Error(`the attribute ${name} has no ONNX form`);
    });
}

/** An initializer as it stands in the model itself. */
export function inlineTensor(name: string, value: NDArray): TensorProto {
  return { name, dataType: ELEMENT_TYPES[value.dtype], dims: [...value.shape], rawData: bytesOf(value) };
}
